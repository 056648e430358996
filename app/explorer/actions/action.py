"""The declaration of an action, and shared implementations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.explorer.session import Session
from app.explorer.ui_state import DialogRequest, UiRequest


@dataclass(frozen=True, kw_only=True)
class Action:
    """An entry of the menus and the palette. `label` may depend on the session, as in "Undo psi"."""

    id: str
    menu: str
    """Such as "File", or "View/Panels" for a menu within it."""
    label: Callable[[Session], str]
    run: Callable[[Session], None]
    shortcut: str = ""
    """Such as "Ctrl+Shift+Z"; on a Mac, Ctrl is Cmd."""
    also: str = ""
    """A second shortcut, not shown."""
    tooltip: str = ""
    enabled: Callable[[Session], bool] = lambda session: True
    checked: Callable[[Session], bool] = lambda session: False
    repeat: bool = False
    """Whether holding the keys repeats it."""
    separator: bool = False
    """Whether a line stands above it in the menu."""
    in_palette: bool = True


def fixed_label(text: str) -> Callable[[Session], str]:
    """A label that does not depend on the session."""
    return lambda session: text


def open_dialog(request: DialogRequest) -> Callable[[Session], None]:
    """Request a file dialog."""

    def run(session: Session) -> None:
        session.ui.dialog_request = request

    return run


def ask_window(request: UiRequest) -> Callable[[Session], None]:
    """Send a request to the window."""
    return lambda session: session.ui.request(request)
