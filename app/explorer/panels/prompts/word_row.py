"""The first prompt as a row of words: select, swap, weigh, mute."""

from __future__ import annotations

from imgui_bundle import ImVec2, ImVec4, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.explorer.gui import theme
from app.explorer.gui.widgets import dim_text, fitted, flow, square_button, tooltip
from app.explorer.prompts.word_editor import WEIGHT_STEP, WordEditor
from app.explorer.session import Session
from core.prompts import Word

SHOWN_WORDS = 60
_PAD = ImVec2(7, 3)
_HELP = (
    "Click or Alt+Left/Right: select. Up/Down (Alt while typing): swap it for other words, the seed stays. "
    "Wheel: weight. Right click: mute, your own list."
)


class WordRow:
    """The words, and under them what the selected one can be swapped for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._wheel = 0.0
        self._list_text = ""
        self._list_word = ""

    def draw(self) -> None:
        every = self._session.prompts.words.words
        words = every[:SHOWN_WORDS]
        if not words:
            return
        most = imgui.get_content_region_avail().x
        texts = [fitted(word.text.replace("\n", " "), most * 0.7) for word in words]
        widths = [self._width(word, text) for word, text in zip(words, texts, strict=True)]
        imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(5, 4))
        flow(widths, lambda index: self._chip(index, words[index], texts[index], widths[index]))
        if len(every) > SHOWN_WORDS:
            dim_text(f"and {len(every) - SHOWN_WORDS} more words")
        imgui.pop_style_var()
        self._keys(self._session.prompts.words)
        self._choices(self._session.prompts.words)

    def _keys(self, words: WordEditor) -> None:
        """Arrows without Alt, while the panel has the focus and nothing is typed."""
        if words.place is None or imgui.get_io().want_text_input:
            return
        flags = imgui.InputFlags_.repeat
        if imgui.shortcut(imgui.Key.down_arrow, flags):
            words.swap(1)
        if imgui.shortcut(imgui.Key.up_arrow, flags):
            words.swap(-1)
        if imgui.shortcut(imgui.Key.right_arrow, flags):
            words.step(1)
        if imgui.shortcut(imgui.Key.left_arrow, flags):
            words.step(-1)
        if imgui.shortcut(imgui.Key.escape):
            words.select(None)

    def _width(self, word: Word, text: str) -> float:
        width = imgui.calc_text_size(text).x + 2 * _PAD.x
        if word.weight not in (0.0, 1.0):
            width += imgui.calc_text_size(_weight(word)).x + 6
        if self._has_speaker(word):
            width += imgui.calc_text_size(icons.ICON_FA_VOLUME_HIGH).x + 6
        return float(width)

    def _has_speaker(self, word: Word) -> bool:
        return word.weight == 0.0 or self._session.prompts.words.is_selected(word)

    def _chip(self, index: int, word: Word, text: str, width: float) -> None:
        words = self._session.prompts.words
        selected, muted = words.is_selected(word), word.weight == 0.0
        origin = imgui.get_cursor_screen_pos()
        height = imgui.get_text_line_height() + 2 * _PAD.y
        corner = ImVec2(origin.x + width, origin.y + height)
        icon = icons.ICON_FA_VOLUME_XMARK if muted else icons.ICON_FA_VOLUME_HIGH
        speaker = corner.x - _PAD.x - imgui.calc_text_size(icon).x
        if imgui.invisible_button(f"##word {index}", ImVec2(width, height)):
            if self._has_speaker(word) and imgui.get_io().mouse_pos.x >= speaker - 4:
                words.mute(word)
            else:
                words.select(None if selected and words.selected == index else index)
        hovered = imgui.is_item_hovered()
        if hovered:
            # The wheel is the word's: the panel does not scroll under it.
            imgui.set_item_key_owner(imgui.Key.mouse_wheel_y)
            self._turn(words, word, imgui.get_io().mouse_wheel)
        if not selected:
            tooltip(_HELP)
        draw_list = imgui.get_window_draw_list()
        back = theme.colour.accent_dim if selected else theme.colour.frame_hover if hovered else theme.colour.frame
        draw_list.add_rect_filled(origin, corner, theme.u32(back), 6.0)
        if selected:
            draw_list.add_rect(origin, corner, theme.u32(theme.colour.accent), rounding=6.0, thickness=1.0)
        colour = theme.u32(theme.colour.faint if muted else theme.colour.text)
        x, y = origin.x + _PAD.x, origin.y + _PAD.y
        draw_list.add_text(ImVec2(x, y), colour, text)
        end = x + imgui.calc_text_size(text).x
        if muted:
            middle = y + imgui.get_text_line_height() * 0.55
            draw_list.add_line(ImVec2(x, middle), ImVec2(end, middle), colour, 1.0)
        elif word.weight != 1.0:
            shade = theme.colour.accent_hover if word.weight > 1.0 else theme.colour.amber
            draw_list.add_text(ImVec2(end + 6, y), theme.u32(shade), _weight(word))
        if self._has_speaker(word):
            draw_list.add_text(ImVec2(speaker, y), theme.u32(theme.colour.amber if muted else theme.colour.dim), icon)
        self._menu(index, word, ImVec2(origin.x, corner.y + 4))

    def _turn(self, words: WordEditor, word: Word, wheel: float) -> None:
        """A notch of the wheel is a step; the small notches of a touchpad add up."""
        self._wheel += wheel
        steps = int(self._wheel)
        if steps:
            self._wheel -= steps
            words.weigh(word, steps * WEIGHT_STEP)

    def _choices(self, words: WordEditor) -> None:
        """The choices for the selected word, as far as they fit on a line."""
        if words.place is None:
            return
        choices = words.choices()
        if choices is None:
            done = self._session.prompts.neighbours.progress
            dim_text(f"looking for words that are near… {done:.0%}", theme.colour.faint)
            return
        texts, at = choices
        if len(texts) < 2:
            dim_text("no other words known; right click the word for a list of your own", theme.colour.faint)
            return
        dim_text(icons.ICON_FA_ARROWS_UP_DOWN, theme.colour.faint)
        tooltip("What Up and Down lead to; a click takes a word.")
        left = imgui.get_content_region_avail().x - imgui.calc_text_size(icons.ICON_FA_ARROWS_UP_DOWN).x
        # From the word before the present one on, so that both ways show.
        order = [(at - 1 + place) % len(texts) for place in range(len(texts))] if len(texts) > 2 else range(len(texts))
        imgui.push_style_color(imgui.Col_.button, ImVec4(0, 0, 0, 0))
        imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(4, 0))
        for place in order:
            label = fitted(texts[place], 140)
            width = imgui.calc_text_size(label).x + 8 + 3
            if width > left:
                break
            left -= width
            imgui.same_line(0, 3)
            imgui.push_style_color(imgui.Col_.text, theme.colour.accent_hover if place == at else theme.colour.dim)
            if imgui.button(f"{label}###choice {place}"):
                words.choose(place)
            imgui.pop_style_color()
        imgui.pop_style_var()
        imgui.pop_style_color()

    def _menu(self, index: int, word: Word, below: ImVec2) -> None:
        imgui.set_next_window_pos(below)
        imgui.set_next_window_size(ImVec2(imgui.get_font_size() * 17, 0))
        imgui.push_style_var(imgui.StyleVar_.window_padding, ImVec2(12, 10))
        if imgui.begin_popup_context_item(f"word menu {index}"):
            self._card(index, word)
            imgui.end_popup()
        imgui.pop_style_var()

    def _card(self, index: int, word: Word) -> None:
        """The popup of a right click: weight, mute, and the user's own list for the word."""
        prompts = self._session.prompts
        if imgui.is_window_appearing():
            prompts.words.select(index)
            self._list_word = word.text.lower()
            self._list_text = "\n".join(self._session.preferences.settings.word_lists.get(self._list_word, ()))
        imgui.align_text_to_frame_padding()
        imgui.text_unformatted(fitted(word.text, imgui.get_font_size() * 8))
        imgui.same_line(imgui.get_font_size() * 9)
        if square_button(f"{icons.ICON_FA_MINUS}###lighter"):
            prompts.words.weigh(word, -WEIGHT_STEP)
        imgui.same_line(0, 6)
        imgui.text_unformatted(f"{word.weight:.1f}")
        imgui.same_line(0, 6)
        if square_button(f"{icons.ICON_FA_PLUS}###heavier"):
            prompts.words.weigh(word, WEIGHT_STEP)
        label = "Unmute" if word.weight == 0.0 else "Mute"
        icon = icons.ICON_FA_VOLUME_HIGH if word.weight == 0.0 else icons.ICON_FA_VOLUME_XMARK
        half = (imgui.get_content_region_avail().x - 6) / 2
        if imgui.button(f"{icon}  {label}###mute", ImVec2(half, 0)):
            prompts.words.mute(word)
        imgui.same_line(0, 6)
        imgui.begin_disabled(word.weight == 1.0)
        if imgui.button("Weight 1###weight 1", ImVec2(half, 0)):
            prompts.words.reset(word)
        imgui.end_disabled()
        imgui.separator()
        dim_text(fitted(f"Swap “{self._list_word}” for, one a line:", imgui.get_content_region_avail().x))
        height = imgui.get_text_line_height() * 5 + imgui.get_style().frame_padding.y * 2
        _, self._list_text = imgui.input_text_multiline("##own list", self._list_text, ImVec2(-1, height))
        if imgui.is_item_deactivated_after_edit():
            prompts.set_list(self._list_word, self._list_text.splitlines())
        dim_text("Empty: the model's own nearest words.", theme.colour.faint)


def _weight(word: Word) -> str:
    return f"{word.weight:g}" if round(word.weight, 1) != word.weight else f"{word.weight:.1f}"
