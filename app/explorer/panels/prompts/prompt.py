"""Prompts or classes, as the model takes them, and blending between them."""

from __future__ import annotations

from dataclasses import replace

from imgui_bundle import ImVec2, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.document.controls import control
from app.document.history import History
from app.explorer.actions import by_id
from app.explorer.gui import theme
from app.explorer.gui.widgets import dim_text, fitted, quiet_button, set_field, slider_row, tooltip, wrapped_text
from app.explorer.panels.prompts.blend_pad import Pad
from app.explorer.panels.prompts.class_field import ClassField
from app.explorer.panels.prompts.fine_layers import FineLayers
from app.explorer.panels.prompts.prompt_field import PromptField, unknown_row
from app.explorer.panels.prompts.quick_prompts import QuickStrip
from app.explorer.panels.prompts.word_row import WordRow
from app.explorer.session import Session

# Shown when the checkpoint brings no examples of its own.
EXAMPLES = (
    "snowy mountains at sunset, watercolor",
    "a lighthouse by the sea at night, neon",
    "a cactus in the desert at noon, flat poster",
    "foggy autumn forest at dawn, ink drawing",
    "a castle on green hills, pixel art",
)
SHOWN_EXAMPLES = 3
# Who has used so many prompts needs the space more than the examples.
NEWCOMER_PROMPTS = 3


class PromptPanel:
    """A with its words, quick prompts, examples; B, or the pad; fine layers. Nothing for a model with only a seed."""

    title = "Prompt"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._prompts = [
            PromptField.of("prompt", "Describe a picture…", lines=2),
            PromptField.of("prompt_b", "Second prompt…"),
            PromptField.of("prompt_c", "Third prompt…"),
            PromptField.of("prompt_d", "Fourth prompt…"),
        ]
        self._classes = [ClassField.of(session, f"label{which}") for which in ("", "_b", "_c", "_d")]
        self._words = WordRow(session)
        self._quick = QuickStrip(session)
        self._pad = Pad()
        self._pad_open = False
        self._fine = FineLayers(session)
        self._first_example = 0
        self._examples_wanted: bool | None = None
        """Whether the person opened or closed the examples."""

    def draw(self, history: History) -> None:
        conditioning = self._session.models.conditioning
        if conditioning == "none":
            wrapped_text(
                "This model takes neither prompt nor class: the seed alone makes the picture.", theme.colour.dim
            )
            return
        if conditioning == "class":
            self._classes[0].draw(history)
        else:
            self._prompts[0].draw(history)
            self._words.draw()
            unknown_row(self._session, history.scene.prompt)
            self._quick.draw(history)
            self._examples(history)
        self._crossfade(history)
        imgui.spacing()
        self._others(history, conditioning)
        imgui.spacing()
        self._fine.draw(history)

    def _crossfade(self, history: History) -> None:
        slider_row(history, control("crossfade"), shown="" if history.scene.crossfade > 0.0 else "cut")

    def _others(self, history: History, kind: str) -> None:
        """B and the blend, or the pad with B, C and D."""
        noun = "class" if kind == "class" else "prompt"
        opened = self._pad_open or history.scene.blend_y > 0.0
        if opened:
            self._heading("Four on a pad", "The picture is between what stands in the corners.")
        else:
            self._heading(
                f"Blend with a second {noun}", f"At blend 0 the picture follows the first {noun}, at 1 the second."
            )
        imgui.same_line(0, 6)
        if quiet_button(f"{icons.ICON_FA_RIGHT_LEFT}###swap"):
            by_id("swap").run(self._session)
        tooltip("Swap A and B.")
        imgui.same_line(0, 0)
        if quiet_button(f"{icons.ICON_FA_MINUS if opened else icons.ICON_FA_TABLE_CELLS_LARGE}###pad"):
            self._pad_open = not opened
            if opened:
                history.step("close pad", lambda scene: replace(scene, blend_y=0.0))
        tooltip("Back to two: C and D stay with the scene." if opened else f"A pad with four: {noun} C and D as well.")
        if opened:
            self._pad_row(history, kind)
            return
        self._draw_other(history, kind, 1, lines=2)
        slider_row(history, control("blend"))

    def _pad_row(self, history: History, kind: str) -> None:
        line, style = imgui.get_text_line_height(), imgui.get_style()
        field = line * 2 + style.frame_padding.y * 2 if kind == "text" else imgui.get_frame_height()
        side = max(3 * field + 2 * style.item_spacing.y, line * 6)
        self._pad.draw(history, side)
        imgui.same_line()
        imgui.begin_group()
        for index in (1, 2, 3):
            self._letter("ABCD"[index])
            self._draw_other(history, kind, index, lines=2)
        imgui.end_group()
        for prompt in (history.scene.prompt_c, history.scene.prompt_d):
            if kind == "text":
                unknown_row(self._session, prompt)

    def _letter(self, letter: str) -> None:
        imgui.align_text_to_frame_padding()
        dim_text(letter)
        imgui.same_line(0, 6)

    def _draw_other(self, history: History, kind: str, index: int, lines: int) -> None:
        if kind == "class":
            self._classes[index].draw(history)
            return
        self._prompts[index].draw(history, lines)
        if index == 1 and not self._pad_open:
            unknown_row(self._session, history.scene.prompt_b)

    def _heading(self, text: str, help_text: str) -> None:
        dim_text(text)
        tooltip(help_text)

    def _examples(self, history: History) -> None:
        examples = self._session.models.examples or EXAMPLES
        shown = self._examples_wanted
        if shown is None:
            shown = len(self._session.preferences.settings.past_prompts) < NEWCOMER_PROMPTS
        icon = icons.ICON_FA_CHEVRON_DOWN if shown else icons.ICON_FA_CHEVRON_RIGHT
        imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(0, 0))
        if quiet_button(f"{icon}  Try one of these###examples"):
            self._examples_wanted = not shown
        imgui.pop_style_var()
        tooltip("Click an example to make it the prompt.")
        if not shown:
            return
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
                set_field(history, "example", "prompt", example)
        imgui.pop_style_var(2)
        imgui.pop_style_color()
