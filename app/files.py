"""Files besides pictures and videos: written atomically, or checked before the work."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from app.errors import UserError, reason


def check_writable(path: Path) -> None:
    """Find out before the work, not after it, that a file cannot be written; makes missing folders.

    Raises `UserError`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        existed = path.exists()
        with path.open("ab"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        raise cannot_write(path, error) from error


def write_json(path: Path, values: object) -> None:
    """Write figures for other programs. Raises `UserError` when the file cannot be written."""
    try:
        path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> UserError:
    """The error to raise for a file that cannot be written."""
    return UserError(f"{path}: cannot write it: {reason(error)}; choose another place")


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text`: a reader, also one after a crash, sees the old or the new. Raises `OSError`."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        # A lone surrogate, which a keyboard can send, is no reason to lose the scene.
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
