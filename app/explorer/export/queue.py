"""The export queue: takes and scenes rendered one after another, each in a process of its own. No GUI and no torch.

The process is `glissando render`, at low priority, so that neither the window nor its pictures wait. Jobs are kept in
the config folder; what was not done when the program ended waits there for a word to go on.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Literal

from app.codecs import CODECS
from app.files import write_atomically
from app.rendering import ExportSettings
from core import values

log = logging.getLogger(__name__)

JobState = Literal["waiting", "running", "done", "failed", "cancelled"]
MOST_JOBS = 200
# What is killed after these plays as well; it only ends less neatly.
STOP_SECONDS = 4.0
STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class ExportJob:
    """One export."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    title: str
    source: str
    """A take or a scene file."""
    out: str
    settings: ExportSettings
    state: JobState = "waiting"
    done: int = 0
    total: int = 0
    """Frames; 0 until that is known."""
    message: str = ""
    """Why it failed."""
    begun: bool = False
    """Whether it has ever run, so that a folder of pictures may be filled already."""

    def from_source(self, source: Path) -> ExportJob:
        """This job, of a take or a scene file."""
        return replace(self, source=str(source))


@dataclass(frozen=True, kw_only=True)
class _Kept:
    jobs: tuple[ExportJob, ...] = ()


ProgressCallback = Callable[[int, int], None]
RunJob = Callable[[ExportJob, ProgressCallback, threading.Event], str | None]
"""(job, report(done, total), when to stop) -> why it failed; None only when all is done."""


def command_of(job: ExportJob) -> list[str]:
    """The command line that renders a job."""
    settings = job.settings
    command = [sys.executable, "-m", "app.cli", "render", job.source, "--out", job.out, "--codec", settings.codec]
    command += ["--fps", settings.fps, "--size", str(settings.size), "--speed", str(settings.speed)]
    if settings.loop:
        command.append("--loop")
    if settings.smooth is not None:
        command.append("--smooth" if settings.smooth else "--sharp")
    if job.begun and CODECS[settings.codec].open is None:
        command.append("--resume")
    else:
        command.append("--overwrite")  # the name is the job's own: what is there was left by an earlier try
    return [*command, "--progress-json"]


def run_in_a_process(job: ExportJob, report: ProgressCallback, stop: threading.Event) -> str | None:
    """Render a job by `glissando render`."""
    # On Windows; elsewhere the command itself steps back.
    priority = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)
    try:
        process = subprocess.Popen(
            command_of(job),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            creationflags=priority,
            encoding="utf-8",
            errors="replace",
            env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        )
    except OSError as error:
        return str(error)
    assert process.stdout is not None
    assert process.stderr is not None
    last: deque[str] = deque(maxlen=3)
    readers = [
        threading.Thread(target=_follow, args=(process.stdout, report), daemon=True),
        threading.Thread(target=last.extend, args=(process.stderr,), daemon=True),
    ]
    for reader in readers:
        reader.start()
    while process.poll() is None:
        if stop.wait(0.05):
            _end(process)
    for reader in readers:
        reader.join(STOP_SECONDS)
    process.stdout.close()
    process.stderr.close()
    if process.returncode == 0:
        return None
    if stop.is_set():
        return STOPPED
    said = [line.strip().removeprefix("glissando: ") for line in last if line.strip()]
    return (said or [f"it ended with code {process.returncode}"])[-1][:500]


