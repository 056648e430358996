"""Reading pieces of a log: its tail, chunks of whole lines, a sketch of lines spread over the file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np

from app.monitor.parsing import Event, Rows, joined, narrow, number, numbers, parse, read_object
from app.monitor.summary import CAPACITY, Curves, Summary

SKETCH_S = 0.7
SKETCH_PLACES = 2048
CHUNK = 1 << 18
_BLOCK = 3072
_TAIL = 48 << 10
_TAIL_ROWS = 200


@dataclass(frozen=True, kw_only=True)
class LogRow:
    """A row near the log's end."""

    offset: int
    row: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.row.get("kind", ""))


def sketch(file: BinaryIO, first: int, size: int) -> Curves:
    """Curves from lines at places between two offsets, in the order of a van der Corput sequence for as long as
    `SKETCH_S`, and from the log's tail."""
    ends = time.monotonic() + SKETCH_S
    parts: list[bytes] = []
    begins: list[tuple[int, int]] = []  # where a part begins among the parts, and in the file
    length = 0
    for share in _even_shares(SKETCH_PLACES):
        place = first + int(share * (size - first))
        data = block(file, place, _BLOCK)
        cut = 0 if place == 0 else data.find(b"\n") + 1
        data = data[cut : data.rfind(b"\n") + 1]
        if data:
            parts.append(data)
            begins.append((length, place + cut))
            length += len(data)
        if time.monotonic() > ends:
            break
    parts.append(block(file, max(first, size - _TAIL), _TAIL).partition(b"\n")[2])
    begins.append((length, size - len(parts[-1])))
    rows = parse(b"".join(parts), 0).rows
    starts, places = (np.array(column, np.int64) for column in zip(*begins, strict=True))
    part = np.searchsorted(starts, rows.offset, side="right") - 1
    offset = rows.offset - starts[part] + places[part]
    _, unique = np.unique(offset, return_index=True)
    summary = Summary(capacity=4 * CAPACITY)
    summary.add(_picked(rows, offset, unique))
    return summary.curves()


def read_tail(file: BinaryIO, size: int) -> tuple[LogRow, ...]:
    """The last rows of all kinds of a log of `size` bytes, oldest first."""
    start = max(0, size - _TAIL)
    data = block(file, start, size - start)
    cut = data.find(b"\n") + 1 if start else 0
    lines: list[LogRow] = []
    place = start + cut
    for line in data[cut : data.rfind(b"\n") + 1].splitlines(keepends=True)[-_TAIL_ROWS:]:
        row = read_object(line)
        if row is not None:
            lines.append(LogRow(offset=place, row=row))
        place += len(line)
    return tuple(lines)


def metric_rows(events: list[Event]) -> Rows:
    """The numbers of the events that are measurements, as rows."""
    chosen = [event for event in events if event.kind in ("evaluate", "retrieval") and np.isfinite(event.x)]
    blocks = []
    for event in chosen:
        found = numbers(event.row)
        blocks.append(
            Rows(
                names=tuple(found),
                offset=np.array([event.offset], np.int64),
                x=np.array([event.x]),
                time=np.array([number(event.row.get("time"))]),
                values=narrow(np.array([list(found.values())], np.float64)),
            )
        )
    return joined(blocks)


def _picked(rows: Rows, offset: np.ndarray, index: np.ndarray) -> Rows:
    return replace(rows, offset=offset[index], x=rows.x[index], time=rows.time[index], values=rows.values[index])


def block(file: BinaryIO, place: int, length: int) -> bytes:
    """At most `length` bytes from `place` on."""
    file.seek(place)
    return file.read(length)


def long_line(file: BinaryIO, place: int, size: int) -> bytes:
    """The line at `place`, which is longer than a chunk; nothing when it has no end yet."""
    file.seek(place)
    line = file.readline(size - place)
    return line if line.endswith(b"\n") else b""


def pieces(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines from `start` to `end`, a chunk at a time, each with where it begins."""
    place = start
    while place < end:
        data = block(file, place, min(CHUNK, end - place))
        cut = data.rfind(b"\n") + 1
        if not cut:
            data = long_line(file, place, end)
            cut = len(data)
        if not cut:
            return
        yield place, data[:cut]
        place += cut


def _even_shares(count: int) -> Iterator[float]:
    """0, 1/2, 1/4, 3/4, 1/8, ...: any beginning of it covers 0 to 1 evenly."""
    for index in range(count):
        share, digit = 0.0, 0.5
        while index:
            share += digit * (index & 1)
            index >>= 1
            digit /= 2
        yield share
