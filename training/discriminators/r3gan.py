"""The R3GAN discriminator (Huang et al. 2024, arXiv 2501.05441, configuration E): the generator's blocks, mirrored."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from core.models.r3gan import Config, Convolution, Dense, ResidualBlock, downsample


class DiscriminativeBasis(nn.Module):
    """4 x 4 features to one vector: each channel's pixels by learnt weights, then a linear layer."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(channels, 1, 4, 4) / 4)
        self.dense = Dense(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, 4, 4] -> [N, O]."""
        x = (x * self.basis.to(x.dtype)[:, 0]).sum(dim=(2, 3))
        scores: Tensor = self.dense(x)
        return scores


class Downsample(nn.Module):
    """To half the size, and then to another number of channels where it differs."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = Convolution(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] -> [N, O, H / 2, W / 2]."""
        x = downsample(x)
        return x if self.conv is None else self.conv(x)


class Stage(nn.Module):
    """One size: residual blocks, and the way down to the next size or the basis."""

    def __init__(self, last: nn.Module, channels: int, groups: int, config: Config) -> None:
        super().__init__()
        network_blocks = config.blocks * len(config.channels)
        self.blocks = nn.ModuleList(
            ResidualBlock(channels, groups, network_blocks=network_blocks) for _ in range(config.blocks)
        )
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> what `last` makes of it."""
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.last(x)
        return out


class Discriminator(nn.Module):
    """Pictures, and classes if it has them, to one logit each."""

    def __init__(self, config: Config) -> None:
        """`config` is the generator's; widths, groups and blocks are mirrored."""
        super().__init__()
        self.config = config
        channels, groups = config.channels[::-1], config.groups[::-1]
        self.from_rgb = Convolution(3, channels[0], 1)
        after = [
            *(Downsample(inputs, outputs) for inputs, outputs in pairwise(channels)),
            DiscriminativeBasis(channels[-1], channels[-1] if config.c_dim else 1),
        ]
        self.stages = nn.ModuleList(
            Stage(last, width, group, config) for last, width, group in zip(after, channels, groups, strict=True)
        )
        self.embed = Dense(config.c_dim, channels[-1], gain=channels[-1] ** -0.5) if config.c_dim else None

    def forward(self, x_N3HW: Tensor, c_NC: Tensor | None = None, *, dtype: torch.dtype | None = None) -> Tensor:
        """Pictures [N, 3, H, W] in about [-1, 1] and class weights [N, C] -> logits [N], in the type of the pictures.

        `dtype` is the type of the stages above 4 pixels; None is that of the pictures. Raises `ValueError` where
        classes are missing or not wanted.
        """
        if (c_NC is not None) != (self.embed is not None):
            wanted = f"[N, {self.config.c_dim}]" if self.embed is not None else "none"
            raise ValueError(f"label: expected {wanted}, got {'none' if c_NC is None else list(c_NC.shape)}")
        x = self.from_rgb(x_N3HW if dtype is None else x_N3HW.to(dtype))
        for stage in self.stages[:-1]:
            x = stage(x)
        scores_NO: Tensor = self.stages[-1](x.to(x_N3HW.dtype))
        if self.embed is None or c_NC is None:
            return scores_NO[:, 0]
        embedded_NO: Tensor = self.embed(c_NC.to(scores_NO.dtype))
        return (scores_NO * embedded_NO).sum(dim=1)
