"""Widgets shared by the panels: labelled rows with a reset button, sliders, tooltips, buttons."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from imgui_bundle import ImVec2, ImVec4, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.document.controls import Control
from app.document.fields import with_field
from app.document.history import History
from app.document.scene import Scene
from app.explorer.actions.action import Action
from app.explorer.gui import theme
from app.explorer.rendering.thumbnails import Pixels
from app.explorer.session import Session

_DEFAULT = Scene()
LABEL_EM = 5.2
FINE = 0.1
_MOVED_ON_PX = 6.0


class _Clicked:
    """Where the pointer last clicked an item with a tooltip, until it moved away."""

    place: tuple[float, float] | None = None


def tooltip(text: str) -> None:
    """A tooltip for the last item; not right after a click on it, whose outcome it would cover."""
    if not text or not imgui.is_item_hovered(imgui.HoveredFlags_.allow_when_disabled):
        return
    mouse = imgui.get_mouse_pos()
    if imgui.is_mouse_clicked(0):
        _Clicked.place = (mouse.x, mouse.y)
    if _Clicked.place is not None and math.dist(_Clicked.place, (mouse.x, mouse.y)) > _MOVED_ON_PX:
        _Clicked.place = None
    if _Clicked.place is None and imgui.is_item_hovered(
        imgui.HoveredFlags_.for_tooltip | imgui.HoveredFlags_.delay_normal | imgui.HoveredFlags_.allow_when_disabled
    ):
        imgui.begin_tooltip()
        imgui.push_text_wrap_pos(imgui.get_font_size() * 22)
        imgui.text_unformatted(text)
        imgui.pop_text_wrap_pos()
        imgui.end_tooltip()


def dim_text(text: str, colour: ImVec4 | None = None) -> None:
    """Text of secondary importance, or in a colour of its own."""
    imgui.push_style_color(imgui.Col_.text, colour or theme.colour.dim)
    imgui.text_unformatted(text)
    imgui.pop_style_color()


def wrapped_text(text: str, colour: ImVec4) -> None:
    """Text that breaks at the panel's edge."""
    imgui.push_text_wrap_pos(0.0)
    dim_text(text, colour)
    imgui.pop_text_wrap_pos()


def row_label(text: str, help_text: str) -> None:
    """The left column of a control's row."""
    imgui.align_text_to_frame_padding()
    imgui.push_style_color(imgui.Col_.text, theme.colour.dim)
    imgui.text_unformatted(text)
    imgui.pop_style_color()
    tooltip(help_text)
    imgui.same_line(imgui.get_style().window_padding.x + imgui.get_font_size() * LABEL_EM)


def reset_width() -> float:
    """The width that a row leaves for its reset button."""
    return imgui.get_frame_height()


def reset_button(history: History, name: str, *fields: str) -> None:
    """At the row's right end: fields of the scene back to their defaults; greyed when they are there."""
    if _reset(name, all(getattr(history.scene, field) == getattr(_DEFAULT, field) for field in fields)):
        values = {field: getattr(_DEFAULT, field) for field in fields}
        history.step(f"reset {name}", lambda scene: replace(scene, **values))


def _reset(name: str, at_default: bool) -> bool:
    """The reset button at a row's right end, greyed at the default; whether it was pressed."""
    imgui.same_line(0, 4)
    imgui.begin_disabled(at_default)
    imgui.push_style_color(imgui.Col_.button, ImVec4(0, 0, 0, 0))
    imgui.push_style_color(imgui.Col_.text, theme.colour.faint if at_default else theme.colour.dim)
    pressed = square_button(f"{icons.ICON_FA_ARROW_ROTATE_LEFT}###reset {name}")
    imgui.pop_style_color(2)
    imgui.end_disabled()
    if not at_default:
        tooltip(f"Reset {name}")
    return pressed


def slider_row(history: History, control: Control, *, shown: str = "") -> None:
    """A control as a slider with label, help and reset. `shown` is another format for its value than its own."""
    name = control.row or control.label
    row_label(name, control.help)
    imgui.set_next_item_width(-reset_width() - 4)
    low, high = control.low, control.high
    flags = imgui.SliderFlags_.always_clamp if control.limit == (low, high) else imgui.SliderFlags_.none
    if control.logarithmic:
        flags |= imgui.SliderFlags_.logarithmic
    changed, value = slider(
        history, f"##{control.id}", name, control.read, low, high, shown=shown or control.shown, flags=flags
    )
    if changed:
        edit_control(history, control, name, value)
    end_of_edit(history)
    tooltip(control.help)
    _reset_control(history, control, name)


