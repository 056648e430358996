"""The configuration of a StyleGAN-T run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from core.perception.features import DINO, FEATURE_PREFIXES
from core.values import setting
from training.augmentation.diffaugment import POLICIES
from training.config import GanConfig
from training.metrics.settings import OWN_CLIP

CLIP_FEATURES = "clip"
MINILM = "minilm"
"""In place of a CLIP: the sentence encoder."""
START = "start"
"""In place of a preset or a CLIP: what the checkpoint has that the run starts from."""
Phase = Literal["generator", "text"]
Encoder = Literal["auto", "clip", "start"]
Logits = Literal["plain-term", "paper"]

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
class StyleGANTConfig(GanConfig):
    """A StyleGAN-T run. Raises `ValueError` with what was expected and what came."""

    method: ClassVar[str] = "stylegan-t"

    preset: str = setting(
        "nano",
        "model",
        'Generator shape by name, see `core.models.registry`; "start" is that of the checkpoint the run starts from.',
        fixed=True,
    )
    growth: int = setting(
        1,
        "model",
        "Times the resolution of the checkpoint the run starts from, where resolution is 0.",
        low=1,
        fixed=True,
    )
    base_channels: int = setting(
        0,
        "model",
        "Of the generator, in place of the preset's; 0 is the preset's.",
        low=0,
        fixed=True,
    )
    max_channels: int = setting(
        0,
        "model",
        "Of the generator, in place of the preset's; 0 is the preset's.",
        low=0,
        fixed=True,
    )
    convs_per_block: int = setting(
        0,
        "model",
        "Of the generator, in place of the preset's; 0 is the preset's.",
        low=0,
        fixed=True,
    )
    z_dim: int = setting(
        0,
        "model",
        "Of the generator, in place of the preset's; 0 is the preset's.",
        low=0,
        fixed=True,
    )
    norm_groups: int = setting(
        0,
        "model",
        "Of the generator, in place of the preset's; 0 is the preset's.",
        low=0,
        fixed=True,
    )
    style_dim: int = setting(0, "model", "See `core.models.stylegan_t.Config`; 0 is the preset's.", low=0, fixed=True)
    input_maps: int = setting(0, "model", "See `core.models.stylegan_t.Config`; 0 is the preset's.", low=0, fixed=True)
    choices: tuple[int, ...] = setting(
        (),
        "model",
        "Blocks of z that stand for choices, each as two numbers, first and count, one after another.",
        fixed=True,
    )
    prepared: bool = setting(
        True,
        "model",
        "A fresh generator starts where a short run can get somewhere, see `training.engine.trainer._prepare`; off, as "
        "the paper has it.",
    )
    frozen_to: int = setting(
        0,
        "model",
        "Blocks up to this resolution, the mapping and the Fourier input stay as they are; RGB layers always learn "
        '(the paper\'s "freeze64" is 64). 0 is everything learns.',
        low=0,
        fixed=True,
    )
    clip: str = setting(
        "",
        "text",
        "The CLIP that judges pictures and conditions the discriminator: the folder of a run of `glissando train "
        'clip`, `open_clip:MODEL/TAG`, "minilm" for the sentence encoder that comes with Glissando, or "start" for the '
        "text tower of the checkpoint the run starts from; the last two give no guidance.",
        fixed=True,
        place=True,
    )
    encoder: Encoder = setting(
        "auto",
        "text",
        'What conditions the generator: "clip" is that CLIP\'s text tower, "start" the tower in the checkpoint the run '
        "starts from. auto is the checkpoint's where a text phase has tuned it, else the CLIP's.",
        fixed=True,
    )
    phase: Phase = setting(
        "generator",
        "trainer",
        "What learns beside the discriminator: the generator (phases 1 and 3), or the text tower that conditions it, "
        "the generator frozen (phase 2).",
        fixed=True,
    )
    learning_rate_g: float = setting(
        2e-3,
        "trainer",
        "The generator's, or in the text phase the text tower's.",
        above=0,
    )
    learning_rate_d: float = setting(
        5e-3,
        "trainer",
        "The discriminator's.",
        above=0,
    )
    critic_kimg: float = setting(
        10.0,
        "trainer",
        "First, this many thousand images in which only the discriminator learns, so that the generator is not led by "
        "one that knows nothing, least of all a generator from a checkpoint.",
        low=0,
    )
    critic_steps: int = setting(
        2,
        "trainer",
        "Updates of the discriminator for each of the generator, every one with new reals. All but one are the pixel "
        "head's alone. With one, at equal learning rates, the generator outran it: every picture had the same slash or "
        "ring, and the discriminator could not tell fakes by it (area under the curve 0.5).",
        low=1,
    )
    pairs: bool = setting(
        True,
        "trainer",
        "Fakes come in pairs of one caption and two latents; off, each fake has a caption of its own, as in the paper.",
    )
    noise_kimg: float = setting(
        400.0,
        "trainer",
        "The generator's noise inputs come in after this many thousand images. From the start, it learns to cover "
        "pictures with noise instead of drawing the edges that the discriminator misses.",
        low=0,
    )
    ema_half_life: float = setting(
        10 / 32,
        "trainer",
        "Half-life of the weight average in thousand images, per picture of the batch.",
        above=0,
    )
    compile: bool = setting(
        False,
        "trainer",
        "Let torch.compile make the generator faster, for minutes at the start.",
    )
    guidance: float = setting(
        0.05,
        "loss",
        "Weight of the squared spherical distance between a picture's embedding and its caption's.",
        low=0,
    )
    guidance_crop: int = setting(
        64,
        "loss",
        "Larger pictures show guidance a random crop of this side.",
        low=1,
    )
    reconstruction: float = setting(
        10.0,
        "loss",
        "Weight of the reconstructions that half of the fakes are, see `training.methods.stylegan_t.reconstruction`; 0 "
        "is none.",
        low=0,
    )
    nats: float = setting(
        40.0,
        "loss",
        "How much the latent of a reconstruction may tell about its picture; with much more, the caption is not looked "
        "at.",
        low=0,
    )
    encoder_rate: float = setting(
        2e-3,
        "loss",
        "Learning rate of the encoder that finds these latents.",
        above=0,
    )
    matching: float = setting(
        0.3,
        "loss",
        "Weight of telling a real picture's caption from other captions by the discriminator's logits (XMC-GAN, "
        "section 4.2). Without it the discriminator learned to see the noise of early fakes and nothing of what the "
        "text says about shapes.",
        low=0,
    )
    matching_fake: float = setting(
        0.3,
        "loss",
        "Weight of telling a fake's caption from other captions, in the generator's loss.",
        low=0,
    )
    other_captions: int = setting(
        240,
        "loss",
        "How many captions of earlier steps stand beside the batch's own in the choice among captions.",
        low=0,
    )
    diversity: float = setting(
        1.0,
        "loss",
        "Weight of the shortfall in how differently two latents lay out the same caption (after mode seeking, Mao et "
        "al. 2019). The discriminator sees a caption once a batch and cannot miss what only other latents would show; "
        "left to itself the generator came to draw one layout a caption, each time another one when the discriminator "
        "had learnt it.",
        low=0,
    )
    diversity_share: float = setting(
        0.7,
        "loss",
        "What is enough diversity, as a share of how differently real pictures of different captions are laid out.",
        above=0,
    )
    adversarial: float = setting(1.0, "loss", "Weight of the discriminator's judgement in the generator's loss.", low=0)
    paired: float = setting(
        0.0,
        "paired",
        "Regression on pictures whose latent the data know (`training.paired`): its weight in the generator's loss "
        "beside the adversary, right after the warm-up. 0 is none, and without a warm-up too data need no latents.",
        low=0,
    )
    paired_kimg: float = setting(
        0.0,
        "paired",
        "The warm-up: so many thousand images in which the generator learns by regression alone. The discriminator's "
        "own start (critic_kimg) comes after it.",
        low=0,
    )
    paired_fade_kimg: float = setting(
        200.0,
        "paired",
        "Over how many thousand images after the warm-up the weight falls, to paired_least of what it was.",
        above=0,
    )
    paired_least: float = setting(0.25, "paired", "What is left of the weight, as a share.", low=0, high=1)
    paired_rate: float = setting(
        3e-3,
        "paired",
        "Learning rate of the warm-up; it falls to a twentieth over the last 40 %.",
        above=0,
    )
    paired_features: float = setting(
        0.5,
        "paired",
        "Weight of EfficientNet-lite0's features in the regression; 0 leaves them, and the package with them, out.",
        low=0,
    )
    paired_side: int = setting(
        0,
        "paired",
        "Pictures are resized to this for these features; 0 shows them as they are, which from 32 px on costs the "
        "least.",
        low=0,
    )
    features: str = setting(
        DINO,
        "discriminator",
        'The frozen feature network of the discriminator: "clip" for the run\'s own CLIP, which learnt from the same '
        "pictures, or `timm:MODEL`, `open_clip:MODEL/TAG` or `run:FOLDER`, see "
        "`core.perception.features.open_feature_network`.",
        fixed=True,
        place=True,
    )
    taps: tuple[int, ...] = setting(
        (4,),
        "discriminator",
        "Which of the feature network's taps get a head, counted from 0, the shallowest.",
        fixed=True,
    )
    taps_every: int = setting(
        4,
        "discriminator",
        "The feature network, and with it guidance, takes part in every so many-th step.",
        low=1,
    )
    crops: float = setting(
        0.5,
        "discriminator",
        "Pictures larger than the feature network's input: how often a batch shows it a random crop instead of the "
        "whole, made smaller.",
        low=0,
        high=1,
    )
    logits: Logits = setting(
        "plain-term",
        "discriminator",
        '"paper": out . FC(c) / 8. "plain-term" adds how real it looks whatever the text, and brings c to unit '
        "variance first, which learns faster.",
        fixed=True,
    )
    pixel_channels: int = setting(
        32,
        "discriminator",
        "Width of the convolutional head on the pixels at maps of 32 x 32; 0 leaves it out. A feature network trained "
        "on little misses fine texture.",
        low=0,
        fixed=True,
    )
    pixel_weight: float = setting(
        8.0,
        "discriminator",
        "How much each of the pixel head's two outputs counts in the loss beside a feature head. Left at 1, the "
        "generator learns textures that fool the feature network and no shapes.",
        above=0,
    )
    r1: float = setting(
        0.3,
        "discriminator",
        "Weight of the gradient penalty on the pixel head, which has no norm, at reals and at fakes.",
        low=0,
    )
    penalty_pictures: int = setting(
        4,
        "discriminator",
        "How many reals and fakes the gradient penalty is computed on in every update.",
        low=1,
    )
    augment: tuple[str, ...] = setting(
        ("translation",),
        "augmentation",
        "Differentiable augmentation of reals and fakes, from color, translation and cutout.",
    )
    augment_target: float = setting(
        0.0,
        "augmentation",
        "Above 0, augmentation is adaptive: each policy meets a picture with a probability that rises while the mean "
        "sign of the discriminator's logits at reals is above this (ADA, Karras et al. 2020, has 0.6), and falls "
        "below.",
        low=0,
        high=1,
    )
    augment_kimg: float = setting(
        100.0,
        "augmentation",
        "How many thousand images that probability takes from 0 to 1 at most.",
        above=0,
    )
    blur_sigma: float = setting(
        0.0,
        "augmentation",
        "Blur of reals and fakes at the start, in pixels, falling linearly to 0.",
        low=0,
    )
    blur_kimg: float = setting(
        10.0,
        "augmentation",
        "How many thousand images the blur takes to fall to 0.",
        low=0,
    )
    prompts: tuple[str, ...] = setting(
        POSTCARD_PROMPTS,
        "output",
        "Rows of the sample grid.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.resolution and self.preset != START:
            raise ValueError(f"resolution: expected a number of pixels; 0 goes with preset {START!r} alone")
        if self.growth > 1 and self.resolution:
            raise ValueError(
                f"growth: multiplies the checkpoint's resolution, so it goes with resolution 0; "
                f"got {self.growth} and resolution {self.resolution}"
            )
        for name in ("critic_steps", "taps_every"):
            if getattr(self, name) > 1 and not self.pixel_channels:
                raise ValueError(f"{name}: expected 1 without a pixel head, got {getattr(self, name)!r}")
        if self.pixel_channels and 0 < self.resolution < 16:
            raise ValueError(f"resolution: expected 16 or more with a pixel head, got {self.resolution!r}")
        for name in ("diversity", "reconstruction"):
            if getattr(self, name) and not self.pairs:
                raise ValueError(f"{name}: goes by the fakes of a pair, so it needs pairs; got {getattr(self, name)!r}")
        if len(self.choices) % 2 or any(type(number) is not int for number in self.choices):
            raise ValueError(f"choices: expected first and count of each block, got {self.choices!r}")
        if self.regresses:
            if self.reconstruction:
                raise ValueError("paired: expected 0 with reconstructions, which find latents that the data knows")
            if self.phase == "text":
                raise ValueError("paired: expected 0 in the text phase, in which the generator does not learn")
        if self.clip == MINILM:
            if self.guidance:
                raise ValueError(
                    f"guidance: {MINILM} has no image tower to guide by; expected 0, got {self.guidance!r}"
                )
            if self.features == CLIP_FEATURES:
                raise ValueError(f"features: {MINILM} has no image tower; name another network")
            if self.metrics_kimg and "clip" in self.metrics and self.metrics_clip == OWN_CLIP:
                raise ValueError(
                    f"metrics_clip: {MINILM} has no image tower to score by; name a CLIP, or leave clip out"
                )
        if self.phase == "text" and self.reconstruction:
            raise ValueError(
                "reconstruction: expected 0 in the text phase, in which the generator does not learn; "
                f"got {self.reconstruction!r}"
            )
        for policy in self.augment:
            if policy not in POLICIES:
                raise ValueError(f"augment: expected some of {', '.join(POLICIES)}, got {policy!r}")
        if not self.taps or len(set(self.taps)) < len(self.taps) or min(self.taps) < 0:
            raise ValueError(f"taps: expected different whole numbers from 0, got {self.taps!r}")
        if self.features != CLIP_FEATURES and not self.features.startswith(FEATURE_PREFIXES):
            forms = ", ".join(f"'{prefix}...'" for prefix in FEATURE_PREFIXES)
            raise ValueError(f"features: expected {CLIP_FEATURES!r}, {forms}, got {self.features!r}")
        if self.clip == START:
            if self.guidance:
                raise ValueError(
                    f"guidance: a checkpoint has no image tower to guide by; expected 0 with clip "
                    f"{START!r}, got {self.guidance!r}"
                )
            if self.features == CLIP_FEATURES:
                raise ValueError(f"features: a checkpoint has no image tower; with clip {START!r} name another network")
            if self.metrics_kimg and "clip" in self.metrics and self.metrics_clip == OWN_CLIP:
                raise ValueError(
                    f"metrics_clip: a checkpoint has no image tower to score by; with clip {START!r} name a CLIP, or "
                    "leave clip out of the metrics"
                )
        if not self.prompts:
            raise ValueError("prompts: expected at least one prompt for the sample grid, got none")

    @property
    def regresses(self) -> bool:
        """Whether the generator is regressed on the data's own latents at any time."""
        return bool(self.paired or self.paired_kimg)
