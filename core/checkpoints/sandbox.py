"""The child process that reads a published file: `python -m core.checkpoints.sandbox PATH PART FOLDER MEMORY SECONDS`.

It takes limits on itself, reads the file, and leaves its answer in FOLDER: `document.json` with `tensors.safetensors`,
or `error.json`. It imports numpy and nothing heavier, so it starts fast and the memory limit means what it says.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import mmap
import struct
import sys
from pathlib import Path
from typing import IO, Any, cast

from core.checkpoints import interpreter as meaning
from core.checkpoints.interpreter import Description
from core.checkpoints.opcodes import PublishedError, read_graph
from core.checkpoints.storages import Archive, is_legacy, read_legacy, read_zip
from core.checkpoints.tensors import Array

DOCUMENT, TENSORS, ERROR = "document.json", "tensors.safetensors", "error.json"


def read(data: bytes | mmap.mmap, *, part: str, memory_bytes: int) -> Description:
    """Reads a published file's bytes: a pickle, or a torch file in its old or new layout. Raises `PublishedError`."""
    stream = io.BytesIO(data) if isinstance(data, bytes) else cast(IO[bytes], data)
    view = memoryview(data)
    try:
        return _read(stream, view, part, memory_bytes)
    except MemoryError:
        pass
    # Only here, where the frames that held the memory are gone, is there room for a message.
    raise _too_large(memory_bytes)


def _too_large(memory_bytes: int) -> PublishedError:
    return PublishedError(
        f"expected a file that can be read in {memory_bytes} bytes of memory, got one that needs more. "
        "If you trust the file, allow more memory."
    )


def _read(stream: IO[bytes], view: memoryview, part: str, memory_bytes: int) -> Description:
    if bytes(view[:4]) == b"PK\x03\x04":
        archive = read_zip(stream, view)
    elif is_legacy(stream):
        archive = read_legacy(stream, view)
    else:
        stream.seek(0)
        archive = Archive(read_graph(stream), {})
    # Half for what comes out, half for what is read on the way.
    return meaning.describe(archive, part=part, budget_bytes=memory_bytes // 2)


def limit(memory_bytes: int, seconds: float) -> None:
    """Limits this process's memory and processor time, where the system can. It cannot be undone."""
    try:
        import resource
    except ImportError:  # Windows: the wall clock, which the parent watches, and the reader's own bounds remain
        return
    budgets = {resource.RLIMIT_CPU: math.ceil(seconds) + 1, resource.RLIMIT_CORE: 0}
    with contextlib.suppress(OSError):  # no /proc: macOS, whose address space says nothing about memory
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        # On top of the address space that Python and numpy have taken already, most of it never touched.
        budgets[resource.RLIMIT_AS] = pages * resource.getpagesize() + memory_bytes
    for kind, budget in budgets.items():
        _, hard = resource.getrlimit(kind)
        budget = budget if hard == resource.RLIM_INFINITY else min(budget, hard)
        resource.setrlimit(kind, (budget, hard))


def write(description: Description, folder: Path) -> None:
    """Leaves the answer; the document comes last, so that where it is the tensors are whole."""
    with (folder / TENSORS).open("wb") as file:
        write_safetensors(file, description.arrays)
    with (folder / DOCUMENT).open("w", encoding="utf-8") as text:
        json.dump(description.document, text)


def write_safetensors(file: IO[bytes], arrays: list[tuple[str, Array]]) -> None:
    """The safetensors layout (a length, a table in JSON, the data), one array at a time and without a copy."""
    table: dict[str, Any] = {}
    position = 0
    for index, (code, array) in enumerate(arrays):
        end = position + array.nbytes
        table[str(index)] = {"dtype": code, "shape": list(array.shape), "data_offsets": [position, end]}
        position = end
    header = json.dumps(table).encode()
    header += b" " * (-len(header) % 8)
    file.write(struct.pack("<Q", len(header)) + header)
    for _, array in arrays:
        if array.size:
            file.write(array.reshape(-1).view("u1").data)


def main(path: str, part: str, folder: str, memory_bytes: str, seconds: str) -> None:
    """The whole life of the child process."""
    try:
        with Path(path).open("rb") as file:
            limit(int(memory_bytes), float(seconds))
            # Mapped, not read: lengths in the file can then never ask for more than is there.
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        write(read(data, part=part, memory_bytes=int(memory_bytes)), Path(folder))
    except (PublishedError, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            error = _too_large(int(memory_bytes))
        elif isinstance(error, OSError):
            error = PublishedError(f"cannot read the file or keep what it holds ({error}). Check the disk's room.")
        (Path(folder) / ERROR).write_text(json.dumps({"message": str(error)}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
