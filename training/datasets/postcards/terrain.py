"""The five terrains: mountains, hills, desert, sea and forest, in three seasons."""

import numpy as np

from training.datasets.postcards.palette import mix, rgb
from training.datasets.postcards.scene import Scene
from training.datasets.postcards.shapes import Array, below, box, circle, convex, ellipse, union, wave

BODY_CLEAR = 0.37
"""No ridge rises above this height under the sky body, whose foot is at most there."""


def add_terrain(scene: Scene, rng: np.random.Generator) -> None:
    """Adds the terrain's shapes, back to front, down to the foreground."""
    draw = {"mountains": _mountains, "hills": _hills, "desert": _desert, "sea": _sea, "forest": _forest}
    draw[scene.attributes.terrain](scene, rng)


def _ground(scene: Scene, rng: np.random.Generator, line: Array, colour: Array, fade: float = 0.0) -> None:
    view = scene.canvas.full
    scene.add(view, below(view, line), colour, "ground", scene.palette.neon_near, fade=fade)


def _darker(colour: Array, amount: float) -> Array:
    """In the shade: darker and a little bluer."""
    return (colour * np.array([1 - amount, 1 - 0.9 * amount, 1 - 0.65 * amount], np.float32)).astype(np.float32)


def _mountains(scene: Scene, rng: np.random.Generator) -> None:
    palette, view, snowy = scene.palette, scene.canvas.full, scene.attributes.season == "snowy"
    far = np.float32(scene.horizon - 0.17) + wave(view.x[0], rng, 0.03, (2.0, 5.0))
    scene.add(view, below(view, far), mix(palette.far, palette.sky_low, 0.35), "ridge", palette.neon_far, 0.6, 0.3)
    centres = [(0.16, 0.0), (0.50, 0.0), (0.84, 0.0)]
    light_left = scene.body is None or scene.body[0] < 0.5
    peaks: list[tuple[float, float, float]] = []
    for centre, _ in centres:
        x = centre + float(rng.uniform(-0.09, 0.09))
        y, slope = float(rng.uniform(0.26, 0.40)), float(rng.uniform(1.15, 1.6))
        if scene.body is not None:
            gap = max(abs(x - scene.body[0]) - scene.body[2] - 0.05, 0.0)
            y = max(y, BODY_CLEAR - gap * slope)
        peaks.append((x, y, slope))
    for x, y, slope in sorted(peaks, key=lambda peak: peak[1]):
        half = (0.86 - y) / slope
        part = scene.canvas.view(x - half, y, x + half, 0.86)
        jag = wave(part.x[0], rng, 0.008, (7.0, 13.0))
        line = np.float32(y) + np.float32(slope) * np.abs(part.x[0] - np.float32(x)) + jag
        mountain = below(part, line)
        scene.add(part, mountain, palette.middle, "ridge", palette.neon_far, 1.0, 0.45)
        shift = float(rng.uniform(-0.03, 0.03)) + (0.05 if light_left else -0.05)
        edge = np.float32(x) + np.float32(shift) * np.sin((part.y - np.float32(y)) * np.float32(14))
        side = (edge - part.x) if light_left else (part.x - edge)
        scene.add(part, np.maximum(mountain, side), _darker(palette.middle, 0.24), "face", palette.neon_far, 0.35, 0.45)
        if snowy:
            depth = 0.15 + 0.03 * float(rng.uniform(-1, 1))
            foot = np.float32(y + depth) + np.float32(0.03) * np.abs(
                ((part.x - np.float32(x)) * np.float32(11) + np.float32(0.5)) % 2 - 1
            )
            cap = np.maximum(mountain, part.y - foot)
            scene.add(part, cap, palette.snow, "snow", rgb((0.95, 0.97, 1.0)), 0.8)
            scene.add(part, np.maximum(cap, side), _darker(palette.snow, 0.16), "face", palette.neon_far, 0.0)
    line = np.float32(scene.horizon + 0.06) + wave(view.x[0], rng, 0.02, (1.0, 2.0))
    _ground(scene, rng, line, mix(palette.near, palette.far, 0.25))
    line = np.float32(scene.horizon + 0.17) + wave(view.x[0], rng, 0.018, (0.7, 1.6))
    _ground(scene, rng, line, palette.near, -0.15)


