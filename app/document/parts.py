"""Parts of a scene beside its controls: snapshots, keyframes and tracks.

The scene's own module says how they stand together; `app.document.playback` says what they mean at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from core.request import RenderRequest
from core.timeline import EASING_NAMES, EasingName

Mark = Literal["", "A", "B"]
MARKS: tuple[Mark, ...] = get_args(Mark)

# An hour; what a scene plays is a piece, not a day.
LONGEST_S = 3600.0
LONGEST_NAME = 200


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A request that is kept by a name. Raises `ValueError` for a name that is too long."""

    name: str
    request: RenderRequest
    mark: Mark = ""
    """A and B are the two that are compared."""

    def __post_init__(self) -> None:
        if len(self.name) > LONGEST_NAME:
            raise ValueError(f"name: expected at most {LONGEST_NAME} characters, got {len(self.name)}")
        if self.mark not in MARKS:
            raise ValueError(f"mark: expected A, B or none, got {self.mark!r}")


@dataclass(frozen=True, kw_only=True)
class SceneKeyframe:
    """A request at a time. Raises `ValueError` for values out of range."""

    time: float
    """Seconds from the timeline's start."""
    request: RenderRequest
    easing: EasingName = "smooth"
    """Easing of the interpolation to the next keyframe."""

    def __post_init__(self) -> None:
        check_time(self.time)
        check_easing(self.easing)


@dataclass(frozen=True, kw_only=True)
class TrackPoint:
    """One control's value at a time. Raises `ValueError` for values out of range."""

    time: float
    value: float
    easing: EasingName = "smooth"

    def __post_init__(self) -> None:
        check_time(self.time)
        check_easing(self.easing)
        if not math.isfinite(self.value):
            raise ValueError(f"value: expected a finite number, got {self.value!r}")


@dataclass(frozen=True, kw_only=True)
class Track:
    """Values of one control over time, over keyframes and sliders. Raises `ValueError` where times do not rise."""

    control: str
    """Id of a control (`app.document.controls`); one that the scene does not have does nothing."""
    points: tuple[TrackPoint, ...]
    """In order of time, at least one."""

    def __post_init__(self) -> None:
        if not self.points:
            raise ValueError("points: expected at least one, got none")
        check_rising("points", [point.time for point in self.points])


def check_time(time: float) -> None:
    """Raises `ValueError` for a time that no timeline has."""
    if not math.isfinite(time) or not 0.0 <= time <= LONGEST_S:
        raise ValueError(f"time: expected seconds from 0 to {LONGEST_S:g}, got {time!r}")


def check_easing(easing: str) -> None:
    """Raises `ValueError` for a name that is none of `EASING_NAMES`."""
    if easing not in EASING_NAMES:
        raise ValueError(f"easing: expected one of {', '.join(EASING_NAMES)}, got {easing!r}")


def check_rising(name: str, times: list[float]) -> None:
    """Raises `ValueError` unless each time is later than the one before."""
    for first, second in pairwise(times):
        if second <= first:
            raise ValueError(f"{name}: expected times that rise, got {second:g} s after {first:g} s")
