"""Files that commands write besides pictures and videos."""

from __future__ import annotations

import json
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