def _hills(scene: Scene, rng: np.random.Generator) -> None:
    palette, view = scene.palette, scene.canvas.full
    base = scene.horizon
    for index, (height, amplitude, cycles, colour) in enumerate(
        (
            (base - 0.16, 0.055, (1.3, 2.4), palette.far),
            (base - 0.05, 0.055, (1.0, 1.9), palette.middle),
            (base + 0.09, 0.040, (0.8, 1.5), mix(palette.middle, palette.near, 0.55)),
            (base + 0.20, 0.022, (0.7, 1.2), palette.near),
        )
    ):
        line = np.float32(height) + wave(view.x[0], rng, amplitude, cycles)
        line = np.maximum(line, np.float32(BODY_CLEAR + 0.04))
        neon = mix(palette.neon_far, palette.neon_near, index / 3)
        scene.add(view, below(view, line), colour, "ground", neon, 1.0, 0.35 - 0.15 * index)
        if index == 1 and scene.attributes.season != "autumn":
            for _ in range(int(rng.integers(2, 5))):
                x = float(rng.uniform(0.05, 0.95))
                y = float(np.interp(x, view.x[0], line))
                radius = float(rng.uniform(0.022, 0.034))
                part = scene.canvas.view(x - radius, y - radius, x + radius, y + radius)
                scene.add(
                    part,
                    circle(part, x, y, radius),
                    _darker(mix(palette.middle, palette.near, 0.5), 0.25),
                    "foliage",
                    palette.neon_far,
                    0.7,
                )
        elif index == 1:
            for _ in range(int(rng.integers(2, 4))):
                x = float(rng.uniform(0.05, 0.95))
                _add_bush(scene, rng, x, float(np.interp(x, view.x[0], line)), float(rng.uniform(0.03, 0.04)))


def _desert(scene: Scene, rng: np.random.Generator) -> None:
    palette, view, snowy = scene.palette, scene.canvas.full, scene.attributes.season == "snowy"
    base = scene.horizon
    side = 0.22 if scene.body is None or scene.body[0] > 0.5 else 0.78
    for centre, top in ((side, 0.36), (1 - side + float(rng.uniform(-0.05, 0.05)), 0.46)):
        x, width = centre + float(rng.uniform(-0.08, 0.08)), float(rng.uniform(0.13, 0.18))
        y = top + float(rng.uniform(-0.02, 0.05))
        part = scene.canvas.view(x - width - 0.06, y, x + width + 0.06, 0.8)
        mesa = convex(part, [(x - width, y), (x + width, y), (x + width + 0.06, 0.8), (x - width - 0.06, 0.8)])
        scene.add(part, mesa, palette.far, "ridge", rgb((1.0, 0.45, 0.25)), 1.0, 0.35)
        for row in (0.07, 0.14):
            band = np.maximum(mesa, np.abs(part.y - np.float32(y + row)) - np.float32(0.012))
            scene.add(part, band, _darker(palette.far, 0.2), "face", rgb((1.0, 0.45, 0.25)), 0.0)
        if snowy:
            cap = np.maximum(mesa, part.y - np.float32(y + 0.04))
            scene.add(part, cap, palette.snow, "snow", rgb((0.95, 0.97, 1.0)), 0.8)
    ochre = mix(palette.near, palette.far, 0.35)
    for index, (height, amplitude) in enumerate(((base - 0.05, 0.035), (base + 0.06, 0.045), (base + 0.17, 0.03))):
        # A dune's crest is a lopsided wave: a gentle windward side, a steep lee side in shadow.
        crest = float(rng.uniform(0.2, 0.8))
        x = view.x[0]
        rise = np.where(x < crest, (x - crest) * 0.5, (crest - x) * 1.1).astype(np.float32)
        line = (
            np.float32(height) - np.float32(amplitude) * np.exp(rise * np.float32(4)) + wave(x, rng, 0.012, (1.0, 2.3))
        )
        dune = below(view, line.astype(np.float32))
        colour = mix(palette.middle, palette.near, index / 2)
        scene.add(view, dune, colour, "ground", palette.neon_near if index else palette.neon_far, 1.0, 0.1)
        fall = np.float32(crest) + (view.y - np.float32(height - amplitude)) * np.float32(0.9)
        lee = np.maximum(dune, np.maximum(fall - view.x, view.y - np.float32(height + 0.13) + (view.x - fall) * 0.15))
        shade = _darker(ochre, 0.06) if snowy else _darker(colour, 0.15)
        scene.add(view, lee, shade, "face", palette.neon_far, 0.25, 0.0)


