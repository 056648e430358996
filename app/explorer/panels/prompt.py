"""What to draw: prompts or classes A and B, as the model takes them, and the blend between them."""

from __future__ import annotations

from dataclasses import replace

from imgui_bundle import ImVec2, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.explorer import theme
from app.explorer.actions import by_id
from app.explorer.history import History
from app.explorer.panels.classes import ClassField
from app.explorer.session import Session
from app.explorer.widgets import dim_text, fitted, flow, quiet_button, slider_row, tooltip, wrapped_text
from app.explorer.words import unknown_words

# Shown when the checkpoint brings no examples of its own.
EXAMPLES = (
    "snowy mountains at sunset, watercolor",
    "a lighthouse by the sea at night, neon",
    "a cactus in the desert at noon, flat poster",
    "foggy autumn forest at dawn, ink drawing",
    "a castle on green hills, pixel art",
)
SHOWN_EXAMPLES = 3
TYPING_PAUSE_S = 1.0
SHOWN_UNKNOWN = 8


class PromptPanel:
    """A and B, examples, the blend; nothing for a model that takes only a seed."""

    title = "Prompt"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._typed: dict[str, str] = {}
        self._ids: dict[str, int] = {}
        self._first_example = 0
        self._class, self._class_b = ClassField(session, "label"), ClassField(session, "label_b")

    def draw(self, history: History) -> None:
        conditioning = self._session.conditioning
        if conditioning == "none":
            wrapped_text(
                "This model takes neither prompt nor class: the seed alone makes the picture.", theme.colour.dim
            )
        elif conditioning == "class":
            self._class.draw(history)
            imgui.spacing()
            self._second("class")
            self._class_b.draw(history)
            self._blend(history)
        else:
            self._field(history, "prompt", "Describe a picture…", lines=3)
            self._unknown(history.scene.prompt)
            self._examples(history)
            imgui.spacing()
            self._second("prompt")
            self._field(history, "prompt_b", "Second prompt…", lines=2)
            self._unknown(history.scene.prompt_b)
            self._blend(history)

    def _second(self, kind: str) -> None:
        """The heading over B."""
        self._heading(
            f"Blend with a second {kind}", f"At blend 0 the picture follows the first {kind}, at 1 the second."
        )
        imgui.same_line(0, 6)
        if quiet_button(f"{icons.ICON_FA_RIGHT_LEFT}###swap"):
            by_id("swap").run(self._session)
        tooltip("Swap the two.")

    def _blend(self, history: History) -> None:
        slider_row(
            history, "blend", "blend", 0.0, 1.0, "How far the picture is on its way from the first to the second."
        )

    def _heading(self, text: str, help_text: str) -> None:
        dim_text(text)
        tooltip(help_text)

    def _field(self, history: History, field: str, hint: str, lines: int) -> None:
        text: str = getattr(history.scene, field)
        if field in self._ids and self._typed.get(field) != text:
            # Undo changed the text under the caret: an active field shows its own copy until told otherwise.
            state = imgui.internal.get_input_text_state(self._ids[field])
            if state is not None:
                state.reload_user_buf_and_move_to_end()
        line = imgui.get_text_line_height()
        height = line * lines + imgui.get_style().frame_padding.y * 2
        origin = imgui.get_cursor_screen_pos()
        flags = (
            imgui.InputTextFlags_.word_wrap
            | imgui.InputTextFlags_.ctrl_enter_for_new_line
            | imgui.InputTextFlags_.no_undo_redo
        )
        changed, new = imgui.input_text_multiline(f"##{field}", text, ImVec2(-1, height), flags)
        self._ids[field] = imgui.get_item_id()
        if not new and not imgui.is_item_active():
            padding = imgui.get_style().frame_padding
            imgui.get_window_draw_list().add_text(
                ImVec2(origin.x + padding.x, origin.y + padding.y),
                imgui.color_convert_float4_to_u32(theme.colour.faint),
                hint,
            )
        if changed and new != text:
            if starts_word(text, new):
                history.end_gesture()
            history.apply("typing", lambda scene: replace(scene, **{field: new}), pause=TYPING_PAUSE_S)
        self._typed[field] = getattr(history.scene, field)
        if imgui.is_item_deactivated_after_edit():
            history.end_gesture()

    def _unknown(self, text: str) -> None:
        unknown = unknown_words(text, self._session.vocabulary)
        if not unknown:
            return
        shown = [word if len(word) <= 24 else word[:23] + "…" for word in unknown[:SHOWN_UNKNOWN]]
        if len(unknown) > SHOWN_UNKNOWN:
            shown.append(f"+{len(unknown) - SHOWN_UNKNOWN}")
        imgui.begin_group()
        warning = f"{icons.ICON_FA_TRIANGLE_EXCLAMATION} never seen in training:"
        widths = [imgui.calc_text_size(warning).x, *(imgui.calc_text_size(word).x + 12 for word in shown)]

        def draw(index: int) -> None:
            if index == 0:
                imgui.text_colored(theme.colour.amber, warning)
            else:
                _chip(shown[index - 1])

        flow(widths, draw)
        imgui.end_group()
        tooltip("No training caption had these words, so the model can only guess from how they are spelled.")

    def _examples(self, history: History) -> None:
        examples = self._session.examples or EXAMPLES
        self._heading("Try one of these", "Click an example to make it the prompt.")
        if len(examples) > SHOWN_EXAMPLES:
            imgui.same_line(0, 6)
            if quiet_button(f"{icons.ICON_FA_ROTATE}###more examples"):
                self._first_example = (self._first_example + SHOWN_EXAMPLES) % len(examples)
            tooltip("Show other examples.")
        available = imgui.get_content_region_avail().x
        imgui.push_style_color(imgui.Col_.button, theme.colour.veil)
        imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(8, 3))
        imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(6, 4))
        for place in range(min(SHOWN_EXAMPLES, len(examples))):
            example = examples[(self._first_example + place) % len(examples)]
            if imgui.button(f"{fitted(example, available - 16)}###example {place}"):
                history.step("example", lambda scene, example=example: replace(scene, prompt=example))
        imgui.pop_style_var(2)
        imgui.pop_style_color()


def starts_word(old: str, new: str) -> bool:
    """Whether `new` is `old` with a word begun after a space: there one undo step of typing ends, the next begins."""
    return len(new) > len(old) and new.startswith(old) and old[-1:].isspace() and not new[len(old)].isspace()


def _chip(text: str) -> None:
    size = imgui.calc_text_size(text)
    origin = imgui.get_cursor_screen_pos()
    background = imgui.color_convert_float4_to_u32(theme.faded(theme.colour.amber, 0.16))
    draw_list = imgui.get_window_draw_list()
    draw_list.add_rect_filled(origin, ImVec2(origin.x + size.x + 12, origin.y + size.y + 4), background, 5.0)
    draw_list.add_text(ImVec2(origin.x + 6, origin.y + 2), imgui.color_convert_float4_to_u32(theme.colour.amber), text)
    imgui.dummy(ImVec2(size.x + 12, size.y + 4))
