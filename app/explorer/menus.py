"""The menu bar and the shortcuts, both made from `actions.ACTIONS`."""

from __future__ import annotations

from pathlib import Path

from imgui_bundle import hello_imgui, imgui

from app.explorer.actions import ACTIONS, MENUS, in_menu
from app.explorer.session import Session
from app.explorer.widgets import tooltip

_MODIFIERS = {"Ctrl": imgui.Key.mod_ctrl, "Shift": imgui.Key.mod_shift, "Alt": imgui.Key.mod_alt}
_KEYS = {
    "=": imgui.Key.equal,
    "-": imgui.Key.minus,
    ",": imgui.Key.comma,
    ".": imgui.Key.period,
    "`": imgui.Key.grave_accent,
    **{str(i): getattr(imgui.Key, f"_{i}") for i in range(10)},
}


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
    """Once a frame: do what the keys say. Shortcuts without Ctrl rest while a text field is in use."""
    for action in ACTIONS:
        for shortcut in filter(None, (action.shortcut, action.also)):
            with_ctrl = shortcut.startswith("Ctrl+")
            if not with_ctrl and imgui.get_io().want_text_input:
                continue
            flags = imgui.InputFlags_.route_global
            if with_ctrl:
                flags |= imgui.InputFlags_.route_over_active
            if action.repeat:
                flags |= imgui.InputFlags_.repeat
            if imgui.shortcut(key_chord(shortcut), flags) and action.enabled(session):
                action.run(session)


def draw_menus(session: Session, params: hello_imgui.RunnerParams) -> None:
    """The menu bar's entries: the actions, recent checkpoints, and which panels are shown."""
    for menu in MENUS:
        if not imgui.begin_menu(menu):
            continue
        for action in in_menu(menu):
            if action.separator:
                imgui.separator()
            label = f"{action.label(session)}###{action.id}"
            if imgui.menu_item(label, action.shortcut, action.checked(session), action.enabled(session))[0]:
                action.run(session)
            tooltip(action.tooltip)
            if action.id == "open":
                _recents(session)
        if menu == "View":
            _panels(params)
        imgui.end_menu()


def _recents(session: Session) -> None:
    recents = session.settings.recents
    if not imgui.begin_menu("Open recent", bool(recents)):
        return
    for name in recents:
        if imgui.menu_item(f"{Path(name).name}###{name}", "", False)[0]:
            session.open_checkpoint(Path(name))
        tooltip(name)
    imgui.end_menu()


def _panels(params: hello_imgui.RunnerParams) -> None:
    imgui.separator()
    for window in params.docking_params.dockable_windows:
        if window.can_be_closed:
            _, window.is_visible = imgui.menu_item(window.label, "", window.is_visible)
    if imgui.menu_item("Default arrangement", "", False)[0]:
        params.docking_params.layout_reset = True
