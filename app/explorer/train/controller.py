"""Training from the window: the plan, the run that is watched, and messages about its end. No GUI here.

A run is trained by a child of this window, or by another process: one started on the command line, or the child of a
window that was killed. Of those the run's own files tell all: its lock, its log and the file for commands.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import shorten
from typing import Literal

from app.document.fields import with_field
from app.explorer.messages import Messages
from app.explorer.storage.preferences import Preferences
from app.explorer.train.plan import DataSource
from app.explorer.train.process import TrainingProcess, TrainingResult
from app.explorer.train.run_watch import RunWatch
from app.runs import Holder, amount
from core.run_control import send

PathField = Literal["data", "clip", "start", "out"]
"""The fields of a `TrainingPlan` that are files or folders."""

LOOK_S = 1.0
TOLD = 200
"""So many characters of a problem are told at most."""
WITHOUT_A_WORD = (
    "its trainer has gone without a word: it was killed, or crashed. Resume goes on from what was saved last."
)


class TrainingController:
    """Belongs to the UI thread; `tick` it once a frame, `close` it."""

    def __init__(
        self,
        preferences: Preferences,
        messages: Messages,
        show_run: Callable[[Path], None],
        command: tuple[str, ...],
        clock: Callable[[], float],
    ) -> None:
        """`show_run` follows a run in the window; `command` is that of the trainer."""
        self._preferences = preferences
        self._messages = messages
        self._show_run = show_run
        self._clock = clock
        self._looked = -float("inf")
        self._resumes: tuple[str, bool] = ("", False)
        self._watch: RunWatch | None = None
        self._asked: Holder | None = None
        """The other process that was asked to stop."""
        self.plan = preferences.settings.training
        self.choosing = 0
        """Which source a dialog is about."""
        self.process = TrainingProcess(command)
        self.problem: str | None = None
        """Why the last training did not go well."""
        if self.watch is not None and self.watch.holder is not None:
            messages.info(f"{self.watch.run.name} is being trained; View > Panels > Train follows it.")

    # The plan

    def chosen(self, place: PathField) -> str:
        """What a dialog begins with."""
        if place == "data":
            return self.plan.sources[min(self.choosing, len(self.plan.sources) - 1)].place
        return str(getattr(self.plan, place))

    def choose(self, place: PathField, path: Path) -> None:
        """The person chose a file or a folder."""
        if place == "data":
            index = min(self.choosing, len(self.plan.sources) - 1)
            self.set_source(index, replace(self.plan.sources[index], place=str(path)))
        else:
            self.plan = with_field(self.plan, place, str(path))

    def set_source(self, index: int, source: DataSource | None) -> None:
        """Change a source, add one behind the last, or remove one."""
        sources = self.plan.sources
        put = () if source is None else (source,)
        self.plan = replace(self.plan, sources=(*sources[:index], *put, *sources[index + 1 :]))

    @property
    def usual_run(self) -> Path:
        """Where a run goes when nobody says where."""
        return Path(self._preferences.settings.output_dir) / "runs" / self.plan.recipe

    @property
    def resumes(self) -> bool:
        """Whether the folder that is named holds a run; asked of the disk about once a second."""
        if self._resumes[0] != self.plan.out:
            self._resumes = self.plan.out, self.plan.resumes
        return self._resumes[1]

    # The run

    @property
    def watch(self) -> RunWatch | None:
        """The run that this window trains, or else the one that is named; None where none is."""
        run = self.process.run if self.process.running else None
        if run is None and self.plan.out.strip():
            run = self.plan.run.absolute()
        if run is None:
            self._watch = None
        elif self._watch is None or self._watch.run != run:
            self._watch = RunWatch(run)
        return self._watch

    @property
    def other(self) -> Holder | None:
        """Who trains this run, where that is not this window's own child."""
        watch = self.watch
        return None if self.process.running or watch is None else watch.holder

    @property
    def busy(self) -> bool:
        """Whether somebody trains this run now."""
        return self.process.running or self.other is not None

    @property
    def stopping(self) -> bool:
        """Whether the trainer was asked to stop."""
        return self.process.stopping or (self._asked is not None and self._asked == self.other)

    def start(self) -> None:
        """Begin the run, or go on with the one that the folder holds."""
        if self.watch is not None:
            self.watch.look()
        if self.busy:
            return
        if not self.plan.out.strip():
            self.plan = replace(self.plan, out=str(_free(self.usual_run)))
        # Before the child is there: whatever becomes of this window, the next one finds the run.
        self._keep()
        self.problem = self.process.start(self.plan)
        self._looked = self._clock()

    def stop(self) -> None:
        """Let whoever trains save and end."""
        other, watch = self.other, self.watch
        if self.process.running:
            self.process.stop()
        elif other is not None and watch is not None and not self.stopping:
            try:
                send(watch.run, "stop")
            except OSError as error:
                self._messages.error(f"{watch.run.name} was not told to stop: {error}")
                return
            self._asked = other

    def explore(self) -> None:
        """Show the run's snapshots in this window."""
        if self.watch is not None:
            self._show_run(self.watch.run.resolve())

    def tick(self) -> None:
        """About once a second: see how far the training has come."""
        now = self._clock()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        self._keep()
        self._resumes = self.plan.out, self.plan.resumes
        watch, own = self.watch, self.process.running
        if watch is None:
            return
        ended = self.process.poll() if own else None
        gone = watch.look()
        if ended is not None:
            self._report_own(ended, watch)
        elif gone is not None and not own:
            self._report_other(gone, watch)

    def _report_own(self, ended: TrainingResult, watch: RunWatch) -> None:
        """How this window's own training ended."""
        if watch.progress.images is None and ended.stopped:
            self._messages.info(f"{watch.run.name}: stopped before it began.")
        elif ended.problem is not None:
            self._report_problem(watch, ended.problem)
        else:
            self._report_end(watch, finished=not ended.stopped)

    def _report_other(self, gone: Holder, watch: RunWatch) -> None:
        """How another process' training ended, as the log has it."""
        said = watch.progress.stopped
        if said is None or said.time < gone.since:  # from before this one began
            self._report_problem(watch, WITHOUT_A_WORD)
        elif said.problem is not None:
            self._report_problem(watch, said.problem)
        else:
            self._report_end(watch, finished=said.finished)

    def _report_problem(self, watch: RunWatch, problem: str) -> None:
        self.problem = problem
        # The panel has the whole of it, which may be all settings by name.
        self._messages.error(f"Training {watch.run.name} ended: {shorten(problem, TOLD, placeholder='…')}")

    def _report_end(self, watch: RunWatch, *, finished: bool) -> None:
        images = amount(watch.progress.images or 0)
        how = f"trained, {images} images." if finished else f"stopped and saved after {images} images."
        self._messages.info(f"{watch.run.name}: {how}")

    @property
    def ending(self) -> str | None:
        """How the run ended whose log is shown: "finished", "stopped", or why; None while it goes on."""
        watch = self.watch
        if watch is None or watch.progress.images is None or self.busy:
            return None
        said = watch.progress.stopped
        if said is not None:
            return said.problem or ("finished" if said.finished else "stopped")
        # On Windows nobody can tell whether a trainer lives.
        return None if sys.platform == "win32" else WITHOUT_A_WORD

    def close(self) -> None:
        """Keep the plan, and let this window's own training save and end. Another's goes on."""
        self._keep()
        self.process.close()

    def _keep(self) -> None:
        """The plan is there again when the window is opened the next time."""
        preferences = self._preferences
        if preferences.settings.training != self.plan:
            preferences.keep(replace(preferences.settings, training=self.plan))


def _free(folder: Path) -> Path:
    """The folder, with a number where it is taken."""
    free, number = folder, 2
    while free.exists():
        free, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return free
