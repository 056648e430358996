"""The StyleGAN-T generator (Sauer et al. 2023, "StyleGAN-T: Unlocking the Power of GANs for Fast Large-Scale Text-to-
Image Synthesis").

Read top to bottom: configuration, mapping, joint style, input, convolutions, block, generator. Shape letters: N batch,
Z latent, F mapped latent, T text, W = F + T, S what styles are affine in, C/I/O channels, H W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.model_info import Conditioning, LayerInfo
from core.models.layers import (
    CLAMP,
    Dense,
    bias_activation,
    drawn,
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
CHOICE_SHARPNESS = 8.0


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
    choices: tuple[tuple[int, int], ...] = field(default=(), metadata={"added": True})
    """Blocks of z as (first, count), each a choice by its largest number, or with count 1 by its sign: styles see
    softmax(8 z) or tanh(8 z), so that a seed near a tie is not a blend. Needs `style_dim`."""
    style_dim: int = field(default=0, metadata={"added": True})
    """0: z is mapped by itself and styles are affine in w, as in the paper. Else f is z, and two fully connected layers
    take w to this many numbers, in which latent and text act together; styles are affine in these and z."""
    input_maps: int = field(default=0, metadata={"added": True})
    """Beside the Fourier features, so many maps at 8 x 8 that are linear in the style and move with the features."""

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
        for name in ("style_dim", "input_maps"):
            if type(getattr(self, name)) is not int or not 0 <= getattr(self, name) <= 8192:
                raise ValueError(f"{name}: expected an integer from 0 to 8192, got {getattr(self, name)!r}")
        object.__setattr__(self, "choices", _checked_choices(self.choices, self.z_dim))
        if self.choices and not self.style_dim:
            raise ValueError("choices: need a style_dim above 0, got 0")
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

    @property
    def style_width(self) -> int:
        """How many numbers the styles are affine in."""
        return self.style_dim + self.z_dim if self.style_dim else self.w_dim

    def channels(self, resolution: int) -> int:
        """Channels of the block at `resolution`."""
        return min(self.base_channels // resolution, self.max_channels)


def _checked_choices(choices: object, z_dim: int) -> tuple[tuple[int, int], ...]:
    """Blocks of z as a tuple of pairs, lists from a file included. Raises `ValueError`."""
    expected = f"choices: expected pairs (first, count) of different numbers of the {z_dim} of z, got {choices!r}"
    if not isinstance(choices, tuple | list):
        raise ValueError(expected)
    pairs: list[tuple[int, int]] = []
    free = 0
    for pair in choices:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(type(number) is int for number in pair):
            raise ValueError(expected)
        first, count = pair
        if first < free or count < 1 or first + count > z_dim:
            raise ValueError(f"{expected}, in order")
        free = first + count
        pairs.append((first, count))
    return tuple(pairs)


class Mapping(nn.Module):
    """z -> f: two equalised layers with a learning-rate multiplier of 0.01, and a moving average of the output.

    With `identity` f is z, whose average is 0.
    """

    f_avg: Tensor

    def __init__(self, z_dim: int, *, identity: bool = False) -> None:
        super().__init__()
        self.identity = identity
        if not identity:
            self.hidden = Dense(z_dim, z_dim, lr_multiplier=0.01)
            self.out = Dense(z_dim, z_dim, lr_multiplier=0.01)
        self.register_buffer("f_avg", torch.zeros(z_dim))

    def forward(self, z_NZ: Tensor) -> Tensor:
        if self.identity:
            return z_NZ
        h = F.leaky_relu(self.hidden(normalise_second_moment(z_NZ)), 0.2) * math.sqrt(2)
        out: Tensor = self.out(h)
        return out

    @torch.no_grad()
    def update_average(self, f_NF: Tensor) -> None:
        """Move `f_avg` towards the batch mean; the trainer calls it once per generator step."""
        if not self.identity:
            self.f_avg.lerp_(f_NF.mean(dim=0).to(self.f_avg.dtype), 1 - AVERAGE_DECAY)

    def truncate(self, f_NF: Tensor, psi: float | Tensor) -> Tensor:
        """f_avg + psi (f - f_avg): only the latent part moves, so the mean is per prompt and prompts stay exact."""
        return self.f_avg + psi * (f_NF - self.f_avg)


class JointStyle(nn.Module):
    """w = [z, c] -> what styles are affine in, [N, S]: the output of two fully connected layers, and z.

    What z says by single numbers, such as a place, styles and the input's pose can take from it at once.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.z_dim, self.choices = config.z_dim, config.choices
        self.z_gain = math.sqrt(config.text_dim / config.z_dim)
        self.hidden = Dense(config.w_dim, config.style_dim)
        self.out = Dense(config.style_dim, config.style_dim)

    def forward(self, w_NW: Tensor) -> Tensor:
        """[N, W] -> [N, S]. The text embedding is brought to a mean square of one, whatever its encoder gives, and z
        has as much power as the text."""
        z, c = w_NW[:, : self.z_dim], normalise_second_moment(w_NW[:, self.z_dim :])
        for first, count in self.choices:
            z = torch.cat([z[:, :first], sharpened(z[:, first : first + count]), z[:, first + count :]], dim=1)
        h = F.leaky_relu(self.hidden(torch.cat([z * self.z_gain, c], dim=1)), 0.2) * math.sqrt(2)
        return torch.cat([F.leaky_relu(self.out(h), 0.2) * math.sqrt(2), z], dim=1)


