"""Crash detection by a locked file, and the last autosaved scenes. No GUI here.

A file in the config folder is there, and locked, while the program runs. One that is there without a lock was left by a
program that did not end well; one with a lock belongs to another window.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from app.document.file import save_scene_file
from app.document.scene import Scene
from app.errors import UserError

log = logging.getLogger(__name__)

KEPT = 20
PAUSE_S = 60.0
_MARK = "running"


class CrashRecovery:
    """Belongs to one session; `close` it when it ends well."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._last = -float("inf")
        self._mark: int | None = None
        self.ended_badly = False
        """Whether the last session did not end well."""
        try:
            self._take_mark()
        except OSError as error:
            log.warning("no mark of a clean exit: %s", error)

    @property
    def autosaves(self) -> Path:
        """The folder of the last scenes, by the time they were kept."""
        return self._folder / "autosaves"

    def newest(self) -> Path:
        """The last scene that was kept; the folder where there is none."""
        kept = sorted(self.autosaves.glob("*.json"), key=_age)
        return kept[-1] if kept else self.autosaves

    def keep(self, scene: Scene, *, now: bool = False) -> None:
        """Keep a scene beside the earlier ones: one a minute at most, unless it must be `now`."""
        if not now and self._clock() - self._last < PAUSE_S:
            return
        self._last = self._clock()
        name = time.strftime("%Y-%m-%d %H.%M.%S")
        path = self.autosaves / f"{name}.json"
        number = 2
        while path.exists():
            path = self.autosaves / f"{name} ({number}).json"
            number += 1
        try:
            save_scene_file(path, scene)
            for old in sorted(self.autosaves.glob("*.json"), key=_age)[:-KEPT]:
                old.unlink(missing_ok=True)
        except (UserError, OSError) as error:
            # The scene itself is kept elsewhere, and that would have been said there.
            log.warning("%s", error)

    def close(self) -> None:
        """The session ended well."""
        if self._mark is None:
            return
        mark, self._mark = self._mark, None
        try:
            (self._folder / _MARK).unlink(missing_ok=True)
        except OSError:
            # Windows removes no open file.
            os.close(mark)
            (self._folder / _MARK).unlink(missing_ok=True)
            return
        os.close(mark)

    def _take_mark(self) -> None:
        path = self._folder / _MARK
        was_there = path.exists()
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if not _lock(handle):
            os.close(handle)
            return
        self._mark = handle
        self.ended_badly = was_there


def _age(path: Path) -> tuple[float, str]:
    return path.stat().st_mtime, path.name


def _lock(handle: int) -> bool:
    """Take a lock that ends with the process; False when another one has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
