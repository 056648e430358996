"""The menu bar and the shortcuts, both made from `actions.ACTIONS`."""

from __future__ import annotations

from collections.abc import Sequence

from imgui_bundle import imgui

from app.explorer.actions import ACTIONS, MENUS, all_actions
from app.explorer.actions.action import Action
from app.explorer.gui.widgets import tooltip
from app.explorer.session import Session

_MODIFIERS = {"Ctrl": imgui.Key.mod_ctrl, "Shift": imgui.Key.mod_shift, "Alt": imgui.Key.mod_alt}
_KEYS = {
    "=": imgui.Key.equal,
    "-": imgui.Key.minus,
    ",": imgui.Key.comma,
    ".": imgui.Key.period,
    "`": imgui.Key.grave_accent,
    "Left": imgui.Key.left_arrow,
    "Right": imgui.Key.right_arrow,
    "Up": imgui.Key.up_arrow,
    "Down": imgui.Key.down_arrow,
    **{str(i): getattr(imgui.Key, f"_{i}") for i in range(10)},
    **{name: getattr(imgui.Key, f"{name.lower()}_arrow") for name in ("Left", "Right", "Up", "Down")},
}
# Typed rather than pressed: which keys make it depends on the keyboard.
_CHARACTERS = ("?",)


def key_chord(shortcut: str) -> int:
    """ "Ctrl+Shift+Z" as ImGui's number. Raises `ValueError` for a key that ImGui does not know."""
    *modifiers, key = shortcut.split("+")
    named = _KEYS.get(key) or getattr(imgui.Key, key.lower(), None)
    if named is None or any(name not in _MODIFIERS for name in modifiers):
        raise ValueError(f"shortcut {shortcut!r}: expected keys such as Ctrl+Shift+Z")
    chord = int(named)
    for name in modifiers:
        chord |= int(_MODIFIERS[name])
    return chord


def run_shortcuts(session: Session) -> None:
    """Once a frame: run the actions of pressed shortcuts; without Ctrl or Alt not while a text field is active."""
    for action in ACTIONS:
        for shortcut in filter(None, (action.shortcut, action.also)):
            if _pressed(shortcut, repeat=action.repeat) and action.enabled(session):
                action.run(session)


def _pressed(shortcut: str, *, repeat: bool) -> bool:
    if shortcut in _CHARACTERS:
        return not imgui.get_io().want_text_input and ord(shortcut) in imgui.get_io().input_queue_characters
    chord = key_chord(shortcut)
    if shortcut.startswith("Alt+"):
        # A text field owns the arrow keys, so that the routing of shortcuts would keep these from us.
        key = imgui.Key(chord & ~int(imgui.Key.mod_mask_))
        return imgui.get_io().key_mods == int(imgui.Key.mod_alt) and bool(imgui.is_key_pressed(key, repeat))
    with_ctrl = shortcut.startswith("Ctrl+")
    if not with_ctrl and imgui.get_io().want_text_input:
        return False
    flags = imgui.InputFlags_.route_global
    if with_ctrl:
        flags |= imgui.InputFlags_.route_over_active
    if repeat:
        flags |= imgui.InputFlags_.repeat
    return bool(imgui.shortcut(chord, flags))


def draw_menus(session: Session) -> None:
    """The menu bar's entries."""
    for menu in MENUS:
        if imgui.begin_menu(menu):
            _entries(session, menu, [a for a in all_actions(session) if f"{a.menu}/".startswith(f"{menu}/")])
            imgui.end_menu()


def _entries(session: Session, menu: str, actions: Sequence[Action]) -> None:
    """One menu's actions in order; a menu within it stands where its first action does."""
    drawn: set[str] = set()
    for action in actions:
        if action.menu == menu:
            _entry(session, action)
            continue
        name = action.menu.removeprefix(f"{menu}/").partition("/")[0]
        if name in drawn:
            continue
        drawn.add(name)
        if imgui.begin_menu(name):
            inner = f"{menu}/{name}"
            _entries(session, inner, [a for a in actions if f"{a.menu}/".startswith(f"{inner}/")])
            imgui.end_menu()


def _entry(session: Session, action: Action) -> None:
    if action.separator:
        imgui.separator()
    label = f"{action.label(session)}###{action.id}"
    if imgui.menu_item(label, action.shortcut, action.checked(session), action.enabled(session))[0]:
        action.run(session)
    tooltip(action.tooltip)
