"""The R3GAN generator (Huang et al. 2024, "The GAN is dead; long live the GAN!", arXiv 2501.05441, configuration E).

Plain grouped residual blocks: no mapping, no styles, no noise, no normalisation. Read top to bottom: configuration,
activation, blocks, resampling, stages, synthesis, generator. The discriminator, made of the same blocks, stands in
`training.discriminators.r3gan`. Shape letters: N batch, Z latent, C channels, I O in and out, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.model_info import Conditioning, LayerInfo
from core.models.family import require_integer, require_latents
from core.models.layers import drawn, styles_by_layer, truncated_styles
from core.request import DEFAULT_OPTIONS, NoiseMode, SynthesisOptions

EXPANSION = 2
SLOPE = 0.2
# Standard deviation of leaky ReLU's output for a standard normal input is 1 / GAIN.
GAIN = (2 / (1 + SLOPE**2)) ** 0.5
KERNEL = (1.0, 3.0, 3.0, 1.0)
"""[1, 2, 1] * [1, 1]: each doubling or halving of the size passes this low-pass filter."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of one generator. Raises `ValueError` for a shape that cannot be built."""

    channels: tuple[int, ...] = (768, 768, 768, 768)
    """Of the stages at 4, 8, 16, ... pixels; the last one's size is the picture's."""
    groups: tuple[int, ...] = (96, 96, 96, 96)
    """Groups of each stage's 3 x 3 convolutions; a divisor of twice its channels."""
    blocks: int = 2
    """Residual blocks a stage."""
    z_dim: int = 64
    c_dim: int = 0
    """Number of classes; 0 is unconditional."""
    embed_dim: int = 64
    """Numbers that a class becomes beside z. Not read without classes."""

    def __post_init__(self) -> None:
        for name in ("channels", "groups"):
            value: object = getattr(self, name)
            if isinstance(value, list):  # from JSON
                object.__setattr__(self, name, tuple(value))
        for name, low, high in (("blocks", 1, 16), ("z_dim", 1, 8192), ("c_dim", 0, 2**20), ("embed_dim", 1, 8192)):
            require_integer(name, getattr(self, name), low, high)
        if not isinstance(self.channels, tuple) or not 1 <= len(self.channels) <= 9:
            raise ValueError(f"channels: expected 1 to 9 numbers, got {self.channels!r}")
        if not isinstance(self.groups, tuple) or len(self.groups) != len(self.channels):
            raise ValueError(f"groups: expected {len(self.channels)} numbers, got {self.groups!r}")
        for channels, groups in zip(self.channels, self.groups, strict=True):
            require_integer("channels", channels, 1, 8192)
            require_integer("groups", groups, 1, 8192)
            if EXPANSION * channels % groups:
                raise ValueError(f"groups: expected a divisor of {EXPANSION * channels}, got {groups}")

    @property
    def resolution(self) -> int:
        """Side of the picture in pixels."""
        return 4 << (len(self.channels) - 1)


class BiasedActivation(nn.Module):
    """Leaky ReLU of x plus a bias for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]."""
        return F.leaky_relu(x + self.bias.to(x.dtype)[:, None, None], SLOPE)


class Convolution(nn.Module):
    """A convolution without bias, whose weights are cast to the type of what comes in."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, groups: int = 1, gain: float = 1.0) -> None:
        """Weights from N(0, gain^2 / fan in); `gain` 0 gives zeros."""
        super().__init__()
        fan_in = inputs // groups * kernel**2
        self.weight = nn.Parameter(drawn(outputs, inputs // groups, kernel, kernel, std=gain / fan_in**0.5))
        self.groups = groups
        self.padding = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] -> [N, O, H, W]."""
        return F.conv2d(x, self.weight.to(x.dtype), padding=self.padding, groups=self.groups)


class Dense(nn.Module):
    """A linear layer without bias."""

    def __init__(self, inputs: int, outputs: int, *, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(outputs, inputs, std=gain / inputs**0.5))

    def forward(self, x: Tensor) -> Tensor:
        """[N, I] -> [N, O]."""
        return F.linear(x, self.weight.to(x.dtype))


class ResidualBlock(nn.Module):
    """x + W3 act(W2 act(W1 x)): 1 x 1, grouped 3 x 3 and 1 x 1 convolutions around a bottleneck turned inside out."""

    def __init__(self, channels: int, groups: int, *, network_blocks: int) -> None:
        """`network_blocks`: residual blocks in the whole network, which the initial scale goes by (Fixup)."""
        super().__init__()
        expanded = EXPANSION * channels
        # network_blocks ** (-1 / (2 m - 2)) for the m = 3 convolutions of a branch, whose last one begins at zero.
        gain = GAIN * network_blocks**-0.25
        self.conv1 = Convolution(channels, expanded, 1, gain=gain)
        self.conv2 = Convolution(expanded, expanded, 3, groups=groups, gain=gain)
        self.conv3 = Convolution(expanded, channels, 1, gain=0.0)
        self.act1 = BiasedActivation(expanded)
        self.act2 = BiasedActivation(expanded)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]."""
        y: Tensor = self.conv3(self.act2(self.conv2(self.act1(self.conv1(x)))))
        return x + y


def _kernel(x: Tensor, gain: float) -> Tensor:
    """The low-pass filter for each channel of x, [C, 1, 4, 4], of sum `gain`."""
    row = torch.tensor(KERNEL, dtype=x.dtype, device=x.device)
    return (row[:, None] * row * (gain / sum(KERNEL) ** 2)).expand(x.shape[1], 1, 4, 4)


def upsample(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, 2H, 2W], smoothed; what lies outside is 0, so edges darken."""
    return F.conv_transpose2d(x, _kernel(x, 4.0), stride=2, padding=1, groups=x.shape[1])


