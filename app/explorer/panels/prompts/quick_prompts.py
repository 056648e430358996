"""Quick prompts: nine of the scene on the keys 1 to 9, and the recent ones."""

from __future__ import annotations

from dataclasses import replace

from imgui_bundle import ImVec2, ImVec4, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.document.history import History
from app.document.scene import QUICK_PROMPTS
from app.explorer.gui import theme
from app.explorer.gui.widgets import dim_text, fitted, square_button, tooltip
from app.explorer.prompts.recent import matching
from app.explorer.session import Session

PAST_LINES = 12


class QuickStrip:
    """Nine buttons in a row, and the recent prompts at its end."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._search = ""

    def draw(self, history: History) -> None:
        gap, side = 3.0, imgui.get_frame_height()
        width = (imgui.get_content_region_avail().x - side - gap) / QUICK_PROMPTS - gap
        height = imgui.get_text_line_height() + 6
        for index in range(QUICK_PROMPTS):
            self._place(history, index, ImVec2(width, height))
            imgui.same_line(0, gap)
        imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(imgui.get_style().frame_padding.x, 3))
        if square_button(f"{icons.ICON_FA_CLOCK_ROTATE_LEFT}###past"):
            self._search = ""
            imgui.open_popup("past prompts")
        imgui.pop_style_var()
        tooltip("Prompts you used before.")
        imgui.set_next_window_size(ImVec2(imgui.get_font_size() * 26, 0))
        if imgui.begin_popup("past prompts"):
            self._past(history)
            imgui.end_popup()

    def _place(self, history: History, index: int, size: ImVec2) -> None:
        prompts = self._session.prompts
        prompt = prompts.quick(index)
        present = bool(prompt) and prompt == history.scene.prompt
        back = theme.colour.accent_dim if present else theme.colour.frame if prompt else ImVec4(0, 0, 0, 0)
        imgui.push_style_color(imgui.Col_.button, back)
        imgui.push_style_color(imgui.Col_.text, theme.colour.text if prompt else theme.colour.faint)
        imgui.push_style_color(imgui.Col_.border, theme.colour.line)
        imgui.push_style_var(imgui.StyleVar_.frame_border_size, 0.0 if prompt else 1.0)
        imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(2, 2))
        if imgui.button(f"{index + 1}###quick {index + 1}", size):
            if prompt:
                prompts.use_quick(index)
            elif history.scene.prompt.strip():
                prompts.store_quick(index, history.scene.prompt)
        imgui.pop_style_var(2)
        imgui.pop_style_color(3)
        key = index + 1
        tooltip(
            f"{prompt}\n\nKey {key} or a click: this prompt. Right click: store, clear."
            if prompt
            else f"A click or Ctrl+Shift+{key} keeps the prompt here, key {key} brings it back."
        )
        if imgui.begin_popup_context_item(f"quick menu {index + 1}"):
            if imgui.menu_item("Store the prompt here###store", f"Ctrl+Shift+{key}", False)[0]:
                prompts.store_quick(index, history.scene.prompt)
            if imgui.menu_item("Clear###clear", "", False, bool(prompt))[0]:
                prompts.store_quick(index, "")
            imgui.end_popup()

    def _past(self, history: History) -> None:
        past = self._session.preferences.settings.past_prompts
        if imgui.is_window_appearing():
            imgui.set_keyboard_focus_here()
        side = imgui.get_frame_height()
        imgui.set_next_item_width(-side - 4)
        flags = imgui.InputTextFlags_.enter_returns_true
        entered, self._search = imgui.input_text_with_hint("##search past", "search", self._search, flags)
        imgui.same_line(0, 4)
        imgui.begin_disabled(not past)
        if square_button(f"{icons.ICON_FA_TRASH_CAN}###forget"):
            self._session.prompts.forget_past()
        imgui.end_disabled()
        tooltip("Forget them all.")
        found = matching(past, self._search)
        if not found:
            dim_text("No prompts yet." if not past else "No prompt has these words.")
            return
        if entered:
            self._use(history, found[0])
        line = imgui.get_text_line_height_with_spacing()
        imgui.begin_child("##past list", ImVec2(0, line * min(len(found), PAST_LINES)))
        width = imgui.get_content_region_avail().x
        for place, prompt in enumerate(found):
            if imgui.selectable(f"{fitted(prompt, width)}###past {place}", prompt == history.scene.prompt)[0]:
                self._use(history, prompt)
            tooltip(prompt)
        imgui.end_child()

    def _use(self, history: History, prompt: str) -> None:
        history.step("past prompt", lambda scene: replace(scene, prompt=prompt))
        imgui.close_current_popup()
