"""The folder of a training run, as far as anybody but the trainer needs to know it. No GUI and no torch here."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

LATEST = "latest.safetensors"
"""The newest snapshot; the trainer replaces it whole."""
BEST = "best.safetensors"
"""The snapshot with the best figures, where a run measures them."""
LOG = "log.jsonl"
CONFIG = "config.toml"
"""Every run that can be gone on with has it."""
LOCK = "lock"
"""Held by the trainer as long as it lives; its text says who that is."""

_HOLDER = re.compile(r"process (\d{1,9}) on (.+)")
_LINE = 1 << 20


def is_run(folder: Path) -> bool:
    """Whether a folder holds a training run, or what is left of one."""
    return any(os.path.isfile(folder / name) for name in (LATEST, LOG, CONFIG))


def run_id(checkpoint: Path) -> str | None:
    """64 digits that are the same for all snapshots of one run, and no other run's; None for a file that is no run's.

    They come from the first line of the log, which holds the time of the start: a run keeps them when it is resumed or
    moved, and another one in its folder has others.
    """
    if checkpoint.name not in (LATEST, BEST):
        return None
    log = checkpoint.parent / LOG
    try:
        if not os.path.isfile(log):
            return None
        with open(log, "rb") as file:
            line = file.readline(_LINE)
    except OSError:
        return None
    return hashlib.sha256(line).hexdigest() if line.endswith(b"\n") else None


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A living trainer, by the lock of its run."""

    who: str
    """ "process 1234 on ada"."""
    since: float
    """When it began, in seconds since the epoch."""


def holder_of(run: Path) -> Holder | None:
    """Who trains in this folder now. Raises nothing.

    None on Windows also while somebody does: the trainer holds no lock there.
    """
    path = run / LOCK
    if sys.platform == "win32" or not os.path.isfile(path):
        return None
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            who = file.read(200).strip()
            since = os.fstat(file.fileno()).st_mtime
            # To see whether it is held is to hold it for an instant, in which a trainer that starts would be refused:
            # that is left alone where the process that is named has gone.
            if not who or _has_gone(who) or not _is_held(file):
                return None
    except OSError:
        return None
    return Holder(who=who, since=since)


def _has_gone(who: str) -> bool:
    """Whether it names a process of this machine that is no more."""
    found = _HOLDER.fullmatch(who)
    if found is None or found[2] != socket.gethostname():
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # somebody else's
    return False


def _is_held(file: TextIO) -> bool:
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def amount(images: int) -> str:
    """ "750", "208 k" or "1.25 M"."""
    if images < 1000:
        return str(images)
    if images < 1_000_000:
        return f"{images / 1000:.3g} k" if images < 100_000 else f"{images // 1000} k"
    return f"{images / 1e6:.2f} M"
