"""What a sticker stands on: plain colours, gradients, patterns and simple scenes, at any resolution."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Rgb = tuple[float, float, float]

PLAIN: dict[str, Rgb] = {
    "white": (0.97, 0.97, 0.97),
    "gray": (0.68, 0.69, 0.71),
    "black": (0.06, 0.06, 0.07),
    "navy": (0.10, 0.14, 0.34),
    "red": (0.88, 0.26, 0.24),
    "peach": (1.00, 0.80, 0.66),
    "yellow": (1.00, 0.87, 0.36),
    "mint": (0.74, 0.94, 0.82),
    "teal": (0.13, 0.54, 0.55),
    "sky blue": (0.58, 0.82, 0.98),
    "lavender": (0.79, 0.73, 0.95),
    "pink": (1.00, 0.66, 0.78),
}
GRADIENTS: dict[str, tuple[Rgb, Rgb]] = {
    "pink and purple": ((1.00, 0.55, 0.74), (0.47, 0.29, 0.80)),
    "blue and green": ((0.22, 0.48, 0.93), (0.46, 0.87, 0.55)),
    "orange and pink": ((1.00, 0.72, 0.30), (0.96, 0.38, 0.58)),
}


def paint(ground: str, side: int, details: Sequence[float]) -> Array:
    """The ground without what stands on it: [side, side, 3] in 0..1. `details` are eight numbers in 0..1."""
    if ground in PLAIN:
        return np.broadcast_to(np.array(PLAIN[ground], np.float32), (side, side, 3)).copy()
    steps = ((np.arange(side) + 0.5) / side).astype(np.float32)
    y, x = np.meshgrid(steps, steps, indexing="ij")
    if ground in GRADIENTS:
        first, last = GRADIENTS[ground]
        angle = np.pi * (0.25 + 0.5 * details[0])
        along = 0.5 + (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
        return _between(first, last, np.clip(along, 0, 1))
    return _PAINTERS[ground](x, y, details)


def _polka_dots(x: Array, y: Array, details: Sequence[float]) -> Array:
    step = 0.2
    row = np.floor((y + 0.2 * details[1]) / step)
    u = np.mod(x + 0.2 * details[0] + 0.5 * step * np.mod(row, 2), step) / step - 0.5
    v = np.mod(y + 0.2 * details[1], step) / step - 0.5
    return _mixed((0.99, 0.93, 0.80), (0.95, 0.55, 0.52), _soft(0.30 - np.hypot(u, v), 1 / (step * len(x))))


def _stripes(x: Array, y: Array, details: Sequence[float]) -> Array:
    step = 0.18
    u = np.abs(np.mod((x + y) / np.sqrt(2) + step * details[0], step) / step - 0.5)
    return _mixed((0.96, 0.98, 1.0), (0.60, 0.80, 0.94), _soft(0.25 - u, 1 / (step * len(x))))


def _checks(x: Array, y: Array, details: Sequence[float]) -> Array:
    step, edge = 0.25, 1 / (0.25 * len(x))
    first = _soft(0.25 - np.abs(np.mod(x + step * details[0], step) / step - 0.5), edge)
    second = _soft(0.25 - np.abs(np.mod(y + step * details[1], step) / step - 0.5), edge)
    return _mixed((0.97, 0.96, 0.90), (0.63, 0.79, 0.55), 0.5 * (first + second))


def _meadow(x: Array, y: Array, details: Sequence[float]) -> Array:
    edge = 1 / len(x)
    image = _between((0.50, 0.80, 0.99), (0.86, 0.95, 1.0), np.clip(y / 0.6, 0, 1))
    _cloud(image, x, y, 0.1 + 0.5 * details[2], 0.14, edge)
    _cloud(image, x, y, 0.75 + 0.3 * details[3], 0.25, edge)
    horizon = 0.58 + 0.06 * details[0]
    hill = horizon - 0.07 * np.sin(3.2 * x + 6.28 * details[1])
    _lay(image, (0.52, 0.80, 0.36), _soft(y - hill, edge))
    near = horizon + 0.12 - 0.04 * np.sin(4.0 * x + 2 + 6.28 * details[1])
    _lay(image, (0.40, 0.70, 0.27), _soft(y - near, edge))
    for number, (u, v) in enumerate(_scattered(14)):
        u, v = (u + details[4]) % 1, 0.80 + 0.18 * v
        colour = ((1.0, 0.95, 0.55), (1.0, 1.0, 1.0), (1.0, 0.66, 0.76))[number % 3]
        _dot(image, colour, u, v, 0.011)
    return image


def _sea(x: Array, y: Array, details: Sequence[float]) -> Array:
    edge = 1 / len(x)
    image = _between((0.56, 0.84, 0.98), (0.90, 0.97, 1.0), np.clip(y / 0.55, 0, 1))
    _cloud(image, x, y, 0.2 + 0.6 * details[2], 0.17, edge)
    horizon = 0.52 + 0.06 * details[0]
    colours: tuple[Rgb, ...] = ((0.16, 0.55, 0.80), (0.12, 0.47, 0.74), (0.10, 0.39, 0.67), (0.08, 0.32, 0.59))
    for number, colour in enumerate(colours):
        level = horizon + 0.125 * number
        crest = level + (0.014 * np.sin(22 * x + 6.28 * details[1] + 2.1 * number) if number else 0)
        _lay(image, colour, _soft(y - crest, edge))
        if number:
            _lay(image, (0.75, 0.92, 0.98), 0.7 * _soft(0.006 - np.abs(y - crest), edge))
    return image


def _desert(x: Array, y: Array, details: Sequence[float]) -> Array:
    edge = 1 / len(x)
    image = _between((0.99, 0.78, 0.50), (1.0, 0.93, 0.74), np.clip(y / 0.6, 0, 1))
    _lay(image, (1.0, 0.97, 0.84), _soft(0.085 - np.hypot(x - 0.15 - 0.7 * details[2], y - 0.17), edge))
    for number, colour in enumerate(((0.93, 0.68, 0.38), (0.87, 0.59, 0.30), (0.80, 0.51, 0.24))):
        dune = 0.58 + 0.13 * number + 0.05 * np.sin((4.5 - number) * x + 6.28 * details[number] + number)
        _lay(image, colour, _soft(y - dune, edge))
    return image


def _snow(x: Array, y: Array, details: Sequence[float]) -> Array:
    edge = 1 / len(x)
    image = _between((0.56, 0.70, 0.88), (0.84, 0.90, 0.97), np.clip(y / 0.6, 0, 1))
    hill = 0.60 - 0.06 * np.sin(3.4 * x + 6.28 * details[1])
    _lay(image, (0.90, 0.94, 0.99), _soft(y - hill, edge))
    near = 0.72 - 0.04 * np.sin(4.2 * x + 1.5 + 6.28 * details[0])
    _lay(image, (0.98, 0.99, 1.0), _soft(y - near, edge))
    for number, (u, v) in enumerate(_scattered(26)):
        u, v = (u + details[2]) % 1, (v + 0.3 * details[3]) % 1
        _dot(image, (1.0, 1.0, 1.0), u, v, 0.011 + 0.004 * (number % 3))
    return image


def _night_sky(x: Array, y: Array, details: Sequence[float]) -> Array:
    edge = 1 / len(x)
    image = _between((0.04, 0.05, 0.20), (0.20, 0.18, 0.45), y)
    for number, (u, v) in enumerate(_scattered(34)):
        u, v = (u + details[2]) % 1, (v + 0.3 * details[3]) % 1
        size = 0.006 + 0.004 * (number % 3)
        _dot(image, (1.0, 0.97, 0.82), u, v, size)
    hill = 0.86 - 0.05 * np.sin(4 * x + 6.28 * details[1])
    _lay(image, (0.06, 0.07, 0.17), _soft(y - hill, edge))
    return image


def _sunset(x: Array, y: Array, details: Sequence[float]) -> Array:
    edge = 1 / len(x)
    upper = _between((0.36, 0.20, 0.52), (0.93, 0.38, 0.42), np.clip(y / 0.36, 0, 1))
    lower = _between((0.93, 0.38, 0.42), (1.0, 0.78, 0.36), np.clip((y - 0.36) / 0.34, 0, 1))
    image = np.where((y < 0.36)[..., None], upper, lower)
    middle = 0.2 + 0.6 * details[2]
    _lay(image, (1.0, 0.93, 0.60), _soft(0.13 - np.hypot(x - middle, y - 0.66), edge))
    _lay(image, (0.42, 0.20, 0.36), _soft(y - 0.70 - 0.035 * np.sin(5 * x + 6.28 * details[1]), edge))
    _lay(image, (0.26, 0.12, 0.28), _soft(y - 0.82 - 0.03 * np.sin(4 * x + 2 + 6.28 * details[0]), edge))
    return image


_PAINTERS: dict[str, Callable[[Array, Array, Sequence[float]], Array]] = {
    "polka dots": _polka_dots,
    "stripes": _stripes,
    "checks": _checks,
    "meadow": _meadow,
    "sea": _sea,
    "desert": _desert,
    "snow": _snow,
    "night sky": _night_sky,
    "sunset": _sunset,
}


def _cloud(image: Array, x: Array, y: Array, u: float, v: float, edge: float) -> None:
    shape = np.zeros_like(x)
    for dx, dy, radius in ((-0.07, 0.01, 0.035), (0.0, -0.012, 0.05), (0.07, 0.008, 0.038)):
        shape = np.maximum(shape, _soft(radius - np.hypot(x - u - dx, (y - v - dy) * 1.15), edge))
    _lay(image, (1.0, 1.0, 1.0), 0.9 * shape)


@lru_cache(maxsize=8)
def _scattered(count: int) -> tuple[tuple[float, float], ...]:
    """Points in the unit square, always the same, none near another: the best of ten each time."""
    rng = np.random.default_rng(5)
    points = [rng.random(2)]
    while len(points) < count:
        tried = rng.random((10, 2))
        away = np.abs(tried[:, None] - np.array(points))
        nearest = np.hypot(*np.moveaxis(np.minimum(away, 1 - away), -1, 0)).min(axis=1)
        points.append(tried[int(np.argmax(nearest))])
    return tuple((float(u), float(v)) for u, v in points)


def _dot(image: Array, colour: Rgb, u: float, v: float, radius: float) -> None:
    """A disc, in the part of the image that it touches."""
    side = len(image)
    reach = int(radius * side) + 2
    top, left = max(0, int(v * side) - reach), max(0, int(u * side) - reach)
    part = image[top : int(v * side) + reach, left : int(u * side) + reach]
    y, x = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    away = np.hypot((x + 0.5) / side - u, (y + 0.5) / side - v).astype(np.float32)
    _lay(part, colour, _soft(radius - away, 1 / side))


def _soft(distance: Array, edge: float) -> Array:
    """Coverage of a shape whose border is where `distance` is 0, `edge` wide."""
    result: Array = np.clip(distance / edge + 0.5, 0, 1).astype(np.float32)
    return result


def _lay(image: Array, colour: Rgb, cover: Array) -> None:
    image += cover[..., None] * (np.array(colour, np.float32) - image)


def _between(first: Rgb, last: Rgb, t: Array) -> Array:
    start = np.array(first, np.float32)
    result: Array = start + t[..., None].astype(np.float32) * (np.array(last, np.float32) - start)
    return result


def _mixed(back: Rgb, front: Rgb, cover: Array) -> Array:
    return _between(back, front, cover)
