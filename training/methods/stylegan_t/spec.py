"""StyleGAN-T as a method among others: how a run of it is arranged and built."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from core.perception.features import OPEN_CLIP_PREFIX
from core.perception.text_tower import TextTower, load_tower, save_tower
from training.engine.protocol import Compute
from training.methods.protocol import Arrangement, Files, MethodSpec, Start
from training.methods.stylegan_t.config import MINILM, START, StyleGANTConfig
from training.methods.stylegan_t.costs import estimate
from training.methods.stylegan_t.growth import TOWER, resolve
from training.methods.stylegan_t.method import StyleGANT
from training.methods.stylegan_t.plain import bench
from training.methods.stylegan_t.recipes import GAN_RECIPES
from training.methods.stylegan_t.text_phase import open_conditioning_model, tower_of


def arrange(config: StyleGANTConfig, start: Start | None) -> Arrangement[StyleGANTConfig]:
    """Raises `RunError` where configuration and checkpoint do not fit."""
    clip = config.clip
    if clip not in (START, MINILM) and not clip.startswith(OPEN_CLIP_PREFIX):
        config = replace(config, clip=str(Path(clip).resolve()))
    config = resolve(config, start.checkpoint.header if start else None)
    if start is None or START not in (config.encoder, config.clip):
        return Arrangement(config=config)
    return Arrangement(config=config, files={TOWER: partial(save_tower, tower=tower_of(start.checkpoint))})


def build(config: StyleGANTConfig, compute: Compute, files: Files) -> StyleGANT:
    """Raises `FeatureError`, `ClipError` for networks that cannot be had."""
    tower = load_tower(files(TOWER)) if START in (config.encoder, config.clip) else None
    clip = open_conditioning_model(config.clip, compute.device, tower if config.clip == START else None)
    own: TextTower | None = tower if config.encoder == START else None
    torch.manual_seed(config.seed)
    return StyleGANT(config, compute, clip, own)


def under_way(config: StyleGANTConfig) -> StyleGANTConfig:
    """The generator learns and its noise is in; the feature network's turns come in their proportion."""
    return replace(config, critic_kimg=0.0, noise_kimg=0.0, paired_kimg=0.0)


STYLEGAN_T = MethodSpec(
    name="stylegan-t",
    config=StyleGANTConfig,
    recipes=GAN_RECIPES,
    condition="captions",
    same_discriminator=("taps", "pixel_channels", "features", "logits"),
    arrange=arrange,
    build=build,
    estimate=estimate,
    under_way=under_way,
    cycle=lambda config: config.taps_every,
    bench=bench,
    bench_settings=("preset", "features", "compile"),
)