def _follow(lines: IO[str], report: ProgressCallback) -> None:
    for line in lines:
        try:
            data = json.loads(line)
            if "done" in data:
                report(int(data["done"]), int(data["of"]))
        except (ValueError, TypeError, KeyError):
            log.warning("render said %r", line[:200])


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()  # the command ends its file
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class ExportQueue:
    """Belongs to the UI thread: `tick` it, `close` it."""

    def __init__(self, folder: Path, run: RunJob = run_in_a_process) -> None:
        self._folder = folder
        self._run = run
        self._lock = threading.Lock()
        self._progress: tuple[int, int] | None = None
        self._outcome: tuple[str | None] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._cancelled = False
        self.jobs: tuple[ExportJob, ...] = ()
        self.problem: str | None = None
        """Why the jobs of an earlier session were not read."""
        self._load()
        self.paused = bool(self.waiting)
        """Whether jobs of an earlier session wait for a word to go on."""

    @property
    def scenes(self) -> Path:
        """Where the scenes of jobs are kept."""
        return self._folder / "exports"

    @property
    def waiting(self) -> int:
        """How many jobs are still to be done."""
        return sum(job.state in ("waiting", "running") for job in self.jobs)

    @property
    def busy(self) -> bool:
        return self._thread is not None

    def add(self, job: ExportJob) -> None:
        """To the end of the queue. Raises `ValueError` for a queue that is too long."""
        if len(self.jobs) >= MOST_JOBS:
            raise ValueError(f"exports: expected at most {MOST_JOBS} in the list; remove some")
        self.jobs = (*self.jobs, job)
        self._save()

    def go_on(self) -> None:
        """Do what an earlier session left."""
        self.paused = False

    def cancel(self, job_id: str) -> None:
        """Take a job out of the queue, or stop it; it stays in the list."""
        job = self.find(job_id)
        if job is None:
            return
        if job.state == "running":
            self._cancelled = True
            self._stop.set()
        elif job.state == "waiting":
            self._change(job_id, state="cancelled")

    def retry(self, job_id: str) -> None:
        """Put a failed or cancelled job at the end of the queue."""
        job = self.find(job_id)
        if job is not None and job.state in ("failed", "cancelled"):
            again = replace(job, state="waiting", done=0, message="")
            self.jobs = (*(other for other in self.jobs if other.id != job_id), again)
            self.paused = False
            self._save()

    def remove(self, job_id: str) -> None:
        """Out of the list; what was exported stays."""
        job = self.find(job_id)
        if job is None or job.state == "running":
            return
        self.jobs = tuple(other for other in self.jobs if other.id != job_id)
        if Path(job.source).parent == self.scenes:
            try:
                Path(job.source).unlink(missing_ok=True)
            except OSError as error:
                log.warning("%s stays: %s", job.source, error)
        self._save()

    def forget(self) -> None:
        """Remove what an earlier session left."""
        for job in self.jobs:
            if job.state == "waiting":
                self.remove(job.id)
        self.paused = False

    def tick(self) -> ExportJob | None:
        """Carry on; the job that has just ended, if one has."""
        with self._lock:
            progress, self._progress = self._progress, None
            outcome, self._outcome = self._outcome, None
        running = next((job for job in self.jobs if job.state == "running"), None)
        ended: ExportJob | None = None
        if running is not None and progress is not None:
            self._change(running.id, save=False, done=progress[0], total=progress[1])
        if running is not None and outcome is not None:
            self._thread = None
            state: JobState = "done" if outcome[0] is None else "cancelled" if self._cancelled else "failed"
            ended = self._change(running.id, state=state, message=(outcome[0] or "") if state == "failed" else "")
        if self._thread is None and not self.paused:
            following = next((job for job in self.jobs if job.state == "waiting"), None)
            if following is not None:
                self._begin(following)
        return ended

    def close(self) -> None:
        """Stop what runs; it goes back to the queue, and the next session offers to go on."""
        thread = self._thread
        if thread is not None:
            self._stop.set()
            thread.join(3 * STOP_SECONDS)
            self._put_back()
        self._save()

    def _put_back(self) -> None:
        """What was running waits again, unless it was done or given up just then."""
        with self._lock:
            outcome, self._outcome = self._outcome, None
        self._thread = None
        state: JobState = "waiting"
        if outcome is not None and outcome[0] is None:
            state = "done"
        elif self._cancelled:
            state = "cancelled"
        for job in self.jobs:
            if job.state == "running":
                self._change(job.id, save=False, state=state)

    def _begin(self, job: ExportJob) -> None:
        self._stop = threading.Event()
        self._cancelled = False
        stop = self._stop
        self._change(job.id, state="running", begun=True)

        def report(done: int, total: int) -> None:
            with self._lock:
                self._progress = done, total

        def work() -> None:
            try:
                problem = self._run(job, report, stop)
            except Exception as error:  # whatever it was must end the job, never the thread alone
                log.exception("export of %s", job.source)
                problem = f"{type(error).__name__}: {error}"
            with self._lock:
                self._outcome = (problem,)

        self._thread = threading.Thread(target=work, name="export")
        self._thread.start()

    def find(self, job_id: str) -> ExportJob | None:
        """The job with this id, unless it was removed."""
        return next((job for job in self.jobs if job.id == job_id), None)

    def _change(self, job_id: str, *, save: bool = True, **changes: object) -> ExportJob | None:
        self.jobs = tuple(
            replace(job, **changes) if job.id == job_id else job  # type: ignore[arg-type]
            for job in self.jobs
        )
        if save:
            self._save()
        return self.find(job_id)

    def _load(self) -> None:
        path = self._folder / "exports.json"
        try:
            kept = values.from_json(_Kept, json.loads(path.read_text(encoding="utf-8")), "exports")
        except (FileNotFoundError, NotADirectoryError):
            return
        except (OSError, ValueError, RecursionError) as error:
            self.problem = f"The export queue starts afresh: {path}: {error}"
            return
        self.jobs = tuple(replace(job, state="waiting") if job.state == "running" else job for job in kept.jobs)

    def _save(self) -> None:
        try:
            text = json.dumps(values.to_json(_Kept(jobs=self.jobs)), indent=1)
            write_atomically(self._folder / "exports.json", text)
        except OSError as error:
            log.warning("the export queue is not kept: %s", error)
