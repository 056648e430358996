"""Feature networks by name: `timm:` and the name of a timm ViT, `open_clip:` and that of an open_clip model, `run:` and
the folder of a CLIP run, `efficientnet-lite0`."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from core.perception.clip import load_clip
from core.perception.clip_published import open_published
from core.perception.efficientnet import EfficientNetLite0, image_size_of
from core.perception.features import EFFICIENTNET, OPEN_CLIP_PREFIX, RUN_PREFIX, TIMM_PREFIX, FeatureNetwork
from core.perception.timm_vit import TimmViT


def open_feature_network(name: str | os.PathLike[str], device: str | torch.device = "cpu") -> FeatureNetwork:
    """The network called `name`: `timm:MODEL` such as `timm:vit_small_patch16_224.dino`, `open_clip:MODEL/TAG`, `run:`
    and a CLIP run's folder or file, or `efficientnet-lite0` with the side of its pictures (`efficientnet-lite0:96`).

    `timm:MODEL=FILE` and `open_clip:MODEL=FILE` take the weights from a file (safetensors or what `torch.save` wrote)
    instead of a download. Raises `FeatureError` when weights cannot be had, `ClipError` for a CLIP that cannot be read.
    """
    text = os.fspath(name)
    if text.startswith(TIMM_PREFIX):
        model, _, file = text.removeprefix(TIMM_PREFIX).partition("=")
        return TimmViT.pretrained(model, Path(file) if file else None).to(device)
    if text.startswith(EFFICIENTNET):
        return EfficientNetLite0.pretrained(image_size=image_size_of(text)).to(device)
    if text.startswith(OPEN_CLIP_PREFIX):
        return open_published(text, device, text=False)
    return load_clip(text.removeprefix(RUN_PREFIX), device)