def sharpened(z_NK: Tensor) -> Tensor:
    """A choice among K: softmax(8 z), nearly one-hot, at mean 0 and variance 1; tanh(8 z) for a sign."""
    count = z_NK.shape[1]
    if count == 1:
        return torch.tanh(CHOICE_SHARPNESS * z_NK)
    return (torch.softmax(CHOICE_SHARPNESS * z_NK, dim=1) * count - 1) / math.sqrt(count - 1)


class InputMaps(nn.Module):
    """M maps at 8 x 8 that are linear in the style, turned, scaled and moved by it and by the user."""

    def __init__(self, maps: int, channels: int, style_width: int) -> None:
        super().__init__()
        self.maps = maps
        self.dense = Dense(style_width, maps * INPUT_RESOLUTION**2)
        self.affine = Dense(style_width, 4, bias=[1.0, 0.0, 0.0, 0.0], weight_std=0.0)
        self.weight = nn.Parameter(drawn(channels, maps))

    def forward(self, style_NS: Tensor, transform: Tensor | None = None) -> Tensor:
        """[N, S] -> [N, C, 8, 8]."""
        side = INPUT_RESOLUTION
        maps = self.dense(style_NS).view(-1, self.maps, side, side)
        a, b, x, y = self.affine(style_NS).unbind(dim=1)
        zero, one = torch.zeros_like(a), torch.ones_like(a)
        matrix = torch.stack([a, -b, x, b, a, y, zero, zero, one], dim=1).view(-1, 3, 3)
        if transform is not None:
            matrix = matrix @ _in_halves(transform.to(matrix))
        grid = F.affine_grid(matrix[:, :2], [len(maps), 1, side, side], align_corners=False)
        moved = F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return F.conv2d(moved, (self.weight / math.sqrt(self.maps))[:, :, None, None])


def _in_halves(transform: Tensor) -> Tensor:
    """A transform of the Fourier input's coordinates, +-1/2 at the picture's edges, as one of `affine_grid`'s, +-1."""
    scale = transform.new_tensor([2.0, 2.0, 1.0])
    return scale[:, None] * transform / scale


class FourierInput(nn.Module):
    """C random Fourier features at 8 x 8, moved and turned by w and by the user (StyleGAN3, section 3, appendix F)."""

    frequencies: Tensor
    phases: Tensor

    def __init__(self, channels: int, w_dim: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", random_frequencies(channels, INPUT_BANDWIDTH))
        self.register_buffer("phases", torch.empty(channels).uniform_(-0.5, 0.5))
        self.affine = Dense(w_dim, 4, bias=[1.0, 0.0, 0.0, 0.0], weight_std=0.0)
        self.weight = nn.Parameter(drawn(channels, channels))

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
        self.weight = nn.Parameter(drawn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", drawn(resolution, resolution))

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
        self.weight = nn.Parameter(drawn(3, channels, 1, 1, std=0.1))
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
        w_dim = config.style_width
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
        self.mapping = Mapping(config.z_dim, identity=bool(config.style_dim))
        self.joint = JointStyle(config) if config.style_dim else None
        channels = config.channels(INPUT_RESOLUTION)
        self.input = FourierInput(channels, config.style_width)
        self.input_maps = InputMaps(config.input_maps, channels, config.style_width) if config.input_maps else None
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
        return module.style(self.joined(w_NW)) if isinstance(module, Convolution | ToRGB) else None

    def joined(self, w_NW: Tensor) -> Tensor:
        """What styles are affine in, [N, W] -> [N, S]: w itself without a `style_dim`."""
        if self.joint is None:
            return w_NW
        joined: Tensor = self.joint(w_NW)
        return joined

    def first_maps(self, style_NS: Tensor, transform: Tensor | None = None) -> Tensor:
        """What the first block gets, [N, S] -> [N, C, 8, 8]."""
        x: Tensor = self.input(style_NS, transform)
        return x if self.input_maps is None else x + self.input_maps(style_NS, transform)

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
        by_layer = w if w.ndim == 2 else w.flatten(0, 1)
        styles = styles_by_layer(self.joined(by_layer).view(*w.shape[:-1], -1), self.num_ws)
        x = self.first_maps(styles[0], input_transform(options, w))
        x = x.to(dtype).contiguous(memory_format=torch.channels_last)
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
