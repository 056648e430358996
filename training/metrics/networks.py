"""Feature networks that pictures are measured with, by name; figures compare only within one network.

`inception[=FILE]` is the Inception of 2015 that published FIDs use; `dino[=FILE]`, `dinov2[=FILE]` and
`timm:MODEL[=FILE]` are Vision Transformers of timm; `open_clip:MODEL/TAG[=FILE]` is the image tower of a published
CLIP, `clip=RUN` that of a run of `glissando train clip`; `classifier[=FILE]` the Postcards classifier, which comes with
Glissando and knows Postcards alone.

A network that is not here is an error that names the missing file, never another network in its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from core.perception.clip import load_clip
from core.perception.features import DINO, OPEN_CLIP_PREFIX, TIMM_PREFIX, FeatureError
from core.perception.inception import Inception2015
from core.perception.open_clip_model import OpenClipModel
from core.perception.timm_vit import TimmViT
from training.metrics.classifier import LoadedClassifier
from training.metrics.exact import exact

ALIASES = {
    "dino": DINO,
    "dinov2": "timm:vit_large_patch14_dinov2.lvd142m",
}
NAMES = (
    "inception[=FILE], dino[=FILE], dinov2[=FILE], timm:MODEL[=FILE], open_clip:MODEL/TAG[=FILE], clip=RUN "
    "or classifier[=FILE]"
)

Net = TypeVar("Net", bound=nn.Module)

# Part of each digest: raise it when the same weights come to give other features.
_VERSION = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureExtractor:
    """A frozen network from pictures to one vector each."""

    name: str
    """As it was asked for, without the place of its file."""
    digest: str
    """Changes when the weights do, or how pictures are put in: what is cached by it stays right."""
    device: torch.device
    embed: Callable[[Tensor], Tensor]
    """Bytes [N, 3, H, W] as floats from 0 to 255, on the device -> [N, D]."""

    def features(self, pictures_NHW3: NDArray[np.uint8]) -> NDArray[np.float32]:
        """[N, D] of N >= 1 pictures."""
        x_N3HW = torch.from_numpy(np.ascontiguousarray(pictures_NHW3)).to(self.device).permute(0, 3, 1, 2).float()
        with exact(self.device):
            return self.embed(x_N3HW).float().cpu().numpy()


def open_extractor(spec: str, device: str | torch.device = "cpu") -> FeatureExtractor:
    """The network that `spec` names, see the module's description.

    Raises a `ValueError` that says which file is missing and how to get it.
    """
    device = torch.device(device)
    name, _, place = spec.partition("=")
    file = Path(place).expanduser() if place else None
    if name == "inception":
        return _extractor(name, Inception2015.open(file), device, lambda net, x: net(x))
    if name == "classifier":
        judge = LoadedClassifier.open(file).model
        return _extractor(name, judge, device, lambda net, x: net.features(x / 127.5 - 1))
    if name == "clip":
        if file is None:
            raise FeatureError("features: expected clip=RUN, the folder of a run of `glissando train clip`")
        return _extractor(name, load_clip(file), device, lambda net, x: net.encode_image(x / 127.5 - 1))
    if name.startswith(OPEN_CLIP_PREFIX):
        clip = OpenClipModel.open(spec)
        return _extractor(name, clip, device, lambda net, x: net.encode_image(x))
    model = ALIASES.get(name, name)
    if model.startswith(TIMM_PREFIX):
        vit = TimmViT.pretrained(model.removeprefix(TIMM_PREFIX), file)
        return _extractor(name, vit, device, _vit_features)
    raise FeatureError(f"features: expected {NAMES}, got {spec!r}")


def open_inception_output(output: str, file: Path | None, device: str | torch.device = "cpu") -> FeatureExtractor:
    """What some metrics compare besides pooled features: "spatial" (sFID), "logits" (Inception Score), or "random", the
    pooled features of a network that was never trained (rFID). `file` holds the weights, None finds them.
    """
    device = torch.device(device)
    if output == "random":
        return _extractor("inception:random", Inception2015.random(), device, lambda net, x: net(x))
    net = Inception2015.open(file)
    embed = {"spatial": Inception2015.spatial, "logits": Inception2015.logits}[output]
    return _extractor(f"inception:{output}", net, device, embed)


def _vit_features(net: TimmViT, x_N3HW: Tensor) -> Tensor:
    size = (net.image_size, net.image_size)
    if x_N3HW.shape[-2:] != size:
        x_N3HW = F.interpolate(x_N3HW, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 255)
    features: Tensor = net.vit((x_N3HW / 127.5 - 1) * net.scale + net.shift)
    return features


def _extractor(name: str, net: Net, device: torch.device, embed: Callable[[Net, Tensor], Tensor]) -> FeatureExtractor:
    digest = module_digest(net, name)
    net = net.to(device).eval().requires_grad_(False)
    return FeatureExtractor(name=name, digest=digest, device=device, embed=lambda x: embed(net, x))


def module_digest(net: nn.Module, name: str) -> str:
    """SHA-256 of a network's name and weights."""
    digest = hashlib.sha256(f"{_VERSION} {name}\n".encode())
    for key, tensor in sorted(net.state_dict().items()):
        digest.update(f"{key} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
