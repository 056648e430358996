"""A range of layers as a strip of cells, coarse on the left: drag its ends, or all of it."""

from __future__ import annotations

from imgui_bundle import ImVec2, imgui

from app.explorer.gui import theme
from core.request import LAYER_LIMIT

# How near to an end, in pixels, the pointer takes hold of it.
REACH = 9.0
_BOTH, _FIRST, _STOP = 0, 1, 2


def clamped(first: int, stop: int, count: int) -> tuple[int, int]:
    """A range of layers, clamped for a generator with `count` styles."""
    return min(first, count), min(stop, count)


def to_last(stop: int, count: int) -> int:
    """The end of a range as saved: the last layer becomes `LAYER_LIMIT`, which is the last layer of any model."""
    return LAYER_LIMIT if stop >= count else stop


def presets(count: int) -> dict[str, tuple[int, int]]:
    """Ranges by name: a third each, and all."""
    one, two = max(round(count / 3), 1), max(round(2 * count / 3), 2)
    named = {"all": (0, count), "coarse": (0, one), "middle": (one, two), "fine": (two, count)}
    return {name: (first, stop) for name, (first, stop) in named.items() if first < stop <= count}


def moved(hold: int, first: int, stop: int, by: int, count: int) -> tuple[int, int]:
    """The range after an end, or all of it, was dragged by so many layers; at least one layer stays in it."""
    if hold == _FIRST:
        return min(max(first + by, 0), stop - 1), stop
    if hold == _STOP:
        return first, max(min(stop + by, count), first + 1)
    by = min(max(by, -first), count - stop)
    return first + by, stop + by


def layer_range(item: str, first: int, stop: int, count: int) -> tuple[bool, int, int]:
    """Draws the strip over the row. Whether the range changed, and what it is now, `stop` exclusive.

    Its drag has ended when the item is deactivated.
    """
    store, key, grip = imgui.get_state_storage(), imgui.get_id(item), imgui.get_id(f"{item} grip")
    origin = imgui.get_cursor_screen_pos()
    size = ImVec2(imgui.get_content_region_avail().x, imgui.get_frame_height())
    imgui.invisible_button(item, size)
    hovered, active = imgui.is_item_hovered(), imgui.is_item_active()
    cell = size.x / count
    mouse = imgui.get_io().mouse_pos.x - origin.x
    near_first, near_stop = abs(mouse - first * cell), abs(mouse - stop * cell)
    hold = _BOTH
    if min(near_first, near_stop) <= max(REACH, cell / 4):
        hold = _FIRST if near_first < near_stop else _STOP
    changed = False
    if imgui.is_item_activated():
        if hold == _BOTH and not first <= mouse / cell < stop:
            # A click outside takes the nearer end there.
            hold = _FIRST if mouse < first * cell else _STOP
            place = min(max(int(mouse / cell), 0), count - 1)
            first, stop = (place, stop) if hold == _FIRST else (first, place + 1)
            changed = True
        store.set_int(key, hold)
        store.set_float(grip, mouse)
    if active:
        hold = store.get_int(key, _BOTH)
        by = round((mouse - store.get_float(grip, mouse)) / cell)
        if by:
            new = moved(hold, first, stop, by, count)
            # As far as the range went, so that the hand finds its end again where it left it.
            went = new[1] - stop if hold == _STOP else new[0] - first
            store.set_float(grip, store.get_float(grip, mouse) + went * cell)
            changed = changed or new != (first, stop)
            first, stop = new
    if hovered or active:
        imgui.set_mouse_cursor(imgui.MouseCursor_.hand if hold == _BOTH else imgui.MouseCursor_.resize_ew)
    _paint(origin, size, first, stop, count, lit=hovered or active)
    return changed, first, stop


def _paint(origin: ImVec2, size: ImVec2, first: int, stop: int, count: int, *, lit: bool) -> None:
    draw_list = imgui.get_window_draw_list()
    cell = size.x / count
    gap = 2.0 if cell > 6 else 1.0
    for layer in range(count):
        inside = first <= layer < stop
        tint = theme.colour.accent if inside else theme.colour.text
        colour = theme.faded(tint, 0.45 if inside else 0.09)
        left = origin.x + layer * cell
        draw_list.add_rect_filled(
            ImVec2(left, origin.y), ImVec2(left + cell - gap, origin.y + size.y), theme.u32(colour), 3.0
        )
    for end in (first, stop):
        x = min(max(origin.x + end * cell - gap / 2, origin.x + 2), origin.x + size.x - 2)
        handle = theme.colour.text if lit else theme.colour.accent_hover
        draw_list.add_rect_filled(
            ImVec2(x - 2, origin.y - 1), ImVec2(x + 2, origin.y + size.y + 1), theme.u32(handle), 2.0
        )
    text = f"layer {first}" if stop - first == 1 else f"layers {first} to {stop - 1}"
    if imgui.calc_text_size(text).x + 12 > (stop - first) * cell:
        text = f"{first}" if stop - first == 1 else f"{first}-{stop - 1}"
    room = imgui.calc_text_size(text)
    middle = origin.x + (first + stop) / 2 * cell - room.x / 2
    middle = min(max(middle, origin.x + 6), origin.x + size.x - room.x - 6)
    draw_list.add_text(ImVec2(middle, origin.y + (size.y - room.y) / 2), theme.u32(theme.colour.text), text)
