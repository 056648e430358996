"""Follows a training run: each new snapshot is loaded by itself, and the scene stays as it is. No GUI here.

The trainer replaces RUN/latest.safetensors whole. A look is a stat about once a second; the file is read only when
that says something new. A file that is half there, or not at all, is waited for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from app.document.history import History
from app.explorer.messages import Messages
from app.explorer.rendering.model_loader import ModelLoader
from app.explorer.rendering.render_thread import Failed, Loaded, RenderThread
from app.runs import LATEST, amount, is_run
from core.checkpoints import read_header

log = logging.getLogger(__name__)

LOOK_S = 1.0

Stamp = tuple[int, int, int]
"""Inode, size and time of change: another one is another file."""


class RunFollower:
    """Follows one run at a time. Belongs to the UI thread; `tick` it once a frame."""

    def __init__(
        self,
        history: History,
        models: ModelLoader,
        thread: RenderThread,
        messages: Messages,
        clock: Callable[[], float],
    ) -> None:
        self._history = history
        self._models = models
        self._thread = thread
        self._messages = messages
        self._clock = clock
        self._run: Path | None = None
        self._on = False
        self._looked = -float("inf")
        self._stamp: Stamp | None = None
        """Of the snapshot that was asked for last."""
        self._asked = False
        """Whether an answer is awaited."""
        self._images: int | None = None
        """How many the snapshot on screen had seen; None while none of this run's is there."""
        self.problem = ""
        """What it waits for, or why the newest snapshot is not on screen."""

    @property
    def on(self) -> bool:
        return self._on

    @property
    def run(self) -> Path | None:
        """The run that is followed, or would be: the last one, or the one whose snapshot is open."""
        path = self._models.path
        if not self._on and path is not None and path.name == LATEST:
            return path.parent
        return self._run

    @property
    def text(self) -> str:
        """For the status bar: "following faces: 208 k images"; "" when nothing is followed."""
        if not self._on or self._run is None:
            return ""
        parts = [] if self._images is None else [f"{amount(self._images)} images"]
        return f"following {self._run.name}: " + ", ".join([*parts, *filter(None, [self.problem])])

    def open(self, folder: Path) -> None:
        """Follow the run in a folder that a person named."""
        folder = folder.expanduser().resolve()
        if is_run(folder):
            self.follow(folder)
        else:
            self._messages.error(
                f"{folder}: expected a file, or the folder of a training run, which holds log.jsonl; got another folder"
            )

    def follow(self, run: Path, *, loading: bool = False) -> None:
        """Show a run's newest snapshot from now on; its first one is waited for. `loading` when the scene names it
        already, so that the session itself loads it.
        """
        self._run, self._on = run, True
        self._looked, self._images, self.problem = -float("inf"), None, ""
        self._stamp, self._asked = _stamp(run / LATEST) if loading else None, loading
        if not (run / LATEST).is_file():
            self._messages.info(f"{run.name} has no snapshot yet; the first one is shown when it comes.")

    def toggle(self) -> None:
        """Off, or on again."""
        run = self.run
        if self._on:
            self._on = False
        elif run is not None:
            self.follow(run)

    def tick(self) -> None:
        """Look for a new snapshot when it is time to."""
        now = self._clock()
        if self._on and now - self._looked >= LOOK_S:
            self._looked = now
            self._look()

    def _look(self) -> None:
        run = self._run
        assert run is not None
        if self._thread.loading is not None or self._asked:
            return
        path = run / LATEST
        if self._images is not None and self._history.scene.checkpoint != str(path):
            self._on = False
            self._messages.info(f"Another model is open: {run.name} is followed no longer.")
            return
        stamp = _stamp(path)
        if stamp is None:
            self.problem = "waiting for its first snapshot" if self._images is None else "the snapshot has gone"
        elif stamp != self._stamp:
            self._stamp = stamp
            if not is_whole(path):
                self.problem = "waiting for a whole snapshot"
                return
            self.problem, self._asked = "", True
            self._models.open_snapshot(path)
        elif self.problem == "the snapshot has gone":
            self.problem = ""  # the same file is back

    # Answers

    def loaded(self, event: Loaded) -> None:
        """A model has come, perhaps this run's."""
        if self._run is not None and event.path == self._run / LATEST:
            self._asked, self._images, self.problem = False, event.info.images_seen, ""

    def expects(self, event: Failed) -> bool:
        """Whether it was a snapshot asked for here that did not load. It is said where it disturbs nobody."""
        if not self._asked or self._run is None or event.path != self._run / LATEST:
            return False
        self._asked = False
        self.problem = "the newest snapshot did not load"
        if self._models.info is None:
            return False  # there is no picture: all the window is free to say why
        self._messages.error(event.message, toast=False)
        return True


def is_whole(path: Path) -> bool:
    """Whether a snapshot is there and complete, as far as its layout tells."""
    try:
        read_header(path)
    except (ValueError, OSError) as error:
        log.info("no whole snapshot: %s", error)
        return False
    return True


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
