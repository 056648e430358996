"""The document: all settings of the explorer's picture and its playback, as one immutable value.

A `Scene` is a `RenderRequest` and what belongs to playing and showing it; `app.document.playback` gives its request at
a time, and nothing else decides the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from app.document.parts import LONGEST_S, MARKS, SceneKeyframe, Snapshot, Track, check_easing, check_rising
from core import values
from core.request import SEED_LIMIT, RenderRequest, bounded
from core.timeline import EasingName

SCHEMA_VERSION = 2

PathShape = Literal["circle", "eight", "line", "walk", "noise", "blend", "still"]
PATH_SHAPES: tuple[PathShape, ...] = get_args(PathShape)
Compare = Literal["off", "side", "wipe"]
COMPARES: tuple[Compare, ...] = get_args(Compare)
TimeUnit = Literal["seconds", "beats"]
TIME_UNITS: tuple[TimeUnit, ...] = get_args(TimeUnit)
BPM_LIMITS = (20.0, 400.0)

ZOOM_LIMIT = 32
LONGEST_CROSSFADE_S = 10.0
LONGEST_MORPH_S = 60.0
QUICK_PROMPTS = 9

REQUEST_FIELDS = tuple(field.name for field in fields(RenderRequest))


class SceneError(ValueError):
    """An invalid scene: a value out of range, or JSON this version does not read."""


@dataclass(frozen=True, kw_only=True)
class Scene(RenderRequest):
    """The explorer's document. Raises `SceneError` for values out of range."""

    crossfade: float = bounded(0.25, 0.0, LONGEST_CROSSFADE_S)
    """Seconds in which the picture goes over to another prompt, class or snapshot; 0 cuts."""
    path: PathShape = "circle"
    """Shape of the playback path: over the seed plane from (seed_x, seed_y) and back, or from A to B and back."""
    path_size: float = bounded(1.0, 0.0, 1000.0)
    """How far the path goes, in seeds: the circle's radius, half of the line's length."""
    path_seed: int = bounded(0, 0, SEED_LIMIT - 1)
    """Seed of the random walk or noise loop."""
    path_loops: bool = True
    """Whether a random walk comes back after each round; else it goes on for ever. Other paths always do."""
    loop_seconds: float = bounded(8.0, 0.1, 3600.0)
    """Seconds for one round."""
    zoom: int = bounded(0, 0, ZOOM_LIMIT)
    """Screen pixels for each of the picture's; 0 is the largest that fits."""
    smooth: bool = False
    """Smooth instead of nearest filtering on screen."""
    checkpoint: str = ""
    """Path of the checkpoint; empty is the bundled one."""
    snapshots: tuple[Snapshot, ...] = ()
    morph_seconds: float = bounded(1.5, 0.0, LONGEST_MORPH_S)
    """Seconds in which the picture goes over to a snapshot that was clicked."""
    morph_easing: EasingName = "smooth"
    compare: Compare = "off"
    """Whether snapshot B is shown beside the picture, or over a part of it."""
    wipe: float = bounded(0.5, 0.0, 1.0)
    """Position of the dividing line, as a fraction of the width from the left."""
    keyframes: tuple[SceneKeyframe, ...] = ()
    """In order of time; with any, play follows them instead of the path."""
    tracks: tuple[Track, ...] = ()
    duration: float = bounded(8.0, 0.1, LONGEST_S)
    """The timeline's length in seconds."""
    loop: bool = True
    """Whether the timeline begins again at its end."""
    bpm: float = bounded(120.0, *BPM_LIMITS)
    beats_per_bar: int = bounded(4, 1, 32)
    snap: bool = False
    """Whether keyframes and points keep to beats."""
    unit: TimeUnit = "seconds"
    """Unit of the timeline's ruler."""
    quick_prompts: tuple[str, ...] = ()
    """Prompts for the keys 1 to 9; an empty one is a free place."""

    def __post_init__(self) -> None:
        try:
            super().__post_init__()
        except ValueError as error:
            raise SceneError(str(error)) from error
        if self.path not in PATH_SHAPES:
            raise SceneError(f"path: expected one of {', '.join(PATH_SHAPES)}, got {self.path!r}")
        if len(self.quick_prompts) > QUICK_PROMPTS:
            raise SceneError(f"quick_prompts: expected at most {QUICK_PROMPTS}, got {len(self.quick_prompts)}")
        for name, choices in (("compare", COMPARES), ("unit", TIME_UNITS)):
            if getattr(self, name) not in choices:
                raise SceneError(f"{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}")
        for mark in MARKS[1:]:
            if sum(snapshot.mark == mark for snapshot in self.snapshots) > 1:
                raise SceneError(f"snapshots: expected one marked {mark} at most")
        if len({track.control for track in self.tracks}) < len(self.tracks):
            raise SceneError("tracks: expected one for each control at most")
        try:
            check_easing(self.morph_easing)
            check_rising("keyframes", [keyframe.time for keyframe in self.keyframes])
        except ValueError as error:
            raise SceneError(str(error)) from error

    @property
    def has_timeline(self) -> bool:
        """Whether play follows keyframes or tracks rather than the path alone."""
        return bool(self.keyframes or self.tracks)

    @property
    def round_seconds(self) -> float:
        """Length of one round of play, in seconds."""
        return self.duration if self.has_timeline else self.loop_seconds

    def request(self) -> RenderRequest:
        """The picture of the controls alone, without path and timeline; `app.document.playback` has those."""
        return RenderRequest(**{name: getattr(self, name) for name in REQUEST_FIELDS})

    def with_request(self, request: RenderRequest) -> Scene:
        """This scene with the controls of `request`."""
        return replace(self, **{name: getattr(request, name) for name in REQUEST_FIELDS})

    @property
    def closed(self) -> bool:
        """Whether the path comes back to its start after every round."""
        return self.path != "walk" or self.path_loops

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, with the schema version under "scene"."""
        return {"scene": SCHEMA_VERSION, **values.to_json(self)}

    @classmethod
    def from_json(cls, data: object) -> Scene:
        """The scene that `to_json` wrote, in this version or an earlier one. Missing fields take their defaults.

        Raises `SceneError` for anything but an object, a newer version, unknown fields, and values of a wrong kind.
        """
        if not isinstance(data, dict):
            raise SceneError(f"scene: expected a JSON object, got {type(data).__name__}")
        version = data.get("scene")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise SceneError(f'scene: expected a schema version under "scene", got {version!r}')
        if version > SCHEMA_VERSION:
            raise SceneError(
                f"scene: this file has version {version}, this program reads up to {SCHEMA_VERSION}; update Glissando"
            )
        fields = {name: value for name, value in data.items() if name != "scene"}
        for step in range(version, SCHEMA_VERSION):
            fields = MIGRATIONS[step](fields)
        try:
            return values.from_json(cls, fields, "scene")
        except SceneError:
            raise
        except ValueError as error:
            raise SceneError(str(error)) from error


# From each version's fields to those of the next.
MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: lambda fields: fields,  # 2 only has more of them
}
