"""Follows one run's log in a thread of its own: a first picture at once, all of it soon, and then each new line.

A small log is read from its beginning. For a large one the first picture is a sketch: the head, the tail, and a few
lines at each of some thousand places between, in an order that covers the file evenly however few there is time for.
Then the rows that are no curves are looked for, and then the whole log is read, at half of a core's time at most, while
the sketch stands in for what is not read yet. What was found is kept in the cache, so that the next start goes on from
there.
"""

from __future__ import annotations

import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from app.errors import reason
from app.monitor import summary_cache as cached
from app.monitor.log_file import CHUNK, LogRow, block, long_line, metric_rows, pieces, read_tail, sketch
from app.monitor.parsing import Event, Parsed, parse
from app.monitor.summary import CAPACITY, Curves, Summary, chained, empty

LOG_FILE = "log.jsonl"
POLL_S = 1.0
"""How often the file is looked at when all of it is read."""
PUBLISH_S = 0.5
BUSY_SHARE = 0.5
"""Of a core, while a large log is being read."""

LARGE = 8 << 20
"""From here on a log is sketched first."""
_SEARCH_CHUNK = 1 << 20
_MOST_EVENTS = 2000
_DETAIL = 24 << 20
"""At most so many bytes are read again for what is zoomed into."""

# A GIL's worth of reading at a time: with several runs the window would otherwise wait for each.
_TURN = threading.Lock()
_EVENT = re.compile(rb'\n(\{"kind": "(?!train"|step")[^\n]*)(?=\n)')


@dataclass(frozen=True, kw_only=True)
class LogView:
    """What is known of a log; values only, replaced as a whole."""

    version: int = 0
    curves: Curves
    metrics: Curves
    """A bucket a row of kind "evaluate" (or a CLIP's "retrieval")."""
    events: tuple[Event, ...] = ()
    """The latest rows that are no curves, oldest first."""
    tail: tuple[LogRow, ...] = ()
    """The last rows of all kinds, oldest first."""
    detail: Curves | None = None
    """The part that `LogReader.look` asked for, row by row if it is not too long."""
    size: int = 0
    """Of the file, in bytes."""
    read: int = 0
    """How much of it is in `curves` exactly; the rest is a sketch."""
    rows: int = 0
    """Rows of curves read so far."""
    damaged: int = 0
    """Lines that are no JSON object."""
    error: str = ""
    """Why the file cannot be read."""

    @property
    def whole(self) -> bool:
        """Whether nothing is a sketch: what may be missing is a line in the making."""
        return self.read + (1 << 16) >= self.size


