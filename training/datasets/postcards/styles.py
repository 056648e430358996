"""The six styles: each paints the shapes of a scene in its own way on a canvas of [3, n, n] floats."""

from collections.abc import Callable

import numpy as np

from training.datasets.postcards.palette import Rgb, mix, rgb
from training.datasets.postcards.scene import Scene, Shape, Veil
from training.datasets.postcards.shapes import Array, box, circle, smooth_noise, wave

Painter = Callable[[Scene, np.random.Generator], Array]


def _column(colour: Array) -> Array:
    return colour[:, None, None]


def _cover(distance: Array, size: int) -> Array:
    """Share of a pixel inside the shape, from the distance of its centre."""
    cover: Array = np.clip(np.float32(0.5) - distance * np.float32(size), 0, 1)
    return cover


def _soft(distance: Array, width: float) -> Array:
    """A soft edge of the given full width, centred on the true one."""
    cover: Array = np.clip(np.float32(0.5) - distance * np.float32(1 / width), 0, 1)
    return cover


def _over(image: Array, shape: Shape, cover: Array, colour: Array) -> None:
    """Paints colour, [3] or [3, h, w], over a part of the picture."""
    part = image[:, shape.view.rows, shape.view.columns]
    part += cover * ((_column(colour) if colour.ndim == 1 else colour) - part)


def _veil(image: Array, alpha: Array, colour: Array) -> None:
    image += alpha * (_column(colour) - image)


def _sky(scene: Scene, top: Array, low: Array) -> Array:
    t = np.clip(scene.canvas.full.y[:, 0] / np.float32(scene.horizon - 0.05), 0, 1)
    rows = top[:, None] + (low - top)[:, None] * (t * t * (3 - 2 * t))[None, :]
    return np.repeat(rows[:, :, None], scene.canvas.size, axis=2).astype(np.float32)


def _stars(scene: Scene, image: Array, colour: Rgb, scale: float = 1.0) -> None:
    for x, y, radius in scene.stars:
        view = scene.canvas.view(x, y, x, y, 2.5 * radius)
        cover = _cover(circle(view, x, y, radius * scale), scene.canvas.size)
        part = image[:, view.rows, view.columns]
        part += cover * (_column(rgb(colour)) - part)


def _halo(scene: Scene, image: Array, strength: float, reach: float, colour: Array) -> None:
    if scene.body is None:
        return
    x, y, radius = scene.body
    view = scene.canvas.full
    distance = np.maximum(circle(view, x, y, radius), 0)
    _veil(image, np.float32(strength) * np.exp(distance * np.float32(-1 / reach)), colour)


def _faded(scene: Scene, shape: Shape) -> Array:
    """The shape's colour, lighter towards its foot by `fade` (darker where it is negative): [3] or [3, h, 1]."""
    if shape.fade == 0.0:
        return shape.colour
    y = shape.view.y[:, 0]
    inside = (shape.distance < 0).any(axis=1)
    if not inside.any():
        return shape.colour
    first, last = y[inside][0], y[inside][-1]
    t = np.clip((y - first) / np.float32(max(last - first, 1e-3)), 0, 1)
    target = scene.palette.sky_low if shape.fade > 0 else shape.colour * np.float32(0.55)
    rows = shape.colour[:, None] + (target - shape.colour)[:, None] * (t * np.float32(abs(shape.fade)))[None, :]
    faded: Array = rows[:, :, None].astype(np.float32)
    return faded


def _paint_rain(scene: Scene, image: Array, colour: Array, alpha: float) -> None:
    if scene.rain is not None:
        _veil(image, scene.rain * np.float32(alpha), colour)


def _rain_colour(scene: Scene) -> Array:
    return mix(rgb((0.90, 0.94, 1.0)), scene.palette.sky_low, 0.15)


def paint_plain(scene: Scene, rng: np.random.Generator) -> Array:
    """Soft gradients, haze towards the foot of each ridge, a glow around the sun."""
    image = _sky(scene, scene.palette.sky_top, scene.palette.sky_low)
    _stars(scene, image, (1.0, 1.0, 0.92))
    sun = scene.attributes.sky == "sun"
    _halo(scene, image, 0.55 if sun else 0.30, 0.13 if sun else 0.07, scene.palette.body)
    for item in scene.items:
        if isinstance(item, Veil):
            _veil(image, item.alpha, item.colour)
        else:
            _over(image, item, _cover(item.distance, scene.canvas.size) * np.float32(item.alpha), _faded(scene, item))
    _paint_rain(scene, image, _rain_colour(scene), 0.75)
    return image


