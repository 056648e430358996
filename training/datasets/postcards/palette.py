"""Colours of a postcard: by time of day, terrain and season, each a little different for every seed."""

from dataclasses import dataclass

import numpy as np

from training.datasets.postcards.attributes import Attributes
from training.datasets.postcards.shapes import Array

Rgb = tuple[float, float, float]

SKY: dict[str, tuple[Rgb, Rgb]] = {  # top, horizon
    "dawn": ((0.62, 0.56, 0.86), (1.00, 0.80, 0.84)),
    "noon": ((0.22, 0.56, 0.93), (0.76, 0.92, 1.00)),
    "sunset": ((0.84, 0.22, 0.22), (1.00, 0.74, 0.26)),
    "night": ((0.02, 0.03, 0.13), (0.10, 0.15, 0.36)),
}
LIGHT: dict[str, Rgb] = {
    "dawn": (0.94, 0.84, 0.98),
    "noon": (1.00, 1.00, 0.98),
    "sunset": (0.98, 0.74, 0.58),
    "night": (0.40, 0.45, 0.64),
}
SNOW_LIGHT: dict[str, Rgb] = {  # snow must stay near white to be read as snow
    "dawn": (0.97, 0.93, 1.00),
    "noon": (1.00, 1.00, 1.00),
    "sunset": (1.00, 0.90, 0.86),
    "night": (0.58, 0.66, 0.88),
}
OBJECT_LIGHT: dict[str, Rgb] = {  # objects keep more of their own colour, so that they read at night
    "dawn": (0.96, 0.90, 0.98),
    "noon": (1.00, 1.00, 1.00),
    "sunset": (1.00, 0.84, 0.72),
    "night": (0.60, 0.62, 0.80),
}
SUN: dict[str, Rgb] = {
    "dawn": (1.00, 0.93, 0.62),
    "noon": (1.00, 0.90, 0.25),
    "sunset": (1.00, 0.93, 0.50),
    "night": (1.00, 0.90, 0.60),
}
MOON: dict[str, Rgb] = {
    "dawn": (1.00, 0.99, 0.86),
    "noon": (0.97, 0.99, 1.00),
    "sunset": (1.00, 0.98, 0.90),
    "night": (0.99, 0.96, 0.80),
}
CLOUD: dict[str, Rgb] = {
    "dawn": (0.99, 0.90, 0.95),
    "noon": (1.00, 1.00, 1.00),
    "sunset": (1.00, 0.80, 0.66),
    "night": (0.36, 0.41, 0.60),
}
FOG: dict[str, Rgb] = {
    "dawn": (0.97, 0.88, 0.93),
    "noon": (0.92, 0.96, 0.98),
    "sunset": (1.00, 0.84, 0.68),
    "night": (0.36, 0.42, 0.58),
}
WATER: dict[str, Rgb] = {
    "dawn": (0.52, 0.52, 0.80),
    "noon": (0.14, 0.50, 0.78),
    "sunset": (0.50, 0.26, 0.46),
    "night": (0.06, 0.14, 0.34),
}
RAIN_GREY: dict[str, Rgb] = {
    "dawn": (0.68, 0.62, 0.76),
    "noon": (0.56, 0.66, 0.76),
    "sunset": (0.66, 0.42, 0.38),
    "night": (0.10, 0.12, 0.20),
}

GROUND: dict[str, dict[str, tuple[Rgb, Rgb, Rgb]]] = {  # far, middle, near
    "mountains": {
        "plain": ((0.58, 0.66, 0.80), (0.40, 0.48, 0.62), (0.36, 0.62, 0.32)),
        "snowy": ((0.72, 0.80, 0.92), (0.50, 0.60, 0.76), (0.95, 0.97, 1.00)),
        "autumn": ((0.66, 0.58, 0.68), (0.52, 0.40, 0.44), (0.90, 0.46, 0.14)),
    },
    "hills": {
        "plain": ((0.58, 0.80, 0.62), (0.46, 0.74, 0.38), (0.28, 0.58, 0.24)),
        "snowy": ((0.76, 0.85, 0.95), (0.86, 0.92, 0.98), (0.97, 0.98, 1.00)),
        "autumn": ((0.94, 0.72, 0.40), (0.92, 0.54, 0.20), (0.78, 0.30, 0.12)),
    },
    "desert": {
        "plain": ((0.82, 0.52, 0.40), (0.96, 0.82, 0.52), (0.93, 0.72, 0.38)),
        "snowy": ((0.74, 0.50, 0.42), (0.93, 0.93, 0.93), (0.97, 0.98, 1.00)),
        "autumn": ((0.58, 0.28, 0.28), (0.88, 0.60, 0.36), (0.78, 0.42, 0.24)),
    },
    "sea": {  # headland, water, shore
        "plain": ((0.42, 0.66, 0.44), (0.16, 0.52, 0.76), (0.95, 0.86, 0.62)),
        "snowy": ((0.88, 0.93, 0.98), (0.34, 0.58, 0.76), (0.97, 0.98, 1.00)),
        "autumn": ((0.88, 0.44, 0.16), (0.18, 0.46, 0.64), (0.82, 0.46, 0.20)),
    },
    "forest": {  # trees behind, trees in front, floor
        "plain": ((0.36, 0.62, 0.44), (0.18, 0.46, 0.26), (0.46, 0.66, 0.34)),
        "snowy": ((0.78, 0.87, 0.94), (0.90, 0.95, 0.99), (0.96, 0.98, 1.00)),
        "autumn": ((0.94, 0.64, 0.26), (0.84, 0.34, 0.12), (0.78, 0.52, 0.26)),
    },
}
FOLIAGE: tuple[Rgb, ...] = ((0.90, 0.36, 0.10), (0.82, 0.20, 0.12), (0.96, 0.58, 0.14))
SNOW: Rgb = (0.98, 0.99, 1.00)
NEON_GROUND: dict[str, tuple[Rgb, Rgb]] = {  # far, near outline by season
    "plain": ((0.10, 0.75, 0.60), (0.25, 1.00, 0.40)),
    "snowy": ((0.70, 0.80, 1.00), (0.95, 0.97, 1.00)),
    "autumn": ((1.00, 0.32, 0.12), (1.00, 0.55, 0.10)),
}


