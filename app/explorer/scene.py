"""The document: everything the explorer's controls say, as one immutable value.

A `Scene` plus a time gives a `RenderRequest`; nothing else decides the picture. No GUI and no torch here.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from core.request import SEED_LIMIT, NoiseMode, RenderRequest

SCHEMA_VERSION = 1

PathShape = Literal["circle", "eight", "line", "blend"]
PATH_SHAPES: tuple[PathShape, ...] = get_args(PathShape)

ZOOM_LIMIT = 32


class SceneError(ValueError):
    """A scene that cannot be: a value out of range, or JSON this version does not read."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The explorer's document. Raises `SceneError` for values out of range."""

    prompt: str = ""
    prompt_b: str = ""
    label: int = 0
    """Class A, for models that have classes."""
    label_b: int = 0
    blend: float = 0.0
    """0 is A, 1 is B: prompts or classes."""
    seed_x: float = 0.0
    """Where the path starts on the seed plane; see `RenderRequest.seed_x`."""
    seed_y: float = 0.0
    psi: float = 1.0
    noise: NoiseMode = "const"
    noise_seed: int = 0
    path: PathShape = "circle"
    """The closed path that play follows: over the seed plane from (seed_x, seed_y) and back, or from A to B and back.
    """
    path_size: float = 1.0
    """How far the path goes, in seeds: the circle's radius, half of the line's length."""
    loop_seconds: float = 8.0
    """Seconds for one round."""
    zoom: int = 0
    """Screen pixels for each of the picture's; 0 is the largest that fits."""
    smooth: bool = False
    """Smooth instead of nearest filtering on screen."""
    checkpoint: str = ""
    """Path of the checkpoint; empty is the bundled one."""

    def __post_init__(self) -> None:
        if self.path not in PATH_SHAPES:
            raise SceneError(f"path: expected one of {', '.join(PATH_SHAPES)}, got {self.path!r}")
        for name, low, high in (("path_size", 0.0, 1000.0), ("loop_seconds", 0.1, 3600.0), ("zoom", 0, ZOOM_LIMIT)):
            value = getattr(self, name)
            if not math.isfinite(value) or not low <= value <= high:
                raise SceneError(f"{name}: expected a number from {low:g} to {high:g}, got {value!r}")
        try:
            self.request()
        except ValueError as error:
            raise SceneError(str(error)) from error

    def request(self, time: float = 0.0) -> RenderRequest:
        """The picture at `time` seconds along the path; at 0, and after every whole round, the seed itself."""
        dx, dy = self.path_offset(time)
        limit = float(SEED_LIMIT)
        return RenderRequest(
            prompt=self.prompt,
            prompt_b=self.prompt_b,
            label=self.label,
            label_b=self.label_b,
            blend=self._blend_at(time),
            seed_x=min(max(self.seed_x + dx, -limit), limit),
            seed_y=min(max(self.seed_y + dy, -limit), limit),
            psi=self.psi,
            noise=self.noise,
            noise_seed=self.noise_seed,
        )

    def path_offset(self, time: float) -> tuple[float, float]:
        """Where the path is at `time` seconds, in seeds, relative to (seed_x, seed_y)."""
        phase = self._phase(time)
        if phase == 0.0 or self.path == "blend":
            return 0.0, 0.0
        if self.path == "circle":
            return self.path_size * math.sin(phase), self.path_size * (1.0 - math.cos(phase))
        if self.path == "eight":
            return self.path_size * math.sin(phase), 0.5 * self.path_size * math.sin(2.0 * phase)
        return self.path_size * (1.0 - math.cos(phase)), 0.0

    def _blend_at(self, time: float) -> float:
        phase = self._phase(time)
        if phase == 0.0 or self.path != "blend":
            return self.blend
        goal = 1.0 if self.blend < 1.0 else 0.0
        return self.blend + (goal - self.blend) * 0.5 * (1.0 - math.cos(phase))

    def _phase(self, time: float) -> float:
        """Angle on the path's circle; exactly 0 after whole rounds, so that a loop closes on its first picture."""
        return 2.0 * math.pi * math.fmod(time, self.loop_seconds) / self.loop_seconds

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, with the schema version under "scene"."""
        return {"scene": SCHEMA_VERSION, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, data: object) -> Scene:
        """The scene that `to_json` wrote. Missing fields take their defaults.

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
        fields = {field.name: field for field in dataclasses.fields(cls)}
        values: dict[str, Any] = {}
        for name, value in data.items():
            if name == "scene":
                continue
            if name not in fields:
                raise SceneError(f"scene: unknown field {name!r}")
            values[name] = _checked(name, value, type(fields[name].default))
        return cls(**values)


def _checked(name: str, value: object, kind: type) -> object:
    """`value` as `kind`; JSON's integers are welcome where a float is meant, booleans are never numbers."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise SceneError(f"scene: {name}: expected {kind.__name__}, got {value!r}")
    return value
