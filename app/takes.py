"""Takes: what a live performance asked for, and when, so that it can be rendered again in any size and format.

A take is a file NAME.take.jsonl, one JSON object a line, appended while it is recorded:

    {"take": 2, "software": ..., "checkpoint": {...}, "arithmetic": {...}, "smooth": ..., "scene": {...}}
    {"t": 0.0, "request": {all fields}}
    {"t": 0.016, "request": {changed fields}}
    {"t": 12.3}

The last line says when it ended. A killed program leaves a take without it, perhaps with a torn last line, which is
dropped. Files are untrusted: every line is read through `core.values`.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from app.errors import UserError, reason
from app.provenance import version
from core import values
from core.arithmetic import Arithmetic
from core.request import RenderRequest

SUFFIX = ".take.jsonl"
FORMAT = 2

# A day, at the rate of the fastest screens; a line as long as the largest scene.
LONGEST_S = 24 * 3600.0
MOST_LINES = 240 * 24 * 3600
LONGEST_LINE = 2**24


@dataclass(frozen=True, kw_only=True)
class TakeCheckpoint:
    """The model that was played."""

    name: str
    family: str
    sha256: str
    path: str
    """Where it lay; empty for the bundled one."""


@dataclass(frozen=True, kw_only=True)
class TakeHeader:
    """The first line."""

    take: int = FORMAT
    software: str = field(default_factory=lambda: f"Glissando {version()}")
    checkpoint: TakeCheckpoint
    arithmetic: Arithmetic
    """What rendered it: the same gives the same bits."""
    smooth: bool = False
    """How small pictures are enlarged."""


@dataclass(frozen=True, kw_only=True)
class _Line:
    t: float
    request: RenderRequest | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.t <= LONGEST_S:
            raise ValueError(f"t: expected seconds from 0 to {LONGEST_S:g}, got {self.t!r}")


@dataclass(frozen=True, kw_only=True)
class Take:
    """A take that was read: at least one request; times do not fall."""

    header: TakeHeader
    scene: dict[str, Any]
    """The document at the start, as JSON."""
    times: tuple[float, ...]
    requests: tuple[RenderRequest, ...]
    duration: float
    """Seconds."""
    torn: bool = False
    """Whether the recording was cut off, so that the end is where the last picture came."""

    def at(self, seconds: float) -> RenderRequest:
        """What was on screen at a time."""
        return self.requests[max(bisect_right(self.times, seconds) - 1, 0)]


class TakeRecorder:
    """Writes a take, on a thread of its own: `offer` and `stop` return at once, and `close` waits."""

    def __init__(self, path: Path, header: TakeHeader, scene: dict[str, Any]) -> None:
        """Raises `UserError` when the file cannot be written. There must be no such file yet."""
        self.path = path
        self._before: dict[str, Any] | None = None
        self._problem: str | None = None
        try:
            self._file: BinaryIO = path.open("xb", buffering=0)
        except OSError as error:
            raise UserError(f"{path}: cannot write the take: {reason(error)}") from error
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="take")
        self._thread.submit(self._write, {**values.to_json(header), "scene": scene})

    @property
    def problem(self) -> str | None:
        """Why the take ends early, if it does."""
        return self._problem

    def offer(self, seconds: float, request: RenderRequest) -> None:
        """This request's picture is on screen from now on."""
        self._thread.submit(self._add, seconds, request)

    def stop(self, seconds: float) -> None:
        """The recording has ended."""
        self._thread.submit(self._write, {"t": round(seconds, 6)})
        self._thread.submit(self._file.close)
        self._thread.shutdown(wait=False)

    def close(self) -> None:
        """Wait until all is written; after `stop`."""
        self._thread.shutdown(wait=True)

    def _add(self, seconds: float, request: RenderRequest) -> None:
        fields = values.to_json(request)
        before = self._before
        changed = fields if before is None else {key: value for key, value in fields.items() if before[key] != value}
        self._before = fields
        if changed:
            self._write({"t": round(seconds, 6), "request": changed})

    def _write(self, line: dict[str, Any]) -> None:
        if self._problem is not None:
            return
        data = memoryview(json.dumps(line, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n")
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            # What is there reads; a torn line is dropped.
            self._problem = f"{self.path}: the take ends early: {reason(error)}"


def read_take(path: Path) -> Take:
    """Raises `UserError`, one line that names the file and the place, for anything but a take."""
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except OSError as error:
        raise UserError(f"{path}: cannot read the take: {reason(error)}") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: expected a take: {error}") from error


def read_header(path: Path) -> tuple[TakeHeader, dict[str, Any]]:
    """The first line alone, for lists. Raises `UserError`."""
    try:
        with path.open("rb") as file:
            return _header(_object(1, file.readline(LONGEST_LINE + 1)))
    except OSError as error:
        raise UserError(f"{path}: cannot read the take: {reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: expected a take: {error}") from error


def _read(path: Path, file: BinaryIO) -> Take:
    header, scene = _header(_object(1, file.readline(LONGEST_LINE + 1)))
    times: list[float] = []
    requests: list[RenderRequest] = []
    fields: dict[str, Any] = {}
    last, ended = 0.0, False
    for number, text in _lines(file):
        data = _object(number, text)
        changed = data.get("request")
        if isinstance(changed, dict):
            fields = {**fields, **changed}
            data = {**data, "request": fields}
        line = values.from_json(_Line, data, f"line {number}")
        if line.t < last:
            raise ValueError(f"line {number}: t: expected times that do not fall, got {line.t:g} after {last:g}")
        last, ended = line.t, line.request is None
        if line.request is not None:
            times.append(line.t)
            requests.append(line.request)
    if not requests:
        raise UserError(f"{path}: the take holds no picture")
    return Take(header=header, scene=scene, times=tuple(times), requests=tuple(requests), duration=last, torn=not ended)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Whole lines, from the second on; one that does not end was being written when the program was killed."""
    for number in range(2, MOST_LINES):
        text = file.readline(LONGEST_LINE + 1)
        if not text or (not text.endswith(b"\n") and len(text) <= LONGEST_LINE):
            return
        yield number, text
    raise ValueError(f"expected at most {MOST_LINES} lines")


def _object(number: int, text: bytes) -> dict[str, Any]:
    if len(text) > LONGEST_LINE:
        raise ValueError(f"line {number}: expected at most {LONGEST_LINE} bytes")
    try:
        data = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"line {number}: nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"line {number}: no JSON") from error
    if not isinstance(data, dict):
        raise ValueError(f"line {number}: expected a JSON object, got {type(data).__name__}")
    return data


def _header(data: dict[str, Any]) -> tuple[TakeHeader, dict[str, Any]]:
    if type(data.get("take")) is not int:
        raise ValueError('line 1: expected a version under "take"')
    if data["take"] == 1:
        # It did not say whether the sums were the fast ones; as a rule they were.
        played = {"device": data.pop("device", "auto"), "precision": data.pop("precision", "auto"), "plain": False}
        data |= {"take": FORMAT, "arithmetic": played}
    if data["take"] != FORMAT:
        raise ValueError(f"take: version {data['take']}; this Glissando reads up to {FORMAT}: update it")
    scene = data.pop("scene", None)
    if not isinstance(scene, dict):
        raise ValueError(f"line 1: scene: expected a JSON object, got {type(scene).__name__}")
    return values.from_json(TakeHeader, data, "line 1"), scene


def even_times(duration: float, step: float) -> int:
    """How many pictures at every `step` seconds it takes to fill `duration`: at least one."""
    return max(1, math.ceil(duration / step - 1e-9))
