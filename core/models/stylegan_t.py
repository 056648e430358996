"""The StyleGAN-T generator (Sauer et al. 2023, "StyleGAN-T: Unlocking the Power of GANs for Fast Large-Scale Text-to-
Image Synthesis").

Read top to bottom: configuration, mapping, Fourier input, convolutions, block, generator. Shape letters: N batch, Z
latent, F mapped latent, T text, W = F + T, C/I/O channels, H W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.family import Conditioning, LayerInfo
from core.models.layers import (
    CLAMP,
    Dense,
    bias_activation,
    fourier_features,
    input_transform,
    modulated_conv2d,
    noise_source,
    normalise_second_moment,
    random_frequencies,
    spatial_noise,
    styles_by_layer,
    truncated_styles,
    upsample,
)
from core.request import DEFAULT_OPTIONS, SynthesisOptions

INPUT_RESOLUTION = 8
INPUT_BANDWIDTH = 2.0
AVERAGE_DECAY = 0.995
LAYER_SCALE_START = 1e-5


@dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of one generator. Raises `ValueError` for a shape that cannot be built."""

    resolution: int = 64
    """Side of the square picture in pixels: a power of two, 8 to 2048."""
    text_dim: int = 768
    """Width of the text embedding (768 for CLIP ViT-L/14)."""
    z_dim: int = 64
    base_channels: int = 32768
    """A block at resolution R has min(base_channels // R, max_channels) channels."""
    max_channels: int = 512
    convs_per_block: int = 2
    """How many pairs of a plain and a residual convolution a block has (N in the paper's appendix)."""
    norm_groups: int = 32
    """Groups of the GroupNorm before each residual convolution; must divide every block's channels."""

    def __post_init__(self) -> None:
        for name, high in (
            ("text_dim", 8192),
            ("z_dim", 4096),
            ("base_channels", 2**22),
            ("max_channels", 8192),
            ("convs_per_block", 16),
            ("norm_groups", 1024),
        ):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= high:
                raise ValueError(f"{name}: expected an integer from 1 to {high}, got {value!r}")
        if type(self.resolution) is not int or self.resolution not in (8, 16, 32, 64, 128, 256, 512, 1024, 2048):
            raise ValueError(f"resolution: expected a power of two from 8 to 2048, got {self.resolution!r}")
        for resolution in self.resolutions:
            if self.channels(resolution) < 1 or self.channels(resolution) % self.norm_groups:
                raise ValueError(
                    f"norm_groups: expected a divisor of the {self.channels(resolution)} channels at "
                    f"{resolution} px, got {self.norm_groups}"
                )

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Block resolutions, 8 first."""
        steps = int(math.log2(self.resolution // INPUT_RESOLUTION))
        return tuple(INPUT_RESOLUTION << step for step in range(steps + 1))

    @property
    def w_dim(self) -> int:
        return self.z_dim + self.text_dim

    def channels(self, resolution: int) -> int:
        """Channels of the block at `resolution`."""
        return min(self.base_channels // resolution, self.max_channels)


class Mapping(nn.Module):
    """z -> f: two equalised layers with a learning-rate multiplier of 0.01, and a moving average of the output."""

    f_avg: Tensor

    def __init__(self, z_dim: int) -> None:
        super().__init__()
        self.hidden = Dense(z_dim, z_dim, lr_multiplier=0.01)
        self.out = Dense(z_dim, z_dim, lr_multiplier=0.01)
        self.register_buffer("f_avg", torch.zeros(z_dim))

    def forward(self, z_NZ: Tensor) -> Tensor:
        h = F.leaky_relu(self.hidden(normalise_second_moment(z_NZ)), 0.2) * math.sqrt(2)
        out: Tensor = self.out(h)
        return out

    @torch.no_grad()
    def update_average(self, f_NF: Tensor) -> None:
        """Move `f_avg` towards the batch mean; the trainer calls it once per generator step."""
        self.f_avg.lerp_(f_NF.mean(dim=0).to(self.f_avg.dtype), 1 - AVERAGE_DECAY)

    def truncate(self, f_NF: Tensor, psi: float | Tensor) -> Tensor:
        """f_avg + psi (f - f_avg): only the latent part moves, so the mean is per prompt and prompts stay exact."""
        return self.f_avg + psi * (f_NF - self.f_avg)


class FourierInput(nn.Module):
    """C random Fourier features at 8 x 8, moved and turned by w and by the user (StyleGAN3, section 3, appendix F)."""

    frequencies: Tensor
    phases: Tensor

    def __init__(self, channels: int, w_dim: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", random_frequencies(channels, INPUT_BANDWIDTH))
        self.register_buffer("phases", torch.rand(channels) - 0.5)
        self.affine = Dense(w_dim, 4, bias=[1.0, 0.0, 0.0, 0.0], weight_std=0.0)
        self.weight = nn.Parameter(torch.randn(channels, channels))

    def forward(self, w_NW: Tensor, transform: Tensor | None = None) -> Tensor:
        """[N, W] -> [N, C, 8, 8]; `transform` is [3, 3] or [N, 3, 3] and acts on the input's coordinates."""
        features = fourier_features(
            self.frequencies,
            self.phases,
            self.affine(w_NW),
            transform,
            size=(INPUT_RESOLUTION, INPUT_RESOLUTION),
            rate=INPUT_RESOLUTION,
            bandwidth=INPUT_BANDWIDTH,
        )
        return F.conv2d(features, (self.weight / math.sqrt(self.weight.shape[1]))[:, :, None, None])


