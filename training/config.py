"""What a GAN run is: one frozen dataclass, checked as it is made and saved as TOML beside the run.

Its fields stand in sections, one class each, which are the tables of the TOML file and the first half of a dotted name
("trainer.batch"). No two sections share a name, so that a plain name ("batch") says the same; the code reads
`config.batch`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from core.perception.features import DINO, FEATURE_PREFIXES, RUN_PREFIX
from training.augmentation.diffaugment import POLICIES
from training.metrics.settings import OWN_CLIP, EvaluationSettings

CLIP_FEATURES = "clip"
MINILM = "minilm"
"""In place of a CLIP: the sentence encoder."""
START = "start"
"""In place of a preset or a CLIP: what the checkpoint has that the run starts from."""
Precision = Literal["auto", "float32", "bfloat16", "float16", "float64"]
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
class ModelSettings:
    """[model]: the generator's shape and what of it learns."""

    preset: str = "nano"
    """Generator shape by name, see `core.models.registry`; "start" is that of the checkpoint the run starts from."""
    resolution: int = 64
    """Side of the pictures in pixels; 0 is that of the checkpoint the run starts from ..."""
    growth: int = 1
    """... times this."""
    base_channels: int = 0
    """This and the next four: the generator's own numbers in place of the preset's; 0 is the preset's."""
    max_channels: int = 0
    convs_per_block: int = 0
    z_dim: int = 0
    norm_groups: int = 0
    style_dim: int = 0
    """This and the next: see `core.models.stylegan_t.Config`; 0 is the preset's."""
    input_maps: int = 0
    choices: tuple[int, ...] = ()
    """Blocks of z that stand for choices, each as two numbers, first and count, one after another."""
    prepared: bool = True
    """A fresh generator starts where a short run can get somewhere, see `training.engine.trainer._prepare`; off, as the
    paper has it."""
    frozen_to: int = 0
    """Blocks up to this resolution, the mapping and the Fourier input stay as they are; RGB layers always learn (the
    paper's "freeze64" is 64). 0 is everything learns."""


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    """[text]: the CLIP of the run, and what the generator is told a caption by."""

    clip: str = ""
    """The CLIP that judges pictures and conditions the discriminator: the folder of a run of `glissando train clip`,
    `open_clip:MODEL/TAG`, `minilm` for the sentence encoder that comes with Glissando, or "start" for the text tower of
    the checkpoint the run starts from; the last two give no guidance."""
    encoder: Encoder = "auto"
    """What conditions the generator: "clip" is that CLIP's text tower, "start" the tower in the checkpoint the run
    starts from. auto is the checkpoint's where a text phase has tuned it, else the CLIP's."""


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """[trainer]: how long, how fast, in which order."""

    phase: Phase = "generator"
    """What learns beside the discriminator: the generator (phases 1 and 3), or the text tower that conditions it, the
    generator frozen (phase 2)."""
    batch: int = 16
    """Pictures a step."""
    kimg: float = 400.0
    """Length of the run in thousands of real pictures shown."""
    seed: int = 0
    learning_rate_g: float = 2e-3
    """The generator's, or in the text phase the text tower's."""
    learning_rate_d: float = 5e-3
    critic_kimg: float = 10.0
    """First, this many thousand images in which only the discriminator learns, so that the generator is not led by one
    that knows nothing, least of all a generator from a checkpoint."""
    critic_steps: int = 2
    """Updates of the discriminator for each of the generator, every one with new reals. All but one are the pixel
    head's alone. With one, at equal learning rates, the generator outran it: every picture had the same slash or ring,
    and the discriminator could not tell fakes by it (area under the curve 0.5)."""
    pairs: bool = True
    """Fakes come in pairs of one caption and two latents; off, each fake has a caption of its own, as in the paper."""
    noise_kimg: float = 400.0
    """The generator's noise inputs come in after this many thousand images. From the start, it learns to
    cover pictures with noise instead of drawing the edges that the discriminator misses.
    """
    ema_half_life: float = 10 / 32
    """Half-life of the weight average in thousand images, per picture of the batch."""
    precision: Precision = "auto"
    """auto is bfloat16 on CUDA and on CPUs with AMX tiles, else float32; float16 scales its losses; float64 is for
    comparing runs."""
    micro_batch: int = 0
    """Pictures that go through the networks at once; the gradients of a batch are added up from such parts, on all
    ranks. 0 is one part a rank. What looks at several pictures, such as virtual batch norm, looks at one part, so
    another number is another run, and the same number the same run on any number of ranks."""
    compile: bool = False
    """Let torch.compile make the generator faster, for minutes at the start."""
    skips: int = 20
    """Updates whose loss is not a finite number are skipped; after this many in a row the run stops, its last good
    state kept."""


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """[loss]: what is asked of the generator, and of the discriminator beside telling reals from fakes."""

    adversarial: float = 1.0
    """Weight of the discriminator's judgement in the generator's loss."""
    guidance: float = 0.05
    """Weight of the squared spherical distance between a picture's embedding and its caption's."""
    guidance_crop: int = 64
    """Larger pictures show guidance a random crop of this side."""
    reconstruction: float = 10.0
    """Weight of the reconstructions that half of the fakes are, see `training.methods.stylegan_t.reconstruction`; 0 is
    none."""
    nats: float = 40.0
    """How much the latent of a reconstruction may tell about its picture; with much more, the caption is not looked at.
    """
    encoder_rate: float = 2e-3
    """Learning rate of the encoder that finds these latents."""
    matching: float = 0.3
    """Weight of telling a real picture's caption from other captions by the discriminator's logits (XMC-GAN, section
    4.2). Without it the discriminator learned to see the noise of early fakes and nothing of what the text says about
    shapes.
    """
    matching_fake: float = 0.3
    """The same for fakes, in the generator's loss."""
    other_captions: int = 240
    """How many captions of earlier steps stand beside the batch's own in that choice."""
    diversity: float = 1.0
    """Weight of the shortfall in how differently two latents lay out the same caption (after mode seeking, Mao et al.
    2019). The discriminator sees a caption once a batch and cannot miss what only other latents would show; left to
    itself the generator came to draw one layout a caption, each time another one when the discriminator had learnt it.
    """
    diversity_share: float = 0.7
    """What is enough, as a share of how differently real pictures of different captions are laid out."""


