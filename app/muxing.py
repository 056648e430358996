"""Video files by FFmpeg's muxers, written so that what a killed or failed export leaves plays.

MP4 is written in fragments; MOV too, and becomes an ordinary file when it is closed; Matroska and WebM in clusters,
each half a second long. After an error the file is cut behind the last whole one of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

Pieces = Callable[[Path], tuple[int, int]]
"""How many whole pieces a file holds, and the byte where the last ends."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """What FFmpeg is told."""

    container: str
    encoder: str
    pixels: str
    """FFmpeg's name of the pixel format; "bgr0" keeps RGB as it is."""
    options: dict[str, str] = field(default_factory=dict)
    container_options: dict[str, str] = field(default_factory=dict)
    key_seconds: float | None = None
    """A key frame at least so often; None where every frame is one."""
    seeks: bool = False
    """Whether the muxer goes back to complete its header at the end."""
    pieces: Pieces


class MuxedFile:
    """One video stream in a container. `write` and `close` raise `OSError`; then call `give_up`."""

    def __init__(
        self, path: Path, encoding: Encoding, width: int, height: int, fps: Fraction, comment: str = ""
    ) -> None:
        self._fps = fps
        self._encoding = encoding
        self._output = (_SeekingOutput if encoding.seeks else _Output)(path, encoding.pieces)
        self._container = av.open(
            self._output,
            mode="w",
            format=encoding.container,
            options={"flush_packets": "1", **encoding.container_options},
        )
        if comment:
            self._container.metadata["comment"] = comment
        stream: Any = self._container.add_stream(encoding.encoder, rate=fps)
        stream.width, stream.height = width, height
        stream.pix_fmt = encoding.pixels
        stream.time_base = 1 / fps
        context = stream.codec_context
        if encoding.key_seconds is not None:
            context.gop_size = max(1, math.ceil(fps * Fraction(encoding.key_seconds)))
        stream.options = dict(encoding.options)
        if self._converts:
            context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1
        self._stream = stream

    @property
    def error(self) -> OSError | None:
        """What the system said when a write failed, which FFmpeg may say less well."""
        return self._output.error

    @property
    def _converts(self) -> bool:
        return self._encoding.pixels != "bgr0"

    def write(self, pixels: NDArray[np.uint8], index: int) -> None:
        """Append frame number `index`, [H, W, 3] of the file's size."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        if self._converts:
            # Players take small videos for BT.601 and large ones for BT.709 unless told; convert and tag, so none
            # guesses.
            frame = frame.reformat(
                format=self._encoding.pixels,
                src_colorspace=Colorspace.ITU709,
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=1,
            )
        else:
            frame = frame.reformat(format=self._encoding.pixels)
        frame.pts = index
        frame.time_base = 1 / self._fps
        self._mux(frame)

    def close(self) -> None:
        """Write what the encoder still holds and end the file."""
        self._mux(None)
        try:
            self._container.close()
        except av.FFmpegError as error:
            raise self._output.error or OSError(str(error)) from error
        finally:
            if self._output.error is None:
                self._output.finish()

    def give_up(self) -> bool:
        """After an error: cut the file to what plays, and say whether anything does."""
        try:
            self._container.close()
        except (OSError, av.FFmpegError):
            pass  # the same fault again
        finally:
            self._output.finish()
        return self._output.whole > 0

    def _mux(self, frame: av.VideoFrame | None) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except av.FFmpegError as error:
            raise self._output.error or OSError(str(error)) from error


class _Output:
    """The file as the muxer sees it: write only, every byte or an error."""

    def __init__(self, path: Path, pieces: Pieces) -> None:
        self._file: BinaryIO = path.open("wb", buffering=0)
        self._pieces = pieces
        self.error: OSError | None = None
        self.whole = 0

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
        """Close. After an error, cut what follows the last whole piece, and leave no file that holds none."""
        if self._file.closed:
            return
        path = Path(self._file.name)
        if self.error is None:
            self._file.close()
            return
        self.whole, end = self._pieces(path)
        self._file.truncate(end)
        self._file.close()
        if not self.whole:
            path.unlink(missing_ok=True)


class _SeekingOutput(_Output):
    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


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


_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675


def whole_clusters(path: Path) -> tuple[int, int]:
    """How many whole clusters a Matroska or WebM file holds (RFC 9559), and the byte where the last ends."""
    size = path.stat().st_size
    position = count = end = 0
    with path.open("rb") as file:
        while position < size:
            file.seek(position)
            head = file.read(12)
            width = _vint_width(head[:1])
            length_width = _vint_width(head[width : width + 1])
            if not width or not length_width or len(head) < width + length_width:
                break
            kind = int.from_bytes(head[:width], "big")
            length = int.from_bytes(head[width : width + length_width], "big") & ((1 << 7 * length_width) - 1)
            position += width + length_width
            if kind == _SEGMENT:
                continue  # what follows is inside, also where its length is not known yet
            if position + length > size:
                break
            position += length
            if kind == _CLUSTER:
                count, end = count + 1, position
    return count, end


def _vint_width(first: bytes) -> int:
    """Bytes of a number of variable length, by its first one; 0 where there is none."""
    return 9 - first[0].bit_length() if first and first[0] else 0
