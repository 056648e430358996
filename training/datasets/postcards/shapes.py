"""Signed distances on a pixel grid. Units: the picture's side is 1, x to the right, y down; negative is inside.

Distances are exact near the edge, which is all that covers, outlines and glows need. Rows and columns stay separate
(broadcast) as long as possible: a half-plane costs one operation on the full grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class View:
    """A rectangular part of the canvas."""

    x: Array  # [1, w] pixel centres
    y: Array  # [h, 1]
    rows: slice
    columns: slice


class Canvas:
    """A square grid of `size` pixels a side over the unit square."""

    def __init__(self, size: int) -> None:
        self.size = size
        centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
        self.full = View(x=centres[None, :], y=centres[:, None], rows=slice(0, size), columns=slice(0, size))

    def view(self, x0: float, y0: float, x1: float, y1: float, pad: float = 0.08) -> View:
        """The part around a box, with `pad` around it for glows and soft edges; at least one pixel."""
        low_x, high_x = self._range(x0 - pad, x1 + pad)
        low_y, high_y = self._range(y0 - pad, y1 + pad)
        return View(
            x=self.full.x[:, low_x:high_x],
            y=self.full.y[low_y:high_y],
            rows=slice(low_y, high_y),
            columns=slice(low_x, high_x),
        )

    def _range(self, low: float, high: float) -> tuple[int, int]:
        first = min(max(int(low * self.size), 0), self.size - 1)
        return first, min(max(int(np.ceil(high * self.size)), first + 1), self.size)


def circle(view: View, x: float, y: float, radius: float) -> Array:
    """A disc about (x, y)."""
    dx, dy = view.x - np.float32(x), view.y - np.float32(y)
    distance: Array = np.sqrt(dx * dx + dy * dy) - np.float32(radius)
    return distance


def ellipse(view: View, x: float, y: float, a: float, b: float) -> Array:
    """Half axes a (x) and b (y); the distance is exact on the edge and right in order of magnitude near it."""
    dx, dy = (view.x - np.float32(x)) / np.float32(a), (view.y - np.float32(y)) / np.float32(b)
    distance: Array = (np.sqrt(dx * dx + dy * dy) - np.float32(1)) * np.float32(min(a, b))
    return distance


def box(view: View, x0: float, y0: float, x1: float, y1: float) -> Array:
    """A rectangle between two corners."""
    dx = np.abs(view.x - np.float32((x0 + x1) / 2)) - np.float32((x1 - x0) / 2)
    dy = np.abs(view.y - np.float32((y0 + y1) / 2)) - np.float32((y1 - y0) / 2)
    distance: Array = np.maximum(dx, dy)
    return distance


def convex(view: View, points: Sequence[Point]) -> Array:
    """A convex polygon, corners in either order."""
    centre_x = sum(p[0] for p in points) / len(points)
    centre_y = sum(p[1] for p in points) / len(points)
    distance: Array | None = None
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
        nx, ny = by - ay, ax - bx
        length = float(np.hypot(nx, ny)) or 1.0
        nx, ny = nx / length, ny / length
        if nx * (centre_x - ax) + ny * (centre_y - ay) > 0:
            nx, ny = -nx, -ny
        side = np.float32(nx) * (view.x - np.float32(ax)) + np.float32(ny) * (view.y - np.float32(ay))
        distance = side if distance is None else np.maximum(distance, side)
    assert distance is not None
    return distance


def capsule(view: View, x0: float, y0: float, x1: float, y1: float, radius: float) -> Array:
    """A thick line with round ends."""
    ax, ay = x1 - x0, y1 - y0
    length2 = max(ax * ax + ay * ay, 1e-9)
    dx, dy = view.x - np.float32(x0), view.y - np.float32(y0)
    t = np.clip((dx * np.float32(ax) + dy * np.float32(ay)) / np.float32(length2), 0, 1)
    ex, ey = dx - t * np.float32(ax), dy - t * np.float32(ay)
    return np.sqrt(ex * ex + ey * ey) - np.float32(radius)


def below(view: View, line: Array) -> Array:
    """Everything under the curve y = line(x); line is [w] over the view's columns."""
    slope = np.gradient(line, view.x[0]) if line.size > 1 else np.zeros_like(line)
    flatten = (1 / np.sqrt(1 + slope * slope)).astype(np.float32)
    distance: Array = (line[None, :] - view.y) * flatten[None, :]
    return distance


def union(*distances: Array) -> Array:
    """All of the shapes together."""
    result = distances[0]
    for other in distances[1:]:
        result = np.minimum(result, other)
    return result


def wave(x: Array, rng: np.random.Generator, amplitude: float, cycles: Sequence[float]) -> Array:
    """A smooth random curve: one sine for each number of cycles over the picture, weaker the finer."""
    total = np.zeros_like(x)
    for count in cycles:
        phase, weight = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.0) * cycles[0] / count
        total += np.float32(weight) * np.sin(np.float32(2 * np.pi * count) * x + np.float32(phase))
    return np.float32(amplitude) * total


def smooth_noise(view: View, rng: np.random.Generator, cells: int) -> Array:
    """Value noise in [-1, 1] on a lattice of cells x cells: the same picture at every resolution."""
    lattice = rng.uniform(-1, 1, size=(cells + 2, cells + 2)).astype(np.float32)

    def weights(t: Array) -> Array:
        position = t * np.float32(cells)
        index = np.floor(position).astype(np.int64)
        fraction = position - index
        fraction = fraction * fraction * (3 - 2 * fraction)
        matrix = np.zeros((t.size, cells + 2), np.float32)
        matrix[np.arange(t.size), index] = 1 - fraction
        matrix[np.arange(t.size), index + 1] = fraction
        return matrix

    return np.asarray(weights(view.y[:, 0]) @ lattice @ weights(view.x[0]).T, dtype=np.float32)
