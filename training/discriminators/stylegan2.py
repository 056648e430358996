"""The discriminator of StyleGAN2, ADA and StyleGAN3 (Karras et al. 2020, arXiv 1912.04958, section 4.1; arXiv
2006.06676): residual, skip or plain blocks down to 4 pixels, minibatch standard deviation, and label projection.

Read top to bottom: shape, convolution, block, epilogue, discriminator. Names in the state dict are those of published
files. Shape letters: N batch, I O C channels, H W pixels, L classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.family import BlockShape, require_integer, require_number
from core.models.layers import Dense, Mapping, bias_activation, binomial_filter, drawn

Architecture = Literal["resnet", "skip", "orig"]
MAPPING_LAYERS = 8
"""Of the label's embedding, however many the generator's mapping has."""


@dataclass(frozen=True, kw_only=True)
class Config(BlockShape):
    """The shape of one discriminator. Raises `ValueError` for a shape that cannot be built."""

    img_channels: int = 3
    c_dim: int = 0
    """Number of classes; 0 is unconditional."""
    architecture: Architecture = "resnet"
    stddev_group: int = 4
    """Pictures that one standard deviation is worked out over, at most; they divide the batch."""
    conv_clamp: float | None = None
    """Bound of every convolution's output before the branch's gain; None is no bound."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_integer("img_channels", self.img_channels, 1, 64)
        require_integer("c_dim", self.c_dim, 0, 2**20)
        require_integer("stddev_group", self.stddev_group, 1, 4096)
        if self.conv_clamp is not None:
            require_number("conv_clamp", self.conv_clamp, 0, 1e6)
        if self.architecture not in get_args(Architecture):
            known = ", ".join(get_args(Architecture))
            raise ValueError(f"architecture: expected one of {known}, got {self.architecture!r}")


def smoothed(x: Tensor, padding: int) -> Tensor:
    """[N, C, H, W] -> [N, C, H + 2 p - 3, W + 2 p - 3]: the binomial filter at unit sum, zeros outside."""
    channels = x.shape[1]
    return F.conv2d(x, binomial_filter(channels, x) / 4, padding=padding, groups=channels)


def halved(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, H / 2, W / 2], smoothed first."""
    return smoothed(x, 1)[:, :, ::2, ::2]


class Convolution(nn.Module):
    """A convolution with an equalised learning rate; with `down`, smoothed and to half the size."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        down: bool = False,
        linear: bool = False,
        gain: float = 1.0,
        clamp: float | None = None,
    ) -> None:
        """`linear`: neither bias nor activation. `gain` multiplies what comes out, and with it the bound `clamp`."""
        super().__init__()
        self.weight = nn.Parameter(drawn(outputs, inputs, kernel, kernel))
        self.bias = None if linear else nn.Parameter(torch.zeros(outputs))
        self.weight_gain = 1 / math.sqrt(inputs * kernel**2)
        self.down, self.gain = down, gain
        self.clamp = None if clamp is None else clamp * gain

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] -> [N, O, H, W] ([N, O, H / 2, W / 2] with `down`) in the type of `x`."""
        kernel = self.weight.shape[-1]
        # A linear layer's gain goes with its weights.
        scale = self.weight_gain * (self.gain if self.bias is None else 1.0)
        weight = (self.weight * scale).to(x.dtype)
        if not self.down:
            y = F.conv2d(x, weight, padding=kernel // 2)
        elif kernel == 1:
            y = F.conv2d(halved(x), weight)
        else:
            y = F.conv2d(smoothed(x, 2), weight, stride=2)
        if self.bias is None:
            return y
        return bias_activation(y, self.bias, gain=self.gain * math.sqrt(2), clamp=self.clamp)


class Block(nn.Module):
    """One size: RGB where it comes in, two convolutions, half the size."""

    def __init__(self, channels: int, outputs: int, config: Config, *, first: bool) -> None:
        super().__init__()
        clamp = config.conv_clamp
        self.takes_rgb = first or config.architecture == "skip"
        self.keeps_rgb = config.architecture == "skip"
        if self.takes_rgb:
            self.fromrgb = Convolution(config.img_channels, channels, 1, clamp=clamp)
        # Two summed branches of unit variance: each times sqrt 1/2.
        gain = math.sqrt(0.5) if config.architecture == "resnet" else 1.0
        self.conv0 = Convolution(channels, channels, 3, clamp=clamp)
        self.conv1 = Convolution(channels, outputs, 3, down=True, gain=gain, clamp=clamp)
        if config.architecture == "resnet":
            self.skip = Convolution(channels, outputs, 1, down=True, linear=True, gain=gain)

    def forward(self, x: Tensor | None, rgb: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The features and the picture at this size -> those at half the size; the picture where the next wants it."""
        if self.takes_rgb:
            assert rgb is not None
            y = self.fromrgb(rgb)
            x = y if x is None else x + y
            rgb = halved(rgb) if self.keeps_rgb else None
        assert x is not None
        skip = self.skip(x) if hasattr(self, "skip") else None
        x = self.conv1(self.conv0(x))
        return x if skip is None else x + skip, rgb


