"""What a run takes over from a checkpoint: its shape, its generator at the same resolution or a higher one, and which
of it learns.

StyleGAN-T grows from 64 px: blocks are added, and those above 64 learn, with the RGB layers ("freeze64"); the paper's
text has all of them learn. Both are a setting, `frozen_to`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn

from core.checkpoints.native import Checkpoint, Header
from core.models import stylegan_t
from core.models.registry import config_from_dict, preset
from core.models.stylegan_t import Block, Generator
from training.errors import RunError
from training.methods.stylegan_t.config import START, StyleGANTConfig

SHAPE = ("base_channels", "max_channels", "convs_per_block", "z_dim", "norm_groups")
JOINT = ("style_dim", "input_maps")
"""Numbers of the shape that may be 0."""
TOWER = "text.safetensors"
"""The text tower of the checkpoint that a run began with, where it conditions the generator or stands for a CLIP."""
TUNED = "tuned text encoder"
"""In a checkpoint's notes: a text phase has changed the encoder it brings."""


def shape_of(config: StyleGANTConfig, text_dim: int) -> stylegan_t.Config:
    """The generator's shape. Raises `ValueError` for one that cannot be built."""
    numbers: dict[str, Any] = {name: getattr(config, name) for name in (*SHAPE, *JOINT) if getattr(config, name)}
    if config.choices:
        numbers["choices"] = tuple(zip(config.choices[::2], config.choices[1::2], strict=True))
    if config.preset == START:
        if not config.resolution or not numbers.keys() >= set(SHAPE):
            raise RunError(f"preset {START!r}: takes the shape of a checkpoint; name one with --start")
        return stylegan_t.Config(resolution=config.resolution, text_dim=text_dim, **numbers)
    named = preset("stylegan_t", config.preset, resolution=config.resolution, text_dim=text_dim)
    return replace(named, **numbers)


def resolve(config: StyleGANTConfig, start: Header | None) -> StyleGANTConfig:
    """The configuration with what it leaves to the checkpoint it starts from filled in.

    Raises `RunError` where it leaves something to a checkpoint and there is none, or one of another family, and for a
    shape that cannot be.
    """
    if start is None:
        wanted = {"preset": config.preset == START, "clip": config.clip == START, "encoder": config.encoder == "start"}
        wanted["phase"] = config.phase == "text"
        asked = [f"{name} {getattr(config, name)!r}" for name, asks in wanted.items() if asks]
        if asked:
            raise RunError(f"{', '.join(asked)}: needs a checkpoint or run to start from; name one with --start")
        return _possible(replace(config, encoder="clip"))
    if start.family != "stylegan_t":
        raise RunError(f"{start.name}: expected a StyleGAN-T to start from, got family {start.family!r}")
    values: dict[str, Any] = {}
    if config.preset == START:
        shape = asdict(config_from_dict(start.family, start.config))
        values |= {name: getattr(config, name) or shape[name] for name in (*SHAPE, *JOINT)}
        values["choices"] = config.choices or tuple(itertools.chain.from_iterable(shape["choices"]))
    if not config.resolution:
        values |= {"resolution": start.config["resolution"] * config.growth, "growth": 1}
    if config.encoder == "auto":
        values["encoder"] = "start" if start.notes.get(TUNED) else "clip"
    return _possible(replace(config, **values))


def _possible(config: StyleGANTConfig) -> StyleGANTConfig:
    try:
        shape_of(config, text_dim=1)
    except ValueError as error:
        raise RunError(f"the generator of this run cannot be built: {error}") from None
    if config.frozen_to >= config.resolution:
        raise RunError(
            f"frozen_to: expected less than the run's {config.resolution} px, got {config.frozen_to}; "
            "grow the generator first"
        )
    return config


def check_fits(checkpoint: Checkpoint, shape: stylegan_t.Config) -> None:
    """Raises `RunError` when a generator of this shape cannot take over the checkpoint's."""
    wanted, header = asdict(shape), checkpoint.header
    if header.family != "stylegan_t":
        raise RunError(f"{checkpoint.path}: expected a StyleGAN-T to start from, got family {header.family!r}")
    found = asdict(config_from_dict("stylegan_t", header.config))
    for name in sorted(set(wanted) - {"resolution"}):
        if found[name] != wanted[name]:
            raise RunError(f"{checkpoint.path}: {name}: expected {wanted[name]} as in this run, got {found[name]}")
    if found["resolution"] > wanted["resolution"]:
        raise RunError(
            f"{checkpoint.path}: expected at most {wanted['resolution']} px to start from, got {found['resolution']}"
        )


@torch.no_grad()
def load_lower_resolution(generator: Generator, tensors: Mapping[str, Tensor]) -> None:
    """Load a checkpoint's generator, of this resolution or a lower one.

    Blocks above its resolution keep their fresh weights but for their RGB skips, which start at nothing: the first
    pictures are the checkpoint's, enlarged.
    """
    generator.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=False)
    known = {name.split(".")[1] for name in tensors if name.startswith("blocks.")}
    for number, block in enumerate(generator.blocks):
        if str(number) not in known:
            assert isinstance(block, Block)
            block.to_rgb.weight.zero_()


def freeze(generator: Generator, up_to: int) -> None:
    """Let only blocks above `up_to` pixels and the RGB layers learn; with 0, everything."""
    if not up_to:
        return
    generator.requires_grad_(False)
    for block, side in zip(generator.blocks, generator.config.resolutions, strict=True):
        assert isinstance(block, Block)
        (block if side > up_to else block.to_rgb).requires_grad_(True)


def trainable_parameters(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that learn."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
