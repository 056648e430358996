"""Trains in the background: `glissando train gan` as a child process, and what its log says. No GUI and no torch here.

What the child prints goes to a file and not through a pipe: it must be able to save and end after the window has gone.
"""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from app.runs import CONFIG, LOG
from core.run_control import send
from core.runlog import LogTail

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "app.cli", "train", "gan")

RECIPES: Mapping[str, str] = {
    "postcards": "64 px from a run of postcards-32; hours on two cores.",
    "postcards-32": "32 px; 45 minutes on two cores.",
    "tiny": "32 px; the first pictures within a minute on two cores.",
    "lite-64": "The paper's smaller model at 64 px; needs a CUDA card.",
    "full-64": "The paper's model at 64 px; needs large CUDA cards.",
    "grow": "Goes on from a run at twice its size.",
    "text-encoder": "Goes on from a run and trains its text encoder.",
    "fine-tune": "Goes on from a checkpoint with pictures of your own.",
}
"""The trainer's recipes, which the app knows by name only."""

CURVE = 600
"""Points of a curve that are kept; every second one is dropped when there are more."""
BACK = 1 << 19
"""So many bytes of a resumed run's log are read again, for the curves."""
SAVING_S = 30.0
"""How long closing waits for the child to save; after that it does so alone."""
NICENESS = 5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to train. Texts as they are typed; the trainer says what is wrong with them."""

    recipe: str = "tiny"
    data: str = ""
    clip: str = ""
    start: str = ""
    out: str = ""

    def arguments(self) -> list[str]:
        """For `glissando train gan`: a new run, or the one that the folder `out` holds already."""
        if self.resumes:
            return [f"--resume={self.run}"]
        words = [f"--recipe={self.recipe}", f"--out={self.run}"]
        for name in ("data", "clip", "start"):
            text = getattr(self, name).strip()
            if text:
                words.append(f"--{name}={os.path.expanduser(text)}")
        return words

    @property
    def run(self) -> Path:
        """The run's folder."""
        return Path(self.out.strip()).expanduser()

    @property
    def resumes(self) -> bool:
        """Whether the folder holds a run to go on with."""
        return bool(self.out.strip()) and (self.run / CONFIG).is_file()


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a training ended."""

    run: Path
    problem: str | None
    """Why it did not go well."""
    images: int | None
    stopped: bool
    """Whether it was asked to."""


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

    def take(self, row: Mapping[str, Any]) -> None:
        """One row of the log. What it should not hold is passed over."""
        images = row.get("images")
        if not isinstance(images, int) or row.get("kind") not in ("start", "train", "evaluate", "stop"):
            return
        self.images = images
        values = {name: number for name, value in row.items() if (number := _number(value)) is not None}
        figures = {name: value for name, value in values.items() if name not in ("time", "images", "images_per_s")}
        if row["kind"] == "train":
            self.images_per_s, self.newest = values.get("images_per_s"), figures
            for name in ("loss_d", "loss_g"):
                if math.isfinite(figures.get(name, math.nan)):
                    self._add(name, images, figures[name])
        elif row["kind"] == "evaluate":
            self.evaluated = images, figures

    def _add(self, name: str, images: int, value: float) -> None:
        curve = self.curves.setdefault(name, [])
        while curve and curve[-1][0] >= images:  # a resumed run repeats what it had not saved
            curve.pop()
        curve.append((images, value))
        if len(curve) > CURVE:
            del curve[1::2]


class Trainer:
    """One training at a time. Belongs to the UI thread; `close` it."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        self._tail: LogTail | None = None
        self.run: Path | None = None
        """The folder of the training that goes on, or of the last one."""
        self.stopping = False
        self.progress = Progress()

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self, plan: Plan) -> str | None:
        """Begin or resume a run; why that did not work, if so. Nothing while one goes on."""
        if self.running:
            return None
        run = plan.run.absolute()
        words = [*self._command, *plan.arguments()]
        # The curve that it would draw in a terminal fills a file.
        environment = os.environ | {"TQDM_DISABLE": "1", "PYTHONIOENCODING": "utf-8"}
        self.run, self.stopping, self.progress = run, False, Progress()
        self._tail = LogTail(run / LOG, BACK if plan.resumes else 0)
        output = tempfile.TemporaryFile()  # noqa: SIM115 - stays open as long as the child
        try:
            self._process = subprocess.Popen(
                words,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal is the window's; the window stops the child.
                start_new_session=True,
            )
        except OSError as error:
            output.close()
            return f"it did not start: {error}"
        self._output = output
        _let_the_window_go_first(self._process.pid)
        return None

    def stop(self) -> None:
        """Let it save and end. A second call does nothing: a second signal would end it at once."""
        process, run = self._process, self.run
        if process is None or run is None or self.stopping:
            return
        self.stopping = True
        if sys.platform != "win32":
            process.terminate()
            return
        try:
            send(run, "stop")
        except OSError as error:
            log.warning("%s: no command could be left: %s", run, error)
            process.terminate()

    def poll(self) -> Ended | None:
        """Read what is new in the log; how the training ended, once."""
        if self._tail is not None:
            for row in self._tail.read():
                self.progress.take(row)
        process = self._process
        if process is None or process.poll() is None:
            return None
        # What was written between the look at the log and the end.
        if self._tail is not None:
            for row in self._tail.read():
                self.progress.take(row)
        assert self.run is not None
        problem = None if process.returncode == 0 else self._why(process.returncode)
        ended = Ended(run=self.run, problem=problem, images=self.progress.images, stopped=self.stopping)
        self._forget()
        return ended

    def close(self) -> None:
        """Stop what goes on, and wait a while for it to save."""
        process = self._process
        if process is None:
            return
        self.stop()
        try:
            process.wait(SAVING_S)
        except subprocess.TimeoutExpired:
            log.warning("the training in %s is still saving", self.run)
        self._forget()

    def _forget(self) -> None:
        if self._output is not None:
            self._output.close()
        self._process = self._output = self._tail = None
        self.stopping = False

    def _why(self, code: int) -> str:
        """What the child said last."""
        lines: deque[str] = deque(maxlen=40)
        if self._output is not None:
            self._output.seek(0)
            text = (line.decode("utf-8", "replace").strip() for line in self._output)
            lines.extend(line for line in text if line)
        log.warning("training ended with %d:\n%s", code, "\n".join(lines))
        said = [line.removeprefix("glissando: ") for line in lines if line.startswith("glissando: ")]
        if said:
            return said[-1]
        if code < 0:
            return f"it was ended by signal {-code}"
        return lines[-1] if lines else f"it ended with code {code}"


def _number(value: object) -> float | None:
    """A number of the log; those that JSON has no word for stand there as texts."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    return float(value) if value in ("nan", "inf", "-inf") else None  # type: ignore[arg-type]


def _let_the_window_go_first(pid: int) -> None:
    if sys.platform == "win32":
        return
    try:
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
    except OSError as error:  # it may be over already
        log.info("the priority of the training stays as it is: %s", error)
