"""Families and presets by name: the one place that a new family is entered."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch

from core.models import family as families
from core.models import stylegan_t
from core.models.stylegan_t_fast import FastSynthesis


@dataclass(frozen=True, kw_only=True)
class Family:
    """A configuration class, the generator it describes, and named shapes of it."""

    config: type[stylegan_t.Config]
    generator: type[stylegan_t.Generator]
    presets: Mapping[str, Mapping[str, int]]


FAMILIES: Mapping[str, Family] = {
    "stylegan_t": Family(
        config=stylegan_t.Config,
        generator=stylegan_t.Generator,
        presets={
            # 192, 128, 64, 32 channels from 8 to 64 px: what two laptop cores can train and play.
            "nano": {"base_channels": 2048, "max_channels": 192, "convs_per_block": 1},
            "lite": {"base_channels": 32768, "max_channels": 512, "convs_per_block": 2},
            "full": {"base_channels": 65536, "max_channels": 2048, "convs_per_block": 3},
        },
    ),
}


def _family(name: str) -> Family:
    if name not in FAMILIES:
        raise ValueError(f"model family: expected one of {', '.join(FAMILIES)}, got {name!r}")
    return FAMILIES[name]


def preset(family: str, name: str, *, resolution: int, text_dim: int) -> stylegan_t.Config:
    """The configuration of a named shape at a resolution in pixels, for text embeddings `text_dim` wide."""
    presets = _family(family).presets
    if name not in presets:
        raise ValueError(f"preset of {family}: expected one of {', '.join(presets)}, got {name!r}")
    return _family(family).config(resolution=resolution, text_dim=text_dim, **presets[name])


def config_from_dict(family: str, values: Mapping[str, Any]) -> stylegan_t.Config:
    """A configuration from a file's JSON; unknown and missing keys are errors that name them."""
    config = _family(family).config
    known = {field.name for field in fields(config)}
    wrong = sorted(set(values) ^ known)
    if wrong:
        raise ValueError(
            f"configuration of {family}: expected exactly {', '.join(sorted(known))}; "
            f"missing or unknown: {', '.join(wrong)}"
        )
    return config(**values)


def build(family: str, values: Mapping[str, Any]) -> stylegan_t.Generator:
    """A freshly initialised generator for a configuration read from a file."""
    return _family(family).generator(config_from_dict(family, values))


def synthesis(family: str, generator: families.Generator, dtype: torch.dtype) -> families.Synthesis:
    """A generator's synthesis as fast as there is one, for one picture at a time without gradients."""
    if isinstance(generator, stylegan_t.Generator):
        return FastSynthesis(generator, dtype)
    return functools.partial(generator.synthesis, dtype=dtype)
