"""The command palette: find anything that can be done by some letters of its name, and do it."""

from __future__ import annotations

from dataclasses import dataclass

from imgui_bundle import ImVec2, imgui

from app.explorer.actions import for_palette
from app.explorer.actions.action import Action
from app.explorer.gui import theme
from app.explorer.gui.fuzzy import match
from app.explorer.gui.widgets import dim_text, fitted
from app.explorer.session import Session

TITLE = "Command palette"
WIDTH_EM = 36.0
LINES = 12


@dataclass(frozen=True)
class PaletteMatch:
    """An action that matches the query."""

    action: Action
    label: str
    positions: tuple[int, ...]
    """Positions of the matched letters in the label."""
    score: int


def find(session: Session, query: str) -> list[PaletteMatch]:
    """The actions that match, best first: by the label, or by menu and label together."""
    found = []
    for action in for_palette(session):
        label = action.label(session)
        by_label = match(query, label)
        if by_label is not None:
            found.append(PaletteMatch(action, label, by_label.positions, by_label.score))
            continue
        menu = action.menu.replace("/", " ")
        by_menu = match(query, f"{menu} {label}")
        if by_menu is not None:
            # Behind anything that fits by its own name alike.
            inside = tuple(place - len(menu) - 1 for place in by_menu.positions if place > len(menu))
            found.append(PaletteMatch(action, label, inside, by_menu.score - 10))
    return sorted(found, key=lambda entry: -entry.score)


class CommandPalette:
    """Draws the palette while `session.ui.palette` says so."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._query = ""
        self._chosen = 0

    def draw(self) -> None:
        ui = self._session.ui
        if ui.palette and not imgui.is_popup_open(TITLE):
            self._query, self._chosen = "", 0
            imgui.open_popup(TITLE)
        viewport = imgui.get_main_viewport()
        em = imgui.get_font_size()
        width = min(em * WIDTH_EM, viewport.work_size.x - 2 * em)
        top = ImVec2(viewport.get_center().x, viewport.work_pos.y + viewport.work_size.y * 0.12)
        imgui.set_next_window_pos(top, imgui.Cond_.always, ImVec2(0.5, 0.0))
        imgui.set_next_window_size(ImVec2(width, 0))
        flags = imgui.WindowFlags_.no_title_bar | imgui.WindowFlags_.no_move | imgui.WindowFlags_.no_resize
        if not imgui.begin_popup(TITLE, flags | imgui.WindowFlags_.no_saved_settings):
            ui.palette = False  # a click beside it closes it
            return
        if not ui.palette:
            imgui.close_current_popup()
        self._inside()
        imgui.end_popup()

    def _inside(self) -> None:
        if imgui.is_window_appearing():
            imgui.set_keyboard_focus_here()
        imgui.set_next_item_width(-1)
        # Escape is for closing; without this flag the first press would only take the text back.
        flags = imgui.InputTextFlags_.enter_returns_true | imgui.InputTextFlags_.no_undo_redo
        before = self._query
        entered, self._query = imgui.input_text_with_hint("##query", "What would you like to do?", self._query, flags)
        found = find(self._session, self._query)
        moved = self._query != before
        if moved:
            self._chosen = 0
        if found:
            step = imgui.is_key_pressed(imgui.Key.down_arrow) - imgui.is_key_pressed(imgui.Key.up_arrow)
            page = imgui.is_key_pressed(imgui.Key.page_down) - imgui.is_key_pressed(imgui.Key.page_up)
            if page:
                self._chosen = min(max(self._chosen + page * (LINES - 1), 0), len(found) - 1)
            self._chosen = (self._chosen + step) % len(found)
            moved = moved or bool(step or page)
        if imgui.is_key_pressed(imgui.Key.escape):
            self._close()
            return
        line = imgui.get_text_line_height() + 8.0
        height = line * LINES + 4.0
        imgui.begin_child("##found", ImVec2(0, height))
        imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(imgui.get_style().item_spacing.x, 0))
        if not found:
            dim_text("Nothing fits.")
        for index, entry in enumerate(found):
            if self._line(index, entry, line):
                entered, self._chosen = True, index
            if index == self._chosen and moved:
                imgui.set_scroll_here_y(0.5)
        imgui.pop_style_var()
        imgui.end_child()
        if entered and found:
            action = found[self._chosen].action
            if action.enabled(self._session):
                self._close()
                action.run(self._session)
            else:
                imgui.set_keyboard_focus_here(-1)

    def _close(self) -> None:
        self._session.ui.palette = False
        imgui.close_current_popup()

    def _line(self, index: int, entry: PaletteMatch, height: float) -> bool:
        """One action: its name, with the typed letters lit, where it is in the menus, and its shortcut."""
        session, action = self._session, entry.action
        enabled = action.enabled(session)
        origin = imgui.get_cursor_screen_pos()
        width = imgui.get_content_region_avail().x
        imgui.begin_disabled(not enabled)
        imgui.push_style_color(imgui.Col_.header, theme.colour.accent_dim)
        pressed = imgui.selectable(f"###{action.id}", index == self._chosen, 0, ImVec2(0, height))[0]
        imgui.pop_style_color()
        imgui.end_disabled()
        y = origin.y + (height - imgui.get_text_line_height()) / 2
        draw_list = imgui.get_window_draw_list()
        x, right = origin.x + 6, origin.x + width - 6
        if action.shortcut:
            right -= imgui.calc_text_size(action.shortcut).x
            draw_list.add_text(
                ImVec2(right, y), theme.u32(theme.colour.dim if enabled else theme.colour.faint), action.shortcut
            )
            right -= imgui.get_font_size()
        label = fitted(entry.label, right - x)
        for place, letter in enumerate(label):
            lit = place in entry.positions
            colour = theme.colour.faint if not enabled else theme.colour.accent_hover if lit else theme.colour.text
            draw_list.add_text(ImVec2(x, y), theme.u32(colour), letter)
            x += imgui.calc_text_size(letter).x
        if action.checked(session):
            draw_list.add_text(ImVec2(x, y), theme.u32(theme.colour.accent_hover), "  on")
            x += imgui.calc_text_size("  on").x
        x += imgui.get_font_size() * 0.8
        menu = fitted(action.menu.replace("/", " › "), right - x)
        if x < right:
            draw_list.add_text(ImVec2(x, y), theme.u32(theme.colour.dim if enabled else theme.colour.faint), menu)
        return bool(pressed)
