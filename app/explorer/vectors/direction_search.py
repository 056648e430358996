"""Finds directions in the background: `glissando directions` in a process of its own. No GUI here."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.request import LAYER_LIMIT

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "app.cli", "directions")

Method = Literal["sefa", "ganspace", "styles", "text"]


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What to look for."""

    method: Method
    first: int = 0
    stop: int = LAYER_LIMIT
    count: int = 10
    prompt: str = ""
    text: str = ""
    minus: str = ""
    template: str = "{}"

    def arguments(self) -> list[str]:
        """For `glissando directions`. A value stands in one word with its option: it may begin with a minus."""
        words = [f"--method={self.method}", f"--count={self.count}"]
        if (self.first, self.stop) != (0, LAYER_LIMIT):
            words.append(f"--layers={self.first}-{self.stop - 1}")
        if self.method == "text":
            words += [f"--text={self.text}", f"--minus={self.minus}", f"--template={self.template}"]
        elif self.prompt:
            words.append(f"--prompt={self.prompt}")
        return words


@dataclass(frozen=True)
class SearchResult:
    """How a search ended."""

    problem: str | None
    """Why nothing was found."""
    checkpoint: Path
    out: Path
    """The file that it added to."""


class DirectionSearch:
    """One search at a time. Belongs to the UI thread; `close` it."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = tuple(command)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._stage: tuple[str, int, int] | None = None
        self._result: SearchResult | None = None
        self._cancelled = False

    @property
    def running(self) -> bool:
        with self._lock:
            return self._process is not None

    @property
    def stage(self) -> tuple[str, int, int] | None:
        """(stage, done, total) as the search reported it last."""
        with self._lock:
            return self._stage

    def start(self, checkpoint: Path, out: Path, search: SearchOptions) -> None:
        """Look for directions of a model and add them to the file `out`. Nothing while a search is running."""
        if self.running:
            return
        words = [*self._command, str(checkpoint), *search.arguments(), f"--out={out}", "--background"]
        # One thread: the window's own pictures go first.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
        self._stage, self._result, self._cancelled = None, None, False
        try:
            process = subprocess.Popen(
                words,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            self._result = SearchResult(f"it did not start: {error}", checkpoint, out)
            return
        self._process = process
        threading.Thread(target=self._follow, args=(process, checkpoint, out), name="finder", daemon=True).start()

    def cancel(self) -> None:
        """End the search; what it has not saved by then it does not save."""
        with self._lock:
            if self._process is not None:
                self._cancelled = True
                self._process.terminate()

    def take_result(self) -> SearchResult | None:
        """How the search ended, once; None while it runs, and for one that was cancelled."""
        with self._lock:
            result, self._result = self._result, None
            return result

    def close(self) -> None:
        """Cancel what is running and wait for its end."""
        process = self._process
        self.cancel()
        if process is not None:
            process.wait()

    def _follow(self, process: subprocess.Popen[str], checkpoint: Path, out: Path) -> None:
        assert process.stdout is not None
        last: deque[str] = deque(maxlen=20)
        with process.stdout as lines:
            for line in lines:
                stage = _stage(line)
                if stage is None:
                    last.append(line.rstrip())
                    continue
                with self._lock:
                    self._stage = stage
        code = process.wait()
        problem = None
        if code != 0:
            log.warning("finding directions ended with %d:\n%s", code, "\n".join(last))
            said = [line.removeprefix("glissando: ") for line in last if line.startswith("glissando: ")]
            problem = (said or [f"it ended with code {code}"])[-1]
        with self._lock:
            self._process = None
            self._result = None if self._cancelled and code != 0 else SearchResult(problem, checkpoint, out)


def _stage(line: str) -> tuple[str, int, int] | None:
    """What a line of `--background` says; None for any other."""
    parts = line.rstrip("\n").split("\t")
    if len(parts) == 4 and parts[0] == "progress" and parts[2].isdigit() and parts[3].isdigit():
        return parts[1], int(parts[2]), int(parts[3])
    return None
