"""From attributes and a seed to a list of shapes, back to front: sky body, clouds, terrain, season, weather, object.

A scene knows nothing of styles; it gives each shape a colour, an outline strength and a neon colour, and styles.py
paints them. The sky body always clears the ridges and the object, so that it can be read from every picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from training.datasets.postcards.attributes import Attributes
from training.datasets.postcards.palette import Palette, Rgb, make_palette, mix, rgb
from training.datasets.postcards.shapes import (
    Array,
    Canvas,
    View,
    below,
    circle,
    union,
    wave,
)

Role = Literal["body", "cloud", "ridge", "ground", "water", "face", "foliage", "snow", "object", "detail", "light"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One opaque shape."""

    view: View
    distance: Array  # [h, w] signed, negative inside
    colour: Array  # [3]
    role: Role
    neon: Array  # [3] outline colour in the neon style
    outline: float = 1.0
    """How strongly ink and neon draw the edge; 0 for shading."""
    fade: float = 0.0
    """How much lighter the foot of the shape gets (haze), in the styles that have gradients."""
    alpha: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Veil:
    """A see-through sheet over everything painted before it: fog."""

    alpha: Array  # [n, n]
    colour: Array  # [3]


@dataclass(kw_only=True)
class Scene:
    attributes: Attributes
    palette: Palette
    canvas: Canvas
    body: tuple[float, float, float] | None = None  # x, y, radius
    stars: list[tuple[float, float, float]] = field(default_factory=list)
    items: list[Shape | Veil] = field(default_factory=list)
    rain: Array | None = None  # [n, n] cover of the streaks
    horizon: float = 0.7
    object_x: float = 0.5
    object_items: slice = field(default_factory=lambda: slice(0, 0))
    """Where in `items` the object's shapes are."""

    def add(
        self,
        view: View,
        distance: Array,
        colour: Array,
        role: Role,
        neon: Array,
        outline: float = 1.0,
        fade: float = 0.0,
        alpha: float = 1.0,
    ) -> None:
        self.items.append(
            Shape(
                view=view,
                distance=distance,
                colour=colour,
                role=role,
                neon=neon,
                outline=outline,
                fade=fade,
                alpha=alpha,
            )
        )

    def lit(self, colour: Rgb) -> Array:
        """An object's own colour under the light of the picture."""
        turned = self.palette.object_matrix @ rgb(colour)
        return np.clip(turned * self.palette.object_light, 0, 1).astype(np.float32)


def build_scene(attributes: Attributes, canvas: Canvas, rng: np.random.Generator) -> Scene:
    """Draws everything the attributes leave open and places the shapes."""
    from training.datasets.postcards.objects import add_object
    from training.datasets.postcards.terrain import add_terrain

    scene = Scene(attributes=attributes, palette=make_palette(attributes, rng), canvas=canvas)
    scene.horizon = float(rng.uniform(0.62, 0.70))
    scene.object_x = float(rng.uniform(0.28, 0.72))
    _place_body(scene, rng)
    if attributes.time == "night":
        count = 14 if attributes.weather in ("cloudy", "rain", "foggy") else 26
        scene.stars = [
            (float(rng.uniform(0.04, 0.96)), float(rng.uniform(0.04, 0.46)), float(rng.uniform(0.006, 0.012)))
            for _ in range(count)
        ]
    if attributes.weather == "cloudy":
        _add_clouds(scene, rng)
    _add_body(scene)
    add_terrain(scene, rng)
    if attributes.weather == "foggy":
        _add_fog(scene, rng, ((0.46, 0.05, 0.55), (0.60, 0.045, 0.62), (0.73, 0.04, 0.50)), 0.22)
    before = len(scene.items)
    add_object(scene, rng)
    scene.object_items = slice(before, len(scene.items))
    if attributes.season == "autumn":
        _add_bushes(scene, rng)
    if attributes.weather == "foggy":
        _add_fog(scene, rng, ((0.385, 0.028, 0.35), (0.93, 0.035, 0.50)), 0.05)
    if attributes.weather == "rain":
        scene.rain = _rain(canvas.full, rng)
    return scene


def _place_body(scene: Scene, rng: np.random.Generator) -> None:
    if scene.attributes.sky == "none":
        return
    radius = float(rng.uniform(0.088, 0.112))
    # Mostly on the side away from the object: the two balance.
    side = 1.0 - scene.object_x if rng.random() < 0.75 else scene.object_x
    x = float(np.clip(side + rng.uniform(-0.1, 0.1), 0.22, 0.78))
    high = rng.uniform(0.17, 0.21) if scene.attributes.time in ("noon", "night") else rng.uniform(0.18, 0.24)
    scene.body = (x, float(high), radius)


def _add_body(scene: Scene) -> None:
    if scene.body is None:
        return
    x, y, radius = scene.body
    view = scene.canvas.view(x - radius, y - radius, x + radius, y + radius)
    distance = circle(view, x, y, radius)
    if scene.attributes.sky == "sun":
        neon = rgb((1.0, 0.85, 0.15))
    else:
        # A crescent: the disc less a second disc shifted up and to the right.
        bite = circle(view, x + 0.50 * radius, y - 0.28 * radius, 0.86 * radius)
        dim = mix(scene.palette.sky_top, rgb((0.10, 0.12, 0.30)), 0.5)
        scene.add(view, distance, dim, "light", rgb((0.0, 0.0, 0.0)), 0.0, alpha=0.22)
        distance = np.maximum(distance, -bite)
        neon = rgb((0.80, 0.90, 1.0))
    scene.add(view, distance, scene.palette.body, "body", neon)


