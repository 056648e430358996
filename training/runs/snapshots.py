"""What a run shows of itself: sample grids and checkpoints that the explorer opens."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from core.checkpoints import native
from core.models.stylegan_t import Generator
from training.methods.stylegan_t.text_phase import TextSource

Render = Callable[[list[str], Tensor], Tensor]
"""Prompts and latents [N, Z] to pictures [N, 3, R, R] in [-1, 1]."""


def save_sample_grid(path: Path, render: Render, prompts: Sequence[str], z_SZ: Tensor) -> None:
    """A PNG with a row a prompt and a column a latent, pictures side by side."""
    rows = [torch.cat(list(render([prompt] * len(z_SZ), z_SZ)), dim=2) for prompt in prompts]
    grid_3HW = torch.cat(rows, dim=1)
    pixels = ((grid_3HW.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    Image.fromarray(pixels).save(unfinished, format="PNG")
    os.replace(unfinished, path)


def compose_snapshot(
    generator: Generator,
    text: TextSource,
    *,
    name: str,
    images_seen: int,
    vocabulary: tuple[str, ...],
    notes: Mapping[str, Any],
) -> tuple[native.Header, dict[str, Tensor]]:
    """The generator and the text tower that conditions it as one checkpoint in half precision.

    Returns its header, and copies of the weights that further steps leave alone.
    """
    header = native.Header(
        name=name,
        family="stylegan_t",
        config=asdict(generator.config),
        text=text.text_spec(),
        images_seen=images_seen,
        vocabulary=vocabulary,
        licence="Apache-2.0",
        notes=dict(notes),
    )
    tensors = {f"generator.{key}": _half(value) for key, value in generator.state_dict().items()}
    tensors |= {f"text.{key}": _half(value) for key, value in text.text_state_dict().items()}
    return header, tensors


def _half(tensor: Tensor) -> Tensor:
    dtype = torch.float16 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to("cpu", dtype, copy=True)
