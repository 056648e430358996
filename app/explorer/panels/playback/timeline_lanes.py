"""The timeline's ruler, keyframes and tracks, drawn and dragged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from imgui_bundle import ImVec2, ImVec4, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from app.document.controls import Control
from app.document.history import History
from app.document.parts import Track
from app.document.playback import track_value
from app.document.scene import Scene
from app.explorer.actions import by_id
from app.explorer.gui import theme
from app.explorer.gui.widgets import fitted, tooltip
from app.explorer.playback.timeline_editor import Selection
from app.explorer.playback.timescale import TimeScale
from app.explorer.session import Session
from core.timeline import EASING_NAMES, EasingName

NAMES_EM = 7.5
RULER_EM = 1.5
KEYS_EM = 1.6
LANE_EM = 3.2
GRIP = 14.0
PADDING = 6.0


def _colour(colour: ImVec4) -> int:
    return int(theme.u32(colour))


@dataclass
class _Drag:
    """A keyframe or point under the mouse button."""

    what: Selection
    range: tuple[float, float] = (0.0, 1.0)
    """Of the lane when the drag began: it must not change under the mouse."""
    moved: bool = False


class Lanes:
    """The ruler and the lanes. Zoom and scroll are not part of the document."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._scale = TimeScale(width=1.0, seconds=session.history.scene.duration)
        self._whole = True
        """Whether the whole timeline is in view, and stays so when its length changes."""
        self._drag: _Drag | None = None
        self._left = 0.0
        """Screen x of the lanes' left end."""

    def draw(self, history: History) -> None:
        em = imgui.get_font_size()
        scene = history.scene
        origin = imgui.get_cursor_screen_pos()
        area = imgui.get_content_region_avail()
        self._left = origin.x + em * NAMES_EM
        width = max(area.x - em * NAMES_EM - imgui.get_style().scrollbar_size - PADDING, 40.0)
        self._fit(scene, width)
        top = origin.y + PADDING
        bottom = origin.y + max(area.y, 1.0)
        self._ruler(history, top, em)
        self._keyframes(history, top + em * RULER_EM, em)
        lanes = top + em * (RULER_EM + KEYS_EM) + 2
        imgui.set_cursor_screen_pos(ImVec2(origin.x, lanes))
        if bottom - lanes > em:
            imgui.begin_child("##tracks", ImVec2(0, bottom - lanes))
            for index, track in enumerate(scene.tracks):
                self._track(history, index, track, em)
            if not scene.tracks and not scene.keyframes:
                self._hint(em)
            self._playhead(top, bottom)  # once more: what lies in a child window is drawn over this one
            imgui.end_child()
        self._playhead(top, bottom)
        self._wheel(scene, origin, ImVec2(origin.x + area.x, bottom), lanes)
        if self._drag is not None and not imgui.is_mouse_down(0):
            self._let_go(history)

    # Zoom and scroll

    def _fit(self, scene: Scene, width: float) -> None:
        scale = replace(self._scale, width=width)
        if self._whole:
            scale = replace(scale, start=0.0, seconds=scene.duration)
        if self._session.playback.transport.playing:
            scale = scale.following(self._session.playback.timeline.position, scene.duration)
        self._scale = scale.within(scene.duration)

    def _wheel(self, scene: Scene, origin: ImVec2, corner: ImVec2, lanes: float) -> None:
        io = imgui.get_io()
        flags = imgui.HoveredFlags_.child_windows
        if not imgui.is_window_hovered(flags) or not imgui.is_mouse_hovering_rect(origin, corner):
            return
        before = self._scale
        if io.mouse_wheel and not io.key_shift and (io.key_ctrl or io.mouse_pos.y < lanes):
            self._scale = before.zoomed(1.2**io.mouse_wheel, io.mouse_pos.x - self._left, scene.duration)
        sideways = io.mouse_wheel_h - (io.mouse_wheel if io.key_shift else 0.0)
        if sideways:
            self._scale = self._scale.panned(sideways * 60.0, scene.duration)
        if imgui.is_mouse_dragging(2):
            self._scale = self._scale.panned(-io.mouse_delta.x, scene.duration)
        if self._scale != before:
            self._whole = self._scale.seconds >= scene.duration

    def _mouse_time(self) -> float:
        return self._scale.time(imgui.get_io().mouse_pos.x - self._left)

    # Ruler and playhead

    def _ruler(self, history: History, top: float, em: float) -> None:
        scene, scale, editor = history.scene, self._scale, self._session.playback.timeline
        bottom = top + em * RULER_EM
        draw_list = imgui.get_window_draw_list()
        draw_list.add_rect_filled(
            ImVec2(self._left, top), ImVec2(self._left + scale.width, bottom), _colour(theme.colour.frame), 4.0
        )
        for tick in scale.ticks(scene):
            x = round(self._left + scale.x(tick.time))
            height = em * (0.55 if tick.label else 0.3)
            draw_list.add_line(ImVec2(x, bottom - height), ImVec2(x, bottom), _colour(theme.colour.faint))
            if tick.label and x + imgui.calc_text_size(tick.label).x + 4 < self._left + scale.width:
                draw_list.add_text(ImVec2(x + 4, top + 1), _colour(theme.colour.dim), tick.label)
        imgui.set_cursor_screen_pos(ImVec2(self._left, top))
        imgui.invisible_button("##ruler", ImVec2(scale.width, em * RULER_EM))
        if imgui.is_item_active():
            editor.scrub(self._mouse_time())
        if imgui.is_item_hovered() and imgui.is_mouse_double_clicked(0):
            editor.add_keyframe(self._mouse_time())
        tooltip("Drag to move the playhead; double-click for a keyframe; the wheel zooms, with Shift it scrolls.")

    def _playhead(self, top: float, bottom: float) -> None:
        x = round(self._left + self._scale.x(self._session.playback.timeline.position))
        if not self._left - 1 <= x <= self._left + self._scale.width + 1:
            return
        draw_list = imgui.get_window_draw_list()
        colour = _colour(theme.colour.amber)
        draw_list.add_line(ImVec2(x, top), ImVec2(x, bottom), colour, 1.5)
        size = imgui.get_font_size() * 0.35
        draw_list.add_triangle_filled(ImVec2(x - size, top), ImVec2(x + size, top), ImVec2(x, top + size * 1.4), colour)

    def _hint(self, em: float) -> None:
        imgui.set_cursor_screen_pos(ImVec2(self._left + em * 0.6, imgui.get_cursor_screen_pos().y + em * 0.4))
        imgui.text_colored(
            theme.colour.faint, "K keeps all controls as a keyframe here; move the playhead, change them, K again."
        )

    # Keyframes

    def _keyframes(self, history: History, top: float, em: float) -> None:
        scene, scale = history.scene, self._scale
        height = em * KEYS_EM
        middle = top + height / 2
        draw_list = imgui.get_window_draw_list()
        draw_list.add_text(
            ImVec2(self._left - em * NAMES_EM, top + (height - em) / 2), _colour(theme.colour.dim), "keyframes"
        )
        right = self._left + scale.width
        draw_list.push_clip_rect(ImVec2(self._left - GRIP, top), ImVec2(right + GRIP, top + height), True)
        for first, second in zip(scene.keyframes, scene.keyframes[1:], strict=False):
            a, b = (self._left + scale.x(keyframe.time) for keyframe in (first, second))
            colour = theme.colour.line if first.easing == "hold" else theme.colour.accent_dim
            draw_list.add_line(ImVec2(a, middle), ImVec2(b, middle), _colour(colour), 2.0)
        for index, keyframe in enumerate(scene.keyframes):
            x = self._left + scale.x(keyframe.time)
            if self._left - GRIP <= x <= right + GRIP:
                colour = theme.colour.faint if keyframe.time > scene.duration else theme.colour.accent
                self._diamond(Selection(index), x, middle, colour, f"##key {index}")
                self._menu(history, Selection(index), f"##key menu {index}", keyframe.easing)
        draw_list.pop_clip_rect()
        drag = self._drag
        if drag is not None and not drag.what.control and self._is_moving(drag):
            index = self._session.playback.timeline.move_keyframe(drag.what.index, self._mouse_time())
            drag.what = Selection(index)

    def _diamond(self, what: Selection, x: float, y: float, colour: ImVec4, item: str) -> None:
        """A keyframe or point that can be clicked and dragged."""
        editor = self._session.playback.timeline
        imgui.set_cursor_screen_pos(ImVec2(x - GRIP / 2, y - GRIP / 2))
        imgui.invisible_button(item, ImVec2(GRIP, GRIP))
        hovered = imgui.is_item_hovered()
        if imgui.is_item_activated():
            editor.select(what.index, what.control)
            self._drag = _Drag(what)
        selected = editor.selection == what
        size = 6.5 if selected or hovered else 5.5
        draw_list = imgui.get_window_draw_list()
        shown = theme.colour.text if selected else theme.colour.accent_hover if hovered else colour
        draw_list.add_ngon_filled(ImVec2(x, y), size, _colour(shown), 4)
        if selected:
            draw_list.add_ngon(ImVec2(x, y), size + 2.5, _colour(theme.colour.accent), 4, 1.5)

    def _is_moving(self, drag: _Drag) -> bool:
        drag.moved = drag.moved or imgui.is_mouse_dragging(0)
        return drag.moved and imgui.is_mouse_down(0)

    def _let_go(self, history: History) -> None:
        drag, self._drag = self._drag, None
        assert drag is not None
        history.end_gesture()
        if drag.moved:
            return
        if not drag.what.control:
            self._session.playback.timeline.go_to_keyframe(drag.what.index)

    def _menu(self, history: History, what: Selection, popup: str, easing: EasingName) -> None:
        editor = self._session.playback.timeline
        if not imgui.begin_popup_context_item(popup):
            return
        if imgui.is_window_appearing():
            editor.select(what.index, what.control)
        for name in EASING_NAMES:
            if imgui.menu_item(f"{name}###ease {name}", "", name == easing)[0]:
                editor.ease(name)
        imgui.separator()
        if what.control:
            self._value_field(history, what)
        else:
            update = by_id("keyframe_update")
            if imgui.menu_item("Update from the controls###update", update.shortcut, False, editor.differs)[0]:
                editor.update_keyframe()
        if imgui.menu_item("Delete###delete", by_id("keyframe_delete").shortcut, False)[0]:
            editor.select(what.index, what.control)
            editor.delete()
        imgui.end_popup()

    def _value_field(self, history: History, what: Selection) -> None:
        track = next(track for track in history.scene.tracks if track.control == what.control)
        point = track.points[what.index]
        imgui.set_next_item_width(imgui.get_font_size() * 6)
        changed, value = imgui.input_float("value###value", point.value, format="%.3f")
        if changed and value == value and abs(value) < 1e12:
            self._session.playback.timeline.move_point(what.control, what.index, point.time, value)
        if imgui.is_item_deactivated_after_edit():
            history.end_gesture()

    # Tracks

    def _track(self, history: History, index: int, track: Track, em: float) -> None:
        editor, scale = self._session.playback.timeline, self._scale
        control = editor.control_of(track)
        origin = imgui.get_cursor_screen_pos()
        height = em * LANE_EM
        imgui.push_id(track.control)
        self._track_name(history, track, control, origin, em)
        top, bottom = origin.y + 3, origin.y + height - 3
        right = self._left + scale.width
        draw_list = imgui.get_window_draw_list()
        draw_list.add_rect_filled(ImVec2(self._left, top), ImVec2(right, bottom), _colour(theme.colour.backdrop), 4.0)
        low, high = _range(track, control)
        drag = self._drag
        if drag is not None and drag.what.control == track.control and drag.moved:
            low, high = drag.range
        inner = bottom - top - GRIP

        def y_of(value: float) -> float:
            return bottom - GRIP / 2 - (min(max(value, low), high) - low) / (high - low) * inner

        imgui.set_cursor_screen_pos(ImVec2(self._left, top))
        imgui.set_next_item_allow_overlap()
        imgui.invisible_button("##lane", ImVec2(scale.width, bottom - top))
        mouse = imgui.get_io().mouse_pos
        value = low + min(max((bottom - GRIP / 2 - mouse.y) / inner, 0.0), 1.0) * (high - low)
        if imgui.is_item_hovered() and imgui.is_mouse_double_clicked(0):
            editor.add_point(track.control, self._mouse_time(), value)
        tooltip("Double-click for a point; drag points; the right button has easing and value.")
        draw_list.push_clip_rect(ImVec2(self._left - GRIP, top), ImVec2(right + GRIP, bottom), True)
        self._curve(history.scene, track, y_of)
        # A point may have moved in this frame: the newest are drawn.
        for place, point in enumerate(track.points):
            x = self._left + scale.x(point.time)
            if self._left - GRIP <= x <= right + GRIP:
                what = Selection(place, track.control)
                self._diamond(what, x, y_of(point.value), theme.colour.accent, f"##point {place}")
                if imgui.is_item_hovered() or (drag is not None and drag.what == what):
                    imgui.set_tooltip(f"{point.value:.3g} at {point.time:.2f} s")
                self._menu(history, what, f"##point menu {place}", point.easing)
        draw_list.pop_clip_rect()
        drag = self._drag
        if drag is not None and drag.what.control == track.control:
            if not drag.moved:
                drag.range = (low, high)
            if self._is_moving(drag) and drag.what.index < len(track.points):
                place = editor.move_point(track.control, drag.what.index, self._mouse_time(), value)
                drag.what = Selection(place, track.control)
        imgui.pop_id()
        imgui.set_cursor_screen_pos(ImVec2(origin.x, origin.y + height))
        imgui.dummy(ImVec2(1, 1))
        imgui.set_cursor_screen_pos(ImVec2(origin.x, origin.y + height))

    def _track_name(self, history: History, track: Track, control: Control | None, origin: ImVec2, em: float) -> None:
        editor = self._session.playback.timeline
        draw_list = imgui.get_window_draw_list()
        room = em * (NAMES_EM - 2.2)
        name = fitted(control.label if control else track.control, room)
        draw_list.add_text(
            ImVec2(origin.x, origin.y + em * 0.45), _colour(theme.colour.text if control else theme.colour.faint), name
        )
        shown = f"{track_value(history.scene, track, editor.position):.3g}" if control else "not in this scene"
        draw_list.add_text(ImVec2(origin.x, origin.y + em * 1.6), _colour(theme.colour.dim), fitted(shown, room))
        imgui.set_cursor_screen_pos(ImVec2(self._left - em * 2.0, origin.y + em * 0.75))
        imgui.push_style_color(imgui.Col_.button, ImVec4(0, 0, 0, 0))
        imgui.push_style_color(imgui.Col_.text, theme.colour.faint)
        if imgui.small_button(f"{icons.ICON_FA_XMARK}###delete track"):
            editor.delete_track(track.control)
        imgui.pop_style_color(2)
        tooltip("Delete this track.")

    def _curve(self, scene: Scene, track: Track, y_of: Callable[[float], float]) -> None:
        scale = self._scale
        points = []
        steps = max(int(scale.width // 4), 2)
        for step in range(steps + 1):
            x = scale.width * step / steps
            moment = min(scale.time(x), scene.duration)
            # Not the loop's start at its very end.
            moment = min(moment, scene.duration * (1 - 1e-9))
            points.append(ImVec2(self._left + x, y_of(track_value(scene, track, moment))))
        imgui.get_window_draw_list().add_polyline([*points], _colour(theme.faded(theme.colour.accent, 0.7)), 2.0, 0)


def _range(track: Track, control: Control | None) -> tuple[float, float]:
    """The range of values of a lane: the control's range and every value; of a very wide range the part in use."""
    values = [point.value for point in track.points]
    if control is None or (not control.whole and control.limit[1] - control.limit[0] > 1e6):
        return min(values) - 2.0, max(values) + 2.0
    return min(control.low, *values), max(control.high, *values)