def _vivid(colour: Array, saturation: float) -> Array:
    grey = np.float32(colour @ np.array([0.299, 0.587, 0.114], np.float32))
    vivid: Array = np.clip(grey + (colour - grey) * np.float32(saturation), 0, 1).astype(np.float32)
    return vivid


def _flat(scene: Scene, sky_steps: int = 4) -> Array:
    """Flat colours with hard edges; the sky in steps, rings around the sun."""
    size = scene.canvas.size
    top, low = _vivid(scene.palette.sky_top, 1.2), _vivid(scene.palette.sky_low, 1.15)
    steps = np.floor(scene.canvas.full.y[:, 0] / np.float32(scene.horizon - 0.08) * sky_steps)
    steps = np.minimum(steps, sky_steps - 1) / np.float32(sky_steps - 1)
    rows = top[:, None] + (low - top)[:, None] * steps[None, :].astype(np.float32)
    image = np.repeat(rows[:, :, None], size, axis=2).astype(np.float32)
    _stars(scene, image, (1.0, 0.97, 0.80), 1.25)
    if scene.body is not None:
        x, y, radius = scene.body
        strength = 1.0 if scene.attributes.sky == "sun" else 0.3
        for reach, alpha in ((2.3, 0.22 * strength), (1.6, 0.32 * strength)):
            _veil(
                image,
                np.float32(alpha) * _cover(circle(scene.canvas.full, x, y, radius * reach), size),
                scene.palette.body,
            )
    for item in scene.items:
        if isinstance(item, Veil):
            _veil(image, np.floor(item.alpha * 3.4 + np.float32(0.5)) / 3.4, item.colour)
        else:
            _over(image, item, _cover(item.distance, size) * np.float32(item.alpha > 0.5), _vivid(item.colour, 1.22))
    return image


def paint_flat_poster(scene: Scene, rng: np.random.Generator) -> Array:
    """A screen print: few flat colours and a cream border."""
    image = _flat(scene)
    _paint_rain(scene, image, _rain_colour(scene), 0.85)
    margin = 0.064
    distance = box(scene.canvas.full, margin, margin, 1 - margin, 1 - margin)
    _veil(image, 1 - _cover(distance, scene.canvas.size), rgb((0.97, 0.93, 0.82)))
    return image


BLOCKS = 32
"""Pixel art's own resolution."""


def paint_pixel_art(scene: Scene, rng: np.random.Generator) -> Array:
    """Big square pixels, few levels a channel, dark sprite outlines around the object, stepped skies."""
    image = _flat(scene, sky_steps=9)
    n = scene.canvas.size // BLOCKS
    blocks = image.reshape(3, BLOCKS, n, BLOCKS, n).mean(axis=(2, 4))
    outside = np.full((scene.canvas.size, scene.canvas.size), 1.0, np.float32)
    for item in scene.items[scene.object_items]:
        if isinstance(item, Shape) and item.outline > 0 and item.role != "water":
            part = outside[item.view.rows, item.view.columns]
            np.minimum(part, item.distance, out=part)
    inside = outside.reshape(BLOCKS, n, BLOCKS, n).mean(axis=(1, 3)) < 0
    near = inside.copy()
    near[1:] |= inside[:-1]
    near[:-1] |= inside[1:]
    near[:, 1:] |= inside[:, :-1]
    near[:, :-1] |= inside[:, 1:]
    dark = _column(rgb((0.10, 0.08, 0.16)))
    blocks = np.where(near & ~inside, dark + np.float32(0.10) * blocks, blocks)
    if scene.rain is not None:
        streaks = scene.rain.reshape(BLOCKS, n, BLOCKS, n).mean(axis=(1, 3)) > 0.38
        blocks = np.where(streaks, np.float32(0.7) * _column(_rain_colour(scene)) + np.float32(0.3) * blocks, blocks)
    levels = 7
    blocks = np.round(np.clip(blocks, 0, 1) * levels) / levels
    return np.repeat(np.repeat(blocks, n, axis=1), n, axis=2).astype(np.float32)