def rgb(colour: Rgb) -> Array:
    """[3] float32."""
    return np.array(colour, np.float32)


def mix(a: Array, b: Array, t: float) -> Array:
    """From colour a (t = 0) to colour b (t = 1)."""
    return (a + (b - a) * np.float32(t)).astype(np.float32)


def _hue_matrix(degrees: float, saturation: float) -> Array:
    """[3, 3]: turns the hue and scales the saturation about grey, in YIQ."""
    to_yiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    angle = np.deg2rad(degrees)
    c, s = saturation * np.cos(angle), saturation * np.sin(angle)
    turn = np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    return np.asarray(np.linalg.inv(to_yiq) @ turn @ to_yiq, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Palette:
    """The colours of one picture, [3] float32 each, already lit by the time of day."""

    sky_top: Array
    sky_low: Array
    body: Array
    cloud: Array
    fog: Array
    far: Array
    middle: Array
    near: Array
    snow: Array
    foliage: tuple[Array, ...]
    water: Array
    neon_far: Array
    neon_near: Array
    object_light: Array
    object_matrix: Array


def make_palette(attributes: Attributes, rng: np.random.Generator) -> Palette:
    """Draws the hue turn, saturation and brightness of the picture and lights the ground."""
    sky_turn = _hue_matrix(rng.uniform(-11, 11), rng.uniform(0.85, 1.12))
    ground_turn = _hue_matrix(rng.uniform(-10, 10), rng.uniform(0.85, 1.12))
    object_turn = _hue_matrix(rng.uniform(-14, 14), rng.uniform(0.9, 1.1))
    sky_value, ground_value = rng.uniform(0.92, 1.06), rng.uniform(0.90, 1.08)
    time, season = attributes.time, attributes.season

    def sky(colour: Rgb) -> Array:
        colour_3: Array = np.clip(sky_turn @ rgb(colour) * np.float32(sky_value), 0, 1).astype(np.float32)
        return colour_3

    def ground(colour: Rgb) -> Array:
        light = rgb(LIGHT[time])
        if min(colour) > 0.7:  # snow
            light = rgb(SNOW_LIGHT[time])
        lit = ground_turn @ rgb(colour) * light
        colour_3: Array = np.clip(lit * np.float32(ground_value), 0, 1).astype(np.float32)
        return colour_3

    top, low = sky(SKY[time][0]), sky(SKY[time][1])
    if attributes.weather == "rain":
        grey = rgb(RAIN_GREY[time])
        top, low = mix(top, grey, 0.60), mix(low, grey, 0.45)
    elif attributes.weather == "foggy":
        fog = rgb(FOG[time])
        top, low = mix(top, fog, 0.12), mix(low, fog, 0.40)
    far, middle, near = (ground(c) for c in GROUND[attributes.terrain][season])
    water = sky(WATER[time])
    if season == "snowy":
        water = mix(water, rgb((0.75, 0.88, 0.98)) * rgb(SNOW_LIGHT[time]), 0.22)
    neon_far, neon_near = (np.clip(ground_turn @ rgb(c), 0, 1).astype(np.float32) for c in NEON_GROUND[season])
    return Palette(
        sky_top=top,
        sky_low=low,
        body=rgb(SUN[time] if attributes.sky == "sun" else MOON[time]),
        cloud=mix(rgb(CLOUD[time]), low, 0.08),
        fog=rgb(FOG[time]),
        far=mix(far, low, 0.30 if attributes.terrain != "sea" else 0.12),
        middle=mix(middle, low, 0.10) if attributes.terrain != "sea" else water,
        near=near,
        snow=np.minimum(ground(SNOW) * np.float32(1.06), 1),
        foliage=tuple(np.clip(ground_turn @ rgb(c), 0, 1) * rgb(OBJECT_LIGHT[time]) for c in FOLIAGE),
        water=water,
        neon_far=neon_far,
        neon_near=neon_near,
        object_light=rgb(OBJECT_LIGHT[time]),
        object_matrix=object_turn,
    )
