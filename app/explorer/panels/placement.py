"""Where the picture's content is put, for models whose input can be moved."""

from __future__ import annotations

from dataclasses import dataclass

from imgui_bundle import ImVec4, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.document.controls import CONTROLS, Control
from app.document.history import History
from app.document.scene import Scene
from app.explorer.actions import by_id
from app.explorer.gui import theme
from app.explorer.gui.widgets import (
    action_button,
    end_of_edit,
    reset_width,
    row_label,
    square_button,
    tooltip,
    wrapped_text,
)
from app.explorer.session import Session

_DEFAULT = Scene()


@dataclass(frozen=True)
class _Row:
    control: Control
    shown: str
    logarithmic: bool = False


def _rows() -> tuple[_Row, ...]:
    controls = {control.id: control for control in CONTROLS}
    return (
        _Row(controls["input_x"], "%.2f"),
        _Row(controls["input_y"], "%.2f"),
        _Row(controls["input_turn"], "%.0f°"),
        _Row(controls["input_scale"], "%.2f×", logarithmic=True),
    )


class PlacementPanel:
    """Move, turn, scale."""

    title = "Placement"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rows = _rows()

    def draw(self, history: History) -> None:
        info = self._session.models.info
        can = info is None or info.has_transform
        if not can:
            wrapped_text("The pictures of this model cannot be moved: it draws from a fixed input.", theme.colour.dim)
            return
        for row in self._rows:
            self._slider(history, row)
        action_button(
            self._session, by_id("reset_placement"), f"{icons.ICON_FA_ARROW_ROTATE_LEFT}  Reset placement###reset all"
        )
        wrapped_text("On the picture: drag with Alt to move, Ctrl to turn, Shift to scale.", theme.colour.faint)

    def _slider(self, history: History, row: _Row) -> None:
        control = row.control
        row_label(control.label, control.help)
        imgui.set_next_item_width(-reset_width() - 4)
        flags = imgui.SliderFlags_.always_clamp
        if row.logarithmic:
            flags |= imgui.SliderFlags_.logarithmic
        value = control.read(history.scene)
        changed, value = imgui.slider_float(f"##{control.id}", value, control.low, control.high, row.shown, flags)
        if changed and value == value:
            history.apply(control.label, lambda scene: control.set(scene, value))
        end_of_edit(history)
        tooltip(control.help)
        self._reset(history, control)

    def _reset(self, history: History, control: Control) -> None:
        default = control.read(_DEFAULT)
        at_default = abs(control.read(history.scene) - default) < 1e-9
        imgui.same_line(0, 4)
        imgui.begin_disabled(at_default)
        imgui.push_style_color(imgui.Col_.button, ImVec4(0, 0, 0, 0))
        imgui.push_style_color(imgui.Col_.text, theme.colour.faint if at_default else theme.colour.dim)
        if square_button(f"{icons.ICON_FA_ARROW_ROTATE_LEFT}###reset {control.label}"):
            history.step(f"reset {control.label}", lambda scene: control.set(scene, default))
        imgui.pop_style_color(2)
        imgui.end_disabled()
        if not at_default:
            tooltip(f"Reset {control.label}")