@dataclass(frozen=True, kw_only=True)
class PairedSettings:
    """[paired]: regression on pictures whose latent the data knows, see `training.paired`."""

    paired: float = 0.0
    """Weight of the regression in the generator's loss beside the adversary, right after the warm-up; 0 is none, and
    without a warm-up too data need no latents."""
    paired_kimg: float = 0.0
    """The warm-up: so many thousand images in which the generator learns by regression alone. The discriminator's own
    start (`critic_kimg`) comes after it."""
    paired_fade_kimg: float = 200.0
    """Over how many thousand images after the warm-up the weight falls, to `paired_least` of what it was."""
    paired_least: float = 0.25
    paired_rate: float = 3e-3
    """Learning rate of the warm-up; it falls to a twentieth over the last 40 %."""
    paired_features: float = 0.5
    """Weight of EfficientNet-lite0's features in the regression; 0 leaves them, and the package with them, out."""
    paired_side: int = 0
    """Pictures are resized to this for these features; 0 shows them as they are, which from 32 px on costs the least.
    """


@dataclass(frozen=True, kw_only=True)
class DiscriminatorSettings:
    """[discriminator]: heads on a frozen feature network, and one on the pixels."""

    features: str = DINO
    """The frozen feature network of the discriminator: "clip" for the run's own CLIP, which learnt from the same
    pictures, or `timm:MODEL`, `open_clip:MODEL/TAG` or `run:FOLDER`, see
    `core.perception.features.open_feature_network`."""
    taps: tuple[int, ...] = (4,)
    """Which of the feature network's taps get a head, counted from 0, the shallowest."""
    taps_every: int = 4
    """The feature network, and with it guidance, takes part in every so many-th step."""
    crops: float = 0.5
    """Pictures larger than the feature network's input: how often a batch shows it a random crop instead of the whole,
    made smaller."""
    logits: Logits = "plain-term"
    """"paper": out . FC(c) / 8. "plain-term" adds how real it looks whatever the text, and brings c to unit variance
    first, which learns faster."""
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


