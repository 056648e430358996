"""WebDataset shards: tar files in which the files of one sample follow each other and share a name up to its first dot.

Only headers are read to know what a shard holds; files are then read from their places. Nothing is unpacked. The reader
is our own because it must be quick, shards having tens of thousands of files, and harmless for any bytes whatever.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Protocol

from training.datasets.captions import MAX_TEXT_BYTES, TextCaptions, read_lines
from training.datasets.config import Condition
from training.datasets.labels import UNLABELLED, number_in, parse_number
from training.datasets.metadata import captions_of_sample, json_of_sample
from training.datasets.pictures import MAX_FILE_BYTES, is_picture

BLOCK = 512
_MAX_NAME = 1 << 16
_MAX_PAX = 1 << 20


class TarError(ValueError):
    """Bytes that are no tar file at all."""


class Span(NamedTuple):
    """Where a file lies in its shard."""

    offset: int
    size: int


class Member(NamedTuple):
    """A plain file in a tar."""

    name: str
    span: Span


class Sample(NamedTuple):
    """A picture and what stands beside it."""

    key: str
    picture: Span
    text: Span | None
    json: Span | None
    cls: Span | None


@dataclass(frozen=True, kw_only=True)
class TarIndex:
    """What a shard holds."""

    samples: list[Sample]
    pictures_alone: int
    """Pictures left out because no file that could have what is asked for stands beside them."""
    torn: bool
    """Whether the shard ends in the middle of a file."""


class Reader(Protocol):
    """Bytes at a place; fewer than asked for at the end."""

    def read_at(self, offset: int, size: int) -> bytes: ...


class FileReader:
    """A file on disk, opened for reading in binary."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = os.fstat(file.fileno()).st_size

    def read_at(self, offset: int, size: int) -> bytes:
        if offset >= self.size:
            return b""
        self.file.seek(offset)
        return self.file.read(size)


class StreamReader:
    """A stream that only goes forward: what lies before the place asked for is read and dropped."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        self._position = 0

    def read_at(self, offset: int, size: int) -> bytes:
        assert offset >= self._position, "a stream cannot go back"
        while self._position < offset:
            skipped = len(self._stream.read(min(1 << 20, offset - self._position)))
            if not skipped:
                return b""
            self._position += skipped
        parts = []
        while size > 0:
            part = self._stream.read(size)
            if not part:
                break
            parts.append(part)
            self._position += len(part)
            size -= len(part)
        return b"".join(parts)


def index_tar(reader: Reader, condition: Condition | None = "captions") -> TarIndex:
    """The samples of a shard, in its order; of files of the same kind in one sample the last one counts.

    For captions those with a .txt or .json, for classes those with a .cls or .json, else all of them.

    A shard that was cut short gives what is whole. Raises `TarError` for what is no tar, `OSError` when reading fails.
    """
    found: dict[str, dict[str, Span]] = {}
    torn = False
    end = 0
    try:
        for name, span in members(reader):
            end = span.offset + span.size
            folder, _, base = name.rpartition("/")
            stem, dot, extension = base.partition(".")
            if not (stem and dot):
                continue
            kinds = found.setdefault(f"{folder}/{stem}", {})
            suffix = "." + extension.rpartition(".")[2].lower()
            kind = "picture" if is_picture("picture" + suffix) else suffix
            # Of NAME.png and NAME.mask.png the first is the picture.
            if kind in ("picture", ".txt", ".json", ".cls") and not ("." in extension and kind in kinds):
                kinds[kind] = span
    except EOFError:
        torn = True
    size = getattr(reader, "size", None)
    if size is not None and end > size:
        torn = True
        found = {
            key: {kind: span for kind, span in kinds.items() if span.offset + span.size <= size}
            for key, kinds in found.items()
        }
    samples, alone = [], 0
    for key, kinds in found.items():
        picture, text, json, cls = (kinds.get(kind) for kind in ("picture", ".txt", ".json", ".cls"))
        if picture is None:
            continue
        beside = {"captions": text, "classes": cls}.get(condition or "")
        if condition in ("captions", "classes") and beside is None and json is None:
            alone += 1
            continue
        samples.append(Sample(key, picture, text, json, cls))
    return TarIndex(samples=samples, pictures_alone=alone, torn=torn)


def captions_of(reader: Reader, sample: Sample) -> tuple[str, ...]:
    """The captions of a sample: the lines of its .txt, or what its .json says; none when neither does."""
    return text_of(reader, sample).captions


def text_of(reader: Reader, sample: Sample) -> TextCaptions:
    """The captions of a sample and how they were read."""
    read = TextCaptions((), "")
    if sample.text is not None:
        read = read_lines(reader.read_at(sample.text.offset, min(sample.text.size, MAX_TEXT_BYTES)))
    if not read.captions and sample.json is not None and sample.json.size <= MAX_TEXT_BYTES:
        found = tuple(captions_of_sample(reader.read_at(*sample.json)))
        return read._replace(captions=found)
    return read


def class_of(reader: Reader, sample: Sample) -> int:
    """The class number of a sample: what its .cls says, or its .json; `UNLABELLED` when neither does."""
    if sample.cls is not None:
        return parse_number(reader.read_at(sample.cls.offset, min(sample.cls.size, 64)))
    if sample.json is not None and sample.json.size <= MAX_TEXT_BYTES:
        return number_in(json_of_sample(reader.read_at(*sample.json)))
    return UNLABELLED


def picture_of(reader: Reader, sample: Sample) -> bytes:
    """The bytes of a sample's picture. Raises `OSError` when it is not all there."""
    if sample.picture.size > MAX_FILE_BYTES:
        raise OSError(f"{sample.key}: larger than {MAX_FILE_BYTES} bytes")
    data = reader.read_at(*sample.picture)
    if len(data) < sample.picture.size:
        raise OSError(f"{sample.key}: cut short")
    return data