def minibatch_stddev(x: Tensor, group: int) -> Tensor:
    """[N, C, H, W] -> [N, C + 1, H, W]: one more channel that says how much pictures differ (Karras et al. 2018,
    arXiv 1710.10196, section 3), the same for every N / g-th of the batch.

    Raises `ValueError` when `group`, or N where that is smaller, does not divide the batch.
    """
    n, channels, height, width = x.shape
    size = min(group, n)
    if n % size:
        raise ValueError(f"minibatch standard deviation: expected a multiple of {size} pictures, got {n}")
    # Worked out in float32: squares of float16 overflow.
    y = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    y = y.reshape(size, n // size, channels, height, width)
    deviation = ((y - y.mean(dim=0)).square().mean(dim=0) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    column = deviation.to(x.dtype).repeat(size)[:, None, None, None].expand(n, 1, height, width)
    return torch.cat([x, column], dim=1)


class Epilogue(nn.Module):
    """4 x 4 features to one logit, or to as many numbers as the label's embedding has."""

    def __init__(self, channels: int, outputs: int, config: Config) -> None:
        super().__init__()
        self.group = config.stddev_group
        if config.architecture == "skip":
            self.fromrgb = Convolution(config.img_channels, channels, 1)
        self.conv = Convolution(channels + 1, channels, 3, clamp=config.conv_clamp)
        self.fc = Dense(channels * 16, channels)
        self.out = Dense(channels, outputs)

    def forward(self, x: Tensor, rgb: Tensor | None) -> Tensor:
        """[N, C, 4, 4] -> [N, O]."""
        if rgb is not None:
            x = x + self.fromrgb(rgb)
        x = self.conv(minibatch_stddev(x, self.group))
        x = F.leaky_relu(self.fc(x.flatten(1)), 0.2) * math.sqrt(2)
        scores: Tensor = self.out(x)
        return scores


class Discriminator(nn.Module):
    """Pictures, and classes if it has them, to one logit each."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        channels = dict(zip(config.resolutions, config.channels, strict=True))
        self.block_sizes = config.resolutions[:0:-1]
        for size in self.block_sizes:
            first = size == config.resolution
            self.add_module(f"b{size}", Block(channels[size], channels[size // 2], config, first=first))
        width = channels[4] if config.c_dim else 0
        if width:
            self.mapping = Mapping(z_dim=0, c_dim=config.c_dim, w_dim=width, layers=MAPPING_LAYERS)
            del self.mapping.w_avg
        self.b4 = Epilogue(channels[4], width or 1, config)

    def forward(self, x_NCHW: Tensor, c_NL: Tensor | None = None, *, dtype: torch.dtype = torch.float32) -> Tensor:
        """Pictures in about [-1, 1] and class weights [N, L] -> logits [N] in the type of the parameters.

        `dtype` is the type of the four highest sizes from 8 pixels on. Raises `ValueError` where classes are missing or
        not wanted, and for a batch that `stddev_group` does not divide.
        """
        weights = self.b4.out.weight.dtype
        if (c_NL is not None) != bool(self.config.c_dim):
            wanted = f"[N, {self.config.c_dim}]" if self.config.c_dim else "none"
            raise ValueError(f"label: expected {wanted}, got {'none' if c_NL is None else list(c_NL.shape)}")
        x: Tensor | None = None
        rgb: Tensor | None = x_NCHW
        for size in self.block_sizes:
            low = size >= max(self.config.resolution // 8, 8) and dtype in (torch.float16, torch.bfloat16)
            kind = dtype if low else weights
            x = None if x is None else x.to(kind)
            x, rgb = self.get_submodule(f"b{size}")(x, None if rgb is None else rgb.to(kind))
        if x is None:  # pictures of 4 pixels have the epilogue alone
            raise ValueError(f"resolution: expected pictures of 8 pixels or more, got {self.config.resolution}")
        scores_NO: Tensor = self.b4(x.to(weights), None if rgb is None else rgb.to(weights))
        if c_NL is None:
            return scores_NO[:, 0]
        embedded: Tensor = self.mapping(x_NCHW.new_zeros(len(x_NCHW), 0, dtype=weights), c_NL.to(weights))
        return (scores_NO * embedded).sum(dim=1) / math.sqrt(embedded.shape[1])

    def freezable_layers(self) -> tuple[nn.Module, ...]:
        """The layers in the order in which FreezeD (Mo et al. 2020, arXiv 2002.10964) stops the first few."""
        return tuple(
            layer
            for size in self.block_sizes
            for name in ("fromrgb", "conv0", "conv1", "skip")
            if (layer := getattr(self.get_submodule(f"b{size}"), name, None)) is not None
        )
