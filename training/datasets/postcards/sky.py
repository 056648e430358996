"""Above the ground: sun or moon, stars, clouds, fog and rain."""

from collections.abc import Sequence

import numpy as np

from training.datasets.postcards.palette import mix, rgb
from training.datasets.postcards.scene import Scene, Veil
from training.datasets.postcards.shapes import Array, View, circle, union, wave


def place_body(scene: Scene, rng: np.random.Generator) -> None:
    """Chooses where the sun or moon stands: high enough for every ridge and object to stay below it."""
    if scene.attributes.sky == "none":
        return
    radius = float(rng.uniform(0.088, 0.112))
    # Mostly on the side away from the object: the two balance.
    side = 1.0 - scene.object_x if rng.random() < 0.75 else scene.object_x
    x = float(np.clip(side + rng.uniform(-0.1, 0.1), 0.22, 0.78))
    high = rng.uniform(0.17, 0.21) if scene.attributes.time in ("noon", "night") else rng.uniform(0.18, 0.24)
    scene.body = (x, float(high), radius)


def place_stars(scene: Scene, rng: np.random.Generator) -> None:
    """Stars at night, fewer in bad weather."""
    if scene.attributes.time != "night":
        return
    count = 14 if scene.attributes.weather in ("cloudy", "rain", "foggy") else 26
    scene.stars = [
        (float(rng.uniform(0.04, 0.96)), float(rng.uniform(0.04, 0.46)), float(rng.uniform(0.006, 0.012)))
        for _ in range(count)
    ]


def add_body(scene: Scene) -> None:
    """The sun as a disc, the moon as a crescent."""
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


def add_clouds(scene: Scene, rng: np.random.Generator) -> None:
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
        _add_cloud(scene, rng, x, y, size)
        done += 1
        if done == wanted:
            break
    if done < 2:
        x = 0.12 if scene.body is not None and scene.body[0] > 0.5 else 0.88
        _add_cloud(scene, rng, x, float(rng.uniform(0.16, 0.30)), 1.1)


def _add_cloud(scene: Scene, rng: np.random.Generator, x: float, y: float, size: float) -> None:
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


def add_fog(
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


def rain_streaks(view: View, rng: np.random.Generator) -> Array:
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
