"""Dragging the picture: walks over the seed plane, or, with a modifier key, moves, turns and scales the content."""

from __future__ import annotations

import math
from typing import Literal

from imgui_bundle import ImVec2, imgui

from app.document import seed_plane
from app.document.history import History
from app.document.placement import Placement
from app.explorer.gui import theme
from app.explorer.session import Session

Mode = Literal["walk", "move", "turn", "scale"]

# How long the wheel's new step is shown, in seconds.
STEP_SHOWN_S = 1.2
# Nearer to the middle than this, in pixels, turning and scaling would jump.
MIDDLE = 12.0


class PictureDrag:
    """Follows the mouse on the picture's item, the last one drawn. A drag is one undo step."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._mode: Mode = "walk"
        self._walk = seed_plane.Walk(0.0, 0.0)
        self._step_shown_until = 0.0

    def follow(self, history: History, origin: ImVec2, size: ImVec2) -> None:
        """`origin` and `size` are those of the whole picture on screen, clipped parts included."""
        hovered, active = imgui.is_item_hovered(), imgui.is_item_active()
        if hovered or active:
            imgui.set_mouse_cursor(imgui.MouseCursor_.hand)
        if imgui.is_item_activated():
            self._mode = self._wanted_mode()
            self._walk = seed_plane.Walk(history.scene.seed_x, history.scene.seed_y)
        if hovered and not active:
            self._wheel()
        if active and imgui.is_mouse_dragging(0, 1.0):
            delta = imgui.get_io().mouse_delta
            if delta.x or delta.y:
                self._drag(history, delta, origin, size)
            imgui.set_tooltip(self._text(history))
        elif imgui.get_time() < self._step_shown_until:
            imgui.set_tooltip(seed_plane.step_text(self._session.preferences.settings.walk_step))
        if imgui.is_item_deactivated():
            history.end_gesture()

    def _wanted_mode(self) -> Mode:
        info, io = self._session.models.info, imgui.get_io()
        if info is None or not info.has_transform:
            return "walk"
        return "move" if io.key_alt else "turn" if io.key_ctrl else "scale" if io.key_shift else "walk"

    def _wheel(self) -> None:
        notches = imgui.get_io().mouse_wheel
        if notches:
            self._session.preferences.set_walk(
                step=seed_plane.zoomed(self._session.preferences.settings.walk_step, notches)
            )
            self._step_shown_until = imgui.get_time() + STEP_SHOWN_S

    def _drag(self, history: History, delta: ImVec2, origin: ImVec2, size: ImVec2) -> None:
        settings = self._session.preferences.settings
        if self._mode == "walk":
            step = settings.walk_step / (imgui.get_font_size() / theme.FONT_SIZE)
            scene = self._walk.move(history.scene, delta.x * step, delta.y * step, snap=settings.snap_seeds)
            history.apply("walk", lambda _: scene)
            return
        placement = Placement.of(history.scene)
        if self._mode == "move":
            placed = placement.moved(delta.x / size.x, delta.y / size.x)
        else:
            mouse = imgui.get_io().mouse_pos
            x, y = mouse.x - origin.x - size.x / 2, mouse.y - origin.y - size.y / 2
            before_x, before_y = x - delta.x, y - delta.y
            near, before = math.hypot(x, y), math.hypot(before_x, before_y)
            if min(near, before) < MIDDLE:
                return
            if self._mode == "turn":
                placed = placement.turned(math.degrees(math.atan2(y, x) - math.atan2(before_y, before_x)))
            else:
                placed = placement.turned(0.0, near / before)
        history.apply(f"{self._mode} the content", placed.applied)

    def _text(self, history: History) -> str:
        """The tooltip during a drag."""
        if self._mode == "walk":
            scene, settings = history.scene, self._session.preferences.settings
            snap = " · whole seeds" if settings.snap_seeds else ""
            return f"{scene.seed_x:.2f}, {scene.seed_y:.2f} · {seed_plane.step_text(settings.walk_step)}{snap}"
        placement = Placement.of(history.scene)
        if self._mode == "move":
            return f"moved {placement.x:+.2f}, {placement.y:+.2f}"
        return f"turned {placement.turn:.0f}°" if self._mode == "turn" else f"scaled {placement.scale:.2f}×"
