"""All actions of the menus, shortcuts and the command palette, each declared once: one module a menu.

No GUI here: shortcuts are texts that the window translates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from app.explorer.actions import edit, file, help, play, prompt, seed, view
from app.explorer.actions.action import Action, ask_window, fixed_label
from app.explorer.session import Session
from app.explorer.ui_state import ShowPanel

_MODULES = (file, edit, prompt, seed, play, view, help)
"""In the order of the menus."""

ACTIONS: tuple[Action, ...] = tuple(action for module in _MODULES for action in module.ACTIONS)

MENUS = tuple(dict.fromkeys(action.menu.partition("/")[0] for action in ACTIONS))

_FOLLOWED_BY: Mapping[str, Callable[[Session], Iterable[Action]]] = {**file.FOLLOWED_BY, **view.FOLLOWED_BY}
"""After some actions, those that depend on what there is."""


def in_menu(menu: str) -> Iterable[Action]:
    """The actions of one menu and of the menus within it, in order."""
    return (action for action in ACTIONS if action.menu.partition("/")[0] == menu)


def run_live(session: Session) -> None:
    """Once a frame: run the actions requested by OSC, MIDI and beats."""
    for action_id in session.live.take_actions():
        action = by_id(action_id)
        if action.enabled(session):
            action.run(session)


def by_id(action_id: str) -> Action:
    """The action with this id; a KeyError names a programming mistake."""
    return {action.id: action for action in ACTIONS}[action_id]


def all_actions(session: Session) -> Iterable[Action]:
    """`ACTIONS`, and after some of them the dynamic ones: recent files, panels, monitors, saved layouts."""
    for action in ACTIONS:
        yield action
        if action.id in _FOLLOWED_BY:
            yield from _FOLLOWED_BY[action.id](session)


def for_palette(session: Session) -> list[Action]:
    """The actions of the command palette."""
    return [action for action in all_actions(session) if action.in_palette] + [
        Action(
            id=f"show {title}",
            menu="View/Panels",
            label=fixed_label(f"Show {title}"),
            run=ask_window(ShowPanel(title, True)),
        )
        for title in session.ui.panels
    ]
