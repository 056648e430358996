"""Where commands and the window write, by one rule: a file that is there is not replaced unless that was asked for.

A name that the person gave is refused, a name of our own choice gets a number; see `check_writable` and `free_paths`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from app.errors import UserError, reason
from core.files import replacing


def free_path(path: Path) -> Path:
    """`path`, or the first of NAME-2.png, NAME-3.png and so on that is not there."""
    (free,) = free_paths([path])
    return free


def free_paths(paths: Sequence[Path]) -> list[Path]:
    """`paths`, all with the same number behind their names if one of them is there."""
    for number in count(1):
        named = [path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}") for path in paths]
        if not any(os.path.lexists(path) for path in named):
            return named
    raise AssertionError("count ends")


def check_new(path: Path, *, overwrite: bool) -> None:
    """Raise `UserError` for a file that is there, unless it is to be overwritten."""
    if not overwrite and os.path.lexists(path) and not path.is_dir():
        raise UserError(f"{path}: is there already; name another file, or give --overwrite to replace it")


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Find out before the work, not after it, that a file is there already or cannot be written; makes missing folders.

    Raises `UserError`.
    """
    check_new(path, overwrite=overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        existed = path.exists()
        with path.open("ab"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        raise cannot_write(path, error) from error


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text`, flushed to the disk before it takes its place. Raises `OSError`."""
    # A lone surrogate, which a keyboard can send, is no reason to lose the text.
    with replacing(path) as part, part.open("w", encoding="utf-8", errors="replace") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, values: object) -> None:
    """Write figures for other programs. Raises `UserError` when the file cannot be written."""
    try:
        write_atomically(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> UserError:
    """The error to raise for a file that cannot be written."""
    return UserError(f"{path}: cannot write it: {reason(error)}; choose another place")
