"""Moving over the seed plane: by whole seeds, and by dragging across the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from app.document.scene import Scene
from core.request import SEED_LIMIT

# Seeds for each pixel of an unscaled screen that a drag goes.
STEP = 1 / 180
FINEST_STEP, COARSEST_STEP = 1 / 20_000, 1.0
# For each notch of the wheel.
STEP_FACTOR = 1.25


def at(scene: Scene, x: float, y: float) -> Scene:
    """`scene` at a place on the plane, kept on it."""
    limit = float(SEED_LIMIT)
    return replace(scene, seed_x=min(max(x, -limit), limit), seed_y=min(max(y, -limit), limit))


def stepped(scene: Scene, dx: int, dy: int) -> Scene:
    """`scene` at the next whole seed in a direction; across it, at the nearest."""

    def along(place: float, step: int) -> float:
        if step == 0:
            return float(math.floor(place + 0.5))
        return float(math.floor(place) + step if step > 0 else math.ceil(place) + step)

    return at(scene, along(scene.seed_x, dx), along(scene.seed_y, dy))


def zoomed(step: float, notches: float) -> float:
    """The step of a drag after the wheel turned: away from you it is finer, as a map comes nearer."""
    return float(min(max(step * STEP_FACTOR**-notches, FINEST_STEP), COARSEST_STEP))


def step_text(step: float) -> str:
    """Such as "180 px a seed" or "2.5 px a seed"."""
    pixels = 1 / step
    return f"{pixels:.0f} px a seed" if pixels >= 10 else f"{pixels:.1f} px a seed"


@dataclass
class Walk:
    """A drag over the plane, which remembers where it would be without snapping."""

    x: float
    y: float

    def move(self, scene: Scene, dx: float, dy: float, *, snap: bool) -> Scene:
        """`scene` after so many seeds more."""
        self.x, self.y = self.x + dx, self.y + dy
        if snap:
            return at(scene, float(math.floor(self.x + 0.5)), float(math.floor(self.y + 0.5)))
        return at(scene, self.x, self.y)
