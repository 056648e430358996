"""What the evaluations by a classifier have in common: pictures of prompts and latents, and a judge of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core import checkpoints
from core.latents import blend_embeddings, seed_to_z
from core.models import registry
from core.text import load_text_encoder
from training.metrics.scores import Predictions

BATCH = 32

Render = Callable[[list[str], Tensor], Tensor]
"""(N prompts, z [N, Z]) -> pictures [N, 3, R, R] in about [-1, 1]."""
RenderBetween = Callable[[list[str], list[str], Tensor], Tensor]
"""As `Render`, at the middle between two prompts each."""
Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how many are done, of how many)."""


class Judge(Protocol):
    """What an evaluation needs of a classifier."""

    attributes: dict[str, tuple[str, ...]]

    def judge(self, pictures: Tensor | NDArray[np.uint8], batch: int = 256) -> tuple[Predictions, NDArray[np.float32]]:
        """(attribute -> [N] value indices, features [N, D]) of pictures."""


def renderer(file: checkpoints.Checkpoint) -> tuple[Render, int]:
    """(render, z_dim) of a loaded checkpoint: float32, psi 1, constant noise, in batches."""
    render, _, z_dim = renderers(file)
    return render, z_dim


def renderers(file: checkpoints.Checkpoint) -> tuple[Render, RenderBetween, int]:
    """As `renderer`, with one for the middle between two prompts."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    generator = registry.build(file.header.family, file.header.config)
    generator.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in file.part("generator").items()})
    generator.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    if file.header.text is None:
        raise ValueError(f"{file.path}: expected a generator that takes text, got family {file.header.family}")
    encoder = load_text_encoder(file.header.text, file.part("text"), device)

    def synthesise(conditions_NC: Tensor, z_NZ: Tensor) -> Tensor:
        pictures: Tensor = generator(z_NZ.to(device), conditions_NC, psi=1.0)  # constant noise
        return pictures.cpu()

    def render(prompts: list[str], z_NZ: Tensor) -> Tensor:
        with torch.inference_mode():
            return synthesise(encoder.conditions(prompts), z_NZ)

    def between(prompts: list[str], others: list[str], z_NZ: Tensor) -> Tensor:
        with torch.inference_mode():
            pairs = zip(encoder.encode(prompts), encoder.encode(others), strict=True)
            middle_NC = torch.stack([blend_embeddings(one_C, other_C, 0.5) for one_C, other_C in pairs])
            return synthesise(encoder.condition(middle_NC), z_NZ)

    return render, between, generator.z_dim


def latents(count: int, z_dim: int, stream: tuple[int, ...]) -> Tensor:
    """z [count, z_dim] of seeds drawn from `stream`, as the explorer makes z of a seed."""
    seeds = np.random.default_rng(stream).integers(0, 2**32, size=count)
    return torch.stack([seed_to_z(int(s), z_dim) for s in seeds])


def generate_pictures(
    render: Render, prompts: Sequence[str], z_NZ: Tensor, *, progress: Callable[[int, int], None] | None = None
) -> NDArray[np.uint8]:
    """Pictures [N, R, R, 3] of N prompts and latents, rounded to bytes as a saved picture is."""
    parts: list[NDArray[np.uint8]] = []
    for start in range(0, len(prompts), BATCH):
        chosen = list(prompts[start : start + BATCH])
        x_N3RR = render(chosen, z_NZ[start : start + BATCH])
        if x_N3RR.ndim != 4 or x_N3RR.shape[:2] != (len(chosen), 3):
            raise ValueError(f"render: expected pictures [{len(chosen)}, 3, R, R], got {list(x_N3RR.shape)}")
        # A NaN has no byte; black is what a viewer shows for it.
        bytes_N3RR = torch.nan_to_num(x_N3RR.float(), nan=-1.0).clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
        parts.append(bytes_N3RR.permute(0, 2, 3, 1).contiguous().cpu().numpy())
        if progress:
            progress(start + len(chosen), len(prompts))
    return np.concatenate(parts)


def take(predictions: Predictions, rows: slice) -> Predictions:
    """The predictions of some rows."""
    return {name: indices[rows] for name, indices in predictions.items()}
