"""The six foreground objects: large, each with its own silhouette and colours."""

from collections.abc import Callable

import numpy as np

from training.datasets.postcards.palette import Rgb, rgb
from training.datasets.postcards.scene import Role, Scene
from training.datasets.postcards.shapes import Array, Point, View, box, capsule, circle, convex, ellipse, union

ICE: Rgb = (0.95, 0.97, 1.0)


class _Pen:
    """Draws parts in an object's own units: x from -1 to 1 about the middle, y from 0 (foot) to 1 (top)."""

    def __init__(self, scene: Scene, x: float, foot: float, height: float, half_width: float) -> None:
        self.scene, self.x, self.foot, self.height = scene, x, foot, height
        self.view: View = scene.canvas.view(x - half_width * height, foot - height, x + half_width * height, foot)

    def at(self, x: float, y: float) -> Point:
        return self.x + x * self.height, self.foot - y * self.height

    def box(self, x0: float, y0: float, x1: float, y1: float) -> Array:
        (ax, ay), (bx, by) = self.at(x0, y1), self.at(x1, y0)
        return box(self.view, ax, ay, bx, by)

    def convex(self, *points: Point) -> Array:
        return convex(self.view, [self.at(*point) for point in points])

    def circle(self, x: float, y: float, radius: float) -> Array:
        return circle(self.view, *self.at(x, y), radius * self.height)

    def capsule(self, x0: float, y0: float, x1: float, y1: float, radius: float) -> Array:
        return capsule(self.view, *self.at(x0, y0), *self.at(x1, y1), radius * self.height)

    def above(self, distance: Array, y: float) -> Array:
        """The part of a shape above a height."""
        part: Array = np.maximum(distance, self.view.y - np.float32(self.at(0, y)[1]))
        return part

    def add(self, distance: Array, colour: Rgb, neon: Rgb, role: Role = "object", outline: float = 1.0) -> None:
        self.scene.add(self.view, distance, self.scene.lit(colour), role, rgb(neon), outline)

    def glow(self, distance: Array, colour: Rgb, outline: float = 0.8) -> None:
        """A lit window or lamp: its colour does not depend on the time of day."""
        self.scene.add(self.view, distance, rgb(colour), "light", rgb(colour), outline)

    def snow(self, distance: Array) -> None:
        self.scene.add(self.view, distance, self.scene.palette.snow, "snow", rgb(ICE), 0.7)


def add_object(scene: Scene, rng: np.random.Generator) -> None:
    """Adds the object, standing at scene.object_x in the foreground; nothing for "none"."""
    name = scene.attributes.object
    if name == "none":
        return
    draw: dict[str, Callable[[Scene, np.random.Generator], None]] = {
        "house": _house,
        "pine trees": _pines,
        "sailboat": _sailboat,
        "cactus": _cactus,
        "castle": _castle,
        "lighthouse": _lighthouse,
    }
    draw[name](scene, rng)


def _foot(rng: np.random.Generator) -> float:
    return float(rng.uniform(0.885, 0.915))


def _shadow(scene: Scene, x: float, foot: float, half: float) -> None:
    view = scene.canvas.view(x - half, foot - 0.02, x + half, foot + 0.02, 0.03)
    colour = (scene.palette.near * np.float32(0.72)).astype(np.float32)
    scene.add(view, ellipse(view, x, foot, half, 0.02), colour, "light", scene.palette.neon_near, 0.0)


def _house(scene: Scene, rng: np.random.Generator) -> None:
    height, foot = float(rng.uniform(0.37, 0.44)), _foot(rng)
    pen = _Pen(scene, scene.object_x, foot, height, 0.62)
    _shadow(scene, scene.object_x, foot, 0.55 * height)
    roof: Rgb = ((0.86, 0.22, 0.18), (0.78, 0.26, 0.30), (0.90, 0.36, 0.16))[int(rng.integers(3))]
    side = float(rng.choice([-1.0, 1.0]))
    chimney = sorted((side * 0.22, side * 0.36))
    pen.add(pen.box(chimney[0], 0.55, chimney[1], 0.98), (0.62, 0.34, 0.28), (1.0, 0.4, 0.3))
    pen.add(pen.box(-0.44, 0.0, 0.44, 0.55), (0.98, 0.92, 0.78), (1.0, 0.9, 0.6))
    top = pen.convex((-0.60, 0.48), (0.60, 0.48), (0.0, 1.0))
    pen.add(top, roof, (1.0, 0.25, 0.25))
    if scene.attributes.season == "snowy":
        pen.snow(pen.above(top, 0.68))
    pen.add(
        pen.box(side * 0.14 - 0.10, 0.0, side * 0.14 + 0.10, 0.34), (0.46, 0.28, 0.20), (0.9, 0.5, 0.3), "detail", 0.7
    )
    pen.glow(pen.box(-side * 0.22 - 0.10, 0.18, -side * 0.22 + 0.10, 0.38), (1.0, 0.84, 0.30))


