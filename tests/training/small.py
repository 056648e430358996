"""Runs small enough for a test: a folder of twelve pictures, a CLIP of random weights, and a configuration to match."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from core.perception.clip import ClipHeader, save_clip
from core.perception.clip_towers import build_clip
from training.clip.config import ClipConfig
from training.datasets.config import DataConfig
from training.datasets.folder import load_folder
from training.engine.distributed import Ranks
from training.engine.trainer import Trainer
from training.methods.stylegan_t.config import StyleGANTConfig
from training.methods.stylegan_t.method import StyleGANT
from training.runs.loading import open_run
from training.runs.run import arrange
from training.runs.run import train as train_run
from training.runs.states import load_state, saved_state

SHAPE = ("base_channels=512", "max_channels=16", "convs_per_block=1", "norm_groups=4", "z_dim=16")
"""Settings of a generator that learns a step in a few milliseconds."""

SMALL = StyleGANTConfig(
    resolution=16,
    base_channels=512,
    max_channels=16,
    norm_groups=4,
    z_dim=16,
    batch=4,
    features="clip",
    kimg=0.016,
    log_steps=1,
    sample_kimg=1.0,
    save_kimg=1.0,
    critic_kimg=0.0,
    critic_steps=1,
    taps_every=1,
    reconstruction=0.0,
    noise_kimg=0.0,
    other_captions=4,
    pixel_channels=4,
    taps=(0, 1),
    grid_seeds=1,
    prompts=("a red square",),
)


def write_data(folder: Path) -> Path:
    """Twelve coloured pictures with two captions each."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for index in range(12):
        colour = rng.integers(0, 256, 3)
        pixels = np.clip(colour + rng.integers(-20, 20, (16, 16, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text(f"square number {index}\ncolour {index}\n", encoding="utf-8")
    return folder


def write_clip(folder: Path, *, seed: int = 0) -> Path:
    """A CLIP of random weights, as a run leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = ClipConfig(
        image_size=16,
        patch_size=8,
        vision_width=32,
        vision_layers=2,
        text_width=32,
        text_layers=1,
        embed_dim=16,
        head_width=16,
    )
    torch.manual_seed(seed)
    model = build_clip(config.embed_dim, config.vision_cfg(), config.text_cfg())
    header = ClipHeader(embed_dim=config.embed_dim, vision_cfg=config.vision_cfg(), text_cfg=config.text_cfg())
    save_clip(folder / "clip.safetensors", model, header)
    return folder


def train(config: StyleGANTConfig, data: Path | DataConfig, clip: Path | str, out: Path, **options: Any) -> Path:
    """A StyleGAN-T run with this CLIP, see `training.runs.run.train`."""
    return train_run(replace(config, clip=str(clip)), data, out, **options)


def opened(
    config: StyleGANTConfig, data: Path, clip: Path, *, start: Path | None = None, ranks: Ranks | None = None
) -> tuple[Trainer[Any, Any], StyleGANT]:
    """The trainer of such a run and its method, ready to step."""
    arrangement, origin = arrange(replace(config, clip=str(clip)), start)
    with tempfile.TemporaryDirectory() as folder:
        for name, write in arrangement.files.items():
            write(Path(folder) / name)
        pictures = load_folder(data, arrangement.config.resolution, progress=False)
        run = open_run(arrangement.config, lambda name: Path(folder) / name, pictures, ranks or Ranks())
    assert isinstance(run.method, StyleGANT)
    if origin is not None:
        run.method.start_from(origin)
    return run.trainer, run.method


def state_of(run: Path) -> dict[str, Any]:
    """What the run would be resumed from."""
    path = saved_state(run)
    assert path is not None
    return load_state(path)


def tensors_of(value: Any, name: str = "") -> dict[str, torch.Tensor]:
    """All tensors of nested dictionaries, by dotted name."""
    if isinstance(value, torch.Tensor):
        return {name: value}
    if not isinstance(value, dict):
        return {}
    found: dict[str, torch.Tensor] = {}
    for key, item in value.items():
        found |= tensors_of(item, f"{name}.{key}" if name else str(key))
    return found


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two states hold the same tensors, to the bit."""
    left, right = tensors_of(a), tensors_of(b)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
