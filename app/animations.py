"""Animated GIF and PNG, frame by frame, whole after every frame: whatever ends an export, the file plays.

Each frame is written with the file's end behind it, and the next one over that end.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GIF_END = b";"
# A GIF counts hundredths of a second, and viewers slow down what is shorter than two.


class _GrowingFile:
    """A file that is whole after every piece. `write` and `close` raise `OSError`; then call `give_up`."""

    def __init__(self, path: Path, start: bytes) -> None:
        self._path = path
        self._file: BinaryIO = path.open("w+b", buffering=0)
        self.error: OSError | None = None
        self._whole = 0
        self._frames = 0
        self._put(start)
        self._end = len(start)

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def _append(self, piece: bytes, end: bytes) -> None:
        self._file.seek(self._end)
        self._put(piece + end)
        self._end += len(piece)
        self._whole = self._end + len(end)
        self._frames += 1

    def close(self) -> None:
        self._file.close()

    def give_up(self) -> bool:
        """After an error: put the end back behind the last whole frame, and say whether there is one."""
        whole = self._frames > 0
        try:
            if whole:
                self._restore()
        finally:
            self._file.close()
            if not whole:
                self._path.unlink(missing_ok=True)
        return whole

    def _restore(self) -> None:
        raise NotImplementedError


class GifFile(_GrowingFile):
    """A GIF that repeats for ever. Each frame has the 256 colours that suit it best; a comment says what it is."""

    def __init__(self, path: Path, width: int, height: int, fps: Fraction, comment: str = "") -> None:
        start = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x70, 0, 0)
        start += b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
        if comment:
            start += b"\x21\xfe" + _sub_blocks(comment.encode("ascii", errors="backslashreplace"))
        self._fps = fps
        super().__init__(path, start)

    def write(self, pixels: NDArray[np.uint8], index: int) -> None:
        """Append frame number `index`."""
        # Rounded ends, not rounded lengths: at any rate the whole keeps its speed.
        delay = round(100 * (index + 1) / self._fps) - round(100 * index / self._fps)
        table, size_bits, descriptor, data = _gif_picture(pixels)
        control = b"\x21\xf9\x04\x04" + struct.pack("<HB", delay, 0) + b"\0"
        self._append(control + descriptor + bytes([0x80 | size_bits]) + table + data, _GIF_END)

    def _restore(self) -> None:
        self._file.truncate(self._end)
        self._file.seek(self._end)
        self._put(_GIF_END)


class ApngFile(_GrowingFile):
    """An animated PNG that repeats for ever, lossless, at any rate. `entries` are its text."""

    def __init__(self, path: Path, width: int, height: int, fps: Fraction, entries: dict[str, str]) -> None:
        self._size = width, height
        self._delay = struct.pack(">HH", *_sixteen_bits(1 / fps))
        self._sequence = 0
        start = PNG_SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        self._count_at = len(start)
        start += self._count(0)
        for key, text in entries.items():
            start += _chunk(b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + text.encode("utf-8", errors="replace"))
        super().__init__(path, start)

    def write(self, pixels: NDArray[np.uint8], index: int) -> None:
        """Append frame number `index`."""
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, format="PNG")
        data = b"".join(content for kind, content in _chunks(encoded.getvalue()) if kind == b"IDAT")
        control = struct.pack(">IIIII", self._next(), *self._size, 0, 0) + self._delay + b"\0\0"
        piece = _chunk(b"fcTL", control)
        # The first frame is the picture that viewers without animation show.
        piece += _chunk(b"fdAT", struct.pack(">I", self._next()) + data) if index else _chunk(b"IDAT", data)
        self._append(piece, _chunk(b"IEND", b""))
        self._file.seek(self._count_at)
        self._put(self._count(self._frames))

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence - 1

    @staticmethod
    def _count(frames: int) -> bytes:
        return _chunk(b"acTL", struct.pack(">II", frames, 0))

    def _restore(self) -> None:
        self._file.truncate(self._end)
        self._file.seek(self._end)
        self._put(_chunk(b"IEND", b""))


def _gif_picture(pixels: NDArray[np.uint8]) -> tuple[bytes, int, bytes, bytes]:
    """One frame as a GIF holds it: colour table, the table's size bits, place, compressed pixels."""
    encoded = io.BytesIO()
    picture = Image.fromarray(pixels).quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    picture.save(encoded, format="GIF", interlace=0)
    gif = encoded.getvalue()
    size_bits = gif[10] & 7
    position = 13 + 3 * 2 ** (size_bits + 1)
    table = gif[13:position]
    while gif[position : position + 1] == b"\x21":
        position = _after_sub_blocks(gif, position + 2)
    descriptor = gif[position : position + 9]
    assert descriptor[:1] == b"\x2c"
    assert not gif[position + 9] & 0x80  # the one table is the global one
    start = position + 10
    return table, size_bits, descriptor, gif[start : _after_sub_blocks(gif, start + 1)]


def _sub_blocks(data: bytes) -> bytes:
    blocks = (data[start : start + 255] for start in range(0, len(data), 255))
    return b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def _after_sub_blocks(data: bytes, position: int) -> int:
    while data[position]:
        position += data[position] + 1
    return position + 1


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(PNG_SIGNATURE)
    while position + 8 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, position)
        yield kind, png[position + 8 : position + 8 + length]
        position += 12 + length


def _sixteen_bits(delay: Fraction) -> tuple[int, int]:
    """The fraction of a second as the format holds it: two numbers below 65536."""
    near = delay.limit_denominator(65535)
    return near.numerator, near.denominator
