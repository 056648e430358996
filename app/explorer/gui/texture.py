"""The picture as an OpenGL texture, sampled nearest or linearly.

ImGui's backend samples every texture linearly. Square pixels therefore come from a second texture in which the visible
part is already enlarged: drawn at its own size on whole framebuffer pixels, linear sampling changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Region:
    """A part of the picture, in its own pixels; the ends are exclusive."""

    x0: int
    y0: int
    x1: int
    y1: int


class Texture(Protocol):
    """A picture that ImGui can draw. `smooth` and `sharp` return texture ids."""

    def upload(self, pixels: NDArray[np.uint8]) -> None:
        """Take a new picture, [height, width, 3]."""
        ...

    def smooth(self) -> int:
        """The id of the picture itself, for linear sampling."""
        ...

    def sharp(self, region: Region, zoom: int) -> int:
        """The id of a part of the picture with each pixel enlarged to `zoom` by `zoom`."""
        ...


class GlTexture:
    """Needs a current OpenGL context (3.0 or later) from the first `upload` on."""

    def __init__(self) -> None:
        self._source = 0
        self._source_size = (0, 0)
        self._target = 0
        self._target_size = (0, 0)
        self._framebuffers = (0, 0)
        self._drawn: tuple[Region, int] | None = None

    def upload(self, pixels: NDArray[np.uint8]) -> None:
        from OpenGL import GL  # not at the module's head: tests without a display import this module too

        height, width = pixels.shape[:2]
        if self._source == 0:
            self._source, self._target = _new_texture(), _new_texture()
            read, draw = GL.glGenFramebuffers(2)
            self._framebuffers = (int(read), int(draw))
        GL.glBindTexture(GL.GL_TEXTURE_2D, self._source)
        GL.glPixelStorei(GL.GL_UNPACK_ALIGNMENT, 1)
        data = np.ascontiguousarray(pixels)
        if self._source_size != (width, height):
            GL.glTexImage2D(GL.GL_TEXTURE_2D, 0, GL.GL_RGBA8, width, height, 0, GL.GL_RGB, GL.GL_UNSIGNED_BYTE, data)
            self._source_size = (width, height)
        else:
            GL.glTexSubImage2D(GL.GL_TEXTURE_2D, 0, 0, 0, width, height, GL.GL_RGB, GL.GL_UNSIGNED_BYTE, data)
        GL.glBindTexture(GL.GL_TEXTURE_2D, 0)
        self._drawn = None

    def smooth(self) -> int:
        return self._source

    def sharp(self, region: Region, zoom: int) -> int:
        if self._drawn == (region, zoom):
            return self._target
        from OpenGL import GL

        width, height = (region.x1 - region.x0) * zoom, (region.y1 - region.y0) * zoom
        if self._target_size != (width, height):
            GL.glBindTexture(GL.GL_TEXTURE_2D, self._target)
            GL.glTexImage2D(GL.GL_TEXTURE_2D, 0, GL.GL_RGBA8, width, height, 0, GL.GL_RGBA, GL.GL_UNSIGNED_BYTE, None)
            GL.glBindTexture(GL.GL_TEXTURE_2D, 0)
            self._target_size = (width, height)
        read, draw = self._framebuffers
        scissor = GL.glIsEnabled(GL.GL_SCISSOR_TEST)
        GL.glDisable(GL.GL_SCISSOR_TEST)
        GL.glBindFramebuffer(GL.GL_READ_FRAMEBUFFER, read)
        GL.glFramebufferTexture2D(GL.GL_READ_FRAMEBUFFER, GL.GL_COLOR_ATTACHMENT0, GL.GL_TEXTURE_2D, self._source, 0)
        GL.glBindFramebuffer(GL.GL_DRAW_FRAMEBUFFER, draw)
        GL.glFramebufferTexture2D(GL.GL_DRAW_FRAMEBUFFER, GL.GL_COLOR_ATTACHMENT0, GL.GL_TEXTURE_2D, self._target, 0)
        GL.glBlitFramebuffer(
            region.x0, region.y0, region.x1, region.y1, 0, 0, width, height, GL.GL_COLOR_BUFFER_BIT, GL.GL_NEAREST
        )
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, 0)
        if scissor:
            GL.glEnable(GL.GL_SCISSOR_TEST)
        self._drawn = (region, zoom)
        return self._target

    def show(self, left: int, lower: int, width: int, height: int, *, smooth: bool) -> None:
        """Fill a part of the current window's own framebuffer with the picture."""
        from OpenGL import GL

        read, _ = self._framebuffers
        source_width, source_height = self._source_size
        GL.glBindFramebuffer(GL.GL_READ_FRAMEBUFFER, read)
        GL.glFramebufferTexture2D(GL.GL_READ_FRAMEBUFFER, GL.GL_COLOR_ATTACHMENT0, GL.GL_TEXTURE_2D, self._source, 0)
        GL.glBindFramebuffer(GL.GL_DRAW_FRAMEBUFFER, 0)
        # The picture's first row is the highest, OpenGL's the lowest.
        area = (left, lower + height, left + width, lower)
        how = GL.GL_LINEAR if smooth else GL.GL_NEAREST
        GL.glBlitFramebuffer(0, 0, source_width, source_height, *area, GL.GL_COLOR_BUFFER_BIT, how)
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, 0)


def _new_texture() -> int:
    from OpenGL import GL

    name = int(GL.glGenTextures(1))
    GL.glBindTexture(GL.GL_TEXTURE_2D, name)
    for key, value in (
        (GL.GL_TEXTURE_MIN_FILTER, GL.GL_LINEAR),
        (GL.GL_TEXTURE_MAG_FILTER, GL.GL_LINEAR),
        (GL.GL_TEXTURE_WRAP_S, GL.GL_CLAMP_TO_EDGE),
        (GL.GL_TEXTURE_WRAP_T, GL.GL_CLAMP_TO_EDGE),
    ):
        GL.glTexParameteri(GL.GL_TEXTURE_2D, key, value)
    GL.glBindTexture(GL.GL_TEXTURE_2D, 0)
    return name