def downsample(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, H / 2, W / 2], smoothed first; what lies outside is 0."""
    return F.conv2d(x, _kernel(x, 1.0), stride=2, padding=1, groups=x.shape[1])


class Upsample(nn.Module):
    """To another number of channels, where it differs, and then to twice the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = Convolution(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] -> [N, O, 2H, 2W]."""
        return upsample(x if self.conv is None else self.conv(x))


class GenerativeBasis(nn.Module):
    """4 x 4 pixels that are learnt, each channel times a number worked out from the latent."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(drawn(channels, 4, 4))
        self.dense = Dense(inputs, channels)

    def forward(self, v_NZ: Tensor) -> Tensor:
        """[N, Z] -> [N, C, 4, 4]."""
        scale_NC: Tensor = self.dense(v_NZ)
        return self.basis.to(v_NZ.dtype) * scale_NC[:, :, None, None]


class Stage(nn.Module):
    """One size: the way up from the size before, or the basis, and residual blocks."""

    def __init__(self, first: nn.Module, channels: int, groups: int, config: Config) -> None:
        super().__init__()
        self.first = first
        network_blocks = config.blocks * len(config.channels)
        self.blocks = nn.ModuleList(
            ResidualBlock(channels, groups, network_blocks=network_blocks) for _ in range(config.blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """What `first` takes -> [N, C, H, W]."""
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return x


class Synthesis(nn.Module):
    """The whole picture from z, joined by the embedded class where there are classes."""

    num_ws = 1

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.width = config.z_dim + (config.embed_dim if config.c_dim else 0)
        stages = []
        before = 0
        for index, (channels, groups) in enumerate(zip(config.channels, config.groups, strict=True)):
            first = Upsample(before, channels) if index else GenerativeBasis(self.width, channels)
            stages.append(Stage(first, channels, groups, config))
            before = channels
        self.stages = nn.ModuleList(stages)
        self.to_rgb = Convolution(before, 3, 1)

    def forward(
        self,
        ws: Tensor,
        options: SynthesisOptions = DEFAULT_OPTIONS,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """[N, W] or [N, 1, W] as `Generator.map` gives it -> pictures [N, 3, H, W], about [-1, 1], unclamped.

        There is no noise and nothing that could be moved, so of the options none matters. `dtype` is the type of the
        stages from 8 pixels on; pictures come in that of the parameters.
        """
        (w,) = styles_by_layer(ws, 1)
        if w.ndim != 2 or w.shape[1] != self.width:
            raise ValueError(f"w: expected [N, {self.width}], got {list(w.shape)}")
        x = self.stages[0](w)
        for stage in self.stages[1:]:
            x = stage(x if w.dtype == torch.float64 else x.to(dtype))
        rgb: Tensor = self.to_rgb(x)
        return rgb.to(w.dtype)


class Generator(nn.Module):
    """Latents, and classes if it has them, to pictures; a `core.models.family.Generator`.

    w is z itself, joined by the embedded class. The paper knows no truncation: here it takes z towards 0, the mean of
    all z, and leaves the class as it is.
    """

    has_noise = False
    has_transform = False
    num_ws = 1

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.synthesis = Synthesis(config)
        self.embed = Dense(config.c_dim, config.embed_dim) if config.c_dim else None

    @property
    def conditioning(self) -> Conditioning:
        return "class" if self.config.c_dim else "none"

    @property
    def z_dim(self) -> int:
        return self.config.z_dim

    @property
    def c_dim(self) -> int:
        return self.config.c_dim

    @property
    def w_dim(self) -> int:
        return self.synthesis.width

    @property
    def output_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.config.resolution, self.config.resolution

    @property
    def layers(self) -> tuple[LayerInfo, ...]:
        """The basis or the way up, then the blocks, of each stage, and RGB; all take the one style there is."""
        found = []
        for index, channels in enumerate(self.config.channels):
            size = (4 << index, 4 << index)
            names = ["first", *(f"blocks.{block}" for block in range(self.config.blocks))]
            found += [LayerInfo(f"synthesis.stages.{index}.{name}", size, channels, 0) for name in names]
        return (*found, LayerInfo("synthesis.to_rgb", self.output_size, 3, 0))

    def map(self, z_NZ: Tensor, c_NC: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """[N, 1, Z], or [N, 1, Z + E] with classes: z times `psi` unless `cutoff` is 0, and the embedded class.
        `c_NC`: class weights.
        """
        require_latents(z_NZ, self.z_dim, c_NC, self.c_dim)
        ws = truncated_styles(z_NZ, torch.zeros_like(z_NZ[:1]), 1, psi, cutoff)
        if self.embed is None or c_NC is None:
            return ws
        return torch.cat([ws, self.embed(c_NC.to(ws.dtype))[:, None]], dim=2)

    def style(self, layer: LayerInfo, w_NW: Tensor) -> Tensor | None:
        """None: no layer has a style."""
        return None

    def forward(self, z_NZ: Tensor, c_NC: Tensor | None = None, psi: float = 1.0, noise: NoiseMode = "const") -> Tensor:
        """[N, Z] and the class weights [N, C] or None -> pictures [N, 3, H, W]."""
        rgb: Tensor = self.synthesis(self.map(z_NZ, c_NC, psi))
        return rgb
