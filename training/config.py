"""What a GAN run is: one frozen dataclass, checked as it is made and saved as JSON beside the run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from training.augment import POLICIES
from training.features import DINO, TIMM_PREFIX
from training.metrics.settings import EvaluationSettings

CLIP_FEATURES = "clip"
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
class GanConfig(EvaluationSettings):
    """StyleGAN-T phase 1. Raises `ValueError` with what was expected and what came."""

    preset: str = "nano"
    """Generator shape by name, see `core.models.registry`."""
    resolution: int = 64
    """Side of the pictures in pixels."""
    batch: int = 16
    """Pictures a step."""
    kimg: float = 400.0
    """Length of the run in thousands of real pictures shown."""
    seed: int = 0

    learning_rate_g: float = 2e-3
    learning_rate_d: float = 5e-3
    guidance: float = 0.05
    """Weight of the squared spherical distance between a picture's embedding and its caption's."""
    reconstruction: float = 10.0
    """Weight of the reconstructions that half of the fakes are, see `training.reconstruction`; 0 is
    none."""
    nats: float = 40.0
    """How much the latent of a reconstruction may tell about its picture; with much more, the caption is not looked at.
    """
    encoder_rate: float = 2e-3
    """Learning rate of the encoder that finds these latents."""
    critic_kimg: float = 10.0
    """First, this many thousand images in which only the discriminator learns, so that the generator is not led by one
    that knows nothing, least of all a generator from a checkpoint."""
    critic_steps: int = 2
    """Updates of the discriminator for each of the generator, every one with new reals. All but one are the pixel
    head's alone. With one, at equal learning rates, the generator outran it: every picture had the same slash or ring,
    and the discriminator could not tell fakes by it (area under the curve 0.5)."""
    matching: float = 0.3
    """Weight of telling a real picture's caption from other captions by the discriminator's logits (XMC-GAN, section
    4.2). Without it the discriminator learned to see the noise of early fakes and nothing of what the text says about
    shapes.
    """
    matching_fake: float = 0.3
    """The same for fakes, in the generator's loss."""
    diversity: float = 1.0
    """Weight of the shortfall in how differently two latents lay out the same caption (after mode seeking, Mao et al.
    2019). The discriminator sees a caption once a batch and cannot miss what only other latents would show; left to
    itself the generator came to draw one layout a caption, each time another one when the discriminator had learnt it.
    """
    diversity_share: float = 0.7
    """What is enough, as a share of how differently real pictures of different captions are laid out."""
    other_captions: int = 240
    """How many captions of earlier steps stand beside the batch's own in that choice."""
    features: str = DINO
    """The frozen feature network of the discriminator: "clip" for the run's own CLIP, which learnt from the same
    pictures, or `timm:MODEL`, see `training.features.open_feature_network`."""
    taps: tuple[int, ...] = (4,)
    """Which of the feature network's taps get a head, counted from 0, the shallowest."""
    taps_every: int = 4
    """The feature network, and with it guidance, takes part in every so many-th step."""
    pixel_channels: int = 32
    """Width of the convolutional head on the pixels at maps of 32 x 32; 0 leaves it out. A feature network trained on
    little misses fine texture.
    """
    pixel_weight: float = 8.0
    """How much each of the pixel head's two outputs counts in the loss beside a feature head. Left at 1, the generator
    learns textures that fool the feature network and no shapes."""
    r1: float = 0.3
    """Weight of the gradient penalty on the pixel head, which has no norm, at reals and at fakes ..."""
    penalty_pictures: int = 4
    """... worked out on this many of each in every update."""
    augment: tuple[str, ...] = ("translation",)
    """Differentiable augmentation of reals and fakes, from color, translation and cutout."""
    blur_sigma: float = 0.0
    """Blur of reals and fakes at the start, in pixels, falling linearly to 0 ..."""
    blur_kimg: float = 10.0
    """... over this many thousand images."""
    noise_kimg: float = 400.0
    """The generator's noise inputs come in after this many thousand images. From the start, it learns to
    cover pictures with noise instead of drawing the edges that the discriminator misses.
    """
    ema_half_life: float = 10 / 32
    """Half-life of the weight average in thousand images, per picture of the batch."""

    precision: Precision = "auto"
    """auto is bfloat16 on CUDA and on CPUs with AMX tiles, else float32."""
    log_steps: int = 20
    """A line in the log after this many steps."""
    sample_kimg: float = 8.0
    """A sample grid and a snapshot after this many thousand images."""
    save_kimg: float = 8.0
    """The whole state, to resume from, after this many thousand images."""
    evaluate_kimg: float = 0.0
    """Attribute accuracies on Postcards prompts after this many thousand images; 0 is never."""
    prompts: tuple[str, ...] = POSTCARD_PROMPTS
    """Rows of the sample grid."""
    grid_seeds: int = 8
    """Columns of the sample grid: seeds 0, 1, 2, ..."""

    def __post_init__(self) -> None:
        for name in ("other_captions", "pixel_channels"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 0:
                raise ValueError(f"{name}: expected a whole number from 0, got {getattr(self, name)!r}")
        for name in ("critic_steps", "taps_every"):
            if getattr(self, name) > 1 and not self.pixel_channels:
                raise ValueError(f"{name}: expected 1 without a pixel head, got {getattr(self, name)!r}")
        if self.pixel_channels and self.resolution < 16:
            raise ValueError(f"resolution: expected 16 or more with a pixel head, got {self.resolution!r}")
        for name in ("batch", "critic_steps", "taps_every", "penalty_pictures", "log_steps", "grid_seeds"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number from 1, got {getattr(self, name)!r}")
        for name in (
            "kimg",
            "learning_rate_g",
            "learning_rate_d",
            "ema_half_life",
            "encoder_rate",
            "diversity_share",
            "sample_kimg",
            "save_kimg",
            "pixel_weight",
        ):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name}: expected a number above 0, got {getattr(self, name)!r}")
        for name in (
            "guidance",
            "matching",
            "matching_fake",
            "diversity",
            "reconstruction",
            "nats",
            "critic_kimg",
            "r1",
            "blur_sigma",
            "blur_kimg",
            "noise_kimg",
            "evaluate_kimg",
        ):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name}: expected a number from 0, got {getattr(self, name)!r}")
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision: expected one of {', '.join(get_args(Precision))}, got {self.precision!r}")
        for policy in self.augment:
            if policy not in POLICIES:
                raise ValueError(f"augment: expected some of {', '.join(POLICIES)}, got {policy!r}")
        if not self.taps or len(set(self.taps)) < len(self.taps) or min(self.taps) < 0:
            raise ValueError(f"taps: expected different whole numbers from 0, got {self.taps!r}")
        if self.features != CLIP_FEATURES and not self.features.startswith(TIMM_PREFIX):
            raise ValueError(f"features: expected {CLIP_FEATURES!r} or '{TIMM_PREFIX}MODEL', got {self.features!r}")
        if not self.prompts:
            raise ValueError("prompts: expected at least one prompt for the sample grid, got none")
        self.check_evaluation()

    def changed(self, settings: Sequence[str]) -> GanConfig:
        """This configuration with settings given as text, each "name=value"; a list's values stand between commas.

        Raises `ValueError` for a name that does not exist and for a value that does not fit.
        """
        values: dict[str, Any] = {}
        for setting in settings:
            name, equals, text = setting.partition("=")
            if not equals:
                raise ValueError(f"setting: expected NAME=VALUE, got {setting!r}")
            now = getattr(self, name, None) if name in self.to_json() else None
            if now is None:
                raise ValueError(f"setting: unknown {name!r}; known are {', '.join(sorted(self.to_json()))}")
            try:
                if isinstance(now, tuple):
                    kind = type(now[0]) if now else str
                    values[name] = tuple(kind(part) for part in text.split(",") if part)
                else:
                    values[name] = type(now)(text)
            except ValueError:
                raise ValueError(f"{name}: expected a value like {now!r}, got {text!r}") from None
        return dataclasses.replace(self, **values)

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