def is_tar(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a tar, empty or not."""
    if len(head) < BLOCK:
        return False
    return _checksum_fits(head[:BLOCK]) and any(head[:100])


def members(reader: Reader) -> Iterator[Member]:
    """The plain files of a tar in order: ustar, with GNU's and pax's long names and sizes.

    Raises `TarError` when the first block is no header, `EOFError` when the tar ends without an end mark or goes on
    with something else.
    """
    offset = 0
    long_name: str | None = None
    long_size: int | None = None
    while True:
        header = reader.read_at(offset, BLOCK)
        if len(header) == BLOCK and not header.strip(b"\0"):
            return
        size = _number(header[124:136]) if len(header) == BLOCK and _checksum_fits(header) else None
        if size is None or size < 0:
            if offset == 0:
                raise TarError("expected a tar file")
            raise EOFError
        kind = header[156:157]
        offset += BLOCK
        if kind in (b"L", b"x"):
            if size > (_MAX_NAME if kind == b"L" else _MAX_PAX):
                raise EOFError
            data = reader.read_at(offset, size)
            if kind == b"L":
                long_name = _text(data)
            else:
                fields = _pax(data)
                long_name = fields.get("path", long_name)
                digits = fields.get("size", "")
                long_size = int(digits) if re.fullmatch(r"[0-9]{1,18}", digits) else None
        else:
            if long_size is not None:
                size = long_size
            if kind in (b"0", b"\0", b"7"):
                yield Member(long_name if long_name is not None else _name(header), Span(offset, size))
            long_name = long_size = None
        offset += -(-size // BLOCK) * BLOCK


def _checksum_fits(header: bytes) -> bool:
    wanted = _number(header[148:156])
    return wanted == sum(header) - sum(header[148:156]) + 8 * 32


def _number(field: bytes) -> int | None:
    """An octal number, or one in base 256 as GNU writes large ones."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    if not digits:
        return 0
    try:
        return int(digits, 8)
    except ValueError:
        return None


def _name(header: bytes) -> str:
    name = _text(header[:100])
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")


def _pax(data: bytes) -> dict[str, str]:
    """The records of a pax header: "LENGTH KEY=VALUE" and a line feed each."""
    fields: dict[str, str] = {}
    at = 0
    while at < len(data):
        digits, space, _ = data[at : at + 12].partition(b" ")
        if not (space and digits.isdigit()):
            break
        length = int(digits)
        if length <= len(digits) + 1 or at + length > len(data):
            break
        key, equals, value = data[at + len(digits) + 1 : at + length - 1].partition(b"=")
        if equals:
            fields[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        at += length
    return fields
