"""Published FastGAN generators as ours: Projected GAN's, and its lite variant.

Convolutions come as spectral normalisation keeps them, `weight_orig`, `weight_u` and `weight_v`, with hooks that would
work out the weight before each use. Here it is worked out once, by `core.models.fastgan`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.checkpoints.conversion import (
    OTHER,
    Conversion,
    at,
    attribute,
    child,
    expect,
    finished,
    modules,
    plain,
    shown,
    tensor,
    whole,
)
from core.checkpoints.opcodes import PublishedError
from core.checkpoints.pickles import PublishedModule

if TYPE_CHECKING:
    from torch import Tensor

HOOKS = frozenset(
    f"an object of torch.nn.utils.spectral_norm.{name}"
    for name in ("SpectralNorm", "SpectralNormStateDictHook", "SpectralNormLoadStateDictPreHook")
)
"""Of torch's spectral normalisation, as `PublishedModule.hooks` tells them."""

EPSILON = 1e-5
FIRST = "synthesis.init.init.0"
"""The transposed convolution of z."""
TABLE = "synthesis.embed"


def convert_fastgan(root: PublishedModule) -> Conversion:
    """The generator of a file. Raises `PublishedError` for a variant that `core.models.fastgan` is not."""
    import torch

    from core.models import fastgan

    for where, module in modules(root):
        _check_module(module, where)
    classes = whole(root, "", "c_dim")
    table = child(root, "", "synthesis").children.get("embed")
    if table is not None and not classes:
        raise PublishedError(f"c_dim: expected the number of classes, because there is {TABLE}, got 0. {OTHER}")
    found = root.state_dict()
    try:
        config, state = fastgan.from_published(found, c_dim=classes or None)
    except PublishedError:
        raise
    except ValueError as error:
        raise PublishedError(f"FastGAN: {error}. {OTHER}") from None
    if config.img_channels != 3:
        raise PublishedError(f"synthesis.to_big: expected 3 channels, got {config.img_channels}. {OTHER}")
    for name, values in state.items():
        if values.is_floating_point() and not bool(torch.isfinite(values).all()):
            raise PublishedError(f"{name}: expected finite values after spectral normalisation, got others. {OTHER}")
    kind = "FastGAN-lite" if config.lite else "FastGAN"
    return finished(kind, "fastgan", config, state, dropped=_unused(found, state))


def _unused(found: dict[str, Tensor], state: dict[str, Tensor]) -> tuple[str, ...]:
    """Whole parts that no picture sees: a file at 128 pixels has layers for 256."""

    def parts(names: dict[str, Any]) -> list[str]:
        return list(dict.fromkeys(".".join(name.split(".")[:2]) for name in names))

    return tuple(part for part in parts(found) if part not in parts(state))


def _check_module(module: PublishedModule, where: str) -> None:
    """What a module would do must be what ours does."""
    tensors = module.parameters | module.buffers
    weight = tensors.get("weight_orig", tensors.get("weight"))
    if "weight_orig" in tensors:
        _check_spectral(module, where)
    elif module.hooks:
        raise PublishedError(f"{where or 'the generator'}: expected no hooks without weight_orig. {OTHER}")
    if where == TABLE and "max_norm" in module.attributes:  # would rescale rows as they are looked up
        expect(module, where, max_norm=None)
    if "running_mean" in tensors or "stored_mean" in tensors:
        expect(module, where, eps=EPSILON)
    if module.class_name == "Upsample":
        expect(module, where, scale_factor=2.0, mode="nearest")
    if weight is not None and weight.ndim == 4:
        sides = {"stride": 1, "dilation": 1, "padding": 1 if weight.shape[2:] == (3, 3) else 0}
        for name, side in sides.items():
            came = plain(attribute(module, where, name))
            if not isinstance(came, list) or [type(item) is int and item for item in came] != [side, side]:
                raise PublishedError(f"{at(where, name)}: expected {[side, side]}, got {shown(came)}. {OTHER}")
        expect(module, where, groups=1, padding_mode="zeros", transposed=where == FIRST)


def _check_spectral(module: PublishedModule, where: str) -> None:
    weight = module.parameters["weight_orig"] if "weight_orig" in module.parameters else module.buffers["weight_orig"]
    if weight.ndim not in (2, 4) or not weight.numel():
        raise PublishedError(
            f"{at(where, 'weight_orig')}: expected 2 or 4 dimensions, got {list(weight.shape)}. {OTHER}"
        )
    for name in ("weight_u", "weight_v"):
        vector = tensor(module, where, name, 1)
        if not weight.is_floating_point() or vector.dtype != weight.dtype:
            raise PublishedError(f"{at(where, name)}: expected the type of {weight.dtype}, got {vector.dtype}. {OTHER}")
