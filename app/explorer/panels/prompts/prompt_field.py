"""A text field for a prompt, and a warning about words that the model never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imgui_bundle import ImVec2, ImVec4, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.document.fields import with_field
from app.document.history import History
from app.document.scene import Scene
from app.explorer.gui import theme
from app.explorer.gui.widgets import flow, tooltip
from app.explorer.prompts.unknown_words import unknown_words
from app.explorer.session import Session

TYPING_PAUSE_S = 1.0
SHOWN_UNKNOWN = 8


class PromptField:
    """A text of the scene. Each word typed is one undo step."""

    def __init__(
        self, item: str, hint: str, read: Callable[[Scene], str], write: Callable[[Scene, str], Scene], lines: int = 2
    ) -> None:
        self._item = item
        self._hint = hint
        self._read = read
        self._write = write
        self._lines = lines
        self._typed: str | None = None
        self._id = 0

    @classmethod
    def of(cls, field: str, hint: str, lines: int = 2) -> PromptField:
        """For a field of the scene by its name."""
        return cls(
            f"##{field}",
            hint,
            lambda scene: str(getattr(scene, field)),
            lambda scene, text: with_field(scene, field, text),
            lines,
        )

    def draw(self, history: History, lines: int | None = None) -> None:
        text = self._read(history.scene)
        if self._typed is not None and self._typed != text:
            # Undo changed the text under the caret: an active field shows its own copy until told otherwise.
            state = imgui.internal.get_input_text_state(self._id)
            if state is not None:
                state.reload_user_buf_and_move_to_end()
                # Its own "end" lies beyond a text that became shorter, which stops the program (ImGui 1.92).
                state.reload_selection_start = state.reload_selection_end = len(text.encode())
        height = imgui.get_text_line_height() * (lines or self._lines) + imgui.get_style().frame_padding.y * 2
        origin = imgui.get_cursor_screen_pos()
        flags = (
            imgui.InputTextFlags_.word_wrap
            | imgui.InputTextFlags_.ctrl_enter_for_new_line
            | imgui.InputTextFlags_.no_undo_redo
        )
        changed, new = imgui.input_text_multiline(self._item, text, ImVec2(-1, height), flags)
        self._id = imgui.get_item_id()
        if not new and not imgui.is_item_active():
            padding = imgui.get_style().frame_padding
            imgui.get_window_draw_list().add_text(
                ImVec2(origin.x + padding.x, origin.y + padding.y),
                theme.u32(theme.colour.faint),
                self._hint,
            )
        if changed and new != text:
            if starts_word(text, new):
                history.end_gesture()
            history.apply("typing", lambda scene: self._write(scene, new), pause=TYPING_PAUSE_S)
        self._typed = self._read(history.scene)
        # What took the focus from it, when it is drawn before, has begun a gesture of its own.
        if imgui.is_item_deactivated_after_edit() and history.undo_name == "typing":
            history.end_gesture()


def starts_word(old: str, new: str) -> bool:
    """Whether `new` is `old` and the first letter of another word: an undo step of typing ends there."""
    return len(new) > len(old) and new.startswith(old) and old[-1:].isspace() and not new[len(old)].isspace()


def unknown_row(session: Session, prompt: str) -> None:
    """The words that no training caption had, if there are any, by what the model can make of them."""
    unknown = unknown_words(prompt, session.models.vocabulary, knows_english=session.models.knows_english)
    _marked_row(
        f"{icons.ICON_FA_TRIANGLE_EXCLAMATION} never seen in training:",
        unknown.strange,
        theme.colour.amber,
        "No training caption had these words, so the model can only guess from how they are spelled.",
    )
    _marked_row(
        f"{icons.ICON_FA_CIRCLE_INFO} not in the training captions:",
        unknown.near,
        theme.colour.dim,
        "No training caption had these words, but the text encoder knows English: the model draws what its captions "
        "called by words of like meaning. The Words panel lists the nearest.",
    )


def _marked_row(title: str, words: Sequence[str], colour: ImVec4, help_text: str) -> None:
    if not words:
        return
    shown = [word if len(word) <= 24 else word[:23] + "…" for word in words[:SHOWN_UNKNOWN]]
    if len(words) > SHOWN_UNKNOWN:
        shown.append(f"+{len(words) - SHOWN_UNKNOWN}")
    imgui.begin_group()
    widths = [imgui.calc_text_size(title).x, *(imgui.calc_text_size(word).x + 12 for word in shown)]

    def draw(index: int) -> None:
        if index == 0:
            imgui.text_colored(colour, title)
        else:
            _mark(shown[index - 1], colour)

    flow(widths, draw)
    imgui.end_group()
    tooltip(help_text)


def _mark(text: str, colour: ImVec4) -> None:
    size = imgui.calc_text_size(text)
    origin = imgui.get_cursor_screen_pos()
    background = theme.u32(theme.faded(colour, 0.16))
    draw_list = imgui.get_window_draw_list()
    draw_list.add_rect_filled(origin, ImVec2(origin.x + size.x + 12, origin.y + size.y + 4), background, 5.0)
    draw_list.add_text(ImVec2(origin.x + 6, origin.y + 2), theme.u32(colour), text)
    imgui.dummy(ImVec2(size.x + 12, size.y + 4))
