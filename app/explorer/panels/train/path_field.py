"""A text field for a path, which shows the path's end while it is not edited."""

from __future__ import annotations

from imgui_bundle import ImVec2, ImVec4, imgui

MOST = 300
"""More characters than any field shows."""


def path_field(item: str, hint: str, text: str) -> tuple[bool, str]:
    """As `imgui.input_text_with_hint`: (changed, text)."""
    padding = imgui.get_style().frame_padding
    room = imgui.calc_item_width() - 2 * padding.x
    rests = imgui.internal.get_active_id() != imgui.get_id(item)
    shortened = rests and imgui.calc_text_size(text).x > room
    if shortened:
        # The field itself must have the whole text: it takes it when it is clicked.
        imgui.push_style_color(imgui.Col_.text, ImVec4(0, 0, 0, 0))
    changed, new = imgui.input_text_with_hint(item, hint, text)
    if shortened:
        imgui.pop_style_color()
        corner = imgui.get_item_rect_min()
        place = ImVec2(corner.x + padding.x, corner.y + padding.y)
        imgui.get_window_draw_list().add_text(place, imgui.get_color_u32(imgui.Col_.text), _end(text, room))
    return bool(changed), str(new)


def _end(text: str, width: float) -> str:
    """The end of a text, behind an ellipsis, as much as fits."""
    text = text[-MOST:]
    while text and imgui.calc_text_size("…" + text).x > width:
        text = text[1:]
    return "…" + text
