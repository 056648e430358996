"""Arrangements of the panels, kept under names as small JSON files. No GUI here."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from app.files import write_atomically

VERSION = 1
LONGEST_NAME = 40
_LARGEST_FILE = 1_000_000


class LayoutError(ValueError):
    """A layout that cannot be kept or used; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the panels are, and which are shown."""

    docking: str
    """As the GUI library writes it."""
    panels: dict[str, bool]
    """For each panel's title, whether it is shown."""


class Layouts:
    """The layouts in one folder, which is made when the first one is saved."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> tuple[str, ...]:
        """The saved layouts, by name."""
        try:
            return tuple(sorted(path.stem for path in self._folder.glob("*.json")))
        except OSError:
            return ()

    def save(self, name: str, layout: Layout) -> None:
        """Raises `LayoutError`."""
        path = self._path(name)
        data = {"layout": VERSION, "panels": layout.panels, "docking": layout.docking}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(data, ensure_ascii=False, indent=1))
        except OSError as error:
            raise LayoutError(f"The layout was not saved: {path}: {error.strerror or error}") from error

    def load(self, name: str) -> Layout:
        """Raises `LayoutError`."""
        path = self._path(name)
        try:
            if path.stat().st_size > _LARGEST_FILE:
                raise LayoutError(f"{path}: expected a layout, got a file of more than {_LARGEST_FILE} bytes")
            data = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise LayoutError(f"The layout was not loaded: {path}: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:
            raise LayoutError(f"{path}: expected a layout in JSON: {error}") from error
        if not isinstance(data, dict) or data.get("layout") != VERSION:
            raise LayoutError(f'{path}: expected a layout of version {VERSION} under "layout"')
        panels, docking = data.get("panels"), data.get("docking")
        if not isinstance(panels, dict) or not all(type(shown) is bool for shown in panels.values()):
            raise LayoutError(f"{path}: panels: expected true or false for each panel, got {panels!r}")
        if not isinstance(docking, str) or "\0" in docking:
            raise LayoutError(f"{path}: docking: expected text, got {type(docking).__name__}")
        return Layout(docking=docking, panels=panels)

    def delete(self, name: str) -> None:
        """Raises `LayoutError`."""
        path = self._path(name)
        try:
            path.unlink()
        except OSError as error:
            raise LayoutError(f"The layout was not deleted: {path}: {error.strerror or error}") from error

    def _path(self, name: str) -> Path:
        problem = why_no_name(name)
        if problem is not None:
            raise LayoutError(problem)
        return self._folder / f"{name}.json"


def why_no_name(name: str) -> str | None:
    """Why a layout cannot be called so; None when it can."""
    if not name.strip() or name != name.strip():
        return "A layout needs a name, without spaces around it."
    if len(name) > LONGEST_NAME:
        return f"A layout's name has at most {LONGEST_NAME} letters; this has {len(name)}."
    # A file's name on every system.
    if not re.fullmatch(r"[\w](?:[\w .,()+-]*[\w)+])?", name):
        return "A layout's name has letters, digits, spaces and . , ( ) + - _ only, and begins and ends with a letter."
    return None
