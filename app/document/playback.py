"""The request of a scene at a time of playback: preview, scrubbing and every export use this one function.

- Without a timeline, play follows the scene's path over the seed plane, or from A to B and back.
- Keyframes hold all controls; between them `core.timeline.interpolate` says what lies there. They take the place of
  the path that play follows otherwise.
- Tracks set one control each, on top of the keyframes. Without keyframes they act on the scene's own controls, and the
  path goes on beneath them, in as many whole rounds as fit the timeline best, so that a loop closes.
- A looping timeline goes on from the last keyframe to the first and closes exactly. What lies after its end is kept
  but does not play. A keyframe at the very end of a loop is reached, and the next moment is the first one again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from app.document import paths
from app.document.controls import Control, controls_of
from app.document.parts import Track
from app.document.scene import Scene
from core.request import SEED_LIMIT, RenderRequest
from core.timeline import interpolate, stretch


def trackable(scene: Scene) -> tuple[Control, ...]:
    """The controls that can have a track."""
    return tuple(control for control in controls_of(scene) if control.trackable)


def request_at(scene: Scene, seconds: float) -> RenderRequest:
    """The request of a scene at `seconds` of playback: on its timeline if it has one, else along its path."""
    return _on_timeline(scene, seconds) if scene.has_timeline else _on_path(scene, seconds)


def _on_timeline(scene: Scene, seconds: float) -> RenderRequest:
    seconds = timeline_time(scene, seconds)
    period = scene.duration if scene.loop else None
    values = {track.control: track_value(scene, track, seconds) for track in scene.tracks}
    keyframes = [keyframe for keyframe in scene.keyframes if keyframe.time <= scene.duration]
    if not keyframes:
        rounds = max(1, round(scene.duration / scene.loop_seconds))
        turn = math.fmod(seconds / scene.duration * rounds, 1.0)
        return _on_path(_tracked(scene, values), turn * scene.loop_seconds)
    here, after, u = stretch(keyframes, seconds, period)
    # Tracks first: a number that both sides agree on comes through `interpolate` as it is.
    first = _tracked(scene.with_request(here.request), values).request()
    if after is here:
        return interpolate(first, first, 0.0)
    return interpolate(first, _tracked(scene.with_request(after.request), values).request(), u)


def _on_path(scene: Scene, seconds: float) -> RenderRequest:
    """At 0, and after every whole round of a closed path, the controls' own request."""
    still = scene.request()
    phase = _phase(scene, seconds)
    if phase == 0.0 and (scene.closed or seconds == 0.0):
        return still
    dx, dy = path_offset(scene, seconds)
    limit = float(SEED_LIMIT)
    return replace(
        still,
        blend=_blend(scene, phase),
        seed_x=min(max(scene.seed_x + dx, -limit), limit),
        seed_y=min(max(scene.seed_y + dy, -limit), limit),
    )


def path_offset(scene: Scene, seconds: float) -> tuple[float, float]:
    """Position of the path at `seconds`, in seeds, relative to (seed_x, seed_y)."""
    phase = _phase(scene, seconds)
    if not scene.closed:
        x, y = paths.roam(seconds / scene.loop_seconds * paths.CORNERS, scene.path_seed)
    elif phase == 0.0 or scene.path in ("blend", "still"):
        return 0.0, 0.0
    elif scene.path == "circle":
        x, y = paths.circle(phase)
    elif scene.path == "eight":
        x, y = paths.eight(phase)
    elif scene.path == "walk":
        x, y = paths.random_walk(phase, scene.path_seed)
    elif scene.path == "noise":
        x, y = paths.noise_loop(phase, scene.path_seed)
    else:
        x, y = paths.there_and_back(phase)
    return scene.path_size * x, scene.path_size * y


def _blend(scene: Scene, phase: float) -> float:
    if scene.path != "blend":
        return scene.blend
    goal = 1.0 if scene.blend < 1.0 else 0.0
    return scene.blend + (goal - scene.blend) * 0.5 * (1.0 - math.cos(phase))


def _phase(scene: Scene, seconds: float) -> float:
    """Phase of the path, 0 to 2 pi; exactly 0 after whole rounds, so that a loop closes on its first picture."""
    return 2.0 * math.pi * math.fmod(seconds, scene.loop_seconds) / scene.loop_seconds


@dataclass(frozen=True)
class Play:
    """One round of a scene's play at a frame rate, for rendering it off line as a `core.timeline.Timeline` is."""

    scene: Scene
    fps: int | Fraction

    @property
    def duration(self) -> float:
        return self.scene.round_seconds

    def at(self, seconds: float) -> RenderRequest:
        """Request at `seconds` of playback."""
        return request_at(self.scene, seconds)

    def requests(self, count: int) -> Iterator[RenderRequest]:
        """Requests of the first `count` frames; frame k is at k / fps seconds."""
        for frame in range(count):
            yield self.at(float(frame / self.fps))


def timeline_time(scene: Scene, seconds: float) -> float:
    """Time on the timeline at `seconds` of playback: modulo its length in a loop, else clamped to its end."""
    if scene.loop:
        return math.fmod(max(seconds, 0.0), scene.duration)
    return min(max(seconds, 0.0), scene.duration)


def track_value(scene: Scene, track: Track, seconds: float) -> float:
    """The value of a track at a time on the timeline."""
    points = [point for point in track.points if point.time <= scene.duration] or track.points[:1]
    here, after, u = stretch(points, seconds, scene.duration if scene.loop else None)
    # Written so that equal ends give that very value, and so does u at 0 and 1.
    return after.value if u == 1.0 else here.value + u * (after.value - here.value)


def _tracked(scene: Scene, values: dict[str, float]) -> Scene:
    if not values:
        return scene
    for control in trackable(scene):
        if control.id in values:
            scene = control.set(scene, values[control.id])
    return scene


# Music


def beat_seconds(scene: Scene) -> float:
    """Length of a beat in seconds."""
    return 60.0 / scene.bpm


def snapped(scene: Scene, seconds: float) -> float:
    """The nearest beat when snapping is on, always within the timeline."""
    seconds = min(max(seconds, 0.0), scene.duration)
    if not scene.snap:
        return seconds
    beat = beat_seconds(scene)
    nearest = round(seconds / beat) * beat
    # The last beat may be later than the end.
    return nearest if nearest <= scene.duration else seconds


def with_bpm(scene: Scene, bpm: float) -> Scene:
    """With another tempo. While the timeline counts beats, keyframes and tracks keep their beats, so times scale."""
    if scene.unit == "seconds":
        return replace(scene, bpm=bpm)
    return replace(_stretched(scene, scene.bpm / bpm), bpm=bpm)


def with_duration(scene: Scene, duration: float, *, stretched: bool = False) -> Scene:
    """With another length; `stretched` scales the times of keyframes and tracks with it."""
    if stretched:
        scene = _stretched(scene, duration / scene.duration)
    return replace(scene, duration=duration)


def _stretched(scene: Scene, factor: float) -> Scene:
    def moved(time: float) -> float:
        # Twelve digits: many small steps of a drag must not take a keyframe off its beat.
        return float(f"{time * factor:.12g}")

    return replace(
        scene,
        duration=moved(scene.duration),
        keyframes=tuple(replace(keyframe, time=moved(keyframe.time)) for keyframe in scene.keyframes),
        tracks=tuple(
            replace(track, points=tuple(replace(point, time=moved(point.time)) for point in track.points))
            for track in scene.tracks
        ),
    )
