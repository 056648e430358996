"""The StyleGAN2 generator (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN"), with the
conditional mapping and the activation clamp of its ADA successor (2006.06676).

Read top to bottom: configuration, convolution, to RGB, resnet skip, block, synthesis, generator. Names in the state
dict are those of the published files. Shape letters: N batch, Z latent, C I O channels, W style, H W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.model_info import LayerInfo
from core.models.family import BlockShape, MappingShape, require_integer, require_number, require_pair
from core.models.layers import (
    Dense,
    MappedGenerator,
    Mapping,
    bias_activation,
    drawn,
    modulated_conv2d,
    noise_source,
    spatial_noise,
    styles_by_layer,
    upsample,
)
from core.request import DEFAULT_OPTIONS, SynthesisOptions

Architecture = Literal["skip", "resnet", "orig"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)


@dataclass(frozen=True, kw_only=True)
class Config(BlockShape, MappingShape):
    """The shape of one generator. Raises `ValueError` for a shape that cannot be built."""

    size: tuple[int, int] = (4, 4)
    """(height, width) of the constant input; each block but the first doubles it."""
    base_channels: int = 32768
    img_channels: int = 3
    architecture: Architecture = "skip"
    """skip: RGB at every resolution, summed; resnet and orig: RGB at the last one only (figure 7)."""
    conv_clamp: float | None = None
    """Activations are clamped to +- this times the layer's gain (256 in ADA files); None does not clamp."""
    use_noise: bool = True
    """Whether convolutions have per-pixel noise."""

    def __post_init__(self) -> None:
        super().__post_init__()
        size: object = self.size
        if isinstance(size, list):  # from JSON
            object.__setattr__(self, "size", tuple(size))
        self.check_mapping()
        require_integer("img_channels", self.img_channels, 1, 64)
        require_pair("size", self.size, 1, 64)
        if self.conv_clamp is not None:
            require_number("conv_clamp", self.conv_clamp, 0, 1e6)
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"architecture: expected one of {', '.join(ARCHITECTURES)}, got {self.architecture!r}")
        if type(self.use_noise) is not bool:
            raise ValueError(f"use_noise: expected true or false, got {self.use_noise!r}")

    def pixels(self, resolution: int) -> tuple[int, int]:
        """(height, width) at a block."""
        return self.size[0] * resolution // 4, self.size[1] * resolution // 4


def resample_filter() -> Tensor:
    """outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64. Published files carry it in every block and layer; it is here so that
    they load, the arithmetic uses `layers.binomial_filter`.
    """
    row = (1.0, 3.0, 3.0, 1.0)
    return torch.tensor([[a * b / 64 for a in row] for b in row])


