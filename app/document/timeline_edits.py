"""Edits of a scene's keyframes and tracks."""

from __future__ import annotations

from dataclasses import replace

from app.document.parts import SceneKeyframe, Track, TrackPoint
from app.document.scene import Scene
from core.request import RenderRequest
from core.timeline import EasingName

# Two keyframes nearer than this are one: it is less than a frame of any video.
SAME_S = 1e-3


def keyframe_at(scene: Scene, time: float) -> int | None:
    """The keyframe at a time."""
    return next((i for i, keyframe in enumerate(scene.keyframes) if abs(keyframe.time - time) < SAME_S), None)


def with_keyframe(scene: Scene, time: float, request: RenderRequest) -> Scene:
    """With a keyframe of this request; one that is there already takes it."""
    index = keyframe_at(scene, time)
    if index is not None:
        return with_changed_keyframe(scene, index, request=request)
    new = SceneKeyframe(time=time, request=request)
    return replace(scene, keyframes=tuple(sorted((*scene.keyframes, new), key=lambda keyframe: keyframe.time)))


def with_changed_keyframe(
    scene: Scene, index: int, *, request: RenderRequest | None = None, easing: EasingName | None = None
) -> Scene:
    """One keyframe with other controls or another easing."""
    keyframe = scene.keyframes[index]
    keyframe = replace(keyframe, request=request or keyframe.request, easing=easing or keyframe.easing)
    return replace(scene, keyframes=(*scene.keyframes[:index], keyframe, *scene.keyframes[index + 1 :]))


def without_keyframe(scene: Scene, index: int) -> Scene:
    """With one keyframe less."""
    return replace(scene, keyframes=(*scene.keyframes[:index], *scene.keyframes[index + 1 :]))


def track_of(scene: Scene, control: str) -> Track | None:
    """The track of a control."""
    return next((track for track in scene.tracks if track.control == control), None)


def with_points(scene: Scene, control: str, points: tuple[TrackPoint, ...]) -> Scene:
    """A track with these points; without any, no track."""
    points = tuple(sorted(points, key=lambda point: point.time))
    tracks = []
    for track in scene.tracks:
        if track.control != control:
            tracks.append(track)
        elif points:
            tracks.append(replace(track, points=points))
    if points and track_of(scene, control) is None:
        tracks.append(Track(control=control, points=points))
    return replace(scene, tracks=tuple(tracks))


def point_at(points: tuple[TrackPoint, ...], time: float) -> int | None:
    """The point at a time."""
    return next((i for i, point in enumerate(points) if abs(point.time - time) < SAME_S), None)
