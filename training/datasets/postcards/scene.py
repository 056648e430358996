"""What a picture consists of: shapes and veils, back to front, with their colours.

A scene knows nothing of styles; it gives each shape a colour, an outline strength and a neon colour, and styles.py
paints them.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from training.datasets.postcards.attributes import Attributes
from training.datasets.postcards.palette import Palette, Rgb, rgb
from training.datasets.postcards.shapes import Array, Canvas, View

Role = Literal["body", "cloud", "ridge", "ground", "water", "face", "foliage", "snow", "object", "detail", "light"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One opaque shape."""

    view: View
    distance: Array  # [h, w] signed, negative inside
    colour: Array  # [3]
    role: Role
    neon: Array  # [3] outline colour in the neon style
    outline: float = 1.0
    """How strongly ink and neon draw the edge; 0 for shading."""
    fade: float = 0.0
    """How much lighter the foot of the shape gets (haze), in the styles that have gradients."""
    alpha: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Veil:
    """A see-through sheet over everything painted before it: fog."""

    alpha: Array  # [n, n]
    colour: Array  # [3]


@dataclass(kw_only=True)
class Scene:
    """The picture before it is painted; filled in by sky.py, terrain.py and objects.py."""

    attributes: Attributes
    palette: Palette
    canvas: Canvas
    horizon: float
    """Height of the far edge of the ground; each terrain builds around it."""
    object_x: float
    """Where the foreground object stands."""
    body: tuple[float, float, float] | None = None  # x, y, radius
    stars: list[tuple[float, float, float]] = field(default_factory=list)  # x, y, radius
    items: list[Shape | Veil] = field(default_factory=list)
    """Back to front."""
    rain: Array | None = None  # [n, n] cover of the streaks
    object_items: slice = field(default_factory=lambda: slice(0, 0))
    """Where in `items` the object's shapes are."""

    def add(
        self,
        view: View,
        distance: Array,
        colour: Array,
        role: Role,
        neon: Array,
        outline: float = 1.0,
        fade: float = 0.0,
        alpha: float = 1.0,
    ) -> None:
        """Puts a shape in front of all others so far."""
        self.items.append(
            Shape(
                view=view,
                distance=distance,
                colour=colour,
                role=role,
                neon=neon,
                outline=outline,
                fade=fade,
                alpha=alpha,
            )
        )

    def lit(self, colour: Rgb) -> Array:
        """An object's own colour under the light of the picture."""
        turned = self.palette.object_matrix @ rgb(colour)
        lit: Array = np.clip(turned * self.palette.object_light, 0, 1).astype(np.float32)
        return lit
