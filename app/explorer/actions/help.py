"""The Help menu."""

from __future__ import annotations

from app.explorer.actions.action import Action, says
from app.explorer.session import Session


def _toggle_palette(session: Session) -> None:
    session.desk.palette = not session.desk.palette


def _toggle_shortcuts(session: Session) -> None:
    session.desk.shortcuts = not session.desk.shortcuts


ACTIONS: tuple[Action, ...] = (
    Action(
        id="palette",
        menu="Help",
        label=says("Command palette…"),
        run=_toggle_palette,
        shortcut="Ctrl+K",
        in_palette=False,
        tooltip="Find anything that can be done by some letters of its name.",
    ),
    Action(
        id="shortcuts",
        menu="Help",
        label=says("Shortcuts and gestures"),
        run=_toggle_shortcuts,
        shortcut="F1",
        also="?",
        tooltip="All shortcuts, and what the mouse can do. The key ? opens it as well.",
    ),
)
