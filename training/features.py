"""Frozen feature networks for the projected discriminator (Sauer et al. 2021, arXiv 2111.01007; StyleGAN-T, arXiv
2301.09515).

A feature network turns pictures into taps: token features [N, C, T] from several depths of a ViT, the class token
added to every patch token. `open_feature_network` finds one by name: the folder of a CLIP run, or `timm:` and the
name of a timm ViT.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TIMM_PREFIX = "timm:"
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


def open_feature_network(name: str | os.PathLike[str], device: str | torch.device = "cpu") -> FeatureNetwork:
    """The network called `name`: a CLIP run's folder or file, or `timm:MODEL` such as
    `timm:vit_small_patch16_224.dino`.

    `timm:MODEL=FILE` takes the weights from a file (safetensors or what `torch.save` wrote) instead of timm's download.
    Raises `FeatureError` when weights cannot be had, `ClipError` for a CLIP that cannot be read.
    """
    text = os.fspath(name)
    if text.startswith(TIMM_PREFIX):
        model, _, file = text.removeprefix(TIMM_PREFIX).partition("=")
        return TimmViT.pretrained(model, Path(file) if file else None).to(device)
    from training.clip.model import load_clip

    return load_clip(text, device)


class TimmViT(nn.Module):
    """A frozen timm Vision Transformer with five taps: the embedded tokens and four block outputs spread over the
    depth."""

    scale: Tensor
    shift: Tensor

    def __init__(self, vit: Any, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.vit = vit.requires_grad_(False)
        self.image_size = int(vit.patch_embed.img_size[0])
        self.tap_blocks = spread_taps(len(vit.blocks))
        self.tap_channels = (int(vit.embed_dim),) * len(self.tap_blocks)
        # [-1, 1] -> [0, 1] -> normalised, as one multiplication and one addition.
        mean_t, std_t = torch.tensor(mean).view(1, 3, 1, 1), torch.tensor(std).view(1, 3, 1, 1)
        self.register_buffer("scale", 0.5 / std_t, persistent=False)
        self.register_buffer("shift", (0.5 - mean_t) / std_t, persistent=False)
        if not torch.cuda.is_available():
            for block in vit.blocks:
                # On CPUs the backward pass of written-out attention is much faster than the fused kernel's.
                block.attn.fused_attn = False
        self.eval()

    @classmethod
    def pretrained(cls, model: str, weights: Path | None = None) -> TimmViT:
        """timm's model of that name with its published weights, or with those in a file."""
        import timm

        try:
            config = timm.get_pretrained_cfg(model)
        except (RuntimeError, KeyError):
            config = None
        if config is None or not timm.is_model(model.split(".")[0]):
            raise FeatureError(f"timm has no model called {model!r}; the default is {DINO.removeprefix(TIMM_PREFIX)}")
        if weights is not None and not weights.is_file():
            raise FeatureError(f"{weights}: no such file; expected the weights of {model}")
        overlay = {"file": str(weights)} if weights is not None else None
        try:
            vit = timm.create_model(model, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay)
        except Exception as error:
            source = f"the file {weights}" if weights is not None else f"{config.hf_hub_id or config.url}"
            raise FeatureError(
                f"cannot get the weights of {model} from {source} ({type(error).__name__}: {_first_line(error)}). "
                f"Download its model.safetensors where there is a network and name the file: "
                f"{TIMM_PREFIX}{model}=PATH/model.safetensors"
            ) from error
        if not hasattr(vit, "blocks") or not hasattr(vit, "cls_token"):
            raise FeatureError(f"expected a Vision Transformer, timm's {model} is a {type(vit).__name__}")
        return cls(vit, config.mean, config.std)

    def train(self, mode: bool = True) -> TimmViT:
        """Stays in eval mode whatever the module around it does."""
        return super().train(False)

    def forward(self, x_N3HW: Tensor) -> Features:
        return self.features(x_N3HW)

    def features(self, x_N3HW: Tensor) -> Features:
        x = resize(x_N3HW, self.image_size) * self.scale + self.shift
        x = self.vit.norm_pre(self.vit.patch_drop(self.vit._pos_embed(self.vit.patch_embed(x))))
        collected = [x] if 0 in self.tap_blocks else []
        for number, block in enumerate(self.vit.blocks, start=1):
            x = block(x)
            if number in self.tap_blocks:
                collected.append(x)
        return Features(taps=token_taps(collected, self.vit.num_prefix_tokens), embedding=None)


def spread_taps(layers: int, taps: int = 5) -> tuple[int, ...]:
    """After how many of `layers` blocks each tap is taken: 0 first, the last block last, evenly between; fewer when
    shallow."""
    if layers < 1 or taps < 2:
        raise ValueError(f"expected at least 1 layer and 2 taps, got {layers} and {taps}")
    return tuple(sorted({int(layers * index / (taps - 1) + 0.5) for index in range(taps)}))


def token_taps(tokens_NTC: Sequence[Tensor], prefix: int) -> list[Tensor]:
    """Tokens -> [N, C, T]: the first (class) token added to each patch token, all `prefix` tokens dropped."""
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


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]