def _pines(scene: Scene, rng: np.random.Generator) -> None:
    foot, height = _foot(rng), float(rng.uniform(0.44, 0.52))
    middle = scene.object_x
    spread = float(rng.uniform(0.12, 0.15))
    places = [(middle - spread, 0.74), (middle + spread, 0.80), (middle, 1.0)]
    if rng.random() < 0.5:
        places[0], places[1] = (middle - spread, 0.82), (middle + spread, 0.72)
    for x, scale in places:
        bright = (1.12 if scale == 1.0 else 0.85) * (1.35 if scene.attributes.time == "night" else 1.0)
        pen = _Pen(scene, x, foot + 0.02 * (scale == 1.0), height * scale, 0.36)
        pen.add(pen.box(-0.05, 0.0, 0.05, 0.2), (0.44, 0.28, 0.18), (0.8, 0.5, 0.25), "detail", 0.7)
        for low, high, half, tone in ((0.12, 0.56, 0.31, 0.85), (0.36, 0.78, 0.25, 1.0), (0.60, 1.0, 0.18, 1.15)):
            tone *= bright
            tier = pen.convex((-half, low), (half, low), (0.0, high))
            pen.add(tier, (0.08 * tone, 0.42 * tone, 0.32 * tone), (0.0, 0.95, 0.65))
            if scene.attributes.season == "snowy":
                pen.snow(pen.above(tier, low + 0.52 * (high - low)))


def _sailboat(scene: Scene, rng: np.random.Generator) -> None:
    height = float(rng.uniform(0.42, 0.50))
    x, palette = scene.object_x, scene.palette
    foot = float(rng.uniform(0.80, 0.83)) if scene.attributes.terrain == "sea" else float(rng.uniform(0.86, 0.88))
    if scene.attributes.terrain != "sea":
        view = scene.canvas.view(x - 0.40, foot - 0.09, x + 0.40, foot + 0.1)
        pond = ellipse(view, x, foot + 0.01, 0.38, 0.085)
        scene.add(view, pond, palette.water, "water", rgb((0.10, 0.60, 1.0)), 0.9, -0.2)
        for dy, half in ((-0.035, 0.1), (0.05, 0.14)):
            ripple = ellipse(view, x + float(rng.uniform(-0.15, 0.15)), foot + dy, half, 0.006)
            ripple = np.maximum(ripple, pond)
            scene.add(
                view, ripple, (palette.water * 0.6 + palette.sky_low * 0.4).astype(np.float32), "light", rgb(ICE), 0.0
            )
    pen = _Pen(scene, x, foot, height, 0.55)
    side = float(rng.choice([-1.0, 1.0]))
    sail: Rgb = ((1.0, 0.98, 0.94), (1.0, 0.95, 0.80), (0.98, 0.86, 0.84))[int(rng.integers(3))]
    jib: Rgb = ((0.92, 0.26, 0.22), (0.95, 0.45, 0.16), (0.88, 0.22, 0.40))[int(rng.integers(3))]
    pen.add(pen.box(-0.018, 0.1, 0.018, 1.0), (0.40, 0.26, 0.18), (0.9, 0.6, 0.3), "detail", 0.5)
    pen.add(pen.convex((side * 0.03, 0.22), (side * 0.44, 0.22), (side * 0.03, 0.98)), sail, (1.0, 0.95, 0.85))
    pen.add(pen.convex((-side * 0.03, 0.22), (-side * 0.32, 0.22), (-side * 0.03, 0.84)), jib, (1.0, 0.25, 0.35))
    hull = pen.convex((-0.48, 0.17), (0.48, 0.17), (0.32, -0.02), (-0.32, -0.02))
    pen.add(hull, (0.52, 0.20, 0.14), (1.0, 0.55, 0.20))
    if scene.attributes.season == "snowy":
        pen.snow(pen.above(hull, 0.12))


def _cactus(scene: Scene, rng: np.random.Generator) -> None:
    height, foot = float(rng.uniform(0.42, 0.50)), _foot(rng)
    pen = _Pen(scene, scene.object_x, foot, height, 0.46)
    _shadow(scene, scene.object_x, foot, 0.24 * height)
    side = float(rng.choice([-1.0, 1.0]))
    low, high = float(rng.uniform(0.34, 0.42)), float(rng.uniform(0.48, 0.55))
    trunk = pen.capsule(0.0, -0.05, 0.0, 0.87, 0.115)
    arm = union(
        pen.capsule(0.0, low, side * 0.33, low, 0.075), pen.capsule(side * 0.33, low, side * 0.33, low + 0.30, 0.08)
    )
    other = union(
        pen.capsule(0.0, high, -side * 0.31, high, 0.07),
        pen.capsule(-side * 0.31, high, -side * 0.31, high + 0.22, 0.075),
    )
    body = np.maximum(union(trunk, arm, other), pen.view.y - np.float32(foot))
    pen.add(body, (0.26, 0.68, 0.24), (0.45, 1.0, 0.20))
    for rib in (-0.045, 0.045):
        pen.add(pen.box(rib - 0.012, 0.04, rib + 0.012, 0.86), (0.15, 0.48, 0.18), (0.2, 0.6, 0.1), "detail", 0.0)
    if scene.attributes.season == "snowy":
        pen.snow(pen.above(trunk, 0.86))
        pen.snow(pen.above(arm, low + 0.30))
        pen.snow(pen.above(other, high + 0.22))
    else:
        pen.add(pen.circle(0.0, 0.97, 0.06), (0.98, 0.42, 0.62), (1.0, 0.3, 0.7), "detail", 0.6)