class Convolution(nn.Module):
    """Style-modulated 3 x 3 convolution with noise, bias and leaky ReLU; with `up`, to twice the size (section 2.2).

    `size` is (H, W) of the output; `gain` multiplies the activation's sqrt 2.
    """

    noise_const: Tensor

    def __init__(
        self, inputs: int, outputs: int, size: tuple[int, int], config: Config, *, up: bool = False, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.up = up
        self.gain = gain * math.sqrt(2)
        self.clamp = None if config.conv_clamp is None else config.conv_clamp * gain
        self.affine = Dense(config.w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(drawn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.has_noise = config.use_noise
        if config.use_noise:
            self.noise_strength = nn.Parameter(torch.zeros(()))
            self.register_buffer("noise_const", drawn(*size))
        self.register_buffer("resample_filter", resample_filter())

    def forward(
        self,
        x: Tensor,
        w_NW: Tensor,
        options: SynthesisOptions = DEFAULT_OPTIONS,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """[N, I, H, W] -> [N, O, H, W] ([N, O, 2H, 2W] with `up`)."""
        y = modulated_conv2d(x, self.weight, self.affine(w_NW), up=self.up)
        if self.has_noise:
            field = spatial_noise(self.noise_const, self.noise_strength, len(x), options, generator)
            if field is not None:
                y = y.add_(field.to(y.dtype))
        return bias_activation(y, self.bias, gain=self.gain, clamp=self.clamp)


class ToRGB(nn.Module):
    """Modulated 1 x 1 convolution to the picture's channels, without demodulation and activation."""

    def __init__(self, channels: int, config: Config) -> None:
        super().__init__()
        self.clamp = config.conv_clamp
        self.affine = Dense(config.w_dim, channels, bias=1.0)
        self.weight = nn.Parameter(drawn(config.img_channels, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(config.img_channels))

    def forward(self, x: Tensor, w_NW: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, 3, H, W] in the type of the parameters."""
        y = modulated_conv2d(x, self.weight, self.affine(w_NW) / math.sqrt(x.shape[1]), demodulate=False)
        y = y.to(self.bias.dtype) + self.bias[:, None, None]
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


class ResnetSkip(nn.Module):
    """1 x 1 convolution and upsampling, without bias, times sqrt 1/2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(outputs, inputs, 1, 1))
        self.register_buffer("resample_filter", resample_filter())

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] -> [N, O, 2H, 2W]."""
        # Before the upsampling, where it is a quarter of the work: both are linear, one over channels, one over pixels.
        kernel = self.weight * (math.sqrt(0.5) / math.sqrt(x.shape[1]))
        return upsample(F.conv2d(x, kernel.to(x.dtype)))


class Block(nn.Module):
    """One resolution: the constant input or an up-convolution, a convolution, and RGB where the architecture has it."""

    def __init__(self, inputs: int | None, channels: int, resolution: int, config: Config) -> None:
        """`inputs` is the width of the block before, None for the first."""
        super().__init__()
        size = config.pixels(resolution)
        self.first = inputs is None
        self.resnet = inputs is not None and config.architecture == "resnet"
        self.has_rgb = config.architecture == "skip" or resolution == config.resolution
        if inputs is None:
            self.const = nn.Parameter(drawn(channels, *size))
        else:
            self.conv0 = Convolution(inputs, channels, size, config, up=True)
        # Two summed branches of unit variance: each times sqrt 1/2.
        self.conv1 = Convolution(channels, channels, size, config, gain=math.sqrt(0.5) if self.resnet else 1.0)
        if self.has_rgb:
            self.torgb = ToRGB(channels, config)
        if inputs is not None and self.resnet:
            self.skip = ResnetSkip(inputs, channels)
        self.convolutions = ("conv1",) if self.first else ("conv0", "conv1")
        self.register_buffer("resample_filter", resample_filter())

    def forward(
        self,
        x: Tensor | None,
        rgb: Tensor | None,
        styles: list[Tensor],
        options: SynthesisOptions,
        generator: torch.Generator | None,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor | None]:
        """The block before's features and RGB -> this block's; `styles` are one a convolution and one for RGB."""
        if x is None:
            x = self.const.to(dtype).expand(len(styles[0]), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        skip = self.skip(x) if self.resnet else None
        for name, style in zip(self.convolutions, styles[:-1], strict=True):
            x = self.get_submodule(name)(x, style, options, generator)
        if skip is not None:
            x = x + skip
        if rgb is not None:
            rgb = upsample(rgb)
        if self.has_rgb:
            y = self.torgb(x, styles[-1])
            rgb = y if rgb is None else rgb + y
        return x, rgb


class Synthesis(nn.Module):
    """Styles to pictures: blocks `b4`, `b8`, ... in order.

    Every convolution takes the next style; a ToRGB shares that of the next block's first convolution, and the last has
    its own.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.blocks: list[str] = []
        inputs: int | None = None
        for resolution, channels in zip(config.resolutions, config.channels, strict=True):
            self.blocks.append(f"b{resolution}")
            self.add_module(self.blocks[-1], Block(inputs, channels, resolution, config))
            inputs = channels
        self.num_ws = 2 * len(self.blocks)  # one convolution in the first block, two in each other, and the last RGB

    def forward(
        self,
        ws: Tensor,
        options: SynthesisOptions = DEFAULT_OPTIONS,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """[N, W] or per-layer [N, num_ws, W] -> pictures [N, 3, H, W], about [-1, 1], unclamped.

        `dtype` is the type of the convolutions; RGB is summed in that of the parameters. A file without `conv_clamp`
        may overflow float16.
        """
        generator = noise_source(options, generator)
        styles = styles_by_layer(ws, self.num_ws)
        x: Tensor | None = None
        rgb: Tensor | None = None
        index = 0
        for name in self.blocks:
            block = self.get_submodule(name)
            assert isinstance(block, Block)
            count = len(block.convolutions)
            x, rgb = block(x, rgb, styles[index : index + count + 1], options, generator, dtype)
            index += count
        assert rgb is not None
        return rgb


class Generator(MappedGenerator):
    """Latents, and classes if it has them, to pictures; a `core.models.family.Generator`."""

    has_noise: bool
    has_transform = False

    def __init__(self, config: Config) -> None:
        mapping = Mapping(
            z_dim=config.z_dim,
            c_dim=config.c_dim,
            w_dim=config.w_dim,
            layers=config.mapping_layers,
            hidden=config.mapping_features,
            embed=config.embed_features,
            lr_multiplier=config.mapping_lr_multiplier,
        )
        synthesis = Synthesis(config)
        super().__init__(mapping, synthesis, synthesis.num_ws)
        self.config = config
        self.has_noise = config.use_noise

    @property
    def output_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.config.pixels(self.config.resolution)

    @property
    def layers(self) -> tuple[LayerInfo, ...]:
        """Convolutions and ToRGBs in order."""
        found: list[LayerInfo] = []
        style = 0
        for resolution, channels in zip(self.config.resolutions, self.config.channels, strict=True):
            size, name = self.config.pixels(resolution), f"synthesis.b{resolution}"
            block = self.get_submodule(name)
            assert isinstance(block, Block)
            for convolution in block.convolutions:
                found.append(LayerInfo(f"{name}.{convolution}", size, channels, style))
                style += 1
            if block.has_rgb:
                found.append(LayerInfo(f"{name}.torgb", size, self.config.img_channels, style))
        return tuple(found)
