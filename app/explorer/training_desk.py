"""What the Train panel works on: what to train, the training that goes on, and telling how it ended. No GUI here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from app.explorer.trainer import Plan, Trainer
from app.runs import amount

if TYPE_CHECKING:
    from app.explorer.session import Session

Place = Literal["data", "clip", "start", "out"]
"""The fields of a `Plan` that are files or folders."""

LOOK_S = 1.0


class TrainingDesk:
    """Belongs to a session; `tick` it once a frame, `close` it."""

    def __init__(self, session: Session, command: tuple[str, ...], clock: Callable[[], float]) -> None:
        self._session = session
        self._clock = clock
        self._looked = -float("inf")
        self._resumes: tuple[str, bool] = ("", False)
        self.plan = Plan()
        self.trainer = Trainer(command)
        self.problem: str | None = None
        """Why the last training did not go well."""

    def choose(self, place: Place, path: Path) -> None:
        """The person chose a file or a folder."""
        self.plan = replace(self.plan, **{place: str(path)})

    @property
    def usual_run(self) -> Path:
        """Where a run goes when nobody says where."""
        return Path(self._session.settings.output_dir) / "runs" / self.plan.recipe

    @property
    def resumes(self) -> bool:
        """Whether the folder that is named holds a run; asked of the disk about once a second."""
        if self._resumes[0] != self.plan.out:
            self._resumes = self.plan.out, self.plan.resumes
        return self._resumes[1]

    def start(self) -> None:
        """Begin the run, or go on with the one that the folder holds."""
        if self.trainer.running:
            return
        if not self.plan.out.strip():
            self.plan = replace(self.plan, out=str(_free(self.usual_run)))
        self.problem = self.trainer.start(self.plan)
        self._looked = self._clock()

    def explore(self) -> None:
        """Show the run's snapshots in this window."""
        run = self.trainer.run if self.trainer.running else self.plan.run
        if run is not None:
            self._session.follower.follow(run.expanduser().resolve())

    def tick(self) -> None:
        """About once a second: see how far the training has come."""
        now = self._clock()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        self._resumes = self.plan.out, self.plan.resumes
        if not self.trainer.running:
            return
        ended = self.trainer.poll()
        if ended is None:
            return
        name = ended.run.name
        if ended.images is None and ended.stopped:
            self._session.tell(f"{name}: stopped before it began.")
        elif ended.problem is not None:
            self.problem = ended.problem
            self._session.tell_error(f"Training {name} ended: {ended.problem}")
        elif ended.stopped:
            self._session.tell(f"{name}: stopped and saved after {amount(ended.images or 0)} images.")
        else:
            self._session.tell(f"{name}: trained, {amount(ended.images or 0)} images.")

    def close(self) -> None:
        self.trainer.close()


def _free(folder: Path) -> Path:
    """The folder, with a number where it is taken."""
    free, number = folder, 2
    while free.exists():
        free, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return free