def _castle(scene: Scene, rng: np.random.Generator) -> None:
    height, foot = float(rng.uniform(0.42, 0.48)), _foot(rng)
    pen = _Pen(scene, scene.object_x, foot, height, 0.66)
    _shadow(scene, scene.object_x, foot, 0.62 * height)
    stone: Rgb = ((0.72, 0.70, 0.76), (0.78, 0.72, 0.70), (0.66, 0.68, 0.78))[int(rng.integers(3))]
    roof: Rgb = ((0.36, 0.30, 0.72), (0.24, 0.36, 0.74), (0.50, 0.26, 0.66))[int(rng.integers(3))]
    neon_stone, neon_roof = (0.85, 0.70, 1.0), (0.65, 0.35, 1.0)
    keep = float(rng.uniform(0.72, 0.80))
    caps: list[Array] = []
    pen.add(pen.box(-0.15, 0.2, 0.15, keep), stone, neon_stone)
    caps.append(pen.convex((-0.20, keep - 0.02), (0.20, keep - 0.02), (0.0, 1.04)))
    wall = pen.box(-0.40, 0.0, 0.40, 0.40)
    teeth = union(*(pen.box(x - 0.05, 0.38, x + 0.05, 0.48) for x in (-0.20, 0.0, 0.20)))
    pen.add(union(wall, teeth), stone, neon_stone)
    for side in (-1.0, 1.0):
        x = side * 0.44
        pen.add(pen.box(x - 0.13, 0.0, x + 0.13, 0.60), stone, neon_stone)
        caps.append(pen.convex((x - 0.18, 0.58), (x + 0.18, 0.58), (x, 0.90)))
    for cap in caps:
        pen.add(cap, roof, neon_roof)
        if scene.attributes.season == "snowy":
            pen.snow(pen.above(cap, 0.90 if cap is caps[0] else 0.72))
    gate = union(pen.box(-0.10, 0.0, 0.10, 0.18), pen.circle(0.0, 0.18, 0.10))
    pen.add(gate, (0.30, 0.20, 0.20), (1.0, 0.6, 0.3), "detail", 0.8)
    for x, y in ((-0.44, 0.40), (0.44, 0.40), (0.0, 0.58)):
        pen.glow(pen.box(x - 0.04, y - 0.06, x + 0.04, y + 0.06), (1.0, 0.84, 0.30), 0.5)


def _lighthouse(scene: Scene, rng: np.random.Generator) -> None:
    height, foot = float(rng.uniform(0.48, 0.53)), _foot(rng)
    pen = _Pen(scene, scene.object_x, foot, height, 0.42)
    red: Rgb = ((0.88, 0.18, 0.16), (0.90, 0.26, 0.14), (0.82, 0.14, 0.26))[int(rng.integers(3))]
    rock = pen.convex((-0.34, -0.04), (0.34, -0.04), (0.24, 0.10), (-0.22, 0.12))
    pen.add(rock, (0.46, 0.42, 0.44), (0.6, 0.6, 0.7))
    tower = pen.convex((-0.17, 0.08), (0.17, 0.08), (0.105, 0.74), (-0.105, 0.74))
    pen.add(tower, (0.99, 0.98, 0.95), (1.0, 1.0, 1.0))
    offset = float(rng.uniform(-0.03, 0.03))
    for y in (0.22, 0.50):
        band = np.maximum(tower, np.abs(pen.view.y - np.float32(pen.at(0, y + offset)[1])) - np.float32(0.07 * height))
        pen.add(band, red, (1.0, 0.15, 0.20), "detail", 0.8)
    pen.add(pen.box(-0.15, 0.72, 0.15, 0.77), (0.30, 0.28, 0.34), (0.8, 0.8, 0.9), "detail", 0.7)
    pen.glow(pen.box(-0.085, 0.76, 0.085, 0.89), (1.0, 0.90, 0.35))
    dome = pen.convex((-0.13, 0.88), (0.13, 0.88), (0.0, 1.02))
    pen.add(dome, red, (1.0, 0.15, 0.20))
    if scene.attributes.season == "snowy":
        pen.snow(pen.above(dome, 0.93))
        pen.snow(pen.above(rock, 0.05))
