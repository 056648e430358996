"""Look-alikes of R3GAN's files: modules that are pickled by the names of their classes, around our model's tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from core.models import r3gan
from tests.core.checkpoints.lookalikes import dumps, snapshot
from tests.core.checkpoints.published_models import stirred

SMALL: dict[str, Any] = {"channels": (8, 8, 4), "groups": (2, 4, 2), "z_dim": 5}
CLASSES: dict[str, Any] = {"c_dim": 3, "embed_dim": 4}


def _class(module: str, name: str) -> type[nn.Module]:
    return type(name, (nn.Module,), {"__module__": module})


CLASS_NAMES = {
    "training.networks": ("Generator",),
    "R3GAN.Networks": (
        *("NetworkOfStages", "GeneratorStage", "GenerativeBasis", "UpsampleLayer", "ResidualBlock", "Convolution"),
    ),
    "R3GAN.FusedOperators": ("BiasedActivationCUDA",),
    "R3GAN.Resamplers": ("InterpolativeUpsamplerCUDA",),
}
STUBS = {name: _class(module, name) for module, names in CLASS_NAMES.items() for name in names}


def node(kind: str, parts: dict[str, nn.Module] | None = None, /, **attributes: Any) -> nn.Module:
    """A module of a published class; tensors among the attributes are parameters."""
    module = STUBS[kind]()
    for name, part in (parts or {}).items():
        module.add_module(name, part)
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


def r3gan_model(seed: int = 0, **changes: Any) -> r3gan.Generator:
    return stirred(lambda: r3gan.Generator(r3gan.Config(**(SMALL | changes))), seed)


def r3gan_shell(model: r3gan.Generator) -> nn.Module:
    """A file's generator: its network in a module of its own."""
    stages = [_stage(stage) for stage in model.synthesis.stages]
    parts: dict[str, nn.Module] = {
        "MainLayers": nn.ModuleList(stages),
        "AggregationLayer": _convolution(model.synthesis.to_rgb),
    }
    if model.embed is not None:
        parts["EmbeddingLayer"] = _linear(model.embed)
    network = node("NetworkOfStages", parts)
    attributes = {"z_dim": model.z_dim, "c_dim": model.c_dim, "img_resolution": model.config.resolution}
    return node("Generator", {"Model": network}, **attributes)


def r3gan_file(generator: nn.Module) -> bytes:
    return dumps(snapshot(generator), stubs=STUBS.values())


def _stage(ours: Any) -> nn.Module:
    if isinstance(ours.first, r3gan.GenerativeBasis):
        first = node("GenerativeBasis", {"LinearLayer": _linear(ours.first.dense)}, Basis=ours.first.basis)
    else:
        resampler = node("InterpolativeUpsamplerCUDA")
        row = torch.tensor(r3gan.KERNEL)
        resampler.register_buffer("Kernel", row[:, None] * row / 16)
        parts: dict[str, nn.Module] = {"Resampler": resampler}
        if ours.first.conv is not None:
            parts["LinearLayer"] = _convolution(ours.first.conv)
        first = node("UpsampleLayer", parts)
    layers = nn.ModuleList([first, *(_block(block) for block in ours.blocks)])
    return node("GeneratorStage", {"Layers": layers}, DataType=torch.bfloat16)


def _block(ours: Any) -> nn.Module:
    parts = {f"LinearLayer{index}": _convolution(getattr(ours, f"conv{index}")) for index in (1, 2, 3)}
    for index in (1, 2):
        parts[f"NonLinearity{index}"] = node("BiasedActivationCUDA", Bias=getattr(ours, f"act{index}").bias)
    return node("ResidualBlock", parts)


def _convolution(ours: r3gan.Convolution) -> nn.Module:
    outputs, each, side, _ = ours.weight.shape
    layer = nn.Conv2d(each * ours.groups, outputs, side, padding=ours.padding, groups=ours.groups, bias=False)
    layer.weight = ours.weight
    return node("Convolution", {"Layer": layer})


def _linear(ours: r3gan.Dense) -> nn.Module:
    layer = nn.Linear(*reversed(ours.weight.shape), bias=False)
    layer.weight = ours.weight
    return layer
