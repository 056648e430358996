"""The first StyleGAN generator (Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial
Networks").

Read top to bottom: configuration, upsampling convolution and adaptive instance normalisation, what ends every layer,
the layers, synthesis, generator, and the tensors of TensorFlow's files. Published files have no state dict, so the
names here are ours, after StyleGAN2's. Shape letters: N batch, Z latent, C I O channels, W style, H W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as Variable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.model_info import LayerInfo
from core.models.family import (
    BLOCK_RESOLUTIONS,
    BlockShape,
    require_integer,
    require_number,
    require_tensors,
)
from core.models.layers import (
    Dense,
    MappedGenerator,
    Mapping,
    bias_activation,
    drawn,
    noise_source,
    spatial_noise,
    styles_by_layer,
)
from core.models.tf_variables import Variables, require_finished, require_options
from core.request import DEFAULT_OPTIONS, SynthesisOptions


@dataclass(frozen=True, kw_only=True)
class Config(BlockShape):
    """The shape of one generator. Raises `ValueError` for a shape that cannot be built."""

    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    mapping_features: int | None = None
    """Width between the mapping's layers; None is `w_dim`."""
    mapping_lr_multiplier: float = 0.01
    img_channels: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low, high in (
            ("z_dim", 1, 8192),
            ("w_dim", 1, 8192),
            ("mapping_layers", 1, 64),
            ("img_channels", 1, 64),
        ):
            require_integer(name, getattr(self, name), low, high)
        if self.mapping_features is not None:
            require_integer("mapping_features", self.mapping_features, 1, 8192)
        require_number("mapping_lr_multiplier", self.mapping_lr_multiplier, 0, 100)


def up_convolution(x_NIHW: Tensor, weight_OI33: Tensor) -> Tensor:
    """Every pixel twice in each direction, then a 3 x 3 convolution, [N, I, H, W] -> [N, O, 2H, 2W].

    In one step: an output pixel sees but 2 x 2 inputs, each through the sum of the taps that fall on it, which makes
    a transposed convolution with 4 x 4 taps.
    """
    return F.conv_transpose2d(x_NIHW, up_kernel(weight_OI33).transpose(0, 1), stride=2, padding=1)


def up_kernel(weight_OI33: Tensor) -> Tensor:
    """Kernels of `up_convolution`'s transposed convolution, [O, I, 4, 4]. It scatters them, so they are turned by half
    a turn.
    """
    padded = F.pad(weight_OI33.flip(2, 3), (1, 1, 1, 1))
    return padded[:, :, 1:, 1:] + padded[:, :, :-1, 1:] + padded[:, :, 1:, :-1] + padded[:, :, :-1, :-1]


def blur(x_NCHW: Tensor) -> Tensor:
    """Binomial low-pass filter, outer([1, 2, 1], [1, 2, 1]) / 16; outside the picture counts as zero (section 2)."""
    row = torch.tensor([1.0, 2.0, 1.0], dtype=x_NCHW.dtype, device=x_NCHW.device) / 4
    channels = x_NCHW.shape[1]
    return F.conv2d(x_NCHW, torch.outer(row, row).expand(channels, 1, 3, 3), padding=1, groups=channels)


def adaptive_instance_norm(x_NCHW: Tensor, scale_NC: Tensor, shift_NC: Tensor) -> Tensor:
    """Every map of every sample to mean 0 and variance 1 (epsilon 1e-8), times the style's scale, plus its shift
    (equation 1). Statistics of half precision are taken in float32.
    """
    x = x_NCHW.to(torch.promote_types(x_NCHW.dtype, torch.float32))
    x = x - x.mean(dim=(2, 3), keepdim=True)
    scale = scale_NC[:, :, None, None] * (x.square().mean(dim=(2, 3), keepdim=True) + 1e-8).rsqrt()
    return (x * scale + shift_NC[:, :, None, None]).to(x_NCHW.dtype)


