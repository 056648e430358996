"""Drags that a test steps itself: no torch, and no guessing how far they are."""

from __future__ import annotations

import threading
from typing import Any

from app.explorer.drag.worker import DragJob
from core.edit.points import DragError, Progress


class FakeDrag:
    """Goes a tenth of the way a step; each step adds 1 to the first styles."""

    def __init__(self, job: DragJob, gate: threading.Semaphore, ends_at: int) -> None:
        self.job = job
        self._gate = gate
        self._ends_at = ends_at
        self.steps = 0
        self.ws: Any = job.ws.copy()

    def step(self) -> Progress:
        self._gate.acquire(timeout=10.0)
        arrived = self.steps >= self._ends_at
        if not arrived:
            self.steps += 1
            self.ws = self.ws.copy()
            self.ws[: self.job.options.styles] += 1.0
        share = self.steps / self._ends_at
        handles = tuple(
            tuple(h + (t - h) * share for h, t in zip(pull.handle, pull.target, strict=True))
            for pull in self.job.points
        )
        left = max(pull.distance for pull in self.job.points) * (1 - share)
        return Progress(
            steps=self.steps,
            handles=handles,
            left=left,
            state="arrived" if arrived else "moving",  # type: ignore[arg-type]
        )


class FakeDrags:
    """Makes them, as `app.explorer.drag.worker.PlainDrags` does. `let` allows steps; `fail` refuses."""

    def __init__(self, ends_at: int = 10) -> None:
        self.gate = threading.Semaphore(0)
        self.ends_at = ends_at
        self.made: list[FakeDrag] = []
        self.fail = ""

    def __call__(self, job: DragJob) -> FakeDrag:
        if self.fail:
            raise DragError(self.fail)
        self.made.append(FakeDrag(job, self.gate, self.ends_at))
        return self.made[-1]

    def let(self, steps: int = 1000) -> None:
        for _ in range(steps):
            self.gate.release()
