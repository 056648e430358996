"""Look-alikes of Projected GAN's FastGAN files: torch's own layers, with its spectral normalisation, around the tensors
of our model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from core.models import fastgan
from tests.core.checkpoints.published_models import root, shell, stirred

FAST: dict[str, Any] = {"resolution": 128, "z_dim": 6, "side_channels": (5, 4, 3, 4, 3, 2)}
FAST_256: dict[str, Any] = FAST | {"resolution": 256, "side_channels": (5, 4, 3, 4, 3, 2, 1)}
CLASSES: dict[str, Any] = {"c_dim": 3, "embed_classes": 4}


def fastgan_model(seed: int = 0, **changes: Any) -> fastgan.Generator:
    return stirred(lambda: fastgan.Generator(fastgan.Config(**(FAST | changes))), seed)


def fastgan_shell(model: fastgan.Generator) -> nn.Module:
    """Its weights become those that torch's spectral normalisation makes: `model` takes them over."""
    parts: dict[str, nn.Module] = {}
    for name, ours in model.synthesis.named_children():
        match ours:
            case fastgan.Start():
                kernel, norm = ours.init.get_submodule("0"), ours.init.get_submodule("1")
                layers = nn.Sequential(_normalised(kernel, transposed=True), _norm(norm), shell("GLU", None, {}))
                parts[name] = shell("InitLayer", None, {"init": layers})
            case fastgan.UpBlock():
                parts[name] = _up_block(ours)
            case fastgan.Excitation():
                convolutions = [_normalised(ours.main.get_submodule(place)) for place in ("1", "3")]
                swish = shell("Swish", None, {})
                gate = nn.Sequential(nn.AdaptiveAvgPool2d(4), convolutions[0], swish, convolutions[1], nn.Sigmoid())
                parts[name] = shell("SEBlock", None, {"main": gate})
            case nn.Embedding():
                parts[name] = ours
            case _:
                parts[name] = _normalised(ours)
    synthesis = shell("FastganSynthesis", None, parts, img_resolution=model.config.resolution, z_dim=model.z_dim)
    mapping = shell("DummyMapping", None, {})
    return root(model, {"mapping": mapping, "synthesis": synthesis}, cond=int(bool(model.c_dim)), synthesis_kwargs={})


def _up_block(ours: fastgan.UpBlock) -> nn.Module:
    parts: dict[str, nn.Module] = {}
    for name, part in ours.named_children():
        if isinstance(part, fastgan.Convolution):
            parts[name] = _normalised(part)
        else:
            noise = isinstance(part, fastgan.NoiseStrength)
            parts[name] = shell("NoiseInjection", part, {}) if noise else _norm(part)
    up = nn.Upsample(scale_factor=2, mode="nearest")
    if "1" not in parts:
        return shell("UpBlockCond", None, {"up": up, **parts, "act": shell("GLU", None, {})})
    for place in ("3",) if len(parts) == 2 else ("4", "8"):
        parts[place] = shell("GLU", None, {})
    return nn.Sequential(up, *(parts[name] for name in sorted(parts)))


def _normalised(ours: nn.Module, *, transposed: bool = False) -> nn.Module:
    weight, bias = ours.get_parameter("weight"), ours._parameters.get("bias")
    first, second, kernel, _ = weight.shape
    layer: nn.Module
    if transposed:
        layer = nn.ConvTranspose2d(first, second, kernel, bias=False)
    else:
        layer = nn.Conv2d(second, first, kernel, padding=int(kernel == 3), bias=bias is not None)
    layer = nn.utils.spectral_norm(layer).requires_grad_(False)
    layer.get_parameter("weight_orig").copy_(weight * 3)
    if bias is not None:
        layer.get_parameter("bias").copy_(bias)
    for training in (True, False):  # power iterations, and then the weight as it is used
        layer.train(training)(torch.zeros(1, first if transposed else second, 8, 8))
    weight.copy_(layer.weight)  # type: ignore[arg-type]
    return layer


def _norm(ours: nn.Module) -> nn.Module:
    if isinstance(ours, fastgan.ClassNorm):
        return shell("CCBN", ours, {"gain": ours.gain, "bias": ours.bias}, eps=1e-5, momentum=0.1)
    node = nn.BatchNorm2d(len(ours.get_parameter("weight")))
    node._parameters.update(ours._parameters)
    node._buffers.update(ours._buffers)
    return node.eval()