def _sea(scene: Scene, rng: np.random.Generator) -> None:
    palette, view, season = scene.palette, scene.canvas.full, scene.attributes.season
    horizon = scene.horizon - 0.14
    blue = rgb((0.10, 0.60, 1.0))
    water = np.float32(horizon) - view.y + np.zeros_like(view.x)
    scene.add(view, water, palette.water, "water", blue, 0.9, -0.30)
    if scene.body is not None:
        # The light's path on the water: short bars, wider and further apart towards the shore.
        x = scene.body[0]
        glint = rgb((1.0, 0.85, 0.35)) if scene.attributes.sky == "sun" else rgb((0.65, 0.80, 1.0))
        for step in range(5):
            y = horizon + 0.025 + 0.052 * step
            half = 0.035 + 0.014 * step + float(rng.uniform(-0.012, 0.012))
            centre = x + float(rng.uniform(-0.02, 0.02))
            part = scene.canvas.view(centre - half, y, centre + half, y, 0.03)
            bar = ellipse(part, centre, y, half, 0.011)
            scene.add(part, bar, mix(palette.water, palette.body, 0.65), "light", glint, 0.5)
    for step in range(6):
        x, y = float(rng.uniform(0.05, 0.95)), horizon + 0.045 + 0.04 * step
        half = float(rng.uniform(0.05, 0.10))
        part = scene.canvas.view(x - half, y, x + half, y, 0.03)
        if season == "snowy" and step % 2:
            floe = ellipse(part, x, y, half * 1.1, 0.018)
            scene.add(part, floe, palette.snow, "snow", rgb((0.95, 0.97, 1.0)), 0.8)
        else:
            ripple = ellipse(part, x, y, half, 0.007)
            scene.add(part, ripple, mix(palette.water, palette.sky_low, 0.45), "light", blue, 0.5)
    side = float(rng.choice([0.0, 1.0])) if scene.body is None else float(scene.body[0] < 0.5)
    reach, top = float(rng.uniform(0.34, 0.46)), float(rng.uniform(0.12, 0.17))
    x = view.x[0] if side == 0 else 1 - view.x[0]
    line = np.float32(horizon + 0.03) - np.float32(top) * np.sqrt(np.clip(1 - x / np.float32(reach), 0, 1))
    land = np.maximum(below(view, line.astype(np.float32)), view.y - np.float32(horizon + 0.02))
    scene.add(view, land, palette.far, "ground", palette.neon_far, 1.0, 0.15)
    if season == "autumn":
        for _ in range(3):
            bx = float(rng.uniform(0.04, 0.7 * reach))
            by = float(np.interp(bx, np.sort(x), line[np.argsort(x)]))
            _add_bush(scene, rng, bx if side == 0 else 1 - bx, by + 0.01, float(rng.uniform(0.03, 0.042)))
    shore = np.float32(0.865) + wave(view.x[0], rng, 0.016, (0.6, 1.4))
    foam = below(view, shore - np.float32(0.018))
    scene.add(view, foam, mix(palette.water, palette.snow, 0.75), "light", rgb((0.7, 0.9, 1.0)), 0.0)
    _ground(scene, rng, shore, palette.near)


