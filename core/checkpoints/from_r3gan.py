"""Published R3GAN generators as ours: another naming of the same tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.checkpoints.conversion import OTHER, Conversion, child, finished, one
from core.checkpoints.opcodes import PublishedError
from core.checkpoints.pickles import PublishedModule

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK = {
    "LinearLayer1.Layer.weight": "conv1.weight",
    "LinearLayer2.Layer.weight": "conv2.weight",
    "LinearLayer3.Layer.weight": "conv3.weight",
    "NonLinearity1.Bias": "act1.bias",
    "NonLinearity2.Bias": "act2.bias",
}
"""A residual block's tensors, theirs and ours."""


def is_r3gan(root: PublishedModule) -> bool:
    """Whether a generator has R3GAN's stages; published files hold them one module deeper."""
    model = root.children.get("Model", root)
    return "MainLayers" in model.children and "AggregationLayer" in model.children


def dress_r3gan(root: PublishedModule) -> tuple[str, ...]:
    """A state dict says everything that matters by its names and shapes."""
    return ()


def convert_r3gan(root: PublishedModule) -> Conversion:
    """The generator of a file. Raises `PublishedError` for a variant that `core.models.r3gan` is not."""
    from core.models import r3gan

    model = root.children.get("Model", root)
    found = model.state_dict()
    names: dict[str, str] = {}
    stages = child(model, "", "MainLayers").children
    blocks = {len(child(stage, f"MainLayers.{number}", "Layers").children) - 1 for number, stage in stages.items()}
    for index in range(len(stages)):
        place, ours = f"MainLayers.{index}.Layers", f"synthesis.stages.{index}"
        if index:
            _check_kernel(found.pop(f"{place}.0.Resampler.Kernel", None), f"{place}.0.Resampler.Kernel")
            if f"{place}.0.LinearLayer.Layer.weight" in found:
                names[f"{ours}.first.conv.weight"] = f"{place}.0.LinearLayer.Layer.weight"
        else:
            names[f"{ours}.first.basis"] = f"{place}.0.Basis"
            names[f"{ours}.first.dense.weight"] = f"{place}.0.LinearLayer.weight"
        for block in range(one(blocks, "MainLayers: blocks of every stage")):
            names |= {
                f"{ours}.blocks.{block}.{mine}": f"{place}.{block + 1}.{theirs}" for theirs, mine in _BLOCK.items()
            }
    names["synthesis.to_rgb.weight"] = "AggregationLayer.Layer.weight"
    if "EmbeddingLayer.weight" in found:
        names["embed.weight"] = "EmbeddingLayer.weight"
    tensors = {mine: found.pop(theirs) for mine, theirs in names.items() if theirs in found}
    # What is left has no place in our model: `finished` names it.
    tensors |= found
    return finished("R3GAN", "r3gan", r3gan.Config(**_config(tensors, names, len(stages))), tensors, names=names)


def _config(tensors: dict[str, Tensor], names: dict[str, str], stages: int) -> dict[str, Any]:
    """The fields of the model's Config by the shapes of its tensors."""

    def shape(name: str, dimensions: int) -> tuple[int, ...]:
        if name not in tensors:
            raise PublishedError(f"the file lacks tensor {names[name]}. Choose another file.")
        if tensors[name].ndim != dimensions or not tensors[name].numel():
            raise PublishedError(
                f"{names[name]}: expected a tensor of {dimensions} dimensions, got shape {list(tensors[name].shape)}. "
                f"{OTHER}"
            )
        return tuple(tensors[name].shape)

    channels, groups = [], []
    for index in range(stages):
        place = f"synthesis.stages.{index}.blocks.0"
        expanded, each = shape(f"{place}.conv2.weight", 4)[:2]
        if expanded % each:
            raise PublishedError(f"{names[f'{place}.conv2.weight']}: expected whole groups of {each} channels. {OTHER}")
        channels.append(shape(f"{place}.conv1.weight", 4)[1])
        groups.append(expanded // each)
    width = shape("synthesis.stages.0.first.dense.weight", 2)[1]
    values: dict[str, Any] = {
        "channels": tuple(channels),
        "groups": tuple(groups),
        "blocks": sum(name.startswith("synthesis.stages.0.") and name.endswith("conv1.weight") for name in names),
        "z_dim": width,
    }
    if "embed.weight" in names:
        embed_dim, classes = shape("embed.weight", 2)
        values |= {"z_dim": width - embed_dim, "embed_dim": embed_dim, "c_dim": classes}
    return values


def _check_kernel(kernel: Tensor | None, where: str) -> None:
    """The files hold the filter of each change of size; ours is always the same."""
    import torch

    from core.models.r3gan import KERNEL

    if kernel is None:  # some state dicts leave constants out
        return
    row = torch.tensor(KERNEL)
    wanted = (row[:, None] * row).reshape(-1)
    values = kernel.float().reshape(-1)
    same = len(values) == len(wanted) and torch.allclose(values / values.sum(), wanted / wanted.sum(), atol=1e-4)
    if not same:
        raise PublishedError(f"{where}: expected the filter {list(KERNEL)}, got another. {OTHER}")
