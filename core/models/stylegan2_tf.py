"""StyleGAN2 from the tensors of TensorFlow's files: those of the paper, and those of StyleGAN2-ADA before it moved to
PyTorch. The generator is `core.models.stylegan2`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core.models.family import BLOCK_RESOLUTIONS, require_tensors
from core.models.stylegan2 import Architecture, Config, Generator, resample_filter
from core.models.tf_variables import Variables, require_finished, require_options

# What a file's options may say, if they say it, for its pictures to be ours.
_OPTIONS: dict[str, Any] = {
    "normalize_latents": True,
    "mapping_nonlinearity": "lrelu",
    "nonlinearity": "lrelu",
    "resample_kernel": [1, 3, 3, 1],
}


def from_tensorflow(
    variables: Mapping[str, Tensor], options: Mapping[str, Any] | None = None
) -> tuple[Config, dict[str, Tensor]]:
    """The configuration and the state dict for the variables of a published `Gs`: its own (`dlatent_avg`), and those of
    its mapping and its synthesis.

    `options` are its `static_kwargs`. Raises `ValueError` naming a variable that is missing, left over or misshapen.
    Classes are read as ADA has them (`LabelEmbed`); no file with the older `LabelConcat` was published.
    """
    options = options or {}
    require_options(options, _OPTIONS)
    found = Variables(variables)
    require_finished(found)
    resolution = found.resolution()
    if resolution not in BLOCK_RESOLUTIONS:
        raise ValueError(f"resolution: expected a power of two from 4 to 2048, got {resolution}")
    architecture: Architecture = "orig"
    if f"{resolution}x{resolution}/Skip/weight" in found:
        architecture = "resnet"
    elif "4x4/ToRGB/weight" in found:
        architecture = "skip"

    state = {"mapping.w_avg": found.take("dlatent_avg", 1)}
    has_classes = "LabelEmbed/weight" in found
    if has_classes:
        state["mapping.embed.weight"] = found.dense("LabelEmbed/weight")
        state["mapping.embed.bias"] = found.take("LabelEmbed/bias", 1)
    layers = found.count("Dense{}/weight")
    for index in range(layers):
        state[f"mapping.fc{index}.weight"] = found.dense(f"Dense{index}/weight")
        state[f"mapping.fc{index}.bias"] = found.take(f"Dense{index}/bias", 1)

    def modulated(name: str, source: str, *, flip: bool = False) -> None:
        state[f"{name}.weight"] = found.kernel(f"{source}/weight", flip=flip)
        state[f"{name}.bias"] = found.take(f"{source}/bias", 1)
        state[f"{name}.affine.weight"] = found.dense(f"{source}/mod_weight")
        # They add the 1, about which styles vary, where they use them.
        state[f"{name}.affine.bias"] = found.take(f"{source}/mod_bias", 1) + 1

    def convolution(name: str, source: str, index: int, *, flip: bool = False) -> None:
        modulated(name, source, flip=flip)
        state[f"{name}.noise_strength"] = found.take(f"{source}/noise_strength", 0)
        state[f"{name}.noise_const"] = found.field(f"noise{index}")
        state[f"{name}.resample_filter"] = resample_filter()

    state["synthesis.b4.const"] = found.take("4x4/Const/const", 4)[0]
    channels = []
    for step, side in enumerate(BLOCK_RESOLUTIONS[: BLOCK_RESOLUTIONS.index(resolution) + 1]):
        name, source = f"synthesis.b{side}", f"{side}x{side}"
        state[f"{name}.resample_filter"] = resample_filter()
        if side == 4:
            convolution(f"{name}.conv1", f"{source}/Conv", 0)
        else:
            # Upsampling by a transposed convolution scatters the kernel. They turn it by half a turn just before, so
            # that it acts like one of conv2d; here it is stored as it is scattered.
            convolution(f"{name}.conv0", f"{source}/Conv0_up", 2 * step - 1, flip=True)
            convolution(f"{name}.conv1", f"{source}/Conv1", 2 * step)
            if architecture == "resnet":
                state[f"{name}.skip.weight"] = found.kernel(f"{source}/Skip/weight")  # 1 x 1: nothing to turn
                state[f"{name}.skip.resample_filter"] = resample_filter()
        if architecture == "skip" or side == resolution:
            modulated(f"{name}.torgb", f"{source}/ToRGB")
        channels.append(len(state[f"{name}.conv1.weight"]))
    found.finish()
    if not layers:
        raise ValueError("variables: expected Dense0/weight, got none of that name")

    embed, c_dim = state["mapping.embed.weight"].shape if has_classes else (0, 0)
    clamp = options.get("conv_clamp")
    config = Config(
        resolution=resolution,
        z_dim=state["mapping.fc0.weight"].shape[1] - embed,
        c_dim=c_dim,
        w_dim=len(state["mapping.w_avg"]),
        mapping_layers=layers,
        mapping_features=len(state["mapping.fc0.weight"]) if layers > 1 else None,
        embed_features=embed or None,
        mapping_lr_multiplier=float(options.get("mapping_lrmul", 0.01)),
        block_channels=tuple(channels),
        img_channels=len(state[f"synthesis.b{resolution}.torgb.bias"]),
        architecture=architecture,
        conv_clamp=None if clamp is None else float(clamp),
    )
    with torch.device("meta"):
        require_tensors(Generator(config), state)
    return config, state
