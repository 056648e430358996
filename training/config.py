"""What a GAN run is: one frozen dataclass, checked as it is made and saved as JSON beside the run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from training.augment import POLICIES

Precision = Literal["auto", "float32", "bfloat16"]

# Rows of the sample grid: wordings that together name every attribute value at least once.
POSTCARD_PROMPTS = (
    "snowy mountains at sunset, watercolor",
    "a castle on green hills at noon, flat poster",
    "a cactus in the desert at night, neon",
    "a sailboat on the sea at dawn, ink drawing",
    "a lighthouse by the sea in heavy rain",
    "an autumn forest with a house, pixel art",
    "pine trees in the fog under a full moon",
    "cloudy hills at noon with the sun",
)


@dataclass(frozen=True, kw_only=True)
class GanConfig:
    """StyleGAN-T phase 1. Raises `ValueError` with what was expected and what came."""

    preset: str = "nano"
    """Generator shape by name, see `core.models.registry`."""
    resolution: int = 64
    """Side of the pictures in pixels."""
    batch: int = 16
    """Pictures a step."""
    kimg: float = 200.0
    """Length of the run in thousands of real pictures shown."""
    seed: int = 0

    learning_rate_g: float = 1e-3
    learning_rate_d: float = 1e-3
    guidance: float = 0.2
    """Weight of the squared spherical distance between a picture's embedding and its caption's."""
    mismatch: float = 0.25
    """Share of the discriminator's fake loss that goes to real pictures under another's caption (GigaGAN, section 3.3);
    0 is off.
    """
    taps: tuple[int, ...] = (2,)
    """Which of the feature network's taps get a head, counted from 0, the shallowest."""
    pixel_channels: int = 48
    """Width of the convolutional head on the pixels; 0 leaves it out. A feature network trained on little misses fine
    texture.
    """
    pixel_weight: float = 4.0
    """How much the pixel head counts in the loss beside a feature head. Left at 1, the generator learns textures that
    fool the feature network and no shapes."""
    r1: float = 1.0
    """Weight of the gradient penalty on the pixel head, which has no norm ..."""
    r1_every: int = 8
    """... worked out every so many steps, and then as many times as strong (StyleGAN2, section 3.1)."""
    augment: tuple[str, ...] = ("translation",)
    """Differentiable augmentation of reals and fakes, from color, translation and cutout."""
    blur_sigma: float = 2.0
    """Blur of reals and fakes at the start, in pixels, falling linearly to 0 ..."""
    blur_kimg: float = 10.0
    """... over this many thousand images."""
    ema_half_life: float = 10 / 32
    """Half-life of the weight average in thousand images, per picture of the batch."""

    precision: Precision = "auto"
    """auto is bfloat16 on CUDA and on CPUs with AMX tiles, else float32."""
    log_steps: int = 20
    """A line in the log after this many steps."""
    sample_kimg: float = 4.0
    """A sample grid and a snapshot after this many thousand images."""
    save_kimg: float = 4.0
    """The whole state, to resume from, after this many thousand images."""
    evaluate_kimg: float = 0.0
    """Attribute accuracies on Postcards prompts after this many thousand images; 0 is never."""
    prompts: tuple[str, ...] = POSTCARD_PROMPTS
    """Rows of the sample grid."""
    grid_seeds: int = 8
    """Columns of the sample grid: seeds 0, 1, 2, ..."""

    def __post_init__(self) -> None:
        for name in ("batch", "r1_every", "log_steps", "grid_seeds"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number from 1, got {getattr(self, name)!r}")
        for name in (
            "kimg",
            "learning_rate_g",
            "learning_rate_d",
            "ema_half_life",
            "sample_kimg",
            "save_kimg",
            "pixel_weight",
        ):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name}: expected a number above 0, got {getattr(self, name)!r}")
        for name in ("guidance", "r1", "blur_sigma", "blur_kimg", "evaluate_kimg", "pixel_channels"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name}: expected a number from 0, got {getattr(self, name)!r}")
        if not 0 <= self.mismatch < 1:
            raise ValueError(f"mismatch: expected a share from 0 to below 1, got {self.mismatch!r}")
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision: expected one of {', '.join(get_args(Precision))}, got {self.precision!r}")
        for policy in self.augment:
            if policy not in POLICIES:
                raise ValueError(f"augment: expected some of {', '.join(POLICIES)}, got {policy!r}")
        if not self.taps or len(set(self.taps)) < len(self.taps) or min(self.taps) < 0:
            raise ValueError(f"taps: expected different whole numbers from 0, got {self.taps!r}")
        if not self.prompts:
            raise ValueError("prompts: expected at least one prompt for the sample grid, got none")

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dump`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> GanConfig:
        """The configuration a run was saved with. Raises `ValueError` for a key that does not exist."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"run configuration: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**plain)
