"""Attributes and a seed to pixels."""

import numpy as np
import numpy.typing as npt

from training.datasets.postcards.attributes import ATTRIBUTES, Attributes
from training.datasets.postcards.objects import add_object
from training.datasets.postcards.palette import make_palette
from training.datasets.postcards.scene import Scene
from training.datasets.postcards.shapes import Canvas
from training.datasets.postcards.sky import add_body, add_clouds, add_fog, place_body, place_stars, rain_streaks
from training.datasets.postcards.styles import BLOCKS, PAINTERS
from training.datasets.postcards.terrain import add_bushes, add_terrain

GENERATOR_VERSION = 1
"""Counts changes of the renderer that change pictures."""

MIN_RESOLUTION, MAX_RESOLUTION = 16, 1024


def render(attributes: Attributes, seed: int, resolution: int) -> npt.NDArray[np.uint8]:
    """The picture of (attributes, seed): uint8 [resolution, resolution, 3], RGB.

    Painted at twice the resolution and area-filtered; the same picture at every resolution. The seed decides all that
    the attributes leave open: positions, sizes, colours, ridges, clouds, stars. ValueError for a resolution outside
    16..1024 or a negative seed.
    """
    if not MIN_RESOLUTION <= resolution <= MAX_RESOLUTION:
        raise ValueError(f"resolution: expected {MIN_RESOLUTION} to {MAX_RESOLUTION} pixels; got {resolution}")
    if seed < 0:
        raise ValueError(f"seed: expected a number from 0 up; got {seed}")
    values = attributes.as_dict()
    rng = np.random.default_rng([seed, *(ATTRIBUTES[name].index(values[name]) for name in ATTRIBUTES)])
    if attributes.style == "pixel art":
        # Its blocks come from one fixed working size, so that they are the same at every resolution.
        canvas = Canvas(4 * BLOCKS)
        painted = PAINTERS[attributes.style](build_scene(attributes, canvas, rng), rng)
        centres = ((np.arange(resolution) + 0.5) / resolution * canvas.size).astype(np.int64)
        image = painted[:, centres[:, None], centres[None, :]]
    else:
        canvas = Canvas(2 * resolution)
        painted = PAINTERS[attributes.style](build_scene(attributes, canvas, rng), rng)
        image = painted.reshape(3, resolution, 2, resolution, 2).mean(axis=(2, 4))
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def build_scene(attributes: Attributes, canvas: Canvas, rng: np.random.Generator) -> Scene:
    """Draws everything the attributes leave open and places the shapes, back to front."""
    scene = Scene(
        attributes=attributes,
        palette=make_palette(attributes, rng),
        canvas=canvas,
        horizon=float(rng.uniform(0.62, 0.70)),
        object_x=float(rng.uniform(0.28, 0.72)),
    )
    place_body(scene, rng)
    place_stars(scene, rng)
    if attributes.weather == "cloudy":
        add_clouds(scene, rng)
    add_body(scene)
    add_terrain(scene, rng)
    if attributes.weather == "foggy":
        add_fog(scene, rng, ((0.46, 0.05, 0.55), (0.60, 0.045, 0.62), (0.73, 0.04, 0.50)), 0.22)
    before = len(scene.items)
    add_object(scene, rng)
    scene.object_items = slice(before, len(scene.items))
    if attributes.season == "autumn":
        add_bushes(scene, rng)
    if attributes.weather == "foggy":
        add_fog(scene, rng, ((0.385, 0.028, 0.35), (0.93, 0.035, 0.50)), 0.05)
    if attributes.weather == "rain":
        scene.rain = rain_streaks(canvas.full, rng)
    return scene
