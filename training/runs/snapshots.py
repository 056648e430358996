"""What a run shows of itself: sample grids and checkpoints that the explorer opens."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from core.checkpoints import native
from core.checkpoints.native import Header
from core.latents import seed_to_z
from training.methods.protocol import SampleCondition
from training.metrics.during import Candidate
from training.runs.config_file import RunFile
from training.runs.loading import OpenRun
from training.runs.tensorboard import TensorBoard

LATEST = "latest.safetensors"

Render = Callable[[Sequence[Any], Tensor], Tensor]
"""Sample conditions and latents [N, Z] to pictures [N, 3, R, R] in [-1, 1]."""


class Snapshots:
    """Sample grids in samples/ and latest.safetensors."""

    def __init__(
        self,
        run: OpenRun,
        out: Path,
        file: RunFile,
        *,
        vocabulary: tuple[str, ...] = (),
        board: TensorBoard | None = None,
    ) -> None:
        """`vocabulary` is that of the captions; `board` gets the sample grids too."""
        self._run, self._out, self._file = run, out, file
        self._vocabulary, self._board = vocabulary, board

    def write(self) -> None:
        """A sample grid and latest.safetensors. Raises `OSError`, `CheckpointError`."""
        method, images = self._run.method, self._run.trainer.images_seen
        grid = self._out / "samples" / f"{images // 1000:06d}.png"
        latents = grid_latents(self._run.config.grid_seeds, method.z_dim)
        save_sample_grid(grid, method.render, method.sample_conditions, latents)
        if self._board is not None:
            self._board.picture(grid, images)
        native.save(self._out / LATEST, *self.checkpoint())

    def checkpoint(self) -> tuple[Header, dict[str, Tensor]]:
        """The checkpoint of the moment; further steps leave it alone."""
        method, start = self._run.method, self._file.start
        header, tensors = method.checkpoint(start["notes"] if start else {})
        examples = [prompt for prompt in method.sample_conditions if isinstance(prompt, str)]
        # The settings as the run began them; without folders, which are nobody else's business.
        notes = {"data": self._file.data.name(), "config": self._file.config.public(), "examples": examples}
        header = replace(
            header,
            name=self._out.resolve().name,
            images_seen=self._run.trainer.images_seen + (start["images_seen"] if start else 0),
            vocabulary=self._vocabulary,
            notes=notes | header.notes | ({"start": start} if start else {}),
        )
        return header, tensors

    def candidate(self) -> Candidate:
        """The checkpoint of the moment, for best.safetensors."""
        header, tensors = self.checkpoint()
        return Candidate(header=header, tensors=tensors)


def grid_latents(seeds: int, z_dim: int) -> Tensor:
    """The latents of the sample grid's columns, [seeds, Z]."""
    return torch.stack([seed_to_z(seed, z_dim) for seed in range(seeds)])


def save_sample_grid(path: Path, render: Render, conditions: Sequence[SampleCondition], z_SZ: Tensor) -> None:
    """A PNG with a row a condition and a column a latent, pictures side by side."""
    rows = [torch.cat(list(render([condition] * len(z_SZ), z_SZ)), dim=2) for condition in conditions]
    grid_3HW = torch.cat(rows, dim=1)
    pixels = ((grid_3HW.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    Image.fromarray(pixels).save(unfinished, format="PNG")
    os.replace(unfinished, path)
