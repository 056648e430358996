"""The sample grids of a run over time: which there are, and their pixels, decoded in a thread."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FOLDER = "samples"
SIDE = 1024
"""Larger grids are averaged down to this."""

_NAME = re.compile(r"(\d+)\.png")


@dataclass(frozen=True, kw_only=True)
class Grid:
    """One file."""

    path: Path
    kimg: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """A decoded grid."""

    path: Path
    pixels: NDArray[np.float32]
    """[height, width, 4], 0 to 1."""
    error: str = ""


def grids(run: Path) -> tuple[Grid, ...]:
    """The run's sample grids, oldest first; none when there is no such folder yet."""
    try:
        names = [(path, _NAME.fullmatch(path.name)) for path in (run / FOLDER).iterdir()]
    except OSError:
        return ()
    found = [Grid(path=path, kimg=int(match[1])) for path, match in names if match]
    return tuple(sorted(found, key=lambda grid: grid.kimg))


def chosen(found: tuple[Grid, ...], kimg: int | None) -> int:
    """The index of the grid that shows a run at so many kimg: the last one before it; the latest for None."""
    if kimg is None:
        return len(found) - 1
    before = [index for index, grid in enumerate(found) if grid.kimg <= kimg]
    return before[-1] if before else 0


def read(path: Path, side: int = SIDE) -> Picture:
    """Decode a grid, no larger than `side`. A file that cannot be read gives an empty picture and says why."""
    try:
        with Image.open(path) as image:
            image.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=None)
            pixels = np.asarray(image.convert("RGBA"), dtype=np.float32) / np.float32(255)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        why = "no such file" if isinstance(error, FileNotFoundError) else "not a picture that can be read"
        return Picture(path=path, pixels=np.zeros((0, 0, 4), np.float32), error=f"{path.name}: {why}")
    return Picture(path=path, pixels=pixels)


class Loader(threading.Thread):
    """Decodes the newest grid that was asked for; `picture` is the latest one done."""

    def __init__(self) -> None:
        super().__init__(name="samples", daemon=True)
        self.picture: Picture | None = None
        self._wanted: Path | None = None
        self._wake = threading.Event()
        self._closing = False

    def want(self, path: Path) -> None:
        """Ask for a grid. Those asked for before that are not begun yet are passed over."""
        if path != self._wanted:
            self._wanted = path
            self._wake.set()

    def run(self) -> None:
        """The thread."""
        while not self._closing:
            self._wake.wait()
            self._wake.clear()
            if self._wanted is not None and not self._closing:
                self.picture = read(self._wanted)

    def close(self) -> None:
        """Stop within a moment."""
        self._closing = True
        self._wake.set()
        if self.is_alive():
            self.join(timeout=5.0)
