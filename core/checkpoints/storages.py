"""Where the numbers of a torch file lie: its storages, in the old layout (a stream of pickles) and in the new (a zip).

The old layout is five pickles (a magic number, a protocol number, facts about the machine, the object, the storages'
keys) and then each storage: an int64 count and its raw numbers. Published GAN pickles carry one such file, as bytes,
for every tensor. The new layout is an uncompressed zip with `data.pkl` and one entry per storage.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, Any

from core.checkpoints.opcodes import DAMAGED, Name, PersistentId, PublishedError, read_graph

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
    "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
"""Element types by their names in safetensors."""

_STORAGE_TYPES = {
    "torch.DoubleStorage": "F64",
    "torch.FloatStorage": "F32",
    "torch.HalfStorage": "F16",
    "torch.BFloat16Storage": "BF16",
    "torch.LongStorage": "I64",
    "torch.IntStorage": "I32",
    "torch.ShortStorage": "I16",
    "torch.CharStorage": "I8",
    "torch.ByteStorage": "U8",
    "torch.BoolStorage": "BOOL",
}


@dataclass(frozen=True, slots=True)
class Storage:
    """A flat run of `count` numbers, little-endian, of a type in `ITEM_BYTES`. `data` points into the file."""

    dtype: str
    count: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class Archive:
    """The graph of a torch file and its storages' bytes by key."""

    root: Any
    data: dict[str, memoryview]

    def storage(self, reference: PersistentId) -> Storage:
        """The storage behind a persistent id in the graph. Raises `PublishedError` when it is not there whole."""
        key, dtype, count = _parse_reference(reference)
        size = count * ITEM_BYTES[dtype]
        if key not in self.data or len(self.data[key]) < size:
            raise PublishedError(f"expected {size} bytes for tensor storage {key!r}, got fewer or none. {DAMAGED}")
        return Storage(dtype, count, self.data[key][:size])


def is_legacy(stream: IO[bytes]) -> bool:
    """Whether the stream starts with the old layout's magic number: PROTO 2, LONG1 of ten bytes, STOP."""
    stream.seek(0)
    return stream.read(15) == b"\x80\x02\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little") + b"."


def read_legacy(stream: IO[bytes], view: memoryview) -> Archive:
    """Reads a file in the old layout; `stream` and `view` are the same bytes. Raises `PublishedError`."""
    stream.seek(0)
    magic, protocol, machine = read_graph(stream), read_graph(stream), read_graph(stream)
    if magic != LEGACY_MAGIC or protocol != _LEGACY_PROTOCOL:
        raise PublishedError(f"expected torch's magic number before a storage, got something else. {DAMAGED}")
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise PublishedError("expected little-endian storages, got others. Save the file again on a common computer.")
    references: list[PersistentId] = []
    root = read_graph(stream, persistent=references)
    sizes = {key: count * ITEM_BYTES[dtype] for key, dtype, count in map(_parse_reference, references)}
    counts = {key: count for key, _, count in map(_parse_reference, references)}
    keys = read_graph(stream)
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in sizes for key in keys):
        raise PublishedError(f"expected a list of storage keys, got something else. {DAMAGED}")
    data: dict[str, memoryview] = {}
    position = stream.tell()
    for key in keys:
        start, end = position + 8, position + 8 + sizes[key]
        if end > len(view) or struct.unpack_from("<q", view, position) != (counts[key],):
            raise PublishedError(
                f"expected {counts[key]} numbers in tensor storage {key!r}, got another count. {DAMAGED}"
            )
        data[key] = view[start:end]
        position = end
    return Archive(root, data)


def read_zip(stream: IO[bytes], view: memoryview) -> Archive:
    """Reads a file in the new layout; `stream` and `view` are the same bytes. Raises `PublishedError`."""
    try:
        stream.seek(0)
        with zipfile.ZipFile(stream) as archive:
            entries = {info.filename: info for info in archive.infolist()}
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, OSError, struct.error) as error:
        raise PublishedError(f"expected a whole zip file, got one that cannot be listed ({error}). {DAMAGED}") from None
    pickles = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise PublishedError(
            "expected a zip file that torch wrote, got another kind of zip. Unpack it and open the checkpoint inside."
        )
    folder = pickles[0].removesuffix("data.pkl")
    order = entries.get(folder + "byteorder")
    if order is not None and bytes(_entry(order, view)) != b"little":
        raise PublishedError("expected little-endian storages, got others. Save the file again on a common computer.")
    references: list[PersistentId] = []
    root = read_graph(io.BytesIO(_entry(entries[pickles[0]], view)), persistent=references)
    data: dict[str, memoryview] = {}
    for key, _, _ in map(_parse_reference, references):
        if key not in data and (info := entries.get(f"{folder}data/{key}")) is not None:
            data[key] = _entry(info, view)
    return Archive(root, data)


def _entry(info: zipfile.ZipInfo, view: memoryview) -> memoryview:
    """An entry's bytes, in place: torch never compresses, so nothing can swell."""
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise PublishedError("expected a zip file without compression, as torch writes it. Unpack and save it again.")
    header = info.header_offset
    if 0 <= header <= len(view) - 30:
        start = header + 30 + sum(struct.unpack_from("<HH", view, header + 26))
        content = view[start : start + info.file_size]
        if len(content) == info.file_size and zlib.crc32(content) == info.CRC:
            return content
    raise PublishedError(f"expected entry {info.filename!r} of the zip file whole, got it damaged. {DAMAGED}")


def _parse_reference(reference: PersistentId) -> tuple[str, str, int]:
    """The storage's key, element type and count, from ("storage", type, key, location, count[, None])."""
    match reference.value:
        case ("storage", Name() as kind, str(key), str(), int(count)) | (
            "storage",
            Name() as kind,
            str(key),
            str(),
            int(count),
            None,
        ) if str(kind) in _STORAGE_TYPES and 0 <= count < 2**48:
            return key, _STORAGE_TYPES[str(kind)], count
    raise PublishedError(f"expected a reference to a tensor storage of a known type, got something else. {DAMAGED}")
