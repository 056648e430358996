"""Video export in every format of `app.codecs`: frames in, at a constant rate, enlarged to the size that is asked for.

Every format is written so that an export that is killed or runs out of disk leaves what was written so far as a
playable file.
"""

from __future__ import annotations

import math
import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.codecs import CODECS, CodecName, Sink, check_name
from app.errors import UserError, reason
from app.files import cannot_write, check_writable

# H.264 levels end at 8192; PyAV's encoder and most players agree.
SIZE_LIMIT = 8192
SMALLEST = 16


def check_output(
    path: Path,
    fps: int | Fraction,
    size: int | tuple[int, int],
    codec: CodecName = "h264",
    *,
    exists: bool = False,
    overwrite: bool = False,
) -> None:
    """Find out before any work whether a video can be written like this. Raises `UserError`; makes missing folders.

    `exists`: for a folder of pictures, whether one that is there already will do. `overwrite`: for a file, whether one
    that is there is to be replaced.
    """
    check_name(path, codec)
    most = CODECS[codec].most_fps
    if not 1 <= fps <= most:
        raise UserError(f"fps: expected frames per second from 1 to {most}, got {fps}")
    for side in (size,) if isinstance(size, int) else size:
        if not SMALLEST <= side <= SIZE_LIMIT:
            raise UserError(f"size: expected pixels from {SMALLEST} to {SIZE_LIMIT}, got {side}")
    if CODECS[codec].open is not None:
        check_writable(path, overwrite=overwrite)
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not exists and any(path.iterdir()):
            raise UserError(f"{path}: expected an empty folder; with --resume an earlier export goes on")
        check_writable(path / "000000.png", overwrite=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def video_size(shape: tuple[int, ...], size: int | tuple[int, int], *, even: bool) -> tuple[int, int]:
    """(width, height) of the video of [H, W, 3] frames, whose longer side, or both, are to be `size`."""
    height, width = shape[:2]
    if isinstance(size, int):
        factor = size / max(height, width)
        wanted = (width * factor, height * factor)
    else:
        wanted = size
    if even:
        return _even(wanted[0]), _even(wanted[1])
    return max(1, round(wanted[0])), max(1, round(wanted[1]))


def enlarge(pixels: NDArray[np.uint8], size: tuple[int, int], *, smooth: bool) -> NDArray[np.uint8]:
    """[H, W, 3] frames at (width, height): by whole pixels, or smoothly (bicubic)."""
    width, height = size
    if pixels.shape[:2] == (height, width):
        return pixels
    if smooth:
        return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    # Whole pixels first; where the size is no multiple, an average over areas keeps them of one size.
    factor = max(1, math.ceil(max(height / pixels.shape[0], width / pixels.shape[1])))
    enlarged = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    if enlarged.shape[:2] == (height, width):
        return enlarged
    return np.asarray(Image.fromarray(enlarged).resize((width, height), Image.Resampling.BOX))


class VideoWriter:
    """Writes [H, W, 3] uint8 frames at a constant rate.

    `size` is (width, height) or the longer side; the first frame gives the proportions. Frames are enlarged to it by
    whole pixels (nearest), or smoothly with `smooth`. Odd sides become even where the format needs that. `comment`
    goes into the file's metadata. Use as a context manager, or call `close`; without either the file still plays up to
    its last piece, half a second at most.

    A file that is there already is replaced when the new one is closed; until then that grows beside it, as
    NAME.part.mp4.

    Raises `UserError` for a rate, size, frame or path that cannot be, and when the disk is full: the file then ends at
    the last whole piece, and further writes are refused.
    """

    def __init__(
        self,
        path: Path,
        fps: int | Fraction,
        size: int | tuple[int, int] = 512,
        *,
        codec: CodecName = "h264",
        smooth: bool = False,
        comment: str = "",
    ) -> None:
        check_output(path, fps, size, codec, overwrite=True)
        if CODECS[codec].open is None:
            raise ValueError(f"codec {codec}: a folder of pictures is no video file")
        self.path = path
        self.fps = Fraction(fps)
        self.size = size
        self.smooth = smooth
        self.frames = 0
        self._codec = CODECS[codec]
        self._comment = comment
        # What is there already stays until the new one is whole; a new file grows in its place.
        self._file = path.with_name(f"{path.stem}.part{path.suffix}") if path.exists() else path
        self._shape: tuple[int, ...] | None = None
        self._pixels = (0, 0)
        self._sink: Sink | None = None
        self._closed = False

    def write(self, pixels: NDArray[np.uint8]) -> None:
        """Append one frame."""
        if self._closed:
            raise UserError(f"{self.path}: the video is already closed")
        if self._sink is None:
            self._sink = self._open(pixels)
        if pixels.shape != self._shape or pixels.dtype != np.uint8:
            raise UserError(f"video: expected uint8 frames of shape {self._shape}, got {pixels.dtype} {pixels.shape}")
        try:
            self._sink.write(enlarge(pixels, self._pixels, smooth=self.smooth), self.frames)
        except OSError as error:
            raise self._failed(error) from error
        self.frames += 1

    def close(self) -> None:
        """Write what the encoder still holds and end the file. Closing twice is fine; without a frame there is none."""
        if self._closed:
            return
        self._closed = True
        if self._sink is None:
            return
        try:
            self._sink.close()
            if self._file != self.path:
                os.replace(self._file, self.path)
        except OSError as error:
            raise self._failed(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        try:
            self.close()
        except UserError:
            # The first error is the one to tell; the file has been cut to what plays.
            return

    def _open(self, pixels: NDArray[np.uint8]) -> Sink:
        if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise UserError(f"video: expected frames of shape [H, W, 3], got {list(pixels.shape)}")
        assert self._codec.open is not None
        self._shape = pixels.shape
        self._pixels = video_size(pixels.shape, self.size, even=self._codec.even)
        try:
            return self._codec.open(self._file, *self._pixels, self.fps, self._comment)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def _failed(self, error: OSError) -> UserError:
        assert self._sink is not None
        self._closed = True
        plays = self._sink.give_up()
        cause = self._sink.error or error
        there = "the file" if self._file == self.path else f"{self._file.name} beside it"
        left = f"what is in {there} plays" if plays else "nothing was written"
        return UserError(
            f"{self.path}: cannot write the video after frame {self.frames}: {reason(cause)}; {left}. "
            "Free some space or choose another place."
        )


def _even(side: float) -> int:
    return max(2, 2 * math.ceil(round(side) / 2))
