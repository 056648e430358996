"""The library: known models, each with a thumbnail that is rendered once, in the background. No GUI here.

They are the bundled one, those opened before, and whatever lies in the folders that the person added. A picture is kept
in the cache folder under the file's path, size and time, so a changed file is drawn anew; so is the reason why a file
has none.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

SUFFIXES = (".safetensors", ".pkl", ".pt")
MOST_FILES = 500
PICTURE_SECONDS = 300.0

Draw = Callable[[Path, Path], str | None]
"""(model, picture to write) -> why there is none."""


@dataclass(frozen=True)
class LibraryEntry:
    """One model."""

    path: Path
    picture: Path | None = None
    """A PNG; None while there is none yet, or when there cannot be one."""
    problem: str | None = None
    """Why there is none."""


def draw_in_a_process(model: Path, picture: Path) -> str | None:
    """Render a model's thumbnail by `app.thumbnail`; returns the error, if any."""
    command = [sys.executable, "-m", "app.thumbnail", str(model), str(picture)]
    # One thread: the window's own pictures go first.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PICTURE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"])[-1][:500]


class Library:
    """Looks for models and draws their pictures on a thread that begins with the first `look`. `close` it."""

    def __init__(self, cache: Path, draw: Draw = draw_in_a_process) -> None:
        self._cache, self._draw = cache, draw
        self._lock = threading.Condition()
        self._wanted: tuple[Sequence[Path], Sequence[Path], bool] | None = None
        self._entries: tuple[LibraryEntry, ...] = ()
        self._closed = False
        self._busy = False
        self._thread: threading.Thread | None = None

    @property
    def entries(self) -> tuple[LibraryEntry, ...]:
        """What was found by now: files that were named first, then those in folders by name."""
        with self._lock:
            return self._entries

    @property
    def busy(self) -> bool:
        """Whether it is still looking or drawing."""
        with self._lock:
            return self._busy or self._wanted is not None

    def look(self, files: Sequence[Path], folders: Sequence[Path], *, retry: bool = False) -> None:
        """Find these files and what lies in these folders, and draw what has no picture; with `retry` also what could
        not be drawn before. Returns at once.
        """
        with self._lock:
            self._wanted = (tuple(files), tuple(folders), retry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="library", daemon=True)
                self._thread.start()
            self._lock.notify()

    def close(self) -> None:
        """Draw nothing more. A picture being drawn is left to its process."""
        with self._lock:
            self._closed = True
            self._lock.notify()

    def _run(self) -> None:
        while True:
            with self._lock:
                while self._wanted is None and not self._closed:
                    self._busy = False
                    self._lock.wait()
                if self._closed or self._wanted is None:
                    return
                (files, folders, retry), self._wanted = self._wanted, None
                self._busy = True
            found = [self._known(path, retry) for path in _find(files, folders)]
            self._publish(found)
            for index, entry in enumerate(found):
                if entry.picture is not None or entry.problem is not None:
                    continue
                if self._interrupted():
                    break
                found[index] = self._drawn(entry.path)
                self._publish(found)

    def _interrupted(self) -> bool:
        with self._lock:
            return self._closed or self._wanted is not None

    def _publish(self, found: list[LibraryEntry]) -> None:
        with self._lock:
            self._entries = tuple(found)

    def _known(self, path: Path, retry: bool) -> LibraryEntry:
        picture, reason = self._kept(path)
        if picture.is_file():
            return LibraryEntry(path, picture)
        if retry:
            return LibraryEntry(path)
        try:
            return LibraryEntry(path, problem=reason.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return LibraryEntry(path)

    def _drawn(self, path: Path) -> LibraryEntry:
        picture, reason = self._kept(path)
        try:
            picture.parent.mkdir(parents=True, exist_ok=True)
            problem = self._draw(path, picture)
            if problem is not None:
                log.warning("no picture of %s: %s", path, problem)
                reason.write_text(problem, encoding="utf-8")
        except OSError as error:
            problem = str(error)
        return LibraryEntry(path, problem=problem) if problem is not None else LibraryEntry(path, picture)

    def _kept(self, path: Path) -> tuple[Path, Path]:
        """Where the picture of a file is kept, and the reason why there is none."""
        try:
            status = path.stat()
            mark = f"{path}|{status.st_size}|{status.st_mtime_ns}"
        except OSError:
            mark = f"{path}|gone"
        name = hashlib.sha256(mark.encode("utf-8", errors="surrogatepass")).hexdigest()[:32]
        return self._cache / f"{name}.png", self._cache / f"{name}.txt"


def _find(files: Sequence[Path], folders: Sequence[Path]) -> list[Path]:
    found = dict.fromkeys(path for path in files if path.is_file())
    for folder in folders:
        try:
            inside = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
        except OSError as error:
            log.warning("library folder %s: %s", folder, error)
            continue
        found |= dict.fromkeys(inside)
    return list(found)[:MOST_FILES]