def _reset_control(history: History, control: Control, name: str) -> None:
    # What comes back from a matrix is rounded.
    at_default = abs(control.read(history.scene) - control.default) < 1e-9
    if _reset(name, at_default):
        history.step(f"reset {name}", lambda scene: control.set(scene, control.default))


def drag_control(history: History, control: Control, name: str, speed: float) -> None:
    """A control as a number to drag or to type, whose edits are steps called `name`; `speed` is a pixel's worth."""
    item, value = f"##{control.id}", control.read(history.scene)
    low, high = control.limit
    if control.whole:
        changed, value = imgui.drag_int(item, int(min(value, high)), speed, int(low), int(high), control.shown)
    else:
        changed, value = imgui.drag_float(item, value, speed, low, high, control.shown)
    if changed:
        edit_control(history, control, name, value)
    end_of_edit(history)
    tooltip(control.help)


def edit_control(history: History, control: Control, name: str, value: float) -> None:
    """Within a gesture, set a control, clamped; what is no number changes nothing."""
    if value != value:
        return
    low, high = control.limit
    clamped = min(max(value, low), high)
    history.apply(name, lambda scene: control.set(scene, clamped))


def slider(
    history: History,
    item: str,
    name: str,
    read: Callable[[Scene], float],
    low: float,
    high: float,
    *,
    shown: str = "%.2f",
    flags: int = 0,
) -> tuple[bool, float]:
    """A slider whose edits are history steps called `name`: (changed, value).

    A drag is ten times finer while Ctrl or Alt is held. A double-click, or a click with Ctrl, types a value.
    """
    with _finer(item) as fine, _typing(history, item, name):
        if fine:
            flags |= imgui.SliderFlags_.no_round_to_format
        # Read here: typing may have taken a click's edit back.
        changed, value = imgui.slider_float(item, read(history.scene), low, high, shown, flags)
    return bool(changed), float(value)


@contextmanager
def _typing(history: History, item: str, name: str) -> Iterator[None]:
    """Around a slider: a double-click enters a value by keyboard, as ImGui's Ctrl-click does.

    The first click has set the slider to where it hit; that is taken back, so that what is typed is the only step.
    """
    store, key = imgui.get_state_storage(), imgui.get_id(f"{item} before")
    hit = imgui.is_mouse_clicked(0) and _pointed_at() and imgui.is_window_hovered()
    double = hit and imgui.is_mouse_double_clicked(0)
    if hit and not double:
        store.set_int(key, len(history))
    if double:
        history.end_gesture()
        while len(history) > store.get_int(key, len(history)) and history.undo_name == name:
            history.undo()
    io = imgui.get_io()
    held = io.key_ctrl
    io.key_ctrl = held or double
    try:
        yield
    finally:
        io.key_ctrl = held


@contextmanager
def _finer(item: str) -> Iterator[bool]:
    """Around a slider: while Ctrl or Alt is held, mouse movement counts a tenth. Yields whether it did."""
    io = imgui.get_io()
    store, key = imgui.get_state_storage(), imgui.get_id(f"{item} lag")
    lag = store.get_float(key, 0.0)
    if not imgui.is_mouse_down(0):
        lag = 0.0
    elif (io.key_ctrl or io.key_alt) and not imgui.is_mouse_clicked(0):
        lag += io.mouse_delta.x * (1 - FINE)
    store.set_float(key, lag)
    x, y = io.mouse_pos.x, io.mouse_pos.y
    fine = lag != 0.0 and imgui.internal.get_active_id() == imgui.get_id(item)
    if fine:
        io.mouse_pos = ImVec2(x - lag, y)
    try:
        yield fine
    finally:
        io.mouse_pos = ImVec2(x, y)


def _pointed_at() -> bool:
    """Whether the mouse is over the item that is drawn next."""
    origin, width = imgui.get_cursor_screen_pos(), imgui.calc_item_width()
    corner = ImVec2(origin.x + width, origin.y + imgui.get_frame_height())
    return bool(imgui.is_mouse_hovering_rect(origin, corner))


def set_field(history: History, name: str, field: str, value: object) -> None:
    """As a step called `name`, set a field of the scene."""
    history.step(name, lambda scene: with_field(scene, field, value))


