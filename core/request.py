"""What to render, and what came back: plain values, so that any thread, file or socket can carry them.

A `RenderRequest` says everything that decides the pixels of a frame apart from the checkpoint, the device and the
precision. Requests are hashable and compare by value; equal requests give bit-equal frames on one engine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

NoiseMode = Literal["const", "random", "none"]
NOISE_MODES: tuple[NoiseMode, ...] = get_args(NoiseMode)

IDENTITY_TRANSFORM = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

# The seed plane: one step in y is this many seeds, so that every integer point is a seed people can share (the
# StyleGAN3 visualizer's habit).
SEEDS_PER_ROW = 100
SEED_LIMIT = 2**32

CLASS_LIMIT = 2**20

# Beyond this the truncation trick only saturates the picture; the bound also keeps half precision finite.
PSI_LIMIT = 10.0


@dataclass(frozen=True, kw_only=True)
class RenderRequest:
    """One picture, fully described.

    Raises `ValueError` with what was expected and what came, for a number that is not finite or out of range.
    """

    prompt: str = ""
    """The text, for models that take one; empty is a valid prompt."""
    prompt_b: str = ""
    """The second text, reached at `blend` 1."""
    label: int = 0
    """The class, for models that have classes, counted from 0."""
    label_b: int = 0
    """The second class, reached at `blend` 1."""
    blend: float = 0.0
    """0 is A, 1 is B. Between them a text embedding moves along the sphere; between classes w moves on a straight line.
    """
    seed_x: float = 0.0
    """Place on the seed plane; at integers the seed is (x + 100 y) mod 2**32, between them w is blended."""
    seed_y: float = 0.0
    psi: float = 1.0
    """Truncation: 1 is none, 0 the average latent of this prompt."""
    noise: NoiseMode = "const"
    noise_seed: int = 0
    """Which noise is drawn when `noise` is "random"."""
    transform: tuple[float, ...] = IDENTITY_TRANSFORM
    """Row-major 3 x 3 matrix that moves and turns the generator's input, for families that have one."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("blend", 0.0, 1.0),
            ("psi", -PSI_LIMIT, PSI_LIMIT),
            ("seed_x", -float(SEED_LIMIT), float(SEED_LIMIT)),
            ("seed_y", -float(SEED_LIMIT), float(SEED_LIMIT)),
        ):
            value = getattr(self, name)
            if not math.isfinite(value) or not low <= value <= high:
                raise ValueError(f"{name}: expected a number from {low:g} to {high:g}, got {value!r}")
        for name in ("label", "label_b"):
            value = getattr(self, name)
            if type(value) is not int or not 0 <= value < CLASS_LIMIT:
                raise ValueError(f"{name}: expected a class number from 0 to {CLASS_LIMIT - 1}, got {value!r}")
        if self.noise not in NOISE_MODES:
            raise ValueError(f"noise: expected one of {', '.join(NOISE_MODES)}, got {self.noise!r}")
        if not 0 <= self.noise_seed < SEED_LIMIT:
            raise ValueError(f"noise_seed: expected an integer from 0 to 2**32 - 1, got {self.noise_seed!r}")
        if len(self.transform) != 9 or not all(math.isfinite(v) for v in self.transform):
            raise ValueError(
                f"transform: expected 9 finite numbers (a 3 x 3 matrix, row by row), got {self.transform!r}"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """A rendered picture and the request it answers."""

    request: RenderRequest
    pixels: NDArray[np.uint8]
    """[height, width, 3], RGB."""
    render_ms: float
    """Wall-clock milliseconds the engine spent on it."""

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])