def _forest(scene: Scene, rng: np.random.Generator) -> None:
    palette, view = scene.palette, scene.canvas.full
    ground = scene.horizon + 0.06
    line = np.float32(ground - 0.05) + wave(view.x[0], rng, 0.012, (1.0, 2.0))
    _ground(scene, rng, line, mix(palette.near, palette.far, 0.4))
    for row, (count, top, foot, radius, colour, neon) in enumerate(
        (
            (7, 0.47, ground, 0.085, palette.far, palette.neon_far),
            (6, 0.53, ground + 0.07, 0.092, palette.middle, palette.neon_near),
        )
    ):
        if row == 1:
            _ground(scene, rng, line + np.float32(0.08), mix(palette.near, palette.far, 0.15))
        offset = float(rng.uniform(-0.5, 0.5)) / count
        for index in range(count + 1):
            x = offset + (index + float(rng.uniform(-0.18, 0.18))) / count
            _tree(scene, rng, x, top + float(rng.uniform(-0.035, 0.035)), foot, radius, colour, neon, row)
    line = np.float32(ground + 0.11) + wave(view.x[0], rng, 0.012, (0.7, 1.5))
    _ground(scene, rng, line, palette.near, -0.1)


def _tree(
    scene: Scene,
    rng: np.random.Generator,
    x: float,
    y: float,
    foot: float,
    radius: float,
    colour: Array,
    neon: Array,
    row: int,
) -> None:
    """A round-headed tree: nothing like the pointed pines of the foreground."""
    palette, season = scene.palette, scene.attributes.season
    radius *= float(rng.uniform(0.88, 1.15))
    part = scene.canvas.view(x - radius, y - radius, x + radius, foot)
    trunk = box(part, x - 0.013, y, x + 0.013, foot)
    bark = mix(scene.lit((0.42, 0.28, 0.20)), palette.far, 0.35 if row == 0 else 0.0)
    scene.add(part, trunk, bark, "detail", rgb((0.75, 0.45, 0.25)), 0.5)
    crown = union(circle(part, x, y, radius), ellipse(part, x, y + 0.3 * radius, 1.12 * radius, 0.8 * radius))
    if season == "autumn":
        colour = mix(palette.foliage[int(rng.integers(3))], colour, 0.35 if row else 0.6)
    else:
        colour = np.clip(colour * np.float32(rng.uniform(0.9, 1.12)), 0, 1).astype(np.float32)
    if season == "snowy":
        scene.add(part, crown, mix(_darker(palette.far, 0.35), palette.far, 0.2), "foliage", neon, 1.0)
        cap = np.maximum(crown, -circle(part, x + 0.1 * radius, y + 1.0 * radius, 1.05 * radius))
        scene.add(part, cap, palette.snow, "snow", rgb((0.95, 0.97, 1.0)), 0.4)
    else:
        scene.add(part, crown, colour, "foliage", neon, 1.0)
        light = circle(part, x - 0.28 * radius, y - 0.25 * radius, 0.5 * radius)
        scene.add(part, light, np.clip(colour * np.float32(1.15), 0, 1), "light", neon, 0.0, alpha=0.6)


def add_bushes(scene: Scene, rng: np.random.Generator) -> None:
    """Autumn foliage in the foreground corners, away from the object."""
    for x in (0.07, 0.93, 0.5 + (0.5 - scene.object_x) * 1.5):
        if abs(x - scene.object_x) < 0.26:
            continue
        x, y = x + float(rng.uniform(-0.05, 0.05)), float(rng.uniform(0.89, 0.96))
        radius = float(rng.uniform(0.065, 0.095))
        _add_bush(scene, rng, x, y, radius)


def _add_bush(scene: Scene, rng: np.random.Generator, x: float, y: float, radius: float) -> None:
    """One round bush in autumn colours, standing on y."""
    view = scene.canvas.view(x - 1.8 * radius, y - 1.5 * radius, x + 1.8 * radius, y + radius)
    distance = union(
        circle(view, x - 0.75 * radius, y + 0.1 * radius, 0.75 * radius),
        circle(view, x, y - 0.35 * radius, 0.95 * radius),
        circle(view, x + 0.8 * radius, y + 0.1 * radius, 0.7 * radius),
    )
    distance = np.maximum(distance, view.y - np.float32(y + 0.6 * radius))
    colour = scene.palette.foliage[int(rng.integers(3))]
    scene.add(view, distance, colour, "foliage", rgb((1.0, 0.35, 0.08)), outline=0.9, fade=-0.2)