def end_of_edit(history: History) -> None:
    """After a slider or a text field: releasing it ends the undo step."""
    if imgui.is_item_deactivated_after_edit():
        history.end_gesture()


def wide_button(label: str, width: float = -1.0, *, accent: bool = False, colour: ImVec4 | None = None) -> bool:
    """A button of a given width; -1 fills the row."""
    pushed = 0
    if accent:
        imgui.push_style_color(imgui.Col_.button, theme.colour.accent_dim)
        imgui.push_style_color(imgui.Col_.button_hovered, theme.faded(theme.colour.accent, 0.55))
        imgui.push_style_color(imgui.Col_.button_active, theme.faded(theme.colour.accent, 0.75))
        pushed = 3
    if colour is not None:
        imgui.push_style_color(imgui.Col_.text, colour)
        pushed += 1
    pressed = imgui.button(label, ImVec2(width, 0))
    imgui.pop_style_color(pushed)
    return bool(pressed)


def action_button(session: Session, action: Action, label: str, width: float = -1.0, *, accent: bool = False) -> None:
    """A button that does an action, with its explanation and shortcut on hover."""
    imgui.begin_disabled(not action.enabled(session))
    if wide_button(label, width, accent=accent):
        action.run(session)
    imgui.end_disabled()
    shortcut = f" ({action.shortcut})" if action.shortcut else ""
    tooltip((action.tooltip or action.label(session)) + shortcut)


def quiet_button(label: str) -> bool:
    """A small icon without a frame, beside a heading."""
    imgui.push_style_color(imgui.Col_.button, ImVec4(0, 0, 0, 0))
    imgui.push_style_color(imgui.Col_.text, theme.colour.dim)
    pressed = imgui.small_button(label)
    imgui.pop_style_color(2)
    return bool(pressed)


def escape_closes() -> None:
    """Once a frame: Escape closes lists and menus, unless a text field takes it for itself.

    ImGui does so only with its keyboard navigation, which takes keys that are the picture's.
    """
    if imgui.is_key_pressed(imgui.Key.escape) and not imgui.get_io().want_text_input:
        imgui.internal.close_popups_except_modals()


def no_picture(draw_list: imgui.ImDrawList, origin: ImVec2, corner: ImVec2, *, failed: bool = False) -> None:
    """A placeholder for a picture that is being rendered or failed."""
    draw_list.add_rect_filled(origin, corner, theme.u32(theme.colour.frame), 4.0)
    icon = icons.ICON_FA_TRIANGLE_EXCLAMATION if failed else icons.ICON_FA_HOURGLASS_HALF
    size = imgui.calc_text_size(icon)
    middle = ImVec2((origin.x + corner.x - size.x) / 2, (origin.y + corner.y - size.y) / 2)
    draw_list.add_text(middle, theme.u32(theme.colour.amber if failed else theme.colour.faint), icon)


def fitted_picture(pixels: Pixels, origin: ImVec2, side: float) -> tuple[ImVec2, ImVec2]:
    """The corners of the largest whole picture that fits into a square, centred."""
    height, width = pixels.shape[:2]
    scale = side / max(width, height)
    left, top = origin.x + (side - width * scale) / 2, origin.y + (side - height * scale) / 2
    return ImVec2(left, top), ImVec2(left + width * scale, top + height * scale)


def fitted(text: str, width: float) -> str:
    """`text`, shortened with an ellipsis to `width` pixels."""
    if imgui.calc_text_size(text).x <= width:
        return text
    while text and imgui.calc_text_size(text + "…").x > width:
        text = text[:-1]
    return text + "…"


def square_button(label: str) -> bool:
    """A button of a frame's height on each side, its icon in the middle."""
    side = imgui.get_frame_height()
    imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(0, imgui.get_style().frame_padding.y))
    pressed = imgui.button(label, ImVec2(side, 0))
    imgui.pop_style_var()
    return bool(pressed)


def flow(widths: list[float], draw: Callable[[int], None]) -> None:
    """Items of known widths one after another, wrapped at the panel's edge."""
    right = imgui.get_cursor_screen_pos().x + imgui.get_content_region_avail().x
    spacing = imgui.get_style().item_spacing.x * 0.7
    x = imgui.get_cursor_screen_pos().x
    for index, width in enumerate(widths):
        if index > 0 and x + spacing + width <= right:
            imgui.same_line(0, spacing)
            x += spacing + width
        else:
            x = imgui.get_cursor_screen_pos().x + width
        draw(index)
