"""One process a run: a lock on its folder that the system lets go when its holder dies, however it dies."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from types import TracebackType
from typing import TextIO

from training.errors import RunError

LOCK_NAME = "lock"


class RunLock:
    """Held while entered. Raises `RunError`, which names the process, when another one trains in this folder.

    On Windows, which has no flock, it holds nothing.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self._file: TextIO | None = None

    def __enter__(self) -> RunLock:
        self.run.mkdir(parents=True, exist_ok=True)
        file = open(self.run / LOCK_NAME, "a+", encoding="utf-8")
        if not _lock(file):
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise RunError(f"{self.run}: {holder} is training in this folder; stop it first, or name another folder")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock(file: TextIO) -> bool:
    """Whether the file could be locked at once."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
