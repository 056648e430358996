"""timm's Vision Transformers as frozen feature networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.perception.features import (
    DINO,
    TIMM_PREFIX,
    FeatureError,
    Features,
    Taps,
    normalisation,
    probe,
    resize,
    spread_taps,
    token_taps,
)


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


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]
