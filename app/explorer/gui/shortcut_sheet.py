"""A sheet of all shortcuts, mouse gestures and technical terms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from imgui_bundle import ImVec2, imgui

from app.explorer.actions import MENUS, in_menu
from app.explorer.actions.action import Action
from app.explorer.gui import theme
from app.explorer.gui.gestures import GESTURES
from app.explorer.gui.glossary import WORDS
from app.explorer.gui.widgets import dim_text
from app.explorer.session import Session

TITLE = "Shortcuts and gestures"
WIDTH_EM = 54.0


class ShortcutSheet:
    """Drawn while `session.ui.shortcuts` says so; a click beside it, Escape, or the key again closes it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def draw(self) -> None:
        ui = self._session.ui
        if ui.shortcuts and not imgui.is_popup_open(TITLE):
            imgui.open_popup(TITLE)
        viewport = imgui.get_main_viewport()
        em = imgui.get_font_size()
        width = min(em * WIDTH_EM, viewport.work_size.x - 2 * em)
        imgui.set_next_window_pos(viewport.get_center(), imgui.Cond_.always, ImVec2(0.5, 0.5))
        imgui.set_next_window_size_constraints(ImVec2(width, 0), ImVec2(width, viewport.work_size.y - em))
        flags = imgui.WindowFlags_.no_move | imgui.WindowFlags_.no_resize | imgui.WindowFlags_.no_saved_settings
        if not imgui.begin_popup(TITLE, flags):
            ui.shortcuts = False
            return
        if not ui.shortcuts or imgui.is_key_pressed(imgui.Key.escape):
            ui.shortcuts = False
            imgui.close_current_popup()
        self._inside()
        imgui.end_popup()

    def _inside(self) -> None:
        if imgui.begin_table("##sheet", 2, imgui.TableFlags_.sizing_stretch_same | imgui.TableFlags_.pad_outer_x):
            imgui.table_next_column()
            for menu in MENUS:
                rows = self._rows([action for action in in_menu(menu) if action.shortcut])
                if rows:
                    _section(menu, rows, 10.0)
            imgui.table_next_column()
            _section("Mouse", GESTURES, 12.5)
            _section("Words", WORDS, 4.0)
            imgui.end_table()

    def _rows(self, actions: Sequence[Action]) -> list[tuple[str, str]]:
        """(keys, label) for each action; a submenu, such as the nine quick prompts, has one row."""
        rows = []
        for menu, group in groupby(actions, lambda action: action.menu):
            members = list(group)
            if "/" in menu and len(members) > 2:
                rows.append((f"{members[0].shortcut} to {members[-1].shortcut}", menu.rpartition("/")[2]))
            else:
                rows += [(_keys(action.shortcut, action.also), action.label(self._session)) for action in members]
        return rows


def _keys(shortcut: str, also: str) -> str:
    return f"{shortcut}  or  {also}" if also else shortcut


def _section(title: str, rows: Iterable[tuple[str, str]], em: float) -> None:
    """A heading, and rows of a key and what it does; `em` is the keys' width."""
    imgui.push_style_color(imgui.Col_.text, theme.colour.accent_hover)
    imgui.text_unformatted(title)
    imgui.pop_style_color()
    left = imgui.get_cursor_pos_x()
    width = imgui.get_content_region_avail().x
    gap = imgui.get_font_size() * 0.8
    for keys, what in rows:
        y = imgui.get_cursor_pos_y()
        imgui.push_text_wrap_pos(left + imgui.get_font_size() * em)
        dim_text(keys)
        imgui.pop_text_wrap_pos()
        below = imgui.get_cursor_pos_y()
        imgui.set_cursor_pos(ImVec2(left + imgui.get_font_size() * em + gap, y))
        imgui.push_text_wrap_pos(left + width)
        imgui.text_unformatted(what)
        imgui.pop_text_wrap_pos()
        imgui.set_cursor_pos(ImVec2(left, max(below, imgui.get_cursor_pos_y())))
    imgui.dummy(ImVec2(0, imgui.get_text_line_height() * 0.4))
