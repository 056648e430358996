"""A composition to pixels: the ground, then one or two drawings pasted on it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.datasets.stickers.attributes import PLAIN, Attributes
from training.datasets.stickers.drawings import Drawings
from training.datasets.stickers.grounds import paint
from training.datasets.stickers.latents import Composition, Pose

GENERATOR_VERSION = 2
"""Counts changes that change pictures."""
MIN_RESOLUTION, MAX_RESOLUTION = 32, 1024
SHADED = ("meadow", "desert", "snow")
"""Grounds on which things cast a shadow."""
BLOCKS = 32
"""Of pixel art, along a side."""
_FLOOR = 0.64  # below the horizon of every scene
LEVELS = 7
"""Of each of its channels, above none."""


def render(composition: Composition, drawings: Drawings, resolution: int) -> npt.NDArray[np.uint8]:
    """The picture: uint8 [resolution, resolution, 3], RGB; the same one at every resolution.

    Painted at twice the resolution and area-filtered. ValueError for a resolution outside 32..1024.
    """
    if not MIN_RESOLUTION <= resolution <= MAX_RESOLUTION:
        raise ValueError(f"resolution: expected {MIN_RESOLUTION} to {MAX_RESOLUTION} pixels; got {resolution}")
    image: npt.NDArray[np.float32]
    if composition.attributes.manner == "pixel art":
        small = _pixel_art(composition, drawings)
        centres = ((np.arange(resolution) + 0.5) / resolution * BLOCKS).astype(np.int64)
        image = small[centres[:, None], centres[None, :]]
    else:
        canvas = _painted(composition, drawings, 2 * resolution)
        image = (canvas[::2, ::2] + canvas[1::2, ::2] + canvas[::2, 1::2] + canvas[1::2, 1::2]) * np.float32(0.25)
    return np.ascontiguousarray(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8))


def _painted(composition: Composition, drawings: Drawings, side: int) -> npt.NDArray[np.float32]:
    attributes = composition.attributes
    image = paint(attributes.ground, side, composition.details)
    if attributes.manner == "neon" and attributes.ground not in PLAIN:  # a plain one keeps the colour that it is called
        image *= np.float32(0.55)
    for pose in composition.poses:
        if attributes.ground in SHADED:
            _cast_shadow(image, pose, drawings.extent(attributes.concept, attributes.manner))
        rgba = np.asarray(_placed(attributes, pose, drawings, side), np.float32) / 255
        image += rgba[..., 3:] * (rgba[..., :3] - image)
    return image


def _pixel_art(composition: Composition, drawings: Drawings) -> npt.NDArray[np.float32]:
    """[BLOCKS, BLOCKS, 3]: every block whole, of few colours."""
    side = 4 * BLOCKS
    image = paint(composition.attributes.ground, side, composition.details)
    image = image.reshape(BLOCKS, 4, BLOCKS, 4, 3).mean(axis=(1, 3))
    for pose in composition.poses:
        placed = _placed(composition.attributes, pose, drawings, side).convert("RGBa")
        rgba = np.asarray(placed, np.float32).reshape(BLOCKS, 4, BLOCKS, 4, 4).mean(axis=(1, 3)) / 255
        inside = rgba[..., 3:] > 0.45
        image = np.where(inside, rgba[..., :3] / np.maximum(rgba[..., 3:], 0.1), image)
    result: npt.NDArray[np.float32] = (np.rint(image * LEVELS) / LEVELS).astype(np.float32)
    return result


def _placed(attributes: Attributes, pose: Pose, drawings: Drawings, side: int) -> Image.Image:
    """The drawing turned and moved to its place: RGBA, side x side."""
    drawing = drawings.get(attributes.concept, attributes.manner, attributes.colour, side)
    ratio = 1 / pose.side
    if ratio > 2:  # a bicubic filter would miss pixels
        drawing, ratio = drawing.convert("RGBa").reduce(2).convert("RGBA"), ratio / 2
    # From a pixel of the picture to one of the drawing: x' = a x + b y + c.
    cos, sin = ratio * math.cos(pose.angle), ratio * math.sin(pose.angle)
    flip = -1.0 if pose.mirrored else 1.0
    middle = drawing.width / 2
    x, y = pose.x * side, pose.y * side
    a, b, d, e = flip * cos, flip * sin, -sin, cos
    data = (a, b, middle - a * x - b * y, d, e, middle - d * x - e * y)
    return drawing.transform((side, side), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)


def _cast_shadow(image: npt.NDArray[np.float32], pose: Pose, extent: tuple[float, float]) -> None:
    """A soft ellipse at the foot of a drawing, where that is on the floor."""
    width, height = extent[0] * pose.side, extent[1] * pose.side
    foot = pose.y + 0.49 * height
    if foot < _FLOOR:
        return
    steps = ((np.arange(len(image)) + 0.5) / len(image)).astype(np.float32)
    v, u = np.meshgrid(steps, steps, indexing="ij")
    away = np.hypot((u - pose.x) / (0.5 * width), (v - foot) / (0.08 * pose.side))
    image *= (1 - 0.28 * np.clip(1.6 - 1.6 * away, 0, 1))[..., None]
