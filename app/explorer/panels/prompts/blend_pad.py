"""A square with a prompt or class in each corner, and a dot to drag between them."""

from __future__ import annotations

from dataclasses import replace

from imgui_bundle import ImVec2, imgui

from app.document.history import History
from app.explorer.gui import theme
from app.explorer.gui.widgets import tooltip

_RADIUS = 6.0
_HELP = "Drag the dot between the four. Double-click: back to A."


class Pad:
    """Edits `blend` and `blend_y`: A and B above, C and D below. A drag is one undo step."""

    def __init__(self) -> None:
        self._steps = 0

    def draw(self, history: History, side: float) -> None:
        origin = imgui.get_cursor_screen_pos()
        imgui.invisible_button("##pad", ImVec2(side, side))
        margin = _RADIUS + 3.0
        way = side - 2 * margin
        if imgui.is_item_active():
            self._drag(history, origin, margin, way)
        if imgui.is_item_deactivated():
            history.end_gesture()
        tooltip(_HELP)
        self._paint(history, origin, side, margin, way)

    def _drag(self, history: History, origin: ImVec2, margin: float, way: float) -> None:
        if imgui.is_mouse_double_clicked(0):
            # The first click has moved the dot; what remains is one step.
            history.end_gesture()
            while len(history) > self._steps and history.undo_name == "pad":
                history.undo()
            history.step("reset pad", lambda scene: replace(scene, blend=0.0, blend_y=0.0))
            return
        if imgui.is_item_activated():
            history.end_gesture()
            self._steps = len(history)
        elif imgui.get_mouse_drag_delta(0, 0.0).x == 0.0 and imgui.get_mouse_drag_delta(0, 0.0).y == 0.0:
            return  # held still, as after a double-click
        mouse = imgui.get_io().mouse_pos
        x = min(max((mouse.x - origin.x - margin) / way, 0.0), 1.0)
        y = min(max((mouse.y - origin.y - margin) / way, 0.0), 1.0)
        history.apply("pad", lambda scene: replace(scene, blend=x, blend_y=y))

    def _paint(self, history: History, origin: ImVec2, side: float, margin: float, way: float) -> None:
        scene = history.scene
        draw_list = imgui.get_window_draw_list()
        corner = ImVec2(origin.x + side, origin.y + side)
        draw_list.add_rect_filled(origin, corner, theme.u32(theme.colour.frame), 5.0)
        # Faint tints so that the corners can be told apart.
        tints = (theme.colour.accent, theme.colour.red, theme.colour.green, theme.colour.amber)
        a, b, c, d = (theme.u32(theme.faded(tint, 0.20)) for tint in tints)
        inset = ImVec2(origin.x + 2, origin.y + 2), ImVec2(corner.x - 2, corner.y - 2)
        draw_list.add_rect_filled_multi_color(*inset, a, b, d, c)
        x, y = origin.x + margin + scene.blend * way, origin.y + margin + scene.blend_y * way
        line = theme.u32(theme.faded(theme.colour.text, 0.12))
        draw_list.add_line(ImVec2(x, origin.y + 2), ImVec2(x, corner.y - 2), line)
        draw_list.add_line(ImVec2(origin.x + 2, y), ImVec2(corner.x - 2, y), line)
        for index, letter in enumerate("ABCD"):
            size = imgui.calc_text_size(letter)
            left = origin.x + 7 if index % 2 == 0 else corner.x - 7 - size.x
            top = origin.y + 4 if index < 2 else corner.y - 4 - size.y
            draw_list.add_text(ImVec2(left, top), theme.u32(theme.colour.dim), letter)
        lit = imgui.is_item_hovered() or imgui.is_item_active()
        draw_list.add_circle_filled(
            ImVec2(x, y), _RADIUS, theme.u32(theme.colour.accent_hover if lit else theme.colour.accent)
        )
        draw_list.add_circle(ImVec2(x, y), _RADIUS, theme.u32(theme.colour.text), thickness=1.5)
