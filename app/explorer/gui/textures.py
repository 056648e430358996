"""Textures for many small pictures: one each while it is shown, used again afterwards."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

import numpy as np
from numpy.typing import NDArray

from app.explorer.gui.texture import Texture


class Textures:
    """A pool of textures by key; textures are reused, never freed."""

    def __init__(self, new_texture: Callable[[], Texture]) -> None:
        self._new_texture = new_texture
        self._used: dict[Hashable, tuple[Texture, NDArray[np.uint8]]] = {}
        self._spare: list[Texture] = []

    def keep(self, keys: Iterable[Hashable]) -> None:
        """Once a frame: the keys in use; textures of other keys become spare."""
        wanted = set(keys)
        for key in [key for key in self._used if key not in wanted]:
            self._spare.append(self._used.pop(key)[0])

    def of(self, key: Hashable, pixels: NDArray[np.uint8]) -> Texture:
        """The texture of a key, uploaded if its pixels changed."""
        texture, shown = self._used.get(key, (None, None))
        if texture is None:
            texture = self._spare.pop() if self._spare else self._new_texture()
        if shown is not pixels:
            texture.upload(pixels)
            self._used[key] = (texture, pixels)
        return texture
