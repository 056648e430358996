"""Where Glissando keeps what it can make again. Standard library only."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CACHE_VARIABLE = "GLISSANDO_CACHE_DIR"


def cache_folder() -> Path:
    """GLISSANDO_CACHE_DIR, or the system's place for such files."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "glissando" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "glissando"
    base = os.environ.get("XDG_CACHE_HOME", "")  # the specification says to ignore a path that is not absolute
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "glissando"
