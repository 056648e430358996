"""A run's curves in bounded memory: buckets of rows, each with lowest, highest and mean of every number.

However long the log, at most `capacity` buckets are kept: when they are full, neighbours merge and every bucket holds
twice as many rows. A short run is kept row by row. Each bucket knows where its first row stands in the file, so that
what is zoomed into can be read again at full detail.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.monitor.parsing import Rows

CAPACITY = 8192

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Buckets from left to right, values only: they go from thread to thread. Arrays are not written to."""

    names: tuple[str, ...] = ()
    offset: NDArray[np.int64]
    """Where a bucket's first row stands in the file, [N]."""
    rows: NDArray[np.int64]
    """How many rows a bucket holds, [N]."""
    x: Floats
    """Images seen at its first row, [N]; rising."""
    time: Floats
    """When its first row was written, [N]."""
    low: NDArray[np.float32]
    """[N, names], as are the next three; NaN where no row of a bucket has the number."""
    high: NDArray[np.float32]
    mean: NDArray[np.float32]
    count: NDArray[np.float32]
    """How many rows the mean is of."""

    def __len__(self) -> int:
        return len(self.x)

    def column(self, name: str) -> int | None:
        """Where a number's column is; None when no row has it."""
        return self.names.index(name) if name in self.names else None

    def between(self, start: int, end: int) -> Curves:
        """Buckets start to end."""
        return self._map(lambda array: array[start:end])

    def _map(self, function: object) -> Curves:
        assert callable(function)
        arrays = ("offset", "rows", "x", "time", "low", "high", "mean", "count")
        return replace(self, **{name: function(getattr(self, name)) for name in arrays})


def empty() -> Curves:
    """No buckets."""
    none, nothing = np.zeros(0), np.zeros((0, 0), np.float32)
    whole = none.astype(np.int64)
    return Curves(offset=whole, rows=whole, x=none, time=none, low=nothing, high=nothing, mean=nothing, count=nothing)


def each_row(rows: Rows) -> Curves:
    """A bucket a row."""
    return Curves(
        names=rows.names,
        offset=rows.offset,
        rows=np.ones(len(rows), np.int64),
        x=rows.x,
        time=rows.time,
        low=rows.values,
        high=rows.values,
        mean=rows.values,
        count=np.isfinite(rows.values).astype(np.float32),
    )


def chained(left: Curves, right: Curves) -> Curves:
    """One after the other; columns that one of them lacks are NaN there.

    Where the right one goes back to images that the left one has seen, a run was resumed from an earlier state: what
    the left one has from there on did not happen, and is dropped.
    """
    if len(right):
        left = left.between(0, int(np.searchsorted(left.x, right.x[0], side="left")))
    names = tuple(dict.fromkeys((*left.names, *right.names)))
    left, right = _with_names(left, names), _with_names(right, names)

    def both(name: str) -> NDArray[np.float32]:
        return np.concatenate([getattr(left, name), getattr(right, name)])

    return Curves(
        names=names,
        offset=np.concatenate([left.offset, right.offset]),
        rows=np.concatenate([left.rows, right.rows]),
        x=np.concatenate([left.x, right.x]),
        time=np.concatenate([left.time, right.time]),
        low=both("low"),
        high=both("high"),
        mean=both("mean"),
        count=both("count"),
    )


def grouped(curves: Curves, size: int) -> Curves:
    """Every `size` neighbours as one; the last may be of fewer."""
    if size == 1 or not len(curves):
        return curves
    starts = np.arange(0, len(curves), size)
    count = np.add.reduceat(curves.count, starts, axis=0)
    total = np.add.reduceat(np.nan_to_num(curves.mean) * curves.count, starts, axis=0, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (total / count).astype(np.float32)
    return Curves(
        names=curves.names,
        offset=curves.offset[starts],
        rows=np.add.reduceat(curves.rows, starts),
        x=curves.x[starts],
        time=curves.time[starts],
        low=np.fmin.reduceat(curves.low, starts, axis=0),
        high=np.fmax.reduceat(curves.high, starts, axis=0),
        mean=mean,
        count=count,
    )


class Summary:
    """Takes rows in the order of the log and keeps the curves. Not for several threads."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        assert capacity % 2 == 0
        self.capacity = capacity
        self.stride = 1
        """Rows a bucket."""
        self._full = empty()
        self._rest = empty()
        """Rows that do not fill a bucket yet, fewer than `stride`."""

    def add(self, rows: Rows) -> None:
        """Append rows. Where images go back, what was seen from there on is dropped (see `chained`)."""
        if not len(rows):
            return
        back = np.flatnonzero(np.diff(rows.x) < 0) + 1
        new = each_row(rows)
        for start, end in zip([0, *back], [*back, len(rows)], strict=True):
            self._add(new.between(int(start), int(end)))

    def add_buckets(self, curves: Curves, stride: int) -> None:
        """Begin with what an earlier summary had come to."""
        assert not len(self.curves())
        self.stride = stride
        self._full = curves
        if len(curves) and curves.rows[-1] < stride:
            # Its rows are gone; it stays a bucket of fewer.
            self._rest = empty()

    def curves(self) -> Curves:
        """What is known so far; the last bucket may be of fewer rows."""
        return chained(self._full, grouped(self._rest, self.stride)) if len(self._rest) else self._full

    def _add(self, new: Curves) -> None:
        if len(self._full) and new.x[0] <= self._full.x[-1]:
            self._rest = empty()
            self._full = self._full.between(0, int(np.searchsorted(self._full.x, new.x[0], side="left")))
        self._rest = chained(self._rest, new)
        while len(self._rest) >= self.stride:
            take = min(len(self._rest) // self.stride, self.capacity - len(self._full)) * self.stride
            self._full = chained(self._full, grouped(self._rest.between(0, take), self.stride))
            self._rest = self._rest.between(take, len(self._rest))
            if len(self._full) >= self.capacity:
                self._full = grouped(self._full, 2)
                self.stride *= 2


def _with_names(curves: Curves, names: tuple[str, ...]) -> Curves:
    if names == curves.names:
        return curves
    places = [names.index(name) for name in curves.names]

    def wide(array: NDArray[np.float32], fill: float) -> NDArray[np.float32]:
        result = np.full((len(curves), len(names)), fill, np.float32)
        result[:, places] = array
        return result

    return replace(
        curves,
        names=names,
        low=wide(curves.low, np.nan),
        high=wide(curves.high, np.nan),
        mean=wide(curves.mean, np.nan),
        count=wide(curves.count, 0.0),
    )
