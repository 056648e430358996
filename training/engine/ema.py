"""Exponential moving average of the generator's weights."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class Ema(Generic[M]):
    """A slow copy of a module. The half-life is `half_life` images, but never more than `rampup` of the images seen so
    far.
    """

    def __init__(self, module: M, *, half_life: float, rampup: float = 0.05) -> None:
        self.module: M = copy.deepcopy(module)
        self.module.eval().requires_grad_(False)
        self.half_life = half_life
        self.rampup = rampup

    @torch.no_grad()
    def update(self, module: M, *, batch: int, images_seen: int) -> None:
        """Move towards `module` after `batch` more images; buffers are copied."""
        half_life = min(self.half_life, max(images_seen * self.rampup, 1e-8))
        weight = 1 - 0.5 ** (batch / half_life)
        targets: list[Tensor] = list(self.module.parameters())
        sources: list[Tensor] = list(module.parameters())
        torch._foreach_lerp_(targets, sources, weight)
        for target, source in zip(self.module.buffers(), module.buffers(), strict=True):
            target.copy_(source)
