"""Drags points on a thread of its own, with a plain generator of its own. No GUI here; torch comes with the first drag.

The engine's generator may be a fast one, which has no gradients and whose weights are used up. So this one is read
again from the checkpoint's file, and kept for the next drag.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.edit.points import DragError, DragOptions, Progress, Pull
from core.request import RenderRequest

if TYPE_CHECKING:
    from core.edit.point_drag import PointDrag

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class DragJob:
    """One drag, fully described."""

    path: Path
    """The checkpoint's file."""
    sha256: str
    device: str
    threads: int
    """CPU threads of the engine; torch's number is global, and another one would change the engine's results."""
    request: RenderRequest
    """Gives noise and transform."""
    ws: NDArray[np.float32]
    """[num_ws, w_dim] styles to start from."""
    points: tuple[Pull, ...]
    mask: NDArray[np.bool_] | None
    options: DragOptions


class Dragger(Protocol):
    """What the thread needs of a drag; `core.edit.point_drag.PointDrag` is one."""

    @property
    def ws(self) -> NDArray[np.float32]: ...

    def step(self) -> Progress: ...


OpenDrag = Callable[[DragJob], Dragger]


class PlainDrags:
    """Makes drags of checkpoints' files; keeps the last generator."""

    def __init__(self) -> None:
        self._kept: tuple[str, str, Any] | None = None

    def __call__(self, job: DragJob) -> PointDrag:
        """Open a drag, on the thread that will take its steps. Raises `DragError`, `CheckpointError`."""
        import torch

        from core.checkpoints import native
        from core.edit.point_drag import PointDrag
        from core.engine import load_generator

        if job.device == "cpu" and torch.get_num_threads() != job.threads:
            torch.set_num_threads(job.threads)
        if self._kept is None or self._kept[:2] != (job.sha256, job.device):
            self._kept = None  # before the next one takes its memory
            checkpoint = native.load(job.path)
            if checkpoint.sha256 != job.sha256:
                raise DragError(f"{job.path}: the file has changed since it was opened; open it again")
            self._kept = (job.sha256, job.device, load_generator(checkpoint).to(job.device))
        generator = self._kept[2]
        return PointDrag(generator, job.ws, job.points, request=job.request, mask=job.mask, options=job.options)


@dataclass(frozen=True, kw_only=True, eq=False)
class DragReport:
    """The state of a drag after a step."""

    progress: Progress | None
    """None before the first step."""
    ws: NDArray[np.float32] | None
    """[num_ws, w_dim] styles reached; None after an error."""
    ended: bool = False
    problem: str | None = None
    """The error that ended it."""


class PointWorker:
    """One drag at a time. Belongs to the UI thread; `close` it."""

    def __init__(self, open_drag: OpenDrag) -> None:
        self._open = open_drag
        self._lock = threading.Lock()
        self._run: _Run | None = None
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether a drag is under way, or its last report was not taken."""
        return self._run is not None

    def start(self, job: DragJob) -> None:
        """Begin, as soon as what ran before has ended after its step."""
        self.stop()
        run = self._run = _Run()
        # Not a daemon: an interpreter that goes away under a thread inside torch crashes; so it waits for one step.
        self._thread = threading.Thread(target=self._drag, args=(run, job, self._thread), name="points")
        self._thread.start()

    def stop(self) -> None:
        """End after the step that is being taken; the last report has what was reached."""
        if self._run is not None:
            self._run.stop.set()

    def drop(self) -> None:
        """End, and report nothing more."""
        self.stop()
        self._run = None

    def take(self) -> DragReport | None:
        """The newest report, once."""
        run = self._run
        if run is None:
            return None
        with self._lock:
            report, run.report = run.report, None
        if report is not None and report.ended:
            self._run = None
        return report

    def close(self) -> None:
        self.drop()

    def _drag(self, run: _Run, job: DragJob, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()  # one generator, one drag
        progress: Progress | None = None
        try:
            drag = self._open(job)
            while not run.stop.is_set():
                progress = drag.step()
                if progress.state != "moving":
                    break
                with self._lock:
                    run.report = DragReport(progress=progress, ws=drag.ws)
            last = DragReport(progress=progress, ws=drag.ws, ended=True)
        except Exception as error:  # noqa: BLE001 (whatever it raises must reach the window, never end in silence)
            log.error("dragging points failed\n%s", traceback.format_exc())
            why = str(error) if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {error}"
            last = DragReport(progress=progress, ws=None, ended=True, problem=" ".join(why.split()))
        with self._lock:
            run.report = last


class _Run:
    """What the two threads share of one drag."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.report: DragReport | None = None
