"""How a latent z decides what a caption leaves open.

z has 64 numbers, each N(0, 1) over the training pictures. Tilt, size, place and the details of a ground are read off
single coordinates; the manner and the ground, where a caption names none, off the largest coordinate of a block.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.datasets.stickers.attributes import ATTRIBUTES, GROUNDS, MANNERS, STANDING, Attributes

Latent = npt.NDArray[np.float32]

DIMENSIONS = 64
TILT, SIZE, X, Y, MIRROR, SECOND_TILT, SECOND_SIZE, GAP = range(8)
"""Coordinates that pose the drawing."""
BLOCKS = {"manner": slice(8, 8 + len(MANNERS)), "ground": slice(16, 16 + len(GROUNDS))}
"""Attribute -> the coordinates whose largest chooses its value."""
DETAILS = slice(40, 48)
"""What varies in a ground: horizon, phases, positions."""

SIZES = {"small": (0.34, 0.44), "medium": (0.50, 0.66), "large": (0.74, 0.90)}
"""Size -> its least and greatest side of a drawing, of the picture's side."""
_ANY_SIZE = (0.58, 0.88)
_ANY_SIZE_ASIDE = (0.42, 0.54)  # so that the picture's edge does not cut it
_PLACES = {"left": (0.22, 0.32), "centre": (0.47, 0.53), "right": (0.68, 0.78)}
_SIDE = 0.09  # a drawing whose centre is off the middle by more counts as left or right


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Where one drawing stands."""

    x: float
    """Of its centre, from the left, of the picture's side."""
    y: float
    """Of its centre, from the top."""
    side: float
    """Of the square that holds it, of the picture's side."""
    angle: float
    """Radians, clockwise."""
    mirrored: bool


@dataclass(frozen=True, kw_only=True)
class Composition:
    """Everything that makes a picture but the art and the resolution."""

    attributes: Attributes
    poses: tuple[Pose, ...]
    """One or two, back to front."""
    details: tuple[float, ...]
    """Eight numbers in (0, 1) that vary the ground."""


def phi(value: float) -> float:
    """The distribution function of N(0, 1)."""
    return 0.5 * (1 + math.erf(value / math.sqrt(2)))


def choose(z: Latent, attribute: str, value: str) -> None:
    """Swaps the largest coordinate of the attribute's block into the place of `value`."""
    block = z[BLOCKS[attribute]]
    place, largest = ATTRIBUTES[attribute].index(value), int(np.argmax(block))
    block[place], block[largest] = block[largest], block[place]


def compose(z: Latent, named: dict[str, str]) -> Composition:
    """The picture that a caption naming `named` and a latent `z` [64] determine together.

    An attribute that is not named comes from z; but the colour is then the drawing's own, and there is one of it.
    """
    values = {
        attribute: named.get(attribute) or ATTRIBUTES[attribute][int(np.argmax(z[block]))]
        for attribute, block in BLOCKS.items()
    }
    two = named.get("count") == "two"
    usual = _ANY_SIZE_ASIDE if named.get("place") in ("left", "right") else _ANY_SIZE
    least, greatest = SIZES[named["size"]] if "size" in named else usual
    side = least + (greatest - least) * phi(float(z[SIZE]))
    sides = 0.58 * side + 0.06 if two else side
    if "place" in named and not two:
        first, last = _PLACES[named["place"]]
        x = first + (last - first) * phi(float(z[X]))
    else:
        free = max(0.03, 0.5 - (side if two else sides) / 2)
        x = 0.5 + (2 * phi(float(z[X])) - 1) * free * (0.4 if two else 1)
    height = phi(float(z[Y]))
    if values["ground"] in STANDING:
        y = max(0.78 + 0.14 * height, min(sides + 0.04, 0.94)) - sides / 2
    else:
        y = 0.5 + (2 * height - 1) * 0.6 * max(0.03, 0.5 - sides / 2)
    angle = 0.10 * float(z[TILT])
    mirrored = bool(z[MIRROR] > 0)
    poses: tuple[Pose, ...] = (Pose(x=x, y=y, side=sides, angle=angle, mirrored=mirrored),)
    if two:
        gap = (0.44 + 0.08 * phi(float(z[GAP]))) * min(1.0, sides / 0.4)
        second = sides * (0.8 + 0.3 * phi(float(z[SECOND_SIZE])))
        poses = (
            Pose(x=x - gap / 2, y=y, side=sides, angle=angle, mirrored=mirrored),
            Pose(
                x=x + gap / 2,
                y=y + (sides - second) / 2,
                side=second,
                angle=0.10 * float(z[SECOND_TILT]),
                mirrored=not mirrored,
            ),
        )
    place = "centre" if two or abs(x - 0.5) <= _SIDE else "left" if x < 0.5 else "right"
    size = "small" if side <= SIZES["small"][1] else "large" if side >= SIZES["large"][0] else "medium"
    attributes = Attributes(
        concept=named["concept"],
        colour=named.get("colour", "own"),
        place=place,
        size=size,
        count="two" if two else "one",
        **values,
    )
    details = tuple(phi(float(value)) for value in z[DETAILS])
    return Composition(attributes=attributes, poses=poses, details=details)
