"""What a frozen feature network is to a projected discriminator (Sauer et al. 2021, arXiv 2111.01007; StyleGAN-T,
arXiv 2301.09515), and the steps that such networks share.

A feature network turns pictures into taps: token features [N, C, T] from several depths of a ViT, the class token
added to every patch token.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TIMM_PREFIX = "timm:"
OPEN_CLIP_PREFIX = "open_clip:"
RUN_PREFIX = "run:"
EFFICIENTNET = "efficientnet-lite0"
FEATURE_PREFIXES = (TIMM_PREFIX, OPEN_CLIP_PREFIX, RUN_PREFIX, EFFICIENTNET)
DINO = "timm:vit_small_patch16_224.dino"


class FeatureError(ValueError):
    """A feature network that cannot be had; the message says which file is missing and where it belongs."""


@dataclass(frozen=True)
class Features:
    """One forward pass of a feature network."""

    taps: list[Tensor]
    """[N, C, T] each, from shallow to deep."""
    embedding: Tensor | None
    """[N, D], L2-normalised, comparable with the text encoder's; None where the network has no such thing."""


class FeatureNetwork(Protocol):
    """What the discriminator needs: a frozen network that gradients pass through to the pictures."""

    image_size: int
    """Side that pictures are resized to, in pixels."""
    tap_channels: tuple[int, ...]
    """Channels of each tap."""

    def features(self, x_N3HW: Tensor, /) -> Features:
        """Taps (and embedding) of pictures in [-1, 1] of any size."""
        ...


class Taps:
    """The tokens before the first and after some other blocks of a ViT, whatever the forward pass around them does.

    A tap after block 0 is what the first block gets: the embedded tokens.
    """

    def __init__(self, blocks: Sequence[nn.Module], taps: Sequence[int]) -> None:
        self._seen: dict[int, Tensor] = {}
        for tap in taps:
            if tap == 0:
                blocks[0].register_forward_pre_hook(self._before)
            else:
                blocks[tap - 1].register_forward_hook(functools.partial(self._after, tap))

    def _before(self, block: nn.Module, args: tuple[Any, ...]) -> None:
        self._seen[0] = args[0]

    def _after(self, tap: int, block: nn.Module, args: tuple[Any, ...], out: Tensor) -> None:
        self._seen[tap] = out

    def take(self) -> list[Tensor]:
        """What the last pass left, by depth, [N, T, C] each; it is not kept."""
        seen, self._seen = self._seen, {}
        return [seen[tap] for tap in sorted(seen)]


def probe(
    taps: Taps, run: Callable[[Tensor], Any], image_size: int, patches: int, what: str
) -> tuple[tuple[int, ...], int]:
    """The channels of each tap, and how many tokens stand before those of the patches, found by passing one grey
    picture. Raises `FeatureError` for what is no plain ViT."""
    with torch.no_grad():
        run(torch.zeros(1, 3, image_size, image_size))
    tokens = taps.take()
    shapes = {tuple(tap.shape[1:]) if tap.ndim == 3 else () for tap in tokens}
    if len(shapes) != 1 or () in shapes or tokens[0].shape[1] < patches:
        raise FeatureError(f"expected a Vision Transformer of constant width, {what} is none")
    return tuple(tap.shape[2] for tap in tokens), tokens[0].shape[1] - patches


def normalisation(mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Scale and shift [1, 3, 1, 1] that take [-1, 1] to [0, 1] and on to a network's normalised pictures."""
    mean_t, std_t = torch.tensor(mean).view(1, 3, 1, 1), torch.tensor(std).view(1, 3, 1, 1)
    return 0.5 / std_t, (0.5 - mean_t) / std_t


def spread_taps(layers: int, taps: int = 5) -> tuple[int, ...]:
    """After how many of `layers` blocks each tap is taken: 0 first, the last block last, evenly between; fewer when
    shallow."""
    if layers < 1 or taps < 2:
        raise ValueError(f"expected at least 1 layer and 2 taps, got {layers} and {taps}")
    return tuple(sorted({int(layers * index / (taps - 1) + 0.5) for index in range(taps)}))


def token_taps(tokens_NTC: Sequence[Tensor], prefix: int) -> list[Tensor]:
    """Tokens -> [N, C, T]: the first (class) token added to each patch token, all `prefix` tokens dropped."""
    if prefix == 0:  # a network without a class token
        return [x.transpose(1, 2) for x in tokens_NTC]
    return [(x[:, prefix:] + x[:, :1]).transpose(1, 2) for x in tokens_NTC]


def resize(x_N3HW: Tensor, size: int) -> Tensor:
    """Pictures at size x size, differentiably: averaged by area when larger, bicubic when smaller, untouched when
    equal."""
    height, width = x_N3HW.shape[-2:]
    if (height, width) == (size, size):
        return x_N3HW
    if height >= size and width >= size:
        return F.interpolate(x_N3HW, (size, size), mode="area")
    return F.interpolate(x_N3HW, (size, size), mode="bicubic", align_corners=False)
