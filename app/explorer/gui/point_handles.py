"""Mouse handling and drawing of drag points: handles, their targets, and the region that may change."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from imgui_bundle import ImVec2, imgui

from app.explorer.gui import theme
from app.explorer.gui.compare import Rect
from app.explorer.session import Session
from core.edit.points import Point, Pull

# In pixels of the screen, at the usual size of the font.
RADIUS = 5.0
REACH = 10.0
HEAD = 9.0

End = Literal["handle", "target"]


@dataclass(frozen=True)
class _Grip:
    """The end of a point that the mouse drags."""

    index: int
    end: End


class PointHandles:
    """Follows the mouse on the picture's item, the last one drawn, and draws the points over the picture."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._grip: _Grip | None = None
        self._corner: Point | None = None
        """The first corner of the region being drawn."""

    def follow(self, picture: Rect, part: Rect, width: int) -> None:
        """`picture` is the picture's rectangle on screen, `part` clips it, `width` is its own width in pixels."""
        drag = self._session.drag
        unit = picture.area.x / width
        height = round(picture.area.y / unit)
        em = imgui.get_font_size() / theme.FONT_SIZE
        mouse = imgui.get_io().mouse_pos
        place = (
            min(max((mouse.x - picture.left) / unit - 0.5, -0.5), width - 0.5),
            min(max((mouse.y - picture.top) / unit - 0.5, -0.5), height - 0.5),
        )
        if not drag.running:
            if imgui.is_item_hovered():
                imgui.set_mouse_cursor(imgui.MouseCursor_.hand)
                if imgui.is_mouse_clicked(1):
                    self._remove(place, REACH * em / unit)
            if imgui.is_item_activated():
                self._press(place, REACH * em / unit)
            if imgui.is_item_active():
                self._pull(place)
            if imgui.is_item_deactivated():
                self._let_go()
        else:
            self._grip = self._corner = None
        self._draw(picture, part, unit, em)

    def _press(self, place: Point, reach: float) -> None:
        drag = self._session.drag
        self._corner = self._grip = None
        if imgui.get_io().key_shift:
            self._corner = place
        elif (grip := self._at(place, reach)) is not None:
            self._grip = grip
        elif drag.put(Pull(handle=place, target=place)):
            self._grip = _Grip(len(drag.points) - 1, "target")

    def _pull(self, place: Point) -> None:
        drag = self._session.drag
        if self._corner is not None:
            (x0, y0), (x1, y1) = self._corner, place
            drag.region = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        elif self._grip is not None:
            pull = drag.points[self._grip.index]
            moved = replace(pull, handle=place) if self._grip.end == "handle" else replace(pull, target=place)
            drag.points[self._grip.index] = moved

    def _let_go(self) -> None:
        """Drop a point that was not pulled anywhere, and an empty region."""
        drag = self._session.drag
        if self._grip is not None and drag.points[self._grip.index].distance < 1.0:
            del drag.points[self._grip.index]
        if self._corner is not None and drag.region is not None:
            left, top, right, bottom = drag.region
            if min(right - left, bottom - top) < 1.0:
                drag.region = None
        self._grip = self._corner = None

    def _remove(self, place: Point, reach: float) -> None:
        drag = self._session.drag
        grip = self._at(place, reach)
        if grip is not None:
            del drag.points[grip.index]
        elif drag.region is not None:
            left, top, right, bottom = drag.region
            if left <= place[0] <= right and top <= place[1] <= bottom:
                drag.region = None

    def _at(self, place: Point, reach: float) -> _Grip | None:
        """The end of a point that is nearest to a place, within a reach in the picture's pixels. Of equals a target,
        and the last, which are drawn on top.
        """
        ends: list[tuple[float, int, End]] = []
        for index, pull in enumerate(self._session.drag.points):
            ends.append((math.dist(pull.target, place), index, "target"))
            ends.append((math.dist(pull.handle, place), index, "handle"))
        within = [end for end in ends if end[0] <= reach]
        if not within:
            return None
        _, index, end = min(within, key=lambda found: (found[0], -found[1]))
        return _Grip(index, end)

    def _draw(self, picture: Rect, part: Rect, unit: float, em: float) -> None:
        drag = self._session.drag

        def on_screen(point: Point) -> ImVec2:
            return ImVec2(picture.left + (point[0] + 0.5) * unit, picture.top + (point[1] + 0.5) * unit)

        draw_list = imgui.get_window_draw_list()
        draw_list.push_clip_rect(part.origin, part.corner, True)
        if drag.region is not None:
            left, top, right, bottom = drag.region
            low, high = on_screen((left, top)), on_screen((right, bottom))
            if not drag.running:  # then one looks at the picture
                _shade_around(draw_list, picture, low, high)
            draw_list.add_rect(low, high, theme.u32(theme.faded(theme.WHITE, 0.8)))
        for pull in drag.points:
            _arrow(draw_list, on_screen(pull.handle), on_screen(pull.target), em)
        draw_list.pop_clip_rect()


def _shade_around(draw_list: imgui.ImDrawList, picture: Rect, low: ImVec2, high: ImVec2) -> None:
    """Darken the picture around a rectangle."""
    dark = theme.u32(theme.OUTSIDE)
    for left, top, right, bottom in (
        (picture.left, picture.top, picture.right, low.y),
        (picture.left, high.y, picture.right, picture.bottom),
        (picture.left, low.y, low.x, high.y),
        (high.x, low.y, picture.right, high.y),
    ):
        if right > left and bottom > top:
            draw_list.add_rect_filled(ImVec2(left, top), ImVec2(right, bottom), dark)


def _arrow(draw_list: imgui.ImDrawList, start: ImVec2, end: ImVec2, em: float) -> None:
    """From a handle to its target; white, with a dark edge, so that it is seen on any picture."""
    dark, white = theme.u32(theme.EDGE), theme.u32(theme.WHITE)
    dx, dy = end.x - start.x, end.y - start.y
    length = math.hypot(dx, dy)
    radius = RADIUS * em
    if length > 2 * radius:
        dx, dy = dx / length, dy / length
        tip = ImVec2(end.x - dx * radius, end.y - dy * radius)
        head = min(HEAD * em, length - 2 * radius)
        neck = ImVec2(tip.x - dx * head, tip.y - dy * head)
        wing = head / 2
        a = ImVec2(neck.x - dy * wing, neck.y + dx * wing)
        b = ImVec2(neck.x + dy * wing, neck.y - dx * wing)
        draw_list.add_line(start, tip, dark, 4.0)
        draw_list.add_line(start, neck, white, 2.0)
        draw_list.add_triangle_filled(tip, a, b, white)
    for at, colour in ((start, theme.HANDLE), (end, theme.TARGET)):
        draw_list.add_circle_filled(at, radius + 2.0, dark)
        draw_list.add_circle_filled(at, radius + 1.0, white)
        draw_list.add_circle_filled(at, radius - 0.5, theme.u32(colour))
