"""Step after step, until the run is over or somebody or something stops it; what it leaves on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from core.checkpoints import CheckpointError
from core.run_control import ControlError
from core.runlog import RunLog
from training.datasets.errors import DataError
from training.engine.figures import PendingFigures
from training.engine.interrupt import Interrupt
from training.errors import RunError
from training.metrics.during import Finished, RunMetrics
from training.metrics.judging import Judge
from training.metrics.postcards_eval import quick_eval
from training.runs import memory
from training.runs.control import Control, obey
from training.runs.loading import OpenRun
from training.runs.snapshots import Snapshots
from training.runs.states import StateError, save_state


class Journal:
    """The run's log where this rank keeps it. A line that cannot be written (a full disk) is told and not fatal."""

    def __init__(self, log: RunLog | None) -> None:
        self._log = log

    def write(self, kind: str, **fields: Any) -> None:
        """A line of the log, see `core.runlog`."""
        if self._log is None:
            return
        try:
            self._log.write(kind, **fields)
        except OSError as error:
            tqdm.write(f"{self._log.path}: could not be written ({(error.strerror or str(error)).lower()})")

    def trouble(self, kind: str, message: str, **fields: Any) -> None:
        """Something that failed and will be tried again: in the log and on the screen."""
        if self._log is not None:
            tqdm.write(message)
        self.write(kind, error=message, **fields)