@dataclass(frozen=True, kw_only=True)
class AugmentationSettings:
    """[augmentation]: what reals and fakes go through before the discriminator."""

    augment: tuple[str, ...] = ("translation",)
    """Differentiable augmentation of reals and fakes, from color, translation and cutout."""
    augment_target: float = 0.0
    """Above 0, augmentation is adaptive: each policy meets a picture with a probability that rises while the mean sign
    of the discriminator's logits at reals is above this (ADA, Karras et al. 2020, has 0.6), and falls below."""
    augment_kimg: float = 100.0
    """How many thousand images that probability takes from 0 to 1 at most."""
    blur_sigma: float = 0.0
    """Blur of reals and fakes at the start, in pixels, falling linearly to 0 ..."""
    blur_kimg: float = 10.0
    """... over this many thousand images."""


@dataclass(frozen=True, kw_only=True)
class OutputSettings:
    """[output]: what a run leaves and when."""

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


SECTIONS: Mapping[str, type] = {
    "model": ModelSettings,
    "text": TextSettings,
    "trainer": TrainerSettings,
    "loss": LossSettings,
    "paired": PairedSettings,
    "discriminator": DiscriminatorSettings,
    "augmentation": AugmentationSettings,
    "output": OutputSettings,
    "evaluation": EvaluationSettings,
}

_WHOLE_FROM_0 = (
    *("resolution", "base_channels", "max_channels", "convs_per_block", "z_dim", "norm_groups", "frozen_to"),
    *("style_dim", "input_maps", "paired_side"),
    *("other_captions", "pixel_channels", "micro_batch"),
)
_WHOLE_FROM_1 = (
    *("growth", "batch", "critic_steps", "taps_every", "penalty_pictures", "log_steps", "grid_seeds", "guidance_crop"),
    "skips",
)
_ABOVE_0 = (
    *("kimg", "learning_rate_g", "learning_rate_d", "ema_half_life", "encoder_rate", "diversity_share"),
    *("sample_kimg", "save_kimg", "pixel_weight", "augment_kimg", "paired_rate", "paired_fade_kimg"),
)
_FROM_0 = (
    *("guidance", "matching", "matching_fake", "diversity", "reconstruction", "nats", "critic_kimg", "r1"),
    *("blur_sigma", "blur_kimg", "noise_kimg", "evaluate_kimg", "crops", "augment_target"),
    *("adversarial", "paired", "paired_kimg", "paired_least", "paired_features"),
)
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "precision": get_args(Precision),
    "phase": get_args(Phase),
    "encoder": get_args(Encoder),
    "logits": get_args(Logits),
}


