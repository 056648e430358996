"""The append-only record of a training run: one JSON object a line (JSONL), standard library only.

Every line has `kind`, `time` (seconds since the epoch) and whatever the writer adds. Each line is flushed as it is
written, so a run that is killed loses at most the line it was in the middle of; `read_log` skips such a torn last
line, and `RunLog` mends it.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO


class RunLogError(ValueError):
    """A log that cannot be read as one; the message says where and what to do."""


class RunLog:
    """Writes a run's log; several runs after one another may append to the same file.

    `also` is called with each row after it has been written. Raises `OSError` when the file cannot be opened for
    appending.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, also: Callable[[Mapping[str, Any]], None] | None = None
    ) -> None:
        self.path = Path(path)
        self.also = also
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _drop_torn_line(self.path)
        self._file: TextIO = open(self.path, "a", encoding="utf-8", newline="\n")  # noqa: SIM115 - stays open

    def write(self, kind: str, **fields: Any) -> None:
        """Append one line. Numbers that JSON has no word for (NaN, infinities) are written as strings."""
        row = {"kind": kind, "time": round(time.time(), 3), **fields}
        self._file.write(json.dumps(_plain(row), ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()
        if self.also is not None:
            self.also(row)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def read_log(path: str | os.PathLike[str], kind: str | None = None) -> list[dict[str, Any]]:
    """Every complete line of a log, oldest first; only those of one `kind` when given.

    A last line without its newline is still being written (or was cut off by a kill) and is left out. Raises
    `RunLogError` for any other line that is not a JSON object, and `OSError` when the file cannot be read.
    """
    rows: list[dict[str, Any]] = []
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise RunLogError(
                    f"{os.fspath(path)}, line {number}: expected a JSON object, got {line[:60]!r}; "
                    "is this the log.jsonl of a run?"
                )
            if kind is None or row.get("kind") == kind:
                rows.append(row)
    return rows


class LogTail:
    """Reads what is added to a log, from its end as it is now on; `back` bytes before that come first.

    The file may come later. Bounded: one call reads `MOST` bytes at most.
    """

    MOST = 1 << 20

    def __init__(self, path: str | os.PathLike[str], back: int = 0) -> None:
        self.path = Path(path)
        size = self._size()
        self._position = max(size - back, 0)
        self._in_a_line = self._position > 0
        """Whether what comes next may be the rest of a line whose beginning is left out."""

    def read(self) -> list[dict[str, Any]]:
        """The lines that have been completed since the last call. What is not a JSON object is passed over; raises
        nothing: a file that cannot be read now is read later.
        """
        size = self._size()
        if size < self._position:  # cut back to its last whole line, or another file
            self._position, self._in_a_line = size, False
        if size == self._position:
            return []
        try:
            with open(self.path, "rb") as file:
                file.seek(self._position)
                data = file.read(self.MOST)
        except OSError:
            return []
        end = data.rfind(b"\n") + 1
        self._position += end
        lines = data[:end].splitlines()
        if self._in_a_line and lines:
            self._in_a_line = False
            lines = lines[1:]
        rows = []
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                rows.append(row)
        return rows

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:
            return 0


def _drop_torn_line(path: Path) -> None:
    """Cut what a killed writer left after the last newline, so that the next line starts a line of its own."""
    if not path.is_file():
        return
    with open(path, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        keep = end
        while keep > 0:
            start = max(0, keep - 65536)
            file.seek(start)
            found = file.read(keep - start).rfind(b"\n")
            if found >= 0:
                keep = start + found + 1
                break
            keep = start
        if keep != end:
            file.truncate(keep)


def _plain(value: Any) -> Any:
    """`value` with non-finite floats turned into "nan", "inf" or "-inf", so that any JSON reader takes the line."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
