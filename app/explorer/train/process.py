"""Trains in the background: `glissando train gan` as a child process. No GUI and no torch here.

What the child prints goes to a file and not through a pipe: it must be able to save and end after the window has gone.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from app.explorer.train.plan import TrainingPlan
from core.run_control import send

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "app.cli", "train", "gan")

_COMPLAINT = re.compile(r"glissando(?: train gan: error)?: (.+)")

SAVING_S = 30.0
"""How long closing waits for the child to save; after that it does so alone."""
NICENESS = 5


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """How a training ended."""

    run: Path
    problem: str | None
    """Why it did not go well."""
    stopped: bool
    """Whether it was asked to."""


class TrainingProcess:
    """One training at a time. Belongs to the UI thread; `close` it."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        self.run: Path | None = None
        """The folder of the training that goes on, or of the last one."""
        self.stopping = False

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self, plan: TrainingPlan) -> str | None:
        """Begin or resume a run; why that did not work, if so. Nothing while one goes on."""
        if self.running:
            return None
        try:
            words = [*self._command, *plan.arguments()]
        except ValueError as error:
            return str(error)
        # The curve that it would draw in a terminal fills a file.
        environment = os.environ | {"TQDM_DISABLE": "1", "PYTHONIOENCODING": "utf-8"}
        self.run, self.stopping = plan.run.absolute(), False
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
        if sys.platform == "win32":
            try:
                send(run, "stop")
                return
            except OSError as error:
                log.warning("%s: no command could be left: %s", run, error)
        process.terminate()

    def poll(self) -> TrainingResult | None:
        """How the training ended, once."""
        process = self._process
        if process is None or process.poll() is None:
            return None
        assert self.run is not None
        problem = None if process.returncode == 0 else self._why(process.returncode)
        ended = TrainingResult(run=self.run, problem=problem, stopped=self.stopping)
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
        self._process = self._output = None
        self.stopping = False

    def _why(self, code: int) -> str:
        """What the child said last."""
        lines: deque[str] = deque(maxlen=40)
        if self._output is not None:
            self._output.seek(0)
            text = (line.decode("utf-8", "replace").strip() for line in self._output)
            lines.extend(line for line in text if line)
        log.warning("training ended with %d:\n%s", code, "\n".join(lines))
        said = [found[1] for line in lines if (found := _COMPLAINT.fullmatch(line))]
        if said:
            return said[-1]
        if code < 0:
            return f"it was ended by signal {-code}"
        return lines[-1] if lines else f"it ended with code {code}"


def _let_the_window_go_first(pid: int) -> None:
    if sys.platform == "win32":
        return
    try:
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
    except OSError as error:  # it may be over already
        log.info("the priority of the training stays as it is: %s", error)