class LogReader(threading.Thread):
    """Reads the log of the run in `folder`; `view` is the latest state, for any thread."""

    def __init__(self, folder: Path, *, poll_s: float = POLL_S, large: int = LARGE, keep: bool = True) -> None:
        super().__init__(name=f"follow {folder.name}", daemon=True)
        self.folder = folder
        self.path = folder / LOG_FILE
        self.view = LogView(curves=empty(), metrics=empty())
        self._poll_s, self._large, self._keep = poll_s, large, keep
        self._wake = threading.Event()
        self._closing = False
        self._wanted: tuple[float, float] | None = None
        self._detail: Curves | None = None
        self._published = 0.0
        self._reset()

    def _reset(self) -> None:
        self._summary, self._metrics = Summary(), Summary()
        self._sketch = empty()
        self._events: list[Event] = []
        self._events_until = 0
        """Events before this offset have been found already."""
        self._tail: tuple[LogRow, ...] = ()
        self._read = self._size = self._rows = self._damaged = self._kept = 0
        self._file_id: tuple[int, int] | None = None
        self._error = ""

    def look(self, start: float, end: float) -> None:
        """Ask for more detail between two numbers of images; the newest wish counts."""
        self._wanted = (start, end)
        self._wake.set()

    def glance(self) -> None:
        """Without the thread: bring the view up to date once; of a large log its sketch and its events are enough."""
        try:
            self._round(skim=True)
        except FileNotFoundError:
            pass  # it has not written its first row yet
        except OSError as error:
            self._error = f"{self.path}: {reason(error)}"
            self._publish()

    def close(self) -> None:
        """Stop within a moment."""
        self._closing = True
        self._wake.set()
        if self.is_alive():
            self.join(timeout=5.0)

    def run(self) -> None:
        """The thread. What goes wrong with the file is said in the view, and tried again."""
        while not self._closing:
            try:
                self._round()
                self._error = ""
            except FileNotFoundError:
                self._error = "" if self._file_id is None else f"{self.path}: the log has gone"
            except OSError as error:
                self._error = f"{self.path}: {reason(error)}"
            if self._error != self.view.error:
                self._publish()
            self._wake.wait(self._poll_s)
            self._wake.clear()
        self._remember()

    def _round(self, *, skim: bool = False) -> None:
        """Bring the view up to date with the file; to `skim` is to leave it at the sketch, where there is one."""
        with open(self.path, "rb") as file:
            status = os.fstat(file.fileno())
            same = self._file_id == (status.st_dev, status.st_ino) and status.st_size >= self._read
            if not same:
                self._reset()
                self._file_id, self._size = (status.st_dev, status.st_ino), status.st_size
                self._open(file)
            grown = status.st_size != self._size or not same
            self._size = status.st_size
            if grown:
                self._tail = read_tail(file, self._size)
            if status.st_size > self._read and not (skim and len(self._sketch)):
                self._stream(file)
            if grown:
                self._publish()
                if self._read - self._kept > 8 * self._large:
                    self._remember()
            self._look(file)

    def _open(self, file: BinaryIO) -> None:
        """For a large log: what the cache knows, then a sketch of the rest, then all of its events."""
        if self._size < self._large:
            return
        found = cached.load(self.path, file) if self._keep else None
        if found is not None:
            self._summary.add_buckets(found.curves, found.stride)
            self._metrics.add_buckets(found.metrics, found.metrics_stride)
            self._events = list(found.events)
            self._read = self._events_until = self._kept = found.read
            self._rows, self._damaged = found.rows, found.damaged
        if self._size - self._read < self._large:
            return
        self._tail = read_tail(file, self._size)
        head = parse(block(file, self._read, 1 << 16), self._read)
        self._events.extend(head.events)
        self._sketch = sketch(file, self._read, self._size)
        self._publish()
        self._find_events(file)
        self._publish()

    def _find_events(self, file: BinaryIO) -> None:
        """Every row that is no curve, between what is read and the end; a quick search for how such lines begin."""
        known = {event.offset for event in self._events}
        place, published = max(0, self._read - 1), time.monotonic()
        while place < self._size and not self._closing:
            with _TURN:
                data = block(file, place, _SEARCH_CHUNK)
                if len(data) < 2:
                    break
                for match in _EVENT.finditer(data):
                    if (start := place + match.start(1)) not in known:
                        self._events.extend(parse(match[1] + b"\n", start).events)
            last = data.rfind(b"\n")
            place += last if last > 0 else len(data)
            if time.monotonic() - published > PUBLISH_S:
                self._publish()
                published = time.monotonic()
        self._events.sort(key=lambda event: event.offset)
        self._metrics.add(metric_rows([event for event in self._events if event.offset >= self._read]))
        self._events_until = place
        del self._events[:-_MOST_EVENTS]

    def _stream(self, file: BinaryIO) -> None:
        """Read on to the end of the last whole line."""
        while not self._closing:
            began = time.thread_time()
            with _TURN:
                data = block(file, self._read, CHUNK)
                end = data.rfind(b"\n") + 1
                if not end:
                    data = long_line(file, self._read, self._size)
                    end = len(data)
                if not end:
                    break
                self._take(parse(data[:end], self._read), end)
            if self._size - self._read > self._large:
                time.sleep((time.thread_time() - began) * (1 / BUSY_SHARE - 1))
                self._look(file)
            if time.monotonic() - self._published > PUBLISH_S:
                self._publish()
        if self._read + (1 << 16) >= self._size:
            self._sketch = empty()

    def _take(self, parsed: Parsed, length: int) -> None:
        self._summary.add(parsed.rows)
        self._rows += len(parsed.rows)
        self._damaged += parsed.damaged
        new = [event for event in parsed.events if event.offset >= self._events_until]
        if new:
            self._events.extend(new)
            self._metrics.add(metric_rows(new))
            del self._events[:-_MOST_EVENTS]
        self._read += length
        self._events_until = max(self._events_until, self._read)

    def _look(self, file: BinaryIO) -> None:
        """Read again, row by row, what was asked for, when its buckets are of several rows and it is not too long."""
        wanted, self._wanted = self._wanted, None
        if wanted is None:
            return
        curves = self._curves()
        first = max(0, int(np.searchsorted(curves.x, wanted[0], side="right")) - 1)
        last = int(np.searchsorted(curves.x, wanted[1], side="right"))
        self._detail = None
        if first < last and (self._sketch_from(curves, last) or curves.rows[first:last].max() > 1):
            start = int(curves.offset[first])
            end = int(curves.offset[last]) if last < len(curves) else self._size
            if end - start <= _DETAIL:
                summary = Summary(capacity=2 * CAPACITY)
                for begin, data in pieces(file, start, end):
                    with _TURN:
                        summary.add(parse(data, begin).rows)
                    if self._wanted is not None or self._closing:
                        return
                self._detail = summary.curves()
        self._publish()

    def _sketch_from(self, curves: Curves, last: int) -> bool:
        return last > 0 and bool(curves.offset[last - 1] >= self._read)

    def _curves(self) -> Curves:
        """What is read, and the sketch of the rest."""
        curves = self._summary.curves()
        if not len(self._sketch):
            return curves
        rest = self._sketch.between(int(np.searchsorted(self._sketch.offset, self._read)), len(self._sketch))
        return chained(curves, rest)

    def _publish(self) -> None:
        self._published = time.monotonic()
        self.view = LogView(
            version=self.view.version + 1,
            curves=self._curves(),
            metrics=self._metrics.curves(),
            events=tuple(self._events),
            tail=self._tail,
            detail=self._detail,
            size=self._size,
            read=self._read,
            rows=self._rows,
            damaged=self._damaged,
            error=self._error,
        )

    def _remember(self) -> None:
        """Keep what was read of a large log for the next start. A cache that cannot be written is none."""
        if not self._keep or self._read - self._kept < self._large:
            return
        found = cached.CachedSummary(
            curves=self._summary.curves(),
            stride=self._summary.stride,
            metrics=self._metrics.curves(),
            metrics_stride=self._metrics.stride,
            events=tuple(event for event in self._events if event.offset < self._read),
            read=self._read,
            rows=self._rows,
            damaged=self._damaged,
        )
        if self._events_until <= self._read and cached.save(self.path, found):
            self._kept = self._read
