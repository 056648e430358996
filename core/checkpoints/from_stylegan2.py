"""Published StyleGAN2 generators (with ADA, and those trained with StyleGAN3's code) as ours.

Widths and sizes come from the tensors, switches from the layers' own attributes; the keyword arguments that a file was
made with are not needed. The names of tensors are the same on both sides.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from core.checkpoints.conversion import (
    OTHER,
    Conversion,
    at,
    attribute,
    check_dense,
    check_resampling,
    child,
    expect,
    finished,
    flag,
    listed,
    mapping_values,
    one,
    optional_number,
    shown,
    tensor,
    whole,
)
from core.checkpoints.opcodes import PublishedError
from core.checkpoints.pickles import PublishedModule

if TYPE_CHECKING:
    from core.models.stylegan2 import Config


def convert_stylegan2(root: PublishedModule) -> Conversion:
    """The generator of a file. Raises `PublishedError` for a variant that `core.models.stylegan2` is not."""
    config = _config(root)
    return finished("StyleGAN2", "stylegan2", config, root.state_dict())


def _config(root: PublishedModule) -> Config:
    from core.models import stylegan2

    synthesis = child(root, "", "synthesis")
    blocks = {name: block for name, block in synthesis.children.items() if re.fullmatch(r"b\d{1,4}", name)}
    resolutions = [int(name[1:]) for name in blocks]
    if resolutions != [4 << step for step in range(len(resolutions))]:
        raise PublishedError(f"synthesis: expected blocks b4, b8, b16, ..., got {listed(blocks)}. {OTHER}")
    convolutions: dict[str, PublishedModule] = {}
    colours: dict[str, PublishedModule] = {}
    for name, block in blocks.items():
        where = at("synthesis", name)
        check_resampling(block, where)
        for part, module in block.children.items():
            place = at(where, part)
            match part:
                case "conv0" | "conv1":
                    _check_convolution(module, place, up=2 if part == "conv0" else 1)
                    convolutions[place] = module
                case "torgb":
                    check_dense(child(module, place, "affine"), at(place, "affine"), activation="linear")
                    colours[place] = module
                case "skip":
                    expect(module, place, activation="linear", up=2, down=1, conv_clamp=None)
                    check_resampling(module, place)
                case _:
                    raise PublishedError(f"{place}: expected conv0, conv1, torgb or skip. {OTHER}")
    first = blocks["b4"]
    const = tensor(first, "synthesis.b4", "const", 3)
    layers = convolutions | colours
    channels = [
        len(tensor(child(block, at("synthesis", name), "conv1"), f"synthesis.{name}.conv1", "weight", 4))
        for name, block in blocks.items()
    ]
    if whole(synthesis, "synthesis", "img_channels") != 3:
        raise PublishedError(
            f"synthesis.img_channels: expected 3, got {shown(synthesis.attributes['img_channels'])}. {OTHER}"
        )
    architecture = one(
        (attribute(block, at("synthesis", name), "architecture") for name, block in blocks.items()), "architecture"
    )
    try:
        return stylegan2.Config(
            resolution=resolutions[-1],
            size=(const.shape[1], const.shape[2]),
            block_channels=tuple(channels),
            architecture=architecture,
            conv_clamp=one((optional_number(m, where, "conv_clamp") for where, m in layers.items()), "conv_clamp"),
            use_noise=one((flag(m, where, "use_noise") for where, m in convolutions.items()), "use_noise"),
            **mapping_values(child(root, "", "mapping")),
        )
    except PublishedError:
        raise
    except ValueError as error:
        raise PublishedError(f"StyleGAN2: {error}. {OTHER}") from None


def _check_convolution(module: PublishedModule, where: str, *, up: int) -> None:
    # A convolution's own gain is that of its activation; a block scales it as it calls it.
    expect(module, where, activation="lrelu", act_gain=math.sqrt(2), up=up)
    check_dense(child(module, where, "affine"), at(where, "affine"), activation="linear")
    check_resampling(module, where)