PAPER: dict[str, tuple[Rgb, Rgb]] = {  # at the top, at the horizon
    "dawn": ((0.80, 0.70, 0.93), (0.99, 0.87, 0.91)),
    "noon": ((0.62, 0.83, 0.98), (0.97, 0.98, 0.96)),
    "sunset": ((0.95, 0.48, 0.30), (1.00, 0.84, 0.52)),
    "night": ((0.06, 0.07, 0.17), (0.13, 0.16, 0.30)),
}


def paint_ink_drawing(scene: Scene, rng: np.random.Generator) -> Array:
    """Dark lines and thin washes on paper tinted by the time of day; light lines on dark paper at night."""
    size, view, night = scene.canvas.size, scene.canvas.full, scene.attributes.time == "night"
    ink = rgb((0.90, 0.92, 0.90)) if night else rgb((0.13, 0.11, 0.16))
    top, low = (rgb(colour) for colour in PAPER[scene.attributes.time])
    if scene.attributes.weather == "rain":
        grey = rgb((0.13, 0.14, 0.20)) if night else rgb((0.72, 0.73, 0.76))
        top, low = mix(top, grey, 0.45), mix(low, grey, 0.35)
    image = _sky(scene, top, low)
    paper = low if night else mix(low, rgb((0.99, 0.97, 0.92)), 0.5)
    _stars(scene, image, (0.95, 0.95, 0.88), 1.2)
    hatch = np.abs((view.x + view.y) * np.float32(22) % 1 - np.float32(0.5)) < 0.22
    wash = {"face": 0.35, "snow": 0.35 if night else 0.85, "body": 0.9, "cloud": 0.35, "water": 0.60, "ridge": 0.30}
    for item in scene.items:
        if isinstance(item, Veil):
            mist = mix(paper, rgb((0.50, 0.54, 0.66)) if night else rgb((1.0, 1.0, 1.0)), 0.65)
            _veil(image, np.minimum(item.alpha * np.float32(1.3), 0.9), mist)
            continue
        strength = wash.get(item.role, 0.62)
        cover = _cover(item.distance, size)
        if item.outline == 0.0 and item.role == "light":
            continue
        _over(image, item, cover, mix(paper, item.colour, strength))
        if item.role == "face":
            lines = hatch[item.view.rows, item.view.columns]
            _over(image, item, cover * lines * np.float32(0.55), ink)
        if item.outline > 0:
            width = 0.0095 * (0.6 + 0.4 * item.outline)
            line = np.clip((np.float32(width) - np.abs(item.distance)) * np.float32(size) + np.float32(0.3), 0, 1)
            _over(image, item, line * np.float32(0.55 + 0.4 * item.outline), ink)
    _paint_rain(scene, image, ink, 0.6)
    grain = rng.standard_normal((32, 32)).astype(np.float32)
    repeat = -(-size // 32)
    grain = np.repeat(np.repeat(grain, repeat, axis=0), repeat, axis=1)[:size, :size]
    return image + grain * np.float32(0.010)


NEON_SKY: dict[str, tuple[Rgb, Rgb]] = {
    "dawn": ((0.16, 0.08, 0.32), (0.78, 0.36, 0.72)),
    "noon": ((0.02, 0.22, 0.46), (0.08, 0.66, 0.88)),
    "sunset": ((0.30, 0.03, 0.10), (1.00, 0.34, 0.06)),
    "night": ((0.01, 0.01, 0.05), (0.04, 0.04, 0.16)),
}


def paint_neon(scene: Scene, rng: np.random.Generator) -> Array:
    """Glowing outlines over dark shapes; the sky's glow tells the time."""
    size = scene.canvas.size
    top, low = (np.clip(rgb(c) * np.float32(rng.uniform(0.9, 1.08)), 0, 1) for c in NEON_SKY[scene.attributes.time])
    if scene.attributes.weather == "rain":
        top, low = mix(top, rgb((0.10, 0.11, 0.16)), 0.4), mix(low, rgb((0.20, 0.22, 0.28)), 0.4)
    image = _sky(scene, top.astype(np.float32), low.astype(np.float32))
    _stars(scene, image, (0.85, 0.9, 1.0))
    _halo(scene, image, 0.45, 0.09, rgb((1.0, 0.75, 0.2)) if scene.attributes.sky == "sun" else rgb((0.6, 0.75, 1.0)))
    for item in scene.items:
        if isinstance(item, Veil):
            _veil(image, item.alpha * np.float32(0.85), mix(low.astype(np.float32), rgb((0.62, 0.64, 0.74)), 0.6))
            continue
        dark = mix(item.neon * np.float32(0.17 if item.role == "object" else 0.10), low.astype(np.float32), 0.06)
        cover = _cover(item.distance, size)
        if item.role in ("body", "light"):
            dark = item.neon * np.float32(0.85 if item.role == "body" else 0.55)
        elif item.role == "snow":
            dark = item.neon * np.float32(0.38)
        elif item.role == "cloud":
            dark = mix(dark, low.astype(np.float32), 0.35)
        if item.role == "face" and item.outline == 0.0:
            continue
        _over(image, item, cover * np.float32(item.alpha), dark.astype(np.float32))
        if item.outline > 0:
            away = np.abs(item.distance)
            core = np.clip((np.float32(0.0085) - away) * np.float32(size) + np.float32(0.4), 0, 1)
            strength = item.outline * (0.7 if item.role == "foliage" else 1.0)
            glow = core * np.float32(0.85) + np.exp(away * np.float32(-1 / 0.020)) * np.float32(0.42)
            part = image[:, item.view.rows, item.view.columns]
            part += (glow * np.float32(strength)) * _column(item.neon) * (np.float32(1.05) - np.clip(part, 0, 1))
    _paint_rain(scene, image, rgb((0.55, 0.75, 1.0)), 0.75)
    return image


def paint_watercolor(scene: Scene, rng: np.random.Generator) -> Array:
    """Thin washes with soft, uneven edges that dry darker at the rim, on white paper with a ragged margin."""
    size, view = scene.canvas.size, scene.canvas.full
    white = rgb((0.985, 0.975, 0.95))
    thin = 0.08 if scene.attributes.time == "night" else 0.17
    image = _sky(scene, mix(scene.palette.sky_top, white, thin), mix(scene.palette.sky_low, white, thin))
    pool = smooth_noise(view, rng, 5)
    image += pool * np.float32(0.07)
    _stars(scene, image, (1.0, 1.0, 0.95), 1.2)
    _halo(scene, image, 0.45, 0.08, mix(scene.palette.body, white, 0.3))
    for item in scene.items:
        if isinstance(item, Veil):
            _veil(image, item.alpha, mix(item.colour, white, 0.2))
            continue
        colour = mix(item.colour, white, 0.2 * thin if item.role in ("object", "light", "body", "snow") else thin)
        colour = _vivid(colour, 1.15)
        small = item.role in ("object", "detail", "light", "body", "snow")
        cover = _soft(item.distance, 0.020 if small else 0.034)
        pigment = pool[item.view.rows, item.view.columns] * np.float32(-0.10)
        if item.outline > 0:
            rim = np.exp(-np.square((item.distance + np.float32(0.008)) * np.float32(1 / 0.010)))
            pigment = pigment + rim * np.float32((0.36 if item.role == "cloud" else 0.20) * item.outline)
        foot = np.clip((item.view.y - np.float32(0.4)) * np.float32(0.0 if small else 0.25), 0, 1)
        base = _column(colour) + foot * (_column(white) - _column(colour))
        _over(image, item, cover * np.float32(0.94 * item.alpha), (base * (1 - pigment)).astype(np.float32))
    _paint_rain(scene, image, mix(_rain_colour(scene), white, 0.3), 0.65)
    # Paint runs where the water takes it: shift every pixel by a smooth random step.
    step_x = smooth_noise(view, rng, 9) * np.float32(0.012 * size)
    step_y = smooth_noise(view, rng, 9) * np.float32(0.012 * size)
    index = np.arange(size)
    rows = np.clip(np.rint(index[:, None] + step_y), 0, size - 1).astype(np.int64)
    columns = np.clip(np.rint(index[None, :] + step_x), 0, size - 1).astype(np.int64)
    image = image[:, rows, columns]
    ragged = (wave(view.x, rng, 0.006, (3.0, 7.0, 11.0)), wave(view.y, rng, 0.006, (3.0, 7.0, 11.0)))
    margin = box(view, 0.075, 0.075, 0.925, 0.925) + ragged[0] + ragged[1]
    _veil(image, 1 - _soft(margin, 0.022), white)
    grain = smooth_noise(view, rng, 31)
    return image * (1 + grain * np.float32(0.035))


PAINTERS: dict[str, Painter] = {
    "plain": paint_plain,
    "flat poster": paint_flat_poster,
    "pixel art": paint_pixel_art,
    "ink drawing": paint_ink_drawing,
    "neon": paint_neon,
    "watercolor": paint_watercolor,
}
