"""Snapshot B beside the picture, or over a part of it behind a line that can be dragged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from imgui_bundle import ImVec2, imgui
from numpy.typing import NDArray

from app.document.history import History
from app.document.snapshots import marked
from app.explorer.gui import theme
from app.explorer.gui.texture import Texture
from app.explorer.session import Session

GRIP = 12.0
GAP = 10.0


@dataclass(frozen=True)
class Rect:
    """A part of the screen, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def origin(self) -> ImVec2:
        return ImVec2(self.left, self.top)

    @property
    def corner(self) -> ImVec2:
        return ImVec2(self.right, self.bottom)

    @property
    def area(self) -> ImVec2:
        return ImVec2(self.right - self.left, self.bottom - self.top)


class Comparison:
    """Layout and drawing of the comparison with snapshot B."""

    def __init__(self, session: Session, new_texture: Callable[[], Texture]) -> None:
        self._session, self._new_texture = session, new_texture
        self._texture: Texture | None = None
        self._shown: NDArray[np.uint8] | None = None

    @property
    def how(self) -> str:
        """The mode of comparison; "off" without a snapshot B."""
        scene = self._session.history.scene
        return scene.compare if marked(scene, "B") is not None else "off"

    def live(self, box: Rect) -> Rect:
        """The part of the viewport for the live picture."""
        return replace(box, right=(box.left + box.right - GAP) / 2) if self.how == "side" else box

    def beside(self, box: Rect) -> Rect:
        """The part for snapshot B when the two stand side by side."""
        return replace(box, left=(box.left + box.right + GAP) / 2)

    def texture(self) -> tuple[Texture, tuple[int, int]] | None:
        """Snapshot B and its (width, height); None while it is being rendered."""
        snapshot = marked(self._session.history.scene, "B")
        pixels = None if snapshot is None else self._session.rendering.comparison.get(snapshot.request)
        if pixels is None:
            return None
        if self._texture is None:
            self._texture = self._new_texture()
        if self._shown is not pixels:
            self._texture.upload(pixels)
            self._shown = pixels
        return self._texture, (int(pixels.shape[1]), int(pixels.shape[0]))

    def line(self, history: History, picture: Rect) -> bool:
        """Draw and drag the line of the wipe; returns whether the mouse is at it."""
        x = round(picture.left + history.scene.wipe * picture.area.x)
        imgui.set_cursor_screen_pos(ImVec2(x - GRIP / 2, picture.top))
        imgui.set_next_item_allow_overlap()
        imgui.invisible_button("##wipe", ImVec2(GRIP, max(picture.area.y, 1.0)))
        at_it = imgui.is_item_hovered() or imgui.is_item_active()
        if at_it:
            imgui.set_mouse_cursor(imgui.MouseCursor_.resize_ew)
        if imgui.is_item_active() and imgui.is_mouse_dragging(0, 1.0):
            wipe = (imgui.get_io().mouse_pos.x - picture.left) / max(picture.area.x, 1.0)
            history.apply("wipe", lambda scene: replace(scene, wipe=min(max(wipe, 0.0), 1.0)))
        if imgui.is_item_deactivated():
            history.end_gesture()
        draw_list = imgui.get_window_draw_list()
        white = theme.u32(theme.colour.accent_hover if at_it else theme.faded(theme.WHITE, 0.9))
        draw_list.add_line(ImVec2(x, picture.top), ImVec2(x, picture.bottom), white, 2.0)
        middle = ImVec2(x, (picture.top + picture.bottom) / 2)
        draw_list.add_circle_filled(middle, 5.0, white)
        return at_it

    def names(self, live: Rect, other: Rect) -> None:
        """Draw the names of both pictures in their upper corners."""
        snapshot = marked(self._session.history.scene, "B")
        assert snapshot is not None
        _name("now", live.left + 8, live.top + 8)
        text = f"B · {snapshot.name}"
        if self._session.rendering.comparison.get(snapshot.request) is None:
            text += "  ·  " + (self._session.rendering.comparison.problem(snapshot.request) or "rendering…")
        width = imgui.calc_text_size(text).x + 16
        _name(text, max(other.right - width - 8, other.left), other.top + 8)


def _name(text: str, x: float, y: float) -> None:
    size = imgui.calc_text_size(text)
    draw_list = imgui.get_window_draw_list()
    back = theme.u32(theme.faded(theme.colour.popup, 0.75))
    draw_list.add_rect_filled(ImVec2(x, y), ImVec2(x + size.x + 16, y + size.y + 6), back, 5.0)
    draw_list.add_text(ImVec2(x + 8, y + 3), theme.u32(theme.colour.text), text)