class Layer(nn.Module):
    """What ends every layer: noise, bias, leaky ReLU, and adaptive instance normalisation by w."""

    noise_const: Tensor

    def __init__(self, channels: int, resolution: int, config: Config) -> None:
        super().__init__()
        self.affine = Dense(config.w_dim, 2 * channels, bias=[1.0] * channels + [0.0] * channels)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.noise_strength = nn.Parameter(torch.zeros(channels))
        self.register_buffer("noise_const", drawn(resolution, resolution))

    def finish(self, x: Tensor, w_NW: Tensor, options: SynthesisOptions, generator: torch.Generator | None) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]. Overwrites `x`."""
        # One field for all channels, each of which has a strength of its own.
        field = spatial_noise(self.noise_const, self.noise_strength.new_ones(()), len(x), options, generator)
        if field is not None:
            x = x.add_((field * self.noise_strength[:, None, None]).to(x.dtype))
        x = bias_activation(x, self.bias, gain=1.0, clamp=None)
        scale_NC, shift_NC = self.affine(w_NW).chunk(2, dim=1)
        return adaptive_instance_norm(x, scale_NC, shift_NC)


class ConstantInput(Layer):
    """The learned 4 x 4 input, which takes a style like every layer."""

    def __init__(self, channels: int, config: Config) -> None:
        super().__init__(channels, 4, config)
        self.const = nn.Parameter(torch.ones(channels, 4, 4))

    def forward(
        self,
        w_NW: Tensor,
        options: SynthesisOptions = DEFAULT_OPTIONS,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """[N, W] -> [N, C, 4, 4]."""
        # A copy, because what follows works in place.
        return self.finish(self.const.to(dtype).repeat(len(w_NW), 1, 1, 1), w_NW, options, generator)


class Convolution(Layer):
    """3 x 3 convolution; with `up`, to twice the size and blurred."""

    def __init__(self, inputs: int, outputs: int, resolution: int, config: Config, *, up: bool = False) -> None:
        super().__init__(outputs, resolution, config)
        self.up = up
        self.weight = nn.Parameter(drawn(outputs, inputs, 3, 3))

    def forward(
        self,
        x: Tensor,
        w_NW: Tensor,
        options: SynthesisOptions = DEFAULT_OPTIONS,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """[N, I, H, W] -> [N, O, H, W] ([N, O, 2H, 2W] with `up`)."""
        # He's gain for a leaky ReLU is in the weights here, not after the activation as in StyleGAN2.
        weight = (self.weight * math.sqrt(2 / self.weight[0].numel())).to(x.dtype)
        y = blur(up_convolution(x, weight)) if self.up else F.conv2d(x, weight, padding=1)
        return self.finish(y, w_NW, options, generator)


class ToRGB(nn.Module):
    """1 x 1 convolution to the picture's channels. It takes no style."""

    def __init__(self, channels: int, config: Config) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(config.img_channels, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(config.img_channels))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, 3, H, W] in the type of the parameters."""
        y = F.conv2d(x, (self.weight / math.sqrt(x.shape[1])).to(x.dtype))
        return y.to(self.bias.dtype) + self.bias[:, None, None]


class Synthesis(nn.Module):
    """Styles to pictures: the constant, a convolution, and two for each doubling; RGB at the last resolution alone, as
    progressive growing leaves it.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.input = ConstantInput(config.channels[0], config)
        self.convolutions: list[str] = []
        inputs = config.channels[0]
        for resolution, channels in zip(config.resolutions, config.channels, strict=True):
            block = nn.Module()
            self.add_module(f"b{resolution}", block)
            for name in ("conv1",) if resolution == 4 else ("conv0", "conv1"):
                block.add_module(name, Convolution(inputs, channels, resolution, config, up=name == "conv0"))
                self.convolutions.append(f"b{resolution}.{name}")
                inputs = channels
        self.torgb = ToRGB(inputs, config)
        self.num_ws = 1 + len(self.convolutions)

    def forward(
        self,
        ws: Tensor,
        options: SynthesisOptions = DEFAULT_OPTIONS,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """[N, W] or per-layer [N, num_ws, W] -> pictures [N, 3, H, W], about [-1, 1], unclamped.

        `dtype` is the type of the convolutions; pictures come in that of the parameters.
        """
        generator = noise_source(options, generator)
        styles = styles_by_layer(ws, self.num_ws)
        x = self.input(styles[0], options, generator, dtype)
        for name, style in zip(self.convolutions, styles[1:], strict=True):
            x = self.get_submodule(name)(x, style, options, generator)
        rgb: Tensor = self.torgb(x)
        return rgb


class Generator(MappedGenerator):
    """Latents to pictures; a `core.models.family.Generator`. No file with classes was published."""

    synthesis: Synthesis
    has_noise = True
    has_transform = False

    def __init__(self, config: Config) -> None:
        mapping = Mapping(
            z_dim=config.z_dim,
            c_dim=0,
            w_dim=config.w_dim,
            layers=config.mapping_layers,
            hidden=config.mapping_features,
            lr_multiplier=config.mapping_lr_multiplier,
        )
        synthesis = Synthesis(config)
        super().__init__(mapping, synthesis, synthesis.num_ws)
        self.config = config

    @property
    def output_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.config.resolution, self.config.resolution

    @property
    def layers(self) -> tuple[LayerInfo, ...]:
        """The constant and the convolutions in order; RGB, which takes no style, is not among them."""
        found = [LayerInfo("synthesis.input", (4, 4), self.config.channels[0], 0)]
        channels = dict(zip(self.config.resolutions, self.config.channels, strict=True))
        for name in self.synthesis.convolutions:
            side = int(name.split(".")[0][1:])
            found.append(LayerInfo(f"synthesis.{name}", (side, side), channels[side], len(found)))
        return tuple(found)


# What a file's options may say, if they say it, for its pictures to be ours.
_OPTIONS: dict[str, Any] = {
    "label_size": 0,
    "normalize_latents": True,
    "mapping_nonlinearity": "lrelu",
    "nonlinearity": "lrelu",
    "use_wscale": True,
    "use_styles": True,
    "const_input_layer": True,
    "use_noise": True,
    "use_pixel_norm": False,
    "use_instance_norm": True,
    "blur_filter": [1, 2, 1],
}


def from_tensorflow(
    variables: Variable[str, Tensor], options: Variable[str, Any] | None = None
) -> tuple[Config, dict[str, Tensor]]:
    """The configuration and the state dict for the variables of a published `Gs`: its own (`dlatent_avg`), and those of
    its mapping and its synthesis.

    `options` are its `static_kwargs`. Raises `ValueError` naming a variable that is missing, left over or misshapen.
    """
    options = options or {}
    require_options(options, _OPTIONS)
    fused = options.get("fused_scale", "auto")
    if fused not in (True, False, "auto"):
        raise ValueError(f"fused_scale: expected True, False or 'auto', got {fused!r}")
    found = Variables(variables)
    require_finished(found)
    resolution = found.resolution()
    if resolution not in BLOCK_RESOLUTIONS:
        raise ValueError(f"resolution: expected a power of two from 4 to 2048, got {resolution}")
    state = {"mapping.w_avg": found.take("dlatent_avg", 1)}
    layers = found.count("Dense{}/weight")
    for index in range(layers):
        state[f"mapping.fc{index}.weight"] = found.dense(f"Dense{index}/weight")
        # A leaky ReLU lets a factor pass: sqrt 2 is before it there, in the weights alone, and after it in `Mapping`.
        state[f"mapping.fc{index}.bias"] = found.take(f"Dense{index}/bias", 1) / math.sqrt(2)

    def end(name: str, source: str, index: int) -> None:
        bias = found.take(f"{source}/StyleMod/bias", 1).clone()
        bias[: len(bias) // 2] += 1  # they add it to the scale where they use it
        state[f"{name}.affine.weight"] = found.dense(f"{source}/StyleMod/weight")
        state[f"{name}.affine.bias"] = bias
        state[f"{name}.bias"] = found.take(f"{source}/bias", 1)
        state[f"{name}.noise_strength"] = found.take(f"{source}/Noise/weight", 1)
        state[f"{name}.noise_const"] = found.field(f"noise{index}")

    state["synthesis.input.const"] = found.take("4x4/Const/const", 4)[0]
    end("synthesis.input", "4x4/Const", 0)
    channels = []
    for step, side in enumerate(BLOCK_RESOLUTIONS[: BLOCK_RESOLUTIONS.index(resolution) + 1]):
        for name, source in (("conv1", "Conv"),) if side == 4 else (("conv0", "Conv0_up"), ("conv1", "Conv1")):
            # From 128 pixels on ("auto") they upsample by a transposed convolution with the kernel as it is: what they
            # learned there is half a turn from what a convolution after the upsampling would have learned.
            flip = name == "conv0" and (side >= 128 if fused == "auto" else bool(fused))
            state[f"synthesis.b{side}.{name}.weight"] = found.kernel(f"{side}x{side}/{source}/weight", flip=flip)
            end(f"synthesis.b{side}.{name}", f"{side}x{side}/{source}", 2 * step + (name == "conv1"))
        channels.append(len(state[f"synthesis.b{side}.conv1.weight"]))
    state["synthesis.torgb.weight"] = found.kernel("ToRGB_lod0/weight")
    state["synthesis.torgb.bias"] = found.take("ToRGB_lod0/bias", 1)
    for level in range(1, len(channels)):  # of smaller pictures, that growing left behind
        for part, ndim in (("weight", 4), ("bias", 1)):
            if f"ToRGB_lod{level}/{part}" in found:
                found.take(f"ToRGB_lod{level}/{part}", ndim)
    found.finish()
    if not layers:
        raise ValueError("variables: expected Dense0/weight, got none of that name")
    config = Config(
        resolution=resolution,
        z_dim=state["mapping.fc0.weight"].shape[1],
        w_dim=len(state["mapping.w_avg"]),
        mapping_layers=layers,
        mapping_features=len(state["mapping.fc0.weight"]) if layers > 1 else None,
        mapping_lr_multiplier=float(options.get("mapping_lrmul", 0.01)),
        block_channels=tuple(channels),
        img_channels=len(state["synthesis.torgb.bias"]),
    )
    with torch.device("meta"):
        require_tensors(Generator(config), state)
    return config, state
