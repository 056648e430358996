"""The list of mappings: learning, level bars, and the settings of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from imgui_bundle import ImVec2, ImVec4, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.document.controls import Control, controls_of
from app.document.fields import with_field
from app.document.history import History
from app.explorer.gui import theme
from app.explorer.gui.widgets import dim_text, fitted, row_label, square_button, tooltip, wide_button, wrapped_text
from app.live.addresses import LIVE_ACTIONS
from app.live.audio import SIGNALS
from app.live.control import LiveControl
from app.live.learning import LearnTarget
from app.live.mapping import CURVES, LONGEST_SMOOTHING_S, ControlMapping, InputSource, SourceKind, Trigger
from app.live.settings import LiveSettings

T = TypeVar("T")

HINTS: dict[SourceKind, str] = {
    "osc": "Move a fader or press a button of your own layout…",
    "midi": "Move a knob or press a key…",
    "audio": "",
}
EMPTY: dict[SourceKind, str] = {
    "osc": "Any other address can be mapped, too: choose what it is to move, then Learn.",
    "midi": "Nothing is mapped yet: choose what a knob or a key is to move, then Learn.",
    "audio": "Nothing is mapped yet: choose what the sound is to move. It is added to where the slider is.",
}
# Sound is quick; without this the picture trembles.
SOUND_SMOOTHING_S = 0.1


class Mappings:
    """The mappings of one tab's kind of source."""

    def __init__(self, live: LiveControl) -> None:
        self._live = live
        self._chosen = "psi"
        """A control's id, or an action's after "do "."""
        self._signal = "level"

    def draw(self, history: History, kind: SourceKind, on: bool) -> None:
        """The mappings from one kind of source; `on` is whether it is listened to."""
        imgui.separator_text("Mappings")
        controls = {control.id: control for control in controls_of(history.scene)}
        if kind == "audio":
            controls = {name: control for name, control in controls.items() if control.modulated}
        self._adder(kind, controls, on)
        live = self._live
        some = False
        for index, mapping in enumerate(live.settings.mappings):
            if mapping.source.kind == kind:
                some = True
                self._mapping_row(index, mapping, controls.get(mapping.control))
        for index, trigger in enumerate(live.settings.triggers):
            if trigger.source.kind == kind:
                some = True
                self._trigger_row(index, trigger)
        if live.learning is not None and kind != "audio":
            wrapped_text(HINTS[kind], theme.colour.amber)
        elif not some:
            wrapped_text(EMPTY[kind], theme.colour.dim)

    # Adding

    def _adder(self, kind: SourceKind, controls: dict[str, Control], on: bool) -> None:
        em = imgui.get_font_size()
        button = em * 5
        if kind == "audio":
            imgui.set_next_item_width(em * 5)
            if imgui.begin_combo("###signal", self._signal):
                for name, help_text in SIGNALS.items():
                    if imgui.selectable(f"{name}###signal {name}", name == self._signal)[0]:
                        self._signal = name
                    tooltip(help_text)
                imgui.end_combo()
            imgui.same_line(0, 6)
        imgui.set_next_item_width(imgui.get_content_region_avail().x - button - 6)
        self._choice(controls)
        imgui.same_line(0, 6)
        if kind == "audio":
            if wide_button("Add###add", button):
                self._add_sound(controls)
            tooltip("Let the sound move this control.")
            return
        live = self._live
        imgui.begin_disabled(not on)
        if live.learning is not None:
            if wide_button("Cancel###learn", button):
                live.learn(None)
        elif wide_button("Learn###learn", button, accent=on):
            action = self._chosen.removeprefix("do ")
            live.learn(LearnTarget(action=action) if action != self._chosen else LearnTarget(control=self._chosen))
        imgui.end_disabled()
        tooltip("The next knob that moves, or button that is pressed, is for this." if on else "Tick listen first.")

    def _choice(self, controls: dict[str, Control]) -> None:
        chosen = controls.get(self._chosen)
        shown = chosen.label if chosen is not None else self._chosen
        if not imgui.begin_combo("###what", shown, imgui.ComboFlags_.height_large):
            return
        for control in controls.values():
            if imgui.selectable(f"{control.label}###control {control.id}", control.id == self._chosen)[0]:
                self._chosen = control.id
            tooltip(control.help)
        imgui.separator()
        for action, help_text in LIVE_ACTIONS.items():
            if imgui.selectable(f"do {action}###action {action}", self._chosen == f"do {action}")[0]:
                self._chosen = f"do {action}"
            tooltip(help_text)
        imgui.end_combo()

    def _add_sound(self, controls: dict[str, Control]) -> None:
        source = InputSource(kind="audio", name=self._signal)
        action = self._chosen.removeprefix("do ")
        if action != self._chosen:
            self._live.add_trigger(Trigger(source=InputSource(kind="audio", name="beat"), action=action))
        elif (control := controls.get(self._chosen)) is not None:
            reach = (control.high - control.low) / 2
            self._live.add(ControlMapping(source=source, control=control.id, high=reach, smoothing=SOUND_SMOOTHING_S))

    # Rows

    def _mapping_row(self, index: int, mapping: ControlMapping, control: Control | None) -> None:
        live = self._live
        imgui.push_id(f"mapping {index}")
        label = control.label if control is not None else f"{mapping.control} (not in this scene)"
        waiting = live.waiting(mapping)
        x = live.levels.get(mapping.source)
        self._meter(mapping.source, label, mapping.shaped(x) if x is not None else 0.0, waiting)
        if waiting:
            tooltip("Waiting for the knob to come to where the control is (pickup).")
        else:
            tooltip(f"{_where(mapping.source)} moves {label} from {mapping.low:g} to {mapping.high:g}.")
        imgui.same_line(0, 4)
        if square_button(f"{icons.ICON_FA_SLIDERS}###settings"):
            imgui.open_popup("settings")
        tooltip("Range, gain, smoothing, curve.")
        self._remove(lambda s: replace(s, mappings=_without(s.mappings, index)))
        if imgui.begin_popup("settings"):
            self._settings(index, mapping, control)
            imgui.end_popup()
        imgui.pop_id()

    def _trigger_row(self, index: int, trigger: Trigger) -> None:
        imgui.push_id(f"trigger {index}")
        self._meter(trigger.source, f"do {trigger.action}", self._live.levels.get(trigger.source, 0.0), False, 1)
        tooltip(f"{_where(trigger.source)}: {LIVE_ACTIONS.get(trigger.action, 'This version has no such action.')}")
        self._remove(lambda s: replace(s, triggers=_without(s.triggers, index)))
        imgui.pop_id()

    def _meter(self, source: InputSource, label: str, filled: float, waiting: bool, buttons: int = 2) -> None:
        """A bar that shows the source, with what it moves written on it."""
        width = imgui.get_content_region_avail().x - buttons * (imgui.get_frame_height() + 4)
        text = f"{source.name}  {icons.ICON_FA_ARROW_RIGHT}  {label}"
        meter(text, filled, width, theme.colour.amber if waiting else None)

    def _remove(self, change: Callable[[LiveSettings], LiveSettings]) -> None:
        imgui.same_line(0, 4)
        if square_button(f"{icons.ICON_FA_XMARK}###remove"):
            self._live.change(change(self._live.settings))
        tooltip("Remove this mapping.")

    def _settings(self, index: int, mapping: ControlMapping, control: Control | None) -> None:
        imgui.push_item_width(imgui.get_font_size() * 12)
        low, high = (control.low, control.high) if control is not None else (-1.0, 1.0)
        sound = mapping.source.kind == "audio"
        if sound:
            low, high = low - high, high - low
        dim_text(_where(mapping.source))
        new = mapping
        rows = (
            ("low", "in silence" if sound else "at 0", low, high, "%.2f", "The control where the source is at 0."),
            ("high", "when loud" if sound else "at 1", low, high, "%.2f", "The control where the source is at 1."),
            ("gain", "gain", 0.0, 10.0, "%.2f ×", "The source is multiplied by it, then cut to 0 to 1."),
            ("smoothing", "smoothing", 0.0, LONGEST_SMOOTHING_S, "%.2f s", "After so long, 63 % of the way is done."),
        )
        for name, label, least, most, shown, help_text in rows:
            row_label(label, "Added to the slider's value." if sound and name in ("low", "high") else help_text)
            flags = imgui.SliderFlags_.always_clamp
            if name in ("gain", "smoothing"):
                flags |= imgui.SliderFlags_.logarithmic
            changed, value = imgui.slider_float(f"###{name}", getattr(new, name), least, most, shown, flags)
            if changed:
                new = with_field(new, name, value)
        row_label("curve", "exp moves little at first and much at the end.")
        for curve in CURVES:
            if curve != CURVES[0]:
                imgui.same_line()
            if imgui.radio_button(f"{curve}###curve {curve}", new.curve == curve):
                new = replace(new, curve=curve)
        row_label("invert", "The source's 1 counts as 0.")
        changed, invert = imgui.checkbox("###invert", new.invert)
        if changed:
            new = replace(new, invert=invert)
        if not sound:
            row_label("pickup", "A knob moves nothing until it has come to where the control is: no jumps.")
            changed, pickup = imgui.checkbox("###pickup", new.pickup)
            if changed:
                new = replace(new, pickup=pickup)
        imgui.pop_item_width()
        if new != mapping:
            mappings = list(self._live.settings.mappings)
            mappings[index] = new
            self._live.change(replace(self._live.settings, mappings=tuple(mappings)))


def meter(text: str, filled: float, width: float, colour: ImVec4 | None = None) -> None:
    """A bar of a button's height, filled from the left, with text on it."""
    origin = imgui.get_cursor_screen_pos()
    imgui.push_style_color(imgui.Col_.plot_histogram, theme.colour.accent_dim)
    imgui.progress_bar(min(max(filled, 0.0), 1.0), ImVec2(width, imgui.get_frame_height()), "")
    imgui.pop_style_color()
    padding = imgui.get_style().frame_padding
    place = ImVec2(origin.x + padding.x, origin.y + padding.y)
    shown = fitted(text, width - 2 * padding.x)
    imgui.get_window_draw_list().add_text(place, theme.u32(colour or theme.colour.text), shown)


def _without(items: tuple[T, ...], index: int) -> tuple[T, ...]:
    return (*items[:index], *items[index + 1 :])


def _where(source: InputSource) -> str:
    """A source in words."""
    return f"{source.name} of {source.device}" if source.device else source.name
