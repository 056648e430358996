"""Shapes of the playback path over the seed plane, as pure functions of a phase.

All start at the seed, (0, 0). The closed ones take a phase from 0 to 2 pi and are back there at its end; `roam` goes on
for ever. Equal seeds give equal ways, on every machine.
"""

from __future__ import annotations

import functools
import math
import random

Point = tuple[float, float]

# Corners of a closed random walk; an open one takes as long from one to the next.
CORNERS = 8
# The noise loop's circle goes through about as many cells of the noise as a walk has corners.
NOISE_RADIUS = CORNERS / (2 * math.pi)
# Each octave of `roam` is four times as slow and twice as wide as the one before, as a random walk is over four times
# the time; the last takes days.
OCTAVES = 9


def circle(phase: float) -> Point:
    """Radius 1, the start on its upper edge."""
    return math.sin(phase), 1.0 - math.cos(phase)


def eight(phase: float) -> Point:
    """A figure eight, lying."""
    return math.sin(phase), 0.5 * math.sin(2.0 * phase)


def there_and_back(phase: float) -> Point:
    """Along x to 2 and back."""
    return 1.0 - math.cos(phase), 0.0


def random_walk(phase: float, seed: int) -> Point:
    """A smooth closed curve through corners of a random walk, the farthest of which is 1 away."""
    corners = _corners(seed)
    place = phase / (2.0 * math.pi) * CORNERS
    index = math.floor(place)
    around = [corners[(index + step) % CORNERS] for step in (-1, 0, 1, 2)]
    u = place - index
    return _spline([x for x, _ in around], u), _spline([y for _, y in around], u)


def noise_loop(phase: float, seed: int) -> Point:
    """Two fields of value noise sampled along a circle; at most 1 from the start in x and in y."""

    def field(axis: int) -> float:
        def at(angle: float) -> float:
            return _noise_2d((seed, axis), 0.5 + NOISE_RADIUS * math.cos(angle), 0.5 + NOISE_RADIUS * math.sin(angle))

        return 0.5 * (at(phase) - at(0.0))

    return field(0), field(1)


def roam(place: float, seed: int) -> Point:
    """An endless walk: `place` counts corners. It goes farther the longer it goes on, about 1 in `CORNERS` corners."""

    def axis(which: int) -> float:
        # From the half, because at whole numbers the noise stands still.
        total = 0.0
        for octave in range(OCTAVES):
            start = _noise_1d((seed, which, octave), 0.5)
            total += 2.0**octave * (_noise_1d((seed, which, octave), 0.5 + place / 4.0**octave) - start)
        return 0.5 * total

    return axis(0), axis(1)


@functools.lru_cache(maxsize=64)
def _corners(seed: int) -> tuple[Point, ...]:
    """The first is the start; steps of one length in random directions, less the drift that would leave it open."""
    source = random.Random(f"walk {seed}")
    angles = [2.0 * math.pi * source.random() for _ in range(CORNERS)]
    drift = [sum(f(angle) for angle in angles) / CORNERS for f in (math.cos, math.sin)]
    corners, x, y = [], 0.0, 0.0
    for angle in angles:
        corners.append((x, y))
        x, y = x + math.cos(angle) - drift[0], y + math.sin(angle) - drift[1]
    farthest = max(math.hypot(x, y) for x, y in corners)
    return tuple((x / farthest, y / farthest) for x, y in corners)


def _spline(p: list[float], u: float) -> float:
    """Catmull-Rom: from p[1] to p[2], smooth through both."""
    return p[1] + 0.5 * u * (
        p[2] - p[0] + u * (2.0 * p[0] - 5.0 * p[1] + 4.0 * p[2] - p[3] + u * (3.0 * (p[1] - p[2]) + p[3] - p[0]))
    )


@functools.lru_cache(maxsize=4096)
def _value(*key: int) -> float:
    """From -1 to 1."""
    return 2.0 * random.Random(repr(key)).random() - 1.0


def _ease(u: float) -> float:
    return u * u * u * (u * (6.0 * u - 15.0) + 10.0)


def _noise_1d(key: tuple[int, ...], x: float) -> float:
    """Value noise, from -1 to 1: random at whole numbers, smooth between them."""
    i = math.floor(x)
    a, b = _value(*key, i), _value(*key, i + 1)
    return a + (b - a) * _ease(x - i)


def _noise_2d(key: tuple[int, ...], x: float, y: float) -> float:
    i, j = math.floor(x), math.floor(y)
    u, v = _ease(x - i), _ease(y - j)
    above = _value(*key, i, j) * (1 - u) + _value(*key, i + 1, j) * u
    below = _value(*key, i, j + 1) * (1 - u) + _value(*key, i + 1, j + 1) * u
    return above * (1 - v) + below * v
