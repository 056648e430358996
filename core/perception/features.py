"""Frozen feature networks for the projected discriminator (Sauer et al. 2021, arXiv 2111.01007; StyleGAN-T, arXiv
2301.09515).

A feature network turns pictures into taps: token features [N, C, T] from several depths of a ViT, the class token
added to every patch token. `open_feature_network` finds one by name: `timm:` and the name of a timm ViT, `open_clip:`
and that of an open_clip model, `run:` and the folder of a CLIP run.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TIMM_PREFIX = "timm:"
OPEN_CLIP_PREFIX = "open_clip:"
RUN_PREFIX = "run:"
FEATURE_PREFIXES = (TIMM_PREFIX, OPEN_CLIP_PREFIX, RUN_PREFIX)
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
    """The network called `name`: `timm:MODEL` such as `timm:vit_small_patch16_224.dino`, `open_clip:MODEL/TAG`, or
    `run:` and a CLIP run's folder or file.

    `timm:MODEL=FILE` and `open_clip:MODEL=FILE` take the weights from a file (safetensors or what `torch.save` wrote)
    instead of a download. Raises `FeatureError` when weights cannot be had, `ClipError` for a CLIP that cannot be read.
    """
    text = os.fspath(name)
    if text.startswith(TIMM_PREFIX):
        model, _, file = text.removeprefix(TIMM_PREFIX).partition("=")
        return TimmViT.pretrained(model, Path(file) if file else None).to(device)
    # Imported here because these modules need this one.
    if text.startswith(OPEN_CLIP_PREFIX):
        from core.perception.clip_published import open_published

        return open_published(text, device, text=False)
    from core.perception.clip import load_clip

    return load_clip(text.removeprefix(RUN_PREFIX), device)


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


class TimmViT(nn.Module):
    """A frozen timm Vision Transformer with five taps: the embedded tokens and four block outputs spread over the
    depth. Raises `FeatureError` for a network of another kind."""

    scale: Tensor
    shift: Tensor

    def __init__(self, vit: Any, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        name = f"timm's {type(vit).__name__}"
        if not isinstance(getattr(vit, "blocks", None), nn.Sequential | nn.ModuleList) or not hasattr(
            getattr(vit, "patch_embed", None), "num_patches"
        ):
            raise FeatureError(f"expected a Vision Transformer, got {name}")
        self.vit = vit.requires_grad_(False)
        self.eval()
        self.image_size = int(vit.patch_embed.img_size[0])
        self.tap_blocks = spread_taps(len(vit.blocks))
        self._taps = Taps(list(vit.blocks), self.tap_blocks)
        if not torch.cuda.is_available():
            for block in vit.blocks:
                # On CPUs the backward pass of written-out attention is much faster than the fused kernel's.
                if hasattr(getattr(block, "attn", None), "fused_attn"):
                    block.attn.fused_attn = False
        patches = int(vit.patch_embed.num_patches)
        self.tap_channels, self.prefix = probe(self._taps, vit.forward_features, self.image_size, patches, name)
        scale, shift = normalisation(mean, std)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

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
        return cls(vit, config.mean, config.std)

    def train(self, mode: bool = True) -> TimmViT:
        """Stays in eval mode whatever the module around it does."""
        return super().train(False)

    def forward(self, x_N3HW: Tensor) -> Features:
        return self.features(x_N3HW)

    def features(self, x_N3HW: Tensor) -> Features:
        self.vit.forward_features(resize(x_N3HW, self.image_size) * self.scale + self.shift)
        return Features(taps=token_taps(self._taps.take(), self.prefix), embedding=None)


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


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]
