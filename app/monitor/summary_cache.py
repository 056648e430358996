"""What was read of a large log, kept in the cache folder for the next start.

Nothing in it is run: arrays without pickled objects, and JSON. It is believed only when the log still begins and ends,
up to where it was read, with the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from app.monitor.parsing import Event
from app.monitor.summary import Curves
from core.cache import cache_folder

VERSION = 1
_MARK = 4096
_ARRAYS = ("offset", "rows", "x", "time", "low", "high", "mean", "count")


@dataclass(frozen=True, kw_only=True)
class CachedSummary:
    """A log as it was read up to some place."""

    curves: Curves
    stride: int
    metrics: Curves
    metrics_stride: int
    events: tuple[Event, ...]
    read: int
    rows: int
    damaged: int


def place(log: Path) -> Path:
    """The file that keeps what was read of this log."""
    name = hashlib.sha256(os.fspath(log.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return cache_folder() / "monitor" / f"{name}.npz"


def save(log: Path, found: CachedSummary) -> bool:
    """Keep it; whether that could be done."""
    target = place(log)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.new")
    arrays: dict[str, Any] = {}
    for part, curves in (("curves", found.curves), ("metrics", found.metrics)):
        arrays |= {f"{part}.{name}": getattr(curves, name) for name in _ARRAYS}
    try:
        with open(log, "rb") as file:
            mark = _mark(file, found.read)
        header = {
            "version": VERSION,
            "mark": mark,
            "stride": found.stride,
            "metrics_stride": found.metrics_stride,
            "read": found.read,
            "rows": found.rows,
            "damaged": found.damaged,
            "names": {"curves": found.curves.names, "metrics": found.metrics.names},
            "events": [[event.offset, event.row] for event in found.events],
        }
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(unfinished, "wb") as out:
            np.savez(out, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)
        os.replace(unfinished, target)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        return False
    return True


def load(log: Path, file: BinaryIO) -> CachedSummary | None:
    """What was kept of this log, which is open as `file`; None when there is nothing that still fits."""
    try:
        with open(place(log), "rb") as kept, np.load(kept, allow_pickle=False) as data:
            header = json.loads(data["header"].tobytes())
            if header["version"] != VERSION or header["mark"] != _mark(file, header["read"]):
                return None
            parts = {
                part: Curves(names=tuple(names), **{name: data[f"{part}.{name}"] for name in _ARRAYS})
                for part, names in header["names"].items()
            }
            for curves in parts.values():
                if curves.mean.shape != (len(curves), len(curves.names)):
                    return None
            return CachedSummary(
                curves=parts["curves"],
                stride=header["stride"],
                metrics=parts["metrics"],
                metrics_stride=header["metrics_stride"],
                events=tuple(Event(offset=offset, row=row) for offset, row in header["events"]),
                read=header["read"],
                rows=header["rows"],
                damaged=header["damaged"],
            )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _mark(file: BinaryIO, read: int) -> str:
    """A digest of the beginning, and of what stands before `read`; empty when the file is shorter."""
    file.seek(0)
    first = file.read(_MARK)
    file.seek(max(0, read - _MARK))
    last = file.read(min(read, _MARK))
    return hashlib.sha256(first + last).hexdigest() if len(last) == min(read, _MARK) else ""