@dataclass(frozen=True, kw_only=True)
class GanConfig(
    EvaluationSettings,
    OutputSettings,
    AugmentationSettings,
    DiscriminatorSettings,
    PairedSettings,
    LossSettings,
    TrainerSettings,
    TextSettings,
    ModelSettings,
):
    """A StyleGAN-T run. Raises `ValueError` with what was expected and what came."""

    method: ClassVar[str] = "stylegan-t"
    """The method's name in `training.methods.registry`."""

    def __post_init__(self) -> None:
        for names, lowest in ((_WHOLE_FROM_0, 0), (_WHOLE_FROM_1, 1)):
            for name in names:
                if type(getattr(self, name)) is not int or getattr(self, name) < lowest:
                    raise ValueError(f"{name}: expected a whole number from {lowest}, got {getattr(self, name)!r}")
        for name in _ABOVE_0:
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name}: expected a number above 0, got {getattr(self, name)!r}")
        for name in _FROM_0:
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name}: expected a number from 0, got {getattr(self, name)!r}")
        for name in ("crops", "augment_target", "paired_least"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name}: expected a number from 0 to 1, got {getattr(self, name)!r}")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {getattr(self, name)!r}")
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
        self.check_evaluation()

    @property
    def regresses(self) -> bool:
        """Whether the generator is regressed on the data's own latents at any time."""
        return bool(self.paired or self.paired_kimg)

    def changed(self, settings: Sequence[str]) -> GanConfig:
        """This configuration with settings given as text, each "name=value" or "section.name=value"; a list's values
        stand between commas.

        Raises `ValueError` for a name that does not exist and for a value that does not fit.
        """
        values: dict[str, Any] = {}
        for setting in settings:
            name, equals, text = setting.partition("=")
            if not equals:
                raise ValueError(f"setting: expected NAME=VALUE, got {setting!r}")
            field = field_name(name)
            now = getattr(self, field)
            try:
                if isinstance(now, tuple):
                    kind = _item_kind(field)
                    values[field] = tuple(kind(part) for part in text.split(",") if part)
                elif isinstance(now, bool):
                    values[field] = {"true": True, "false": False}[text.lower()]
                else:
                    values[field] = type(now)(text)
            except (ValueError, KeyError):
                raise ValueError(f"{field}: expected a value like {_as_text(now)}, got {text!r}") from None
        return dataclasses.replace(self, **values)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dump`, by their plain names."""
        return dataclasses.asdict(self)

    def public(self) -> dict[str, Any]:
        """As `to_json`, of a setting that may hold a path the path's last part alone."""
        return self.to_json() | {name: _without_folder(getattr(self, name)) for name in ("clip", "features")}

    def by_section(self) -> dict[str, dict[str, Any]]:
        """Plain values in their sections, lists for tuples: what a TOML file holds."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in self.to_json().items()}
        return {section: {name: plain[name] for name in names_of(section)} for section in SECTIONS}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> GanConfig:
        """The configuration a run was saved with. Raises `ValueError` for a key that does not exist."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"run configuration: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        return cls(**{name: _typed(name, value) for name, value in values.items()})

    def updated(self, values: Mapping[str, Any]) -> GanConfig:
        """This configuration with values by plain name, checked like those of a file. Raises `ValueError`."""
        return dataclasses.replace(
            self, **{field_name(name): _typed(field_name(name), v) for name, v in values.items()}
        )


def names_of(section: str) -> tuple[str, ...]:
    """The fields of a section, in the order they are declared."""
    return tuple(field.name for field in dataclasses.fields(SECTIONS[section]))


def section_of(name: str) -> str:
    """The section that a field stands in."""
    return next(section for section in SECTIONS if name in names_of(section))


def field_name(name: str) -> str:
    """A plain or dotted name as the field it means. Raises `ValueError` when there is none."""
    section, dot, plain = name.rpartition(".")
    known = {field.name for field in dataclasses.fields(GanConfig)}
    if plain in known and (not dot or section_of(plain) == section):
        return plain
    hint = f"; did you mean {section_of(plain)}.{plain}" if plain in known else ""
    raise ValueError(f"setting: unknown {name!r}{hint}; known are {', '.join(sorted(known))}")


def _without_folder(name: str) -> str:
    before, equals, file = name.partition("=")
    if equals:
        return f"{before}={Path(file).name}"
    prefix, colon, path = name.rpartition(RUN_PREFIX)
    if colon or (name and not name.startswith(FEATURE_PREFIXES)):
        return f"{prefix}{colon}{Path(path).name}"
    return name


def _item_kind(name: str) -> type:
    """The type of a list's items."""
    defaults: Any = next(field for field in dataclasses.fields(GanConfig) if field.name == name).default
    kind: type = type(defaults[0]) if defaults else int
    return kind


def _as_text(value: object) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)


def _typed(name: str, value: object) -> Any:
    """A value from a file as the type that its field has. Raises `ValueError` for another one."""
    default = next(field for field in dataclasses.fields(GanConfig) if field.name == name).default
    if isinstance(default, tuple):
        if isinstance(value, list | tuple) and all(type(item) is _item_kind(name) for item in value):
            return tuple(value)
    elif type(value) is type(default):
        return value
    elif isinstance(default, float) and type(value) is int:
        return float(value)
    raise ValueError(f"{name}: expected a value like {_as_text(default)}, got {value!r}")
