"""Lines of a run's log to numbers, fast.

`json.loads` and a dictionary a row cost some eight microseconds, a minute and a half for ten million rows. Rows of one
training run differ only in their digits, so lines are sorted by what is left without them; of each such kind one line
is read as JSON, and the numbers of the others come out of one pass of C. Lines for which that does not hold, such as
those with a "nan" in them, are read as JSON one by one, and must give the same.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CURVE_KINDS = frozenset({"train", "step"})
"""Rows whose numbers are curves: a GAN's, and a CLIP's."""

X = "images"
TIME = "time"

_DIGITS = b"0123456789.+-"
_NUMBERS = bytes(code for code in range(256) if code not in _DIGITS + b"E,")
_EXPONENT = re.compile(rb"[0-9.]e")
_BARE_EXPONENT = re.compile(rb"[0-9.]e[0-9]")
_UNFIT = frozenset("0123456789.+-E,")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of curves, in the order of the log."""

    names: tuple[str, ...]
    """The columns of `values`, without `images` and `time`."""
    offset: NDArray[np.int64]
    """Where each line begins in the file, [N]."""
    x: NDArray[np.float64]
    """Images seen, [N]."""
    time: NDArray[np.float64]
    """Seconds since the epoch, [N]."""
    values: NDArray[np.float32]
    """[N, names]; NaN where a row has no such number or it was not finite."""

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, kw_only=True)
class Event:
    """Any other row."""

    offset: int
    row: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.row.get("kind", ""))

    @property
    def x(self) -> float:
        return number(self.row.get(X))


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """What a piece of a log says."""

    rows: Rows
    events: tuple[Event, ...]
    damaged: int
    """Lines that are no JSON object."""


def parse(data: bytes, offset: int = 0) -> Parsed:
    """Read whole lines that begin at `offset` in the file. Whatever stands after the last newline is left out."""
    kinds: dict[bytes, tuple[list[bytes], list[int]]] = {}
    place = offset
    lines = data.split(b"\n")
    lines.pop()
    for line in lines:
        skeleton = line.translate(None, _DIGITS)
        if skeleton in kinds:
            group = kinds[skeleton]
        else:
            group = kinds[skeleton] = ([], [])
        group[0].append(line)
        group[1].append(place)
        place += len(line) + 1

    blocks: list[Rows] = []
    events: list[Event] = []
    damaged = 0
    for skeleton, (group_lines, places) in kinds.items():
        if not skeleton.strip():
            damaged += sum(1 for line in group_lines if line.strip())
            continue
        block = _same_keys(group_lines, places)
        if block is not None:
            blocks.append(block)
            continue
        loose: list[tuple[int, dict[str, Any]]] = []
        for line, start in zip(group_lines, places, strict=True):
            row = read_object(line)
            if row is None:
                damaged += 1
            elif row.get("kind") in CURVE_KINDS:
                loose.append((start, row))
            else:
                events.append(Event(offset=start, row=row))
        if loose:
            blocks.append(_from_objects(loose))
    events.sort(key=lambda event: event.offset)
    return Parsed(rows=joined(blocks), events=tuple(events), damaged=damaged)


def joined(blocks: Sequence[Rows]) -> Rows:
    """Blocks of rows as one, in the order of their lines. Rows that say no images seen have no place on a curve."""
    names = tuple(dict.fromkeys(name for block in blocks for name in block.names))
    column = {name: index for index, name in enumerate(names)}
    count = sum(len(block) for block in blocks)
    values = np.full((count, len(names)), np.nan, np.float32)
    start = 0
    for block in blocks:
        values[start : start + len(block), [column[name] for name in block.names]] = block.values
        start += len(block)
    empty = np.zeros(0)
    offset = np.concatenate([empty.astype(np.int64), *(block.offset for block in blocks)])
    x = np.concatenate([empty, *(block.x for block in blocks)])
    time = np.concatenate([empty, *(block.time for block in blocks)])
    order = np.argsort(offset, kind="stable")
    order = order[np.isfinite(x[order])]
    return Rows(names=names, offset=offset[order], x=x[order], time=time[order], values=values[order])


def number(value: object) -> float:
    """A finite number, or NaN for anything else; "nan" and "inf", as the log writes them, are NaN too."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value) if math.isfinite(value) else math.nan
    except OverflowError:
        return math.nan


def numbers(row: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Every number of a row by its name, those within objects as "accuracy.sky"; not images and time."""
    found: dict[str, float] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            found |= numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and type(value) is not bool and (prefix or key not in (X, TIME)):
            found[prefix + key] = number(value)
    return found


def narrow(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """In single precision; what is not finite there is NaN."""
    with np.errstate(over="ignore"):
        result = values.astype(np.float32)
    result[~np.isfinite(result)] = np.nan
    return result


def read_object(line: bytes) -> dict[str, Any] | None:
    """A line's JSON object; None when it is not one."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _same_keys(lines: list[bytes], places: list[int]) -> Rows | None:
    """Lines that differ only in their digits; None where that is not enough to read them."""
    first = read_object(lines[0])
    if first is None or first.get("kind") not in CURVE_KINDS or next(iter(first)) != "kind":
        return None
    keys = [key for key in first if key != "kind"]
    plain = all(isinstance(first[key], int | float) and not isinstance(first[key], bool) for key in keys)
    if not plain or X not in keys or TIME not in keys or any(_UNFIT & set(key) for key in first):
        return None
    if _EXPONENT.search(lines[0]) and any(_BARE_EXPONENT.search(line) for line in lines):
        return None
    text = b"\n".join(lines).replace(b"e-", b"E-").replace(b"e+", b"E+").translate(None, _NUMBERS)
    # Every number has a comma before it: that after "kind", or that after the number before.
    try:
        table = np.fromstring(text[1:].decode("ascii"), sep=",")
    except ValueError:
        return None
    if table.size != len(lines) * len(keys):
        return None
    table = table.reshape(len(lines), len(keys))
    x, time = keys.index(X), keys.index(TIME)
    rest = [index for index in range(len(keys)) if index not in (x, time)]
    return Rows(
        names=tuple(keys[index] for index in rest),
        offset=np.array(places, np.int64),
        x=table[:, x],
        time=table[:, time],
        values=narrow(table[:, rest]),
    )


def _from_objects(loose: list[tuple[int, dict[str, Any]]]) -> Rows:
    found = [numbers(row) for _, row in loose]
    names = tuple(dict.fromkeys(name for row in found for name in row))
    values = np.array([[row.get(name, math.nan) for name in names] for row in found], np.float64)
    return Rows(
        names=names,
        offset=np.array([place for place, _ in loose], np.int64),
        x=np.array([number(row.get(X)) for _, row in loose]),
        time=np.array([number(row.get(TIME)) for _, row in loose]),
        values=narrow(values.reshape(len(loose), len(names))),
    )