def _add_clouds(scene: Scene, rng: np.random.Generator) -> None:
    """Two to four large clouds with flat feet; none covers the middle of the sky body."""
    places = [(0.22, 0.20), (0.78, 0.23), (0.50, 0.14), (0.40, 0.33), (0.66, 0.34)]
    order = rng.permutation(len(places))
    wanted, done = int(rng.integers(3, 5)), 0
    for index in order:
        x = places[index][0] + float(rng.uniform(-0.08, 0.08))
        y = places[index][1] + float(rng.uniform(-0.03, 0.05))
        size = float(rng.uniform(0.85, 1.2))
        if scene.body is not None:
            bx, by, radius = scene.body
            if abs(x - bx) < 0.16 * size + 0.6 * radius and abs(y - by) < 0.16:
                continue
        add_cloud(scene, rng, x, y, size)
        done += 1
        if done == wanted:
            break
    if done < 2:
        x = 0.12 if scene.body is not None and scene.body[0] > 0.5 else 0.88
        add_cloud(scene, rng, x, float(rng.uniform(0.16, 0.30)), 1.1)


def add_cloud(scene: Scene, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    view = scene.canvas.view(x - 0.21 * size, y - 0.13 * size, x + 0.21 * size, y + 0.06 * size)
    puffs = [
        circle(view, x - 0.11 * size, y, 0.055 * size * rng.uniform(0.9, 1.15)),
        circle(view, x - 0.035 * size, y - 0.035 * size, 0.075 * size * rng.uniform(0.9, 1.15)),
        circle(view, x + 0.055 * size, y - 0.02 * size, 0.065 * size * rng.uniform(0.9, 1.15)),
        circle(view, x + 0.125 * size, y + 0.005 * size, 0.045 * size * rng.uniform(0.9, 1.1)),
    ]
    distance = np.maximum(union(*puffs), view.y - np.float32(y + 0.04 * size))
    palette = scene.palette
    neon = mix(rgb((0.75, 0.80, 1.0)), palette.sky_low, 0.2)
    scene.add(view, distance, palette.cloud, "cloud", neon, outline=0.9, fade=-0.25)


def _add_fog(
    scene: Scene, rng: np.random.Generator, bands: Sequence[tuple[float, float, float]], everywhere: float
) -> None:
    """Light horizontal veils: (height, half thickness, opacity) each, plus a thin one over everything."""
    view = scene.canvas.full
    alpha = np.full((scene.canvas.size, scene.canvas.size), everywhere, np.float32)
    for y, thickness, opacity in bands:
        line = np.float32(y + rng.uniform(-0.02, 0.02)) + wave(view.x[0], rng, 0.010, (1.0, 2.0))
        ends = 0.75 + 0.25 * np.sin(2 * np.pi * (view.x[0] * rng.uniform(0.5, 0.9) + rng.uniform(0, 1)))
        d = np.abs(view.y - line[None, :]) / np.float32(thickness)
        band = np.clip(1.7 - d, 0, 1) * (np.float32(opacity) * ends.astype(np.float32))[None, :]
        alpha = alpha + band * (1 - alpha)
    scene.items.append(Veil(alpha=alpha.astype(np.float32), colour=scene.palette.fog))


def _rain(view: View, rng: np.random.Generator) -> Array:
    """Diagonal streaks on a slanted lattice: the columns keep their distance, the lengths and phases are random."""
    columns, lean = 13, 0.34 + float(rng.uniform(-0.05, 0.05))
    across = (view.x + np.float32(lean) * view.y) * np.float32(columns) + np.float32(rng.uniform(0, 1))
    index = np.floor(across).astype(np.int64)
    phase = rng.uniform(0, 1, size=2 * columns).astype(np.float32)
    along = view.y * np.float32(3.4) + phase[index]
    inside_x = np.clip((0.14 - np.abs(across - index - 0.5)) * view.x.size / columns + 0.5, 0, 1)
    fraction = along - np.floor(along)
    inside_y = np.clip((0.24 - np.abs(fraction - 0.5)) * 12 + 0.5, 0, 1)
    return np.asarray(inside_x * inside_y, dtype=np.float32)


def _add_bushes(scene: Scene, rng: np.random.Generator) -> None:
    """Autumn foliage in the foreground corners, away from the object."""
    for x in (0.07, 0.93, 0.5 + (0.5 - scene.object_x) * 1.5):
        if abs(x - scene.object_x) < 0.26:
            continue
        x, y = x + float(rng.uniform(-0.05, 0.05)), float(rng.uniform(0.89, 0.96))
        radius = float(rng.uniform(0.065, 0.095))
        add_bush(scene, rng, x, y, radius)


def add_bush(scene: Scene, rng: np.random.Generator, x: float, y: float, radius: float) -> None:
    view = scene.canvas.view(x - 1.8 * radius, y - 1.5 * radius, x + 1.8 * radius, y + radius)
    distance = union(
        circle(view, x - 0.75 * radius, y + 0.1 * radius, 0.75 * radius),
        circle(view, x, y - 0.35 * radius, 0.95 * radius),
        circle(view, x + 0.8 * radius, y + 0.1 * radius, 0.7 * radius),
    )
    distance = np.maximum(distance, view.y - np.float32(y + 0.6 * radius))
    colour = scene.palette.foliage[int(rng.integers(3))]
    scene.add(view, distance, colour, "foliage", rgb((1.0, 0.35, 0.08)), outline=0.9, fade=-0.2)
