"""Watches a training run, whoever trains it: what its log says, and whether its trainer lives. No GUI here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.runs import LOG, Holder, holder_of
from core.runlog import LogTail

CURVE = 600
"""Points of a curve that are kept; every second one is dropped when there are more."""
BACK = 1 << 19
"""So many bytes of a log that is there already are read, for the curves."""


@dataclass(frozen=True, kw_only=True)
class StopRecord:
    """How a trainer ended, in its own words."""

    time: float
    finished: bool
    problem: str | None


@dataclass(kw_only=True)
class Progress:
    """What the log of a run says."""

    images: int | None = None
    """None until the trainer has begun."""
    images_per_s: float | None = None
    newest: dict[str, float] = field(default_factory=dict)
    """The values of the newest row of training."""
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """(images, value) of the losses, oldest first."""
    evaluated: tuple[int, dict[str, float]] | None = None
    """The newest figures, and after how many images they were measured."""
    stopped: StopRecord | None = None
    """Where the log ends with that."""

    def take(self, row: Mapping[str, Any]) -> None:
        """One row of the log. What it should not hold is passed over."""
        images = row.get("images")
        if row.get("kind") not in ("start", "train", "evaluate", "stop"):
            return
        if type(images) is not int or not 0 <= images < 1 << 63:
            return
        self.images = images
        values = {name: number for name, value in row.items() if (number := _number(value)) is not None}
        figures = {name: value for name, value in values.items() if name not in ("time", "images", "images_per_s")}
        if row["kind"] == "stop":
            problem = row.get("problem")
            self.stopped = StopRecord(
                time=values.get("time", 0.0),
                finished=row.get("finished") is True,
                problem=problem if isinstance(problem, str) else None,
            )
            return
        self.stopped = None
        if row["kind"] == "start":
            self.images_per_s = None
        elif row["kind"] == "train":
            self.images_per_s, self.newest = values.get("images_per_s"), figures
            for name in ("loss_d", "loss_g"):
                if math.isfinite(figures.get(name, math.nan)):
                    self._add(name, images, figures[name])
        else:
            self.evaluated = images, figures

    def _add(self, name: str, images: int, value: float) -> None:
        curve = self.curves.setdefault(name, [])
        while curve and curve[-1][0] >= images:  # a resumed run repeats what it had not saved
            curve.pop()
        curve.append((images, value))
        if len(curve) > CURVE:
            del curve[1::2]


class RunWatch:
    """One run's folder, which may be empty or not there yet. Belongs to the UI thread; `look` about once a second."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.progress = Progress()
        self.holder: Holder | None = None
        """The trainer that works in it now."""
        self._tail = LogTail(run / LOG, BACK)
        self.look()

    def look(self) -> Holder | None:
        """Read what is new. The trainer that was there at the last look and has gone since, if so."""
        # The lock first: then all that a trainer that has gone wrote is in the log.
        before, self.holder = self.holder, holder_of(self.run)
        for row in self._tail.read():
            self.progress.take(row)
        return before if self.holder is None else None


def _number(value: object) -> float | None:
    """A number of the log; those that JSON has no word for stand there as texts."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < 1 << 63 or isinstance(value, float) else None
    return float(value) if value in ("nan", "inf", "-inf") else None
