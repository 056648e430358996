"""The Help menu."""

from __future__ import annotations

from app.explorer.actions.action import Action, fixed_label
from app.explorer.session import Session


def _toggle_palette(session: Session) -> None:
    session.ui.palette = not session.ui.palette


def _toggle_shortcuts(session: Session) -> None:
    session.ui.shortcuts = not session.ui.shortcuts


ACTIONS: tuple[Action, ...] = (
    Action(
        id="palette",
        menu="Help",
        label=fixed_label("Command palette…"),
        run=_toggle_palette,
        shortcut="Ctrl+K",
        in_palette=False,
        tooltip="Find anything that can be done by some letters of its name.",
    ),
    Action(
        id="shortcuts",
        menu="Help",
        label=fixed_label("Shortcuts and gestures"),
        run=_toggle_shortcuts,
        shortcut="F1",
        also="?",
        tooltip="All shortcuts, and what the mouse can do. The key ? opens it as well.",
    ),
)
