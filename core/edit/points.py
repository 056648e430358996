"""What it takes to drag points of a picture, and what comes of it: values only, no torch. See `core.edit.point_drag`.

Points are (x, y) in pixels of the picture, x to the right and y down; whole numbers are the middles of pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Point = tuple[float, float]
State = Literal["moving", "arrived", "stuck"]

STYLES = 6
STEP_SIZE = 0.01
STEP_SIZES = (0.001, 0.1)
MOST_POINTS = 32


class DragError(ValueError):
    """This model has nothing that could be dragged, or the points make no sense; the message says what would."""


@dataclass(frozen=True, kw_only=True)
class Pull:
    """A handle and where it is to go. Raises `DragError` for what is not finite."""

    handle: Point
    target: Point

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (*self.handle, *self.target)):
            raise DragError(f"point: expected finite numbers, got {self.handle!r} to {self.target!r}")

    @property
    def distance(self) -> float:
        """Pixels that are left to go."""
        return math.dist(self.handle, self.target)


@dataclass(frozen=True, kw_only=True)
class DragOptions:
    """How to drag. Raises `DragError` for values out of range."""

    styles: int = STYLES
    """How many of the styles may change, coarsest first."""
    step_size: float = STEP_SIZE
    """Of Adam, in standard deviations of w."""
    layer: str = ""
    """Whose features are followed, by `LayerInfo.name`; empty takes the one that suits the model."""

    def __post_init__(self) -> None:
        if type(self.styles) is not int or self.styles < 1:
            raise DragError(f"styles: expected at least 1 of them, got {self.styles!r}")
        low, high = STEP_SIZES
        if not low <= self.step_size <= high:
            raise DragError(f"step size: expected a number from {low:g} to {high:g}, got {self.step_size!r}")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where the handles are after some steps."""

    steps: int
    handles: tuple[Point, ...]
    left: float
    """Pixels that the handle farthest from its target has to go."""
    state: State
    """Stuck is what comes no nearer."""