class Style(Dense):
    """w -> s1 * s2 + s3: the paper's second-order styles (section 3.1); all biases start at one."""

    def __init__(self, w_dim: int, channels: int) -> None:
        super().__init__(w_dim, 3 * channels, bias=1.0)

    def forward(self, w_NW: Tensor) -> Tensor:
        """[N, W] -> [N, C]."""
        s1, s2, s3 = super().forward(w_NW).chunk(3, dim=1)
        return torch.addcmul(s3, s1, s2)


class Convolution(nn.Module):
    """Style-modulated 3 x 3 convolution with noise, bias and leaky ReLU; with `up`, to twice the resolution.

    `resolution` is that of the output. The gain is sqrt 2 for the up-convolution and 1 inside blocks.
    """

    noise_const: Tensor

    def __init__(self, inputs: int, outputs: int, w_dim: int, resolution: int, *, up: bool = False) -> None:
        super().__init__()
        self.up = up
        self.gain = math.sqrt(2) if up else 1.0
        self.style = Style(w_dim, inputs)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def noise(self, batch: int, options: SynthesisOptions, generator: torch.Generator | None) -> Tensor | None:
        """[H, W] or [N, 1, H, W] to add, or None."""
        return spatial_noise(self.noise_const, self.noise_strength, batch, options, generator)

    def forward(
        self,
        x: Tensor,
        w_NW: Tensor,
        options: SynthesisOptions = DEFAULT_OPTIONS,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """[N, I, H, W] -> [N, O, H, W] ([N, O, 2H, 2W] with `up`)."""
        y = modulated_conv2d(x, self.weight, self.style(w_NW), up=self.up)
        field = self.noise(len(x), options, generator)
        if field is not None:
            y = y.add_(field.to(y.dtype))
        # The clamp is at +-256 outside blocks and +-256 sqrt 1/2 inside them.
        return bias_activation(y, self.bias, gain=self.gain, clamp=CLAMP if self.up else CLAMP * math.sqrt(0.5))


class ResidualConvolution(nn.Module):
    """GroupNorm, then sqrt 2 (h + gamma * conv(h)), gamma per channel and close to zero at the start (LayerScale).

    The skip carries the normalised h, as weights trained by the authors expect; the paper's figure draws it before the
    norm.
    """

    def __init__(self, channels: int, w_dim: int, resolution: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)
        self.conv = Convolution(channels, channels, w_dim, resolution)
        self.gamma = nn.Parameter(torch.full((channels,), LAYER_SCALE_START))

    def forward(
        self,
        x: Tensor,
        w_NW: Tensor,
        options: SynthesisOptions = DEFAULT_OPTIONS,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]."""
        h = self.norm(x.to(self.norm.weight.dtype)).to(x.dtype)  # in half precision the weights are float32
        y = self.conv(h, w_NW, options, generator)
        root = math.sqrt(2)
        return torch.addcmul(h * root, y, (self.gamma * root).to(x.dtype)[:, None, None])


class ToRGB(nn.Module):
    """Modulated 1 x 1 convolution to three channels, without demodulation."""

    def __init__(self, channels: int, w_dim: int) -> None:
        super().__init__()
        self.style = Style(w_dim, channels)
        self.weight = nn.Parameter(torch.randn(3, channels, 1, 1) * 0.1)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w_NW: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, 3, H, W] in float32."""
        style = self.style(w_NW) / math.sqrt(x.shape[1])
        y = modulated_conv2d(x, self.weight, style, demodulate=False)
        return (y.to(self.bias.dtype) + self.bias[:, None, None]).clamp(-CLAMP, CLAMP)


class Block(nn.Module):
    """One resolution: an up-convolution (absent in the first block), N pairs of plain and residual convolutions, and an
    RGB skip.
    """

    def __init__(self, inputs: int | None, channels: int, resolution: int, config: Config) -> None:
        super().__init__()
        w_dim = config.w_dim
        layers: list[Convolution | ResidualConvolution] = []
        if inputs is not None:
            layers.append(Convolution(inputs, channels, w_dim, resolution, up=True))
        for _ in range(config.convs_per_block):
            layers.append(Convolution(channels, channels, w_dim, resolution))
            layers.append(ResidualConvolution(channels, w_dim, resolution, config.norm_groups))
        self.layers = nn.ModuleList(layers)
        self.to_rgb = ToRGB(channels, w_dim)


class Generator(nn.Module):
    """Latents and text embeddings to pictures; a `core.models.family.Generator`.

    `num_ws` styles in order: the Fourier input, then each convolution; the ToRGB of a block shares the index of the
    next block's first convolution and the last ToRGB has its own.
    """

    conditioning: Conditioning = "text"
    has_noise = True
    has_transform = True

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(config.z_dim)
        self.input = FourierInput(config.channels(INPUT_RESOLUTION), config.w_dim)
        blocks: list[Block] = []
        inputs: int | None = None
        for resolution in config.resolutions:
            channels = config.channels(resolution)
            blocks.append(Block(inputs, channels, resolution, config))
            inputs = channels
        self.blocks = nn.ModuleList(blocks)
        self.num_ws = 2 + sum(len(block.layers) for block in blocks)

    @property
    def resolution(self) -> int:
        return self.config.resolution

    @property
    def z_dim(self) -> int:
        return self.config.z_dim

    @property
    def text_dim(self) -> int:
        return self.config.text_dim

    @property
    def c_dim(self) -> int:
        return self.config.text_dim

    @property
    def w_dim(self) -> int:
        return self.config.w_dim

    @property
    def output_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.config.resolution, self.config.resolution

    @property
    def layers(self) -> tuple[LayerInfo, ...]:
        side, style = INPUT_RESOLUTION, 1
        found = [LayerInfo("input", (side, side), self.config.channels(side), 0)]
        for index, (block, side) in enumerate(zip(self.blocks, self.config.resolutions, strict=True)):
            assert isinstance(block, Block)
            for place in range(len(block.layers)):
                name = f"blocks.{index}.layers.{place}"
                found.append(LayerInfo(name, (side, side), self.config.channels(side), style))
                style += 1
            found.append(LayerInfo(f"blocks.{index}.to_rgb", (side, side), 3, style))
        return tuple(found)

    @property
    def f_avg(self) -> Tensor:
        return self.mapping.f_avg

    def make_w(self, z_NZ: Tensor, c_NT: Tensor, psi: float | Tensor = 1.0) -> Tensor:
        """w = [f(z), c], [N, W]; `c_NT` is the L2-normalised text embedding, which truncation leaves alone."""
        return torch.cat([self.mapping.truncate(self.mapping(z_NZ), psi), c_NT], dim=1)

    def map(self, z_NZ: Tensor, c_NT: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """w for every layer, [N, num_ws, W], the first `cutoff` truncated (all if None)."""
        if c_NT is None:
            raise ValueError(f"text: expected embeddings [N, {self.text_dim}], got none")
        f_NLF = truncated_styles(self.mapping(z_NZ), self.f_avg, self.num_ws, psi, cutoff)
        return torch.cat([f_NLF, c_NT[:, None].expand(-1, self.num_ws, -1)], dim=2)

    def style(self, layer: LayerInfo, w_NW: Tensor) -> Tensor | None:
        """The style of a layer at w, [N, W] -> [N, S], second order; the input has none, w moves and turns it."""
        module = self.get_submodule(layer.name)
        if isinstance(module, ResidualConvolution):
            module = module.conv
        return module.style(w_NW) if isinstance(module, Convolution | ToRGB) else None

    def synthesis(
        self,
        w: Tensor,
        options: SynthesisOptions = DEFAULT_OPTIONS,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """[N, W] or per-layer [N, num_ws, W] -> pictures [N, 3, R, R] in float32, about [-1, 1], unclamped.

        `dtype` is the type of the convolutions; RGB skips are summed in float32.
        """
        generator = noise_source(options, generator)
        styles = styles_by_layer(w, self.num_ws)
        x = self.input(styles[0], input_transform(options, w)).to(dtype).contiguous(memory_format=torch.channels_last)
        rgb: Tensor | None = None
        index = 1
        for block in self.blocks:
            assert isinstance(block, Block)
            for layer in block.layers:
                x = layer(x, styles[index], options, generator)
                index += 1
            skip = block.to_rgb(x, styles[index])
            rgb = skip if rgb is None else upsample(rgb) + skip
        assert rgb is not None
        return rgb

    def forward(
        self, z_NZ: Tensor, c_NT: Tensor, psi: float = 1.0, options: SynthesisOptions = DEFAULT_OPTIONS
    ) -> Tensor:
        """[N, Z] and [N, T] -> pictures [N, 3, R, R]."""
        return self.synthesis(self.make_w(z_NZ, c_NT, psi), options)
