"""Editing the timeline at the playhead: keyframes and tracks as undo steps, and the selection. No GUI and no torch."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from app.document.controls import Control
from app.document.history import History
from app.document.parts import SceneKeyframe, Track, TrackPoint
from app.document.playback import (
    beat_seconds,
    snapped,
    timeline_time,
    track_value,
    trackable,
    with_bpm,
    with_duration,
)
from app.document.scene import BPM_LIMITS
from app.document.timeline_edits import (
    SAME_S,
    keyframe_at,
    point_at,
    track_of,
    with_changed_keyframe,
    with_keyframe,
    with_points,
    without_keyframe,
)
from app.explorer.playback.timeline_follower import TimelineFollower
from app.explorer.playback.transport import Transport
from core.timeline import EasingName

TAP_PAUSE_S = 2.0
TAPS = 8


@dataclass(frozen=True)
class Selection:
    """One keyframe (no control), or one point of a control's track."""

    index: int
    control: str = ""


class TimelineEditor:
    """What the Timeline panel and its shortcuts do. Belongs to the UI thread."""

    def __init__(self, history: History, transport: Transport, lead: TimelineFollower) -> None:
        self._history, self._transport, self._follower = history, transport, lead
        self._selection: Selection | None = None
        self._taps: deque[float] = deque(maxlen=TAPS + 1)

    @property
    def position(self) -> float:
        """Where the playhead is on the timeline, in seconds."""
        return timeline_time(self._history.scene, self._transport.time)

    def scrub(self, seconds: float) -> None:
        """Move the playhead; snapping holds for it, too. At the end of a loop it stays just before the start."""
        scene = self._history.scene
        seconds = snapped(scene, seconds)
        self._transport.time = min(seconds, scene.duration * (1 - 1e-9)) if scene.loop else seconds
        self._follower.show_timeline()

    # Selection

    @property
    def selection(self) -> Selection | None:
        """The selection, if it still exists: undo may have removed it."""
        chosen, scene = self._selection, self._history.scene
        if chosen is None:
            return None
        if not chosen.control:
            there = chosen.index < len(scene.keyframes)
        else:
            track = track_of(scene, chosen.control)
            there = track is not None and chosen.index < len(track.points)
        return chosen if there else None

    @property
    def selected_keyframe(self) -> SceneKeyframe | None:
        chosen = self.selection
        return self._history.scene.keyframes[chosen.index] if chosen is not None and not chosen.control else None

    @property
    def differs(self) -> bool:
        """Whether the controls are not those of the selected keyframe."""
        keyframe = self.selected_keyframe
        return keyframe is not None and keyframe.request != self._history.scene.request()

    def select(self, index: int, control: str = "") -> None:
        self._selection = Selection(index, control)

    def select_none(self) -> None:
        self._selection = None

    # Keyframes

    def add_keyframe(self, time: float | None = None) -> None:
        """From the controls, at the playhead or at a time. One that is there takes them."""
        scene = self._history.scene
        time = snapped(scene, self.position if time is None else time)
        self._history.step(
            "add keyframe" if keyframe_at(scene, time) is None else "update keyframe",
            lambda scene: with_keyframe(scene, time, scene.request()),
        )
        index = keyframe_at(self._history.scene, time)
        assert index is not None
        self.select(index)

    def update_keyframe(self) -> None:
        """Give the selected keyframe the controls as they are."""
        chosen = self.selection
        if chosen is not None and not chosen.control:
            self._history.step(
                "update keyframe",
                lambda scene: with_changed_keyframe(scene, chosen.index, request=scene.request()),
            )

    def go_to_keyframe(self, index: int) -> None:
        """Select it, stop there, and set the controls to it."""
        if not 0 <= index < len(self._history.scene.keyframes):
            return
        keyframe = self._history.scene.keyframes[index]
        self.select(index)
        self._transport.playing = False
        self._transport.time = keyframe.time
        self._history.step("go to keyframe", lambda scene: scene.with_request(keyframe.request))
        self._follower.show_timeline()

    def step(self, direction: int) -> None:
        """Go to the next keyframe (1) or the one before (-1); at the last it begins anew."""
        times = [keyframe.time for keyframe in self._history.scene.keyframes]
        if not times:
            return
        here = self.position
        if direction > 0:
            index = next((i for i, time in enumerate(times) if time > here + SAME_S), 0)
        else:
            index = next((i for i in reversed(range(len(times))) if times[i] < here - SAME_S), len(times) - 1)
        self.go_to_keyframe(index)

    def move_keyframe(self, index: int, time: float) -> int:
        """Within a gesture: to another time. Returns its index there; onto another one it does not go."""
        scene = self._history.scene
        time = snapped(scene, time)
        if keyframe_at(scene, time) not in (None, index):
            return index
        keyframe = replace(scene.keyframes[index], time=time)
        rest = (*scene.keyframes[:index], *scene.keyframes[index + 1 :])
        keyframes = tuple(sorted((*rest, keyframe), key=lambda keyframe: keyframe.time))
        self._history.apply("move keyframe", lambda scene: replace(scene, keyframes=keyframes))
        index = keyframes.index(keyframe)
        self.select(index)
        return index

    def ease(self, easing: EasingName) -> None:
        """Set the easing that begins at the selection."""
        chosen = self.selection
        if chosen is None:
            return
        if not chosen.control:
            self._history.step("easing", lambda scene: with_changed_keyframe(scene, chosen.index, easing=easing))
        else:
            points = self._points(chosen.control)
            point = replace(points[chosen.index], easing=easing)
            self._set_points("easing", chosen.control, chosen.index, point, step=True)

    def delete(self) -> None:
        """Delete the selection."""
        chosen = self.selection
        if chosen is None:
            return
        if not chosen.control:
            self._history.step("delete keyframe", lambda scene: without_keyframe(scene, chosen.index))
        else:
            points = self._points(chosen.control)
            rest = (*points[: chosen.index], *points[chosen.index + 1 :])
            self._history.step("delete point", lambda scene: with_points(scene, chosen.control, rest))
        self.select_none()

    # Tracks

    def add_track(self, control: Control) -> None:
        """A track that begins with one point: the control's value, at the playhead."""
        scene = self._history.scene
        if track_of(scene, control.id) is None:
            point = TrackPoint(time=snapped(scene, self.position), value=control.read(scene))
            self._history.step("add track", lambda scene: with_points(scene, control.id, (point,)))

    def delete_track(self, control: str) -> None:
        self._history.step("delete track", lambda scene: with_points(scene, control, ()))

    def add_point(self, control: str, time: float, value: float | None = None) -> None:
        """On a track, at a time; without a value where the track is then."""
        scene = self._history.scene
        track = track_of(scene, control)
        if track is None:
            return
        time = snapped(scene, time)
        if value is None:
            value = track_value(scene, track, time)
        points, there = track.points, point_at(track.points, time)
        if there is None:
            points = (*points, TrackPoint(time=time, value=value))
        else:
            points = (*points[:there], replace(points[there], value=value), *points[there + 1 :])
        self._history.step("add point", lambda scene: with_points(scene, control, points))
        index = point_at(self._points(control), time)
        assert index is not None
        self.select(index, control)

    def move_point(self, control: str, index: int, time: float, value: float) -> int:
        """Within a gesture: to another time and value. Returns its index there; onto another one it does not go."""
        scene = self._history.scene
        points = self._points(control)
        time = snapped(scene, time)
        if point_at(points, time) not in (None, index):
            time = points[index].time
        return self._set_points("move point", control, index, replace(points[index], time=time, value=value))

    def _points(self, control: str) -> tuple[TrackPoint, ...]:
        track = track_of(self._history.scene, control)
        return track.points if track is not None else ()

    def _set_points(self, name: str, control: str, index: int, point: TrackPoint, *, step: bool = False) -> int:
        points = self._points(control)
        points = (*points[:index], point, *points[index + 1 :])
        edit = self._history.step if step else self._history.apply
        edit(name, lambda scene: with_points(scene, control, points))
        index = self._points(control).index(point)
        self.select(index, control)
        return index

    def control_of(self, track: Track) -> Control | None:
        """The control that a track moves; None when the scene has none such."""
        return next((c for c in trackable(self._history.scene) if c.id == track.control), None)

    # Time

    def set_bpm(self, bpm: float) -> None:
        """Within a gesture. While the timeline counts beats the playhead stays on its beat, as everything does."""
        scene = self._history.scene
        bpm = min(max(bpm, BPM_LIMITS[0]), BPM_LIMITS[1])
        if scene.unit == "beats":
            self._transport.time *= scene.bpm / bpm
        self._history.apply("tempo", lambda scene: with_bpm(scene, bpm))

    def set_duration(self, seconds: float, *, stretched: bool = False) -> None:
        """Within a gesture."""
        self._history.apply("length", lambda scene: with_duration(scene, seconds, stretched=stretched))

    def set_bars(self, bars: int, *, stretched: bool = False) -> None:
        """So many bars long."""
        self._history.end_gesture()
        scene = self._history.scene
        self.set_duration(bars * scene.beats_per_bar * beat_seconds(scene), stretched=stretched)
        self._history.end_gesture()

    def tap(self, now: float) -> None:
        """Tap a beat at `now`; from the second tap on this sets the tempo."""
        if self._taps and now - self._taps[-1] > TAP_PAUSE_S:
            self._taps.clear()
        self._taps.append(now)
        if len(self._taps) > 1 and now > self._taps[0]:
            self.set_bpm(round(60.0 * (len(self._taps) - 1) / (now - self._taps[0]), 1))
