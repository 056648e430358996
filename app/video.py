"""MP4 export: H.264 in yuv420p, which every player and phone takes.

The file is a fragmented MP4, written half a second at a time, so an export that is killed or runs out of disk leaves
what was written so far as a playable video.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import av
import numpy as np
from av.video.reformatter import Colorspace
from numpy.typing import NDArray
from PIL import Image

from app.errors import UserError, reason
from app.files import cannot_write, check_writable

# H.264 levels end at 8192; PyAV's encoder and most players agree.
SIZE_LIMIT = 8192
FPS_LIMIT = 240

# Nearly lossless: flat colours and hard pixel edges show compression sooner than film does.
CRF = "16"


def check_output(path: Path, fps: int | Fraction, size: int | tuple[int, int]) -> None:
    """Find out before any work whether a video can be written like this. Raises `UserError`; makes missing folders."""
    if path.suffix.lower() != ".mp4":
        raise UserError(f"{path}: expected a name that ends in .mp4")
    if not 1 <= fps <= FPS_LIMIT:
        raise UserError(f"fps: expected frames per second from 1 to {FPS_LIMIT}, got {fps}")
    for side in (size,) if isinstance(size, int) else size:
        if not 16 <= side <= SIZE_LIMIT:
            raise UserError(f"size: expected pixels from 16 to {SIZE_LIMIT}, got {side}")
    check_writable(path)


class VideoWriter:
    """Writes [H, W, 3] uint8 frames at a constant rate.

    `size` is (width, height) or the longer side; the first frame gives the proportions. Frames are enlarged to it by
    whole pixels (nearest), or smoothly with `smooth`. Odd sides become even, as yuv420p needs. Use as a context
    manager, or call `close`; without either the file still plays up to its last fragment.

    Raises `UserError` for a rate, size, frame or path that cannot be, and when the disk is full: the file then ends at
    the last whole fragment, and further writes are refused.
    """

    def __init__(
        self, path: Path, fps: int | Fraction, size: int | tuple[int, int] = 512, *, smooth: bool = False
    ) -> None:
        check_output(path, fps, size)
        self.path = path
        self.fps = Fraction(fps)
        self.size = size
        self.smooth = smooth
        self.frames = 0
        self._shape: tuple[int, ...] | None = None
        self._stream: Any = None
        self._closed = False
        try:
            self._output = _Output(path)
        except OSError as error:
            raise cannot_write(path, error) from error
        self._container = av.open(
            self._output,
            mode="w",
            format="mp4",
            options={"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"},
        )

    def write(self, pixels: NDArray[np.uint8]) -> None:
        """Append one frame."""
        if self._closed:
            raise UserError(f"{self.path}: the video is already closed")
        if self._shape is None:
            self._open_stream(pixels)
        if pixels.shape != self._shape or pixels.dtype != np.uint8:
            raise UserError(f"video: expected uint8 frames of shape {self._shape}, got {pixels.dtype} {pixels.shape}")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(self._enlarge(pixels)), format="rgb24")
        # Players take small videos for BT.601 and large ones for BT.709 unless told; convert and tag, so none guesses.
        frame = frame.reformat(
            format="yuv420p", src_colorspace=Colorspace.ITU709, dst_colorspace=Colorspace.ITU709, dst_color_range=1
        )
        frame.pts = self.frames
        frame.time_base = 1 / self.fps
        self._mux(frame)
        self.frames += 1

    def close(self) -> None:
        """Write what the encoder still holds and end the file. Closing twice is fine."""
        if self._closed:
            return
        if self._stream is not None:
            self._mux(None)
        self._closed = True
        try:
            self._container.close()
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self._output.finish()
            if self._stream is None:
                # No frame, no video: an empty file would only look like one.
                self.path.unlink(missing_ok=True)

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

    def _open_stream(self, pixels: NDArray[np.uint8]) -> None:
        if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise UserError(f"video: expected frames of shape [H, W, 3], got {list(pixels.shape)}")
        height, width = pixels.shape[:2]
        if isinstance(self.size, int):
            factor = self.size / max(height, width)
            width, height = _even(width * factor), _even(height * factor)
        else:
            width, height = map(_even, self.size)
        stream = self._container.add_stream("libx264", rate=self.fps)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p"
        stream.time_base = 1 / self.fps
        # A short look-ahead and a key frame every half second bound what a killed export can lose.
        stream.codec_context.gop_size = max(1, math.ceil(self.fps / 2))
        stream.options = {"preset": "veryfast", "crf": CRF, "rc-lookahead": "10", "bf": "0", "sc_threshold": "0"}
        stream.codec_context.colorspace = 1
        stream.codec_context.color_primaries = 1
        stream.codec_context.color_trc = 1
        stream.codec_context.color_range = 1
        self._stream = stream
        self._shape = pixels.shape

    def _enlarge(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        width, height = self._stream.width, self._stream.height
        if pixels.shape[:2] == (height, width):
            return pixels
        if self.smooth:
            return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
        # Whole pixels first; where the size is no multiple, an average over areas keeps them of one size.
        factor = max(1, math.ceil(max(height / pixels.shape[0], width / pixels.shape[1])))
        enlarged = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
        if enlarged.shape[:2] == (height, width):
            return enlarged
        return np.asarray(Image.fromarray(enlarged).resize((width, height), Image.Resampling.BOX))

    def _mux(self, frame: av.VideoFrame | None) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except OSError as error:
            self._closed = True
            try:
                self._container.close()
            except OSError:
                pass  # the same fault again
            finally:
                self._output.finish()
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> UserError:
        cause = self._output.error or error
        left = "what is in the file plays" if self._output.fragments else "nothing was written"
        return UserError(
            f"{self.path}: cannot write the video after frame {self.frames}: {reason(cause)}; {left}. "
            "Free some space or choose another place."
        )


class _Output:
    """The file as the muxer sees it: write only, every byte or an error."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb", buffering=0)
        self.error: OSError | None = None
        self.fragments = 0

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            self.error = error
            raise
        return len(data)

    def finish(self) -> None:
        """Close. After an error, cut what follows the last whole fragment, and leave no file that holds none."""
        if self._file.closed:
            return
        path = Path(self._file.name)
        if self.error is None:
            self._file.close()
            return
        self.fragments, end = whole_fragments(path)
        self._file.truncate(end)
        self._file.close()
        if not self.fragments:
            path.unlink(missing_ok=True)


def whole_fragments(path: Path) -> tuple[int, int]:
    """How many whole fragments ("moof" and "mdat", ISO 14496-12) an MP4 holds, and the byte where the last ends."""
    size = path.stat().st_size
    position = count = end = 0
    with path.open("rb") as file:
        while position + 8 <= size:
            file.seek(position)
            header = file.read(8)
            length, kind = int.from_bytes(header[:4], "big"), header[4:]
            if length < 8 or position + length > size:
                break
            position += length
            if kind == b"mdat":
                count, end = count + 1, position
    return count, end


def _even(side: float) -> int:
    return max(2, 2 * math.ceil(round(side) / 2))
