"""Families and presets by name: the one place that a new family is entered."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch

from core.models import (
    fastgan,
    r3gan,
    stylegan1,
    stylegan1_fast,
    stylegan2,
    stylegan2_fast,
    stylegan3,
    stylegan3_fast,
    stylegan_t,
    stylegan_t_fast,
    stylegan_xl,
)
from core.models.family import Synthesis

Config = (
    fastgan.Config
    | r3gan.Config
    | stylegan1.Config
    | stylegan2.Config
    | stylegan3.Config
    | stylegan_t.Config
    | stylegan_xl.Config
)

# All keep the promises of `core.models.family.Generator`; a protocol alone would not say that they are modules.
Generator = (
    fastgan.Generator
    | r3gan.Generator
    | stylegan1.Generator
    | stylegan2.Generator
    | stylegan3.Generator
    | stylegan_t.Generator
    | stylegan_xl.Generator
)


@dataclass(frozen=True, kw_only=True)
class Family:
    """A configuration class, the generator it describes, and named shapes of it."""

    config: type[Config]
    generator: Callable[[Any], Generator]
    """From a configuration of the class `config`."""
    presets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    fast: Callable[..., Synthesis] | None = None
    """From a generator of the family, a precision and `consume` (see `synthesis`): its synthesis prepared for that, if
    there is more than the plain one."""


FAMILIES: Mapping[str, Family] = {
    "fastgan": Family(config=fastgan.Config, generator=fastgan.Generator),
    "r3gan": Family(config=r3gan.Config, generator=r3gan.Generator),
    "stylegan1": Family(config=stylegan1.Config, generator=stylegan1.Generator, fast=stylegan1_fast.FastSynthesis),
    "stylegan2": Family(config=stylegan2.Config, generator=stylegan2.Generator, fast=stylegan2_fast.FastSynthesis),
    "stylegan3": Family(config=stylegan3.Config, generator=stylegan3.Generator, fast=stylegan3_fast.FastSynthesis),
    "stylegan_xl": Family(
        config=stylegan_xl.Config, generator=stylegan_xl.Generator, fast=stylegan3_fast.FastSynthesis
    ),
    "stylegan_t": Family(
        config=stylegan_t.Config,
        generator=stylegan_t.Generator,
        presets={
            # 192, 128, 64, 32 channels from 8 to 64 px: what two laptop cores can train and play.
            "nano": {"base_channels": 2048, "max_channels": 192, "convs_per_block": 1},
            # 5.8 M parameters: for drawings that latent and text determine together.
            "stickers": {
                "base_channels": 2048,
                "max_channels": 192,
                "convs_per_block": 1,
                "style_dim": 384,
                "input_maps": 64,
            },
            "lite": {"base_channels": 32768, "max_channels": 512, "convs_per_block": 2},
            "full": {"base_channels": 65536, "max_channels": 2048, "convs_per_block": 3},
        },
        fast=stylegan_t_fast.FastSynthesis,
    ),
}


def _family(name: str) -> Family:
    if name not in FAMILIES:
        raise ValueError(f"model family: expected one of {', '.join(FAMILIES)}, got {name!r}")
    return FAMILIES[name]


def preset(family: str, name: str, *, resolution: int, text_dim: int) -> stylegan_t.Config:
    """The configuration of a named shape at a resolution in pixels, for text embeddings `text_dim` wide. Only
    stylegan_t, which can be trained here, has such shapes.
    """
    presets = _family(family).presets
    if name not in presets:
        raise ValueError(f"preset of {family}: expected one of {', '.join(presets) or '(it has none)'}, got {name!r}")
    return stylegan_t.Config(resolution=resolution, text_dim=text_dim, **dict[str, Any](presets[name]))


def config_from_dict(family: str, values: Mapping[str, Any]) -> Config:
    """A configuration from a file's JSON; unknown and missing keys are errors that name them.

    A field whose metadata says "added" may be missing: files from before it have its default.
    """
    config = _family(family).config
    known = {field.name for field in fields(config)}
    added = {field.name for field in fields(config) if field.metadata.get("added")}
    wrong = sorted((set(values) ^ known) - (added - set(values)))
    if wrong:
        raise ValueError(
            f"configuration of {family}: expected exactly {', '.join(sorted(known))}; "
            f"missing or unknown: {', '.join(wrong)}"
        )
    return config(**values)


def build(family: str, values: Mapping[str, Any]) -> Generator:
    """A freshly initialised generator for a configuration read from a file."""
    return _family(family).generator(config_from_dict(family, values))


def synthesis(
    family: str, generator: Generator, dtype: torch.dtype, *, plain: bool = False, consume: bool = False
) -> Synthesis:
    """A generator's synthesis, for one picture at a time without gradients: the `plain` one, or the fastest there is.

    With `consume` a generator with a fast one is good for nothing but `map` afterwards, and weights are not kept twice.
    """
    fast = _family(family).fast
    if plain or fast is None:
        return functools.partial(generator.synthesis, dtype=dtype)
    return fast(generator, dtype, consume=consume)
