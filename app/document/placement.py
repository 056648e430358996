"""Placement: translation, rotation and scale of the picture's content, as numbers for sliders and the mouse."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeVar

from core.request import SynthesisOptions

# How far a placement goes: content much smaller or farther away would only show the input repeating itself.
MIN_SCALE = 0.05
MAX_MOVE = 4.0

T = TypeVar("T", bound=SynthesisOptions)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Translation, rotation and scale of the picture's content, by a transform of the generator's input.

    First it is scaled and turned about the picture's middle, then moved. `SynthesisOptions.transform` is the inverse of
    that: for each place in the picture, where the generator samples its input.
    """

    x: float = 0.0
    """In widths of the picture, to the right."""
    y: float = 0.0
    """In widths of the picture, downwards."""
    turn: float = 0.0
    """Degrees clockwise, -180 to 180."""
    scale: float = 1.0

    @classmethod
    def of(cls, options: SynthesisOptions) -> Placement:
        """The placement in a transform that `matrix` made; of any other, its translation, rotation and scale."""
        a, b, u, _, _, v = options.transform[:6]
        power = a * a + b * b
        if not 0.99 * MIN_SCALE**2 <= power <= 1.01 * MIN_SCALE**-2:  # with room for rounding
            return cls()
        x, y = -(a * u - b * v) / power, -(b * u + a * v) / power
        # Zeros without a sign.
        return cls(x=x + 0.0, y=y + 0.0, turn=math.degrees(math.atan2(b, a)) + 0.0, scale=1 / math.sqrt(power))

    def applied(self, options: T) -> T:
        """A scene, a request or options with this placement."""
        return replace(options, transform=self.matrix())

    def matrix(self) -> tuple[float, ...]:
        """The row-major 3 x 3 `SynthesisOptions.transform`: from a place in the picture to one in the input."""
        angle = math.radians(self.turn)
        a, b = math.cos(angle) / self.scale, math.sin(angle) / self.scale
        return (a, b, -(a * self.x + b * self.y) + 0.0, -b + 0.0, a, b * self.x - a * self.y + 0.0, 0.0, 0.0, 1.0)

    def moved(self, dx: float, dy: float) -> Placement:
        """With the content moved by so many widths."""
        low, high = -MAX_MOVE, MAX_MOVE
        return replace(self, x=min(max(self.x + dx, low), high), y=min(max(self.y + dy, low), high))

    def turned(self, degrees: float, factor: float = 1.0) -> Placement:
        """With all content turned and scaled further about the picture's middle."""
        angle, scale = math.radians(degrees), min(max(self.scale * factor, MIN_SCALE), 1 / MIN_SCALE)
        c, s = math.cos(angle) * scale / self.scale, math.sin(angle) * scale / self.scale
        turned = Placement(
            x=c * self.x - s * self.y,
            y=s * self.x + c * self.y,
            turn=(self.turn + degrees + 180.0) % 360.0 - 180.0,
            scale=scale,
        )
        return turned.moved(0.0, 0.0)