class Loop:
    """The steps of a run; `run` takes them."""

    def __init__(
        self,
        run: OpenRun,
        out: Path,
        journal: Journal,
        *,
        snapshots: Snapshots,
        judge: Judge | None,
        measured: RunMetrics | None,
        control: Control,
        changed: Callable[[], None],
    ) -> None:
        """`snapshots` and `judge` are used on the first rank alone, `changed` when a command has changed a setting."""
        self.opened, self.trainer, self.out, self.journal = run, run.trainer, out, journal
        self.snapshots, self.judge, self.measured = snapshots, judge, measured
        self.control, self.changed = control, changed
        self.config, self.ranks = run.config, run.trainer.ranks
        self.total = round(self.config.kimg * 1000)
        self._figures = PendingFigures()

    def run(self, stop: Interrupt, *, save_first: bool) -> bool:
        """Go on until the run is over, and say whether it is; else it was interrupted.

        Saves at the end either way. Raises `DataError` when there are no more pictures, `RunError` when it cannot go on
        or cannot save.
        """
        trainer, config = self.trainer, self.config
        if save_first:
            self._save()  # the checkpoint that the run starts from may be gone when it is resumed
        if trainer.images_seen == 0:
            self._picture()
        stop.hold()
        steps, clock, counted = 0, time.perf_counter(), trainer.images_seen
        gone: DataError | None = None
        with tqdm(total=self.total, initial=trainer.images_seen, unit="img", disable=not self.ranks.first) as bar:
            while trainer.images_seen < self.total:
                gone = self._wait_for_pictures(stop)
                stopped, lost, told = self.ranks.agree(stop.requested, gone is not None, self.control.waiting())
                if lost and gone is None:
                    gone = DataError("the data went away from another process of the run")
                if stopped or lost:
                    break
                if told:
                    self._obey(stop)
                    continue  # it may have been to stop
                before = trainer.images_seen
                figures = self._step()
                bar.update(trainer.images_seen - before)
                steps += 1
                if steps % config.log_steps == 0:
                    speed = (trainer.images_seen - counted) / (time.perf_counter() - clock)
                    clock, counted = time.perf_counter(), trainer.images_seen
                    self._report(bar)
                    self._figures.put(trainer.images_seen, speed, figures)
                    self._report(bar)
                if self._passed(config.evaluate_kimg, before):
                    self._judge()
                if self.measured is not None:
                    if self._passed(config.metrics_kimg, before):
                        self._measure(stop)
                    self._log_metrics(self.measured.finished())
                if self._passed(config.sample_kimg, before):
                    self._picture()
                if self._passed(config.save_kimg, before):
                    self._try_to_save()
            self._report(bar, last=True)
        self._save()
        if gone is not None:
            self.journal.write("stop", images=trainer.images_seen, finished=False, problem=str(gone))
            raise DataError(f"{gone}. Saved; go on with: glissando train gan --resume {self.out}")
        self._picture()
        if self.measured is not None:
            # Who asked the run to stop does not wait for figures; a run that is over does.
            self._log_metrics(self.measured.close(patience=5.0 if stop.requested else None))
        finished = trainer.images_seen >= self.total
        self.journal.write("stop", images=trainer.images_seen, finished=finished)
        return finished

    def _wait_for_pictures(self, stop: Interrupt) -> DataError | None:
        """Why the next step's pictures cannot be had, if so; nothing has changed then."""
        try:
            self.trainer.prefetcher.ready(self.trainer.batches_per_step, lambda: stop.requested)
        except DataError as error:
            return error
        return None

    def _obey(self, stop: Interrupt) -> None:
        """Do what somebody asked for through the control file, on all ranks alike."""

        def evaluate() -> None:
            if not self.config.evaluate_kimg and self.measured is None:
                raise ControlError("this run is not evaluated: both evaluate_kimg and metrics_kimg are 0")
            self._judge()
            self._measure(stop)

        def finish() -> None:
            stop.requested = True

        obey(
            self.ranks.broadcast(self.control.take()),
            self.opened,
            self.journal.write,
            actions={"snapshot": self._picture, "evaluate": evaluate, "stop": finish},
            changed=self.changed,
        )

    def _judge(self) -> None:
        """Attribute accuracies on Postcards prompts, by the first rank."""
        if self.judge is not None:
            method = self.opened.method
            figures = quick_eval(method.render, self.judge, z_dim=method.z_dim, resolution=self.config.resolution)
            self.journal.write("evaluate", images=self.trainer.images_seen, **figures)

    def _measure(self, stop: Interrupt) -> None:
        """Metrics, drawn by all ranks; the figures come later."""
        if self.measured is not None:
            self.measured.measure(
                self.opened.method.render,
                self.snapshots.candidate,
                images=self.trainer.images_seen,
                stopped=lambda: stop.requested,
            )

    def _log_metrics(self, finished: Sequence[Finished]) -> None:
        for evaluation in finished:
            self.journal.write("evaluate", images=evaluation.images, **evaluation.figures)

    def _step(self) -> dict[str, Tensor]:
        """A step of the trainer. Raises `RunError` that says what would fit when it runs out of memory."""
        try:
            return self.trainer.step()
        except (RuntimeError, MemoryError) as error:
            if not memory.is_out_of_memory(error):
                raise
        # Outside of the handler, whose traceback holds on to the step's tensors.
        problem = memory.explain(self.opened, str(self.out))
        self.journal.write("stop", images=self.trainer.images_seen, finished=False, problem=str(problem))
        raise problem

    def _report(self, bar: tqdm[Any], *, last: bool = False) -> None:
        """Log the rows that have arrived. Raises `RunError` when updates have been skipped for too long."""
        for row in self._figures.take(last=last):
            figures = {name: round(value, 5) for name, value in row.read().items()}
            in_a_row, skipped = figures.pop("skipped_in_a_row"), figures["skipped"]
            self.journal.write("train", images=row.images, images_per_s=round(row.speed, 2), **figures)
            bar.set_postfix({name: f"{value:.2f}" for name, value in figures.items()})
            if in_a_row:
                self.journal.write("skip", images=row.images, in_a_row=int(in_a_row), skipped=int(skipped))
            if in_a_row >= self.config.skips:
                message = (
                    f"{self.out}: the loss was not a finite number in the last {int(in_a_row)} updates, all skipped; "
                    f"the state from before is kept: go on with `glissando train gan --resume {self.out} --set "
                    "learning_rate_g=X --set learning_rate_d=Y`, both lower, or with precision=float32"
                )
                self.journal.write("stop", images=row.images, finished=False, problem=message)
                raise RunError(message)

    def _try_to_save(self) -> None:
        try:
            self._save()
        except StateError as error:
            self.journal.trouble("save", f"{error}; the run goes on and tries again", images=self.trainer.images_seen)

    def _save(self) -> None:
        """The whole state, on all ranks together, unless the latest updates had to be skipped."""
        if self.trainer.in_trouble():
            return
        clock = time.perf_counter()
        save_state(self.out, self.trainer.state_dict(), self.ranks)
        seconds = round(time.perf_counter() - clock, 3)
        self.journal.write("save", images=self.trainer.images_seen, seconds=seconds)

    def _picture(self) -> None:
        """Sample grid and snapshot, by the first rank."""
        if not self.ranks.first:
            return
        try:
            self.snapshots.write()
        except (OSError, CheckpointError) as error:
            self.journal.trouble(
                "save", f"{self.out}: no snapshot ({error}); the run goes on", images=self.trainer.images_seen
            )

    def _passed(self, every_kimg: float, before: int) -> bool:
        every = every_kimg * 1000
        return every > 0 and int(self.trainer.images_seen // every) > int(before // every)


def describe(run: OpenRun) -> dict[str, Any]:
    """What the log says of a run as it starts."""
    trainer = run.trainer
    return {
        "images": trainer.images_seen,
        "method": run.config.method,
        "config": run.config.to_json(),
        "pictures": len(run.data),
        "threads": torch.get_num_threads(),
        "ranks": trainer.ranks.world,
        "micro_batch": trainer.plan.micro,
        "dtype": str(trainer.dtype).removeprefix("torch."),
    }
