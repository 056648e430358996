"""What many tests need: small checkpoints with random weights, written as the trainer writes them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Before torch is imported, here and in child processes: models this small lose time to a second thread, and tests share
# the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

TINY_TEXT_CFG: dict[str, Any] = {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
TINY_VOCABULARY = ("a", "at", "house", "mountains", "painting", "sea", "snowy", "sunset", "the", "watercolor")


def write_tiny_checkpoint(path: Path, *, resolution: int = 32, seed: int = 0) -> Path:
    """A random generator with its own little text tower, whose pictures depend visibly on prompt, seed, noise and
    transform.
    """
    import torch

    from core.checkpoints import Header, save
    from core.models import registry
    from core.text import bundled_text_tower

    config = {
        "resolution": resolution,
        "text_dim": 16,
        "z_dim": 16,
        "base_channels": 512,
        "max_channels": 16,
        "convs_per_block": 1,
        "norm_groups": 4,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = registry.build("stylegan_t", config)
        tower = bundled_text_tower(16, TINY_TEXT_CFG)
        state = generator.state_dict()
        for name, tensor in state.items():
            # What training would have moved away from its neutral start; at the start nothing but w would show.
            if name.endswith("noise_strength"):
                tensor.fill_(0.3)
            elif name.endswith("gamma"):
                tensor.fill_(0.5)
            elif name.endswith("input.affine.weight") or name.endswith("f_avg"):
                tensor.normal_(std=0.3)
            elif name.endswith("bias") and "mapping" not in name and "affine" not in name:
                tensor.add_(torch.randn_like(tensor) * 0.2)
            elif "to_rgb.weight" in name:
                tensor.mul_(0.7)
    tensors = {f"generator.{name}": tensor for name, tensor in state.items()}
    tensors |= {f"text.{name}": tensor for name, tensor in tower.state_dict().items()}
    header = Header(
        name="tiny",
        family="stylegan_t",
        config=config,
        text={"kind": "bundled", "embed_dim": 16, "text_cfg": TINY_TEXT_CFG},
        images_seen=1000,
        vocabulary=TINY_VOCABULARY,
        licence="Apache-2.0",
        notes={"data": "random weights for tests"},
    )
    save(path, header, tensors)
    return path


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 32 px checkpoint, the same file for the whole session: do not write to it."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors")


@pytest.fixture(scope="session")
def make_checkpoint() -> Callable[..., Path]:
    """`make_checkpoint(path, resolution=32, seed=0)` writes another one: a second model, or a file to damage."""
    return write_tiny_checkpoint
