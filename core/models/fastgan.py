"""The FastGAN generator (Liu et al. 2021, "Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image
Synthesis") in the form that Projected GAN published (Sauer et al. 2021), with and without classes.

Plain convolutions and batch normalisation, without a mapping: z makes 4 x 4 pixels, blocks double them, and early
features gate late channels (skip-layer excitation). Read top to bottom: configuration, convolution, normalisation,
blocks, synthesis, generator, and the tensors of a published file. Names in the state dict are those of the published
files after spectral normalisation is worked out. Shape letters: N batch, Z latent, C I O channels, E class features,
H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.model_info import Conditioning, LayerInfo
from core.models.family import require_integer, require_latents, require_tensors
from core.models.layers import (
    drawn,
    embedding,
    noise_source,
    normalise_second_moment,
    spatial_noise,
    styles_by_layer,
    truncated_styles,
)
from core.request import DEFAULT_OPTIONS, SynthesisOptions

RESOLUTIONS = (128, 256, 512, 1024)
# Channels over `base_channels`.
_MULTIPLIERS = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 0.5, 512: 0.25, 1024: 0.125}
# Which features gate which: those of this side, by those a sixteenth of it wide.
_GATED = (64, 128, 256, 512)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The shape of one generator. Raises `ValueError` for a shape that cannot be built."""

    resolution: int = 256
    """Side of the picture in pixels: 128, 256, 512 or 1024."""
    z_dim: int = 256
    c_dim: int = 0
    """Number of classes; 0 is unconditional."""
    embed_classes: int = 1000
    """Rows of the table of classes, of which there may be more than classes. Not read without classes."""
    base_channels: int = 128
    """Channels at 128 pixels; 16 times that at 4, an eighth at 1024."""
    side_channels: tuple[int, ...] | None = None
    """Channels at 4, 8, 16, ... pixels, instead of the rule above."""
    img_channels: int = 3
    lite: bool = False
    """One convolution a block instead of two, and no noise."""
    tanh: bool = False
    """Whether pictures end in a tanh, as in FastGAN's paper; Projected GAN's end in the convolution."""

    def __post_init__(self) -> None:
        channels: object = self.side_channels
        if isinstance(channels, list):  # from JSON
            object.__setattr__(self, "side_channels", tuple(channels))
        if self.resolution not in RESOLUTIONS:
            raise ValueError(f"resolution: expected one of {RESOLUTIONS}, got {self.resolution!r}")
        for name, low, high in (
            ("z_dim", 1, 8192),
            ("c_dim", 0, 2**20),
            ("embed_classes", 1, 2**20),
            ("base_channels", 8, 4096),
            ("img_channels", 1, 64),
        ):
            require_integer(name, getattr(self, name), low, high)
        if self.c_dim > self.embed_classes:
            raise ValueError(f"c_dim: expected at most embed_classes, {self.embed_classes}, got {self.c_dim}")
        for name in ("lite", "tanh"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name}: expected true or false, got {getattr(self, name)!r}")
        if self.side_channels is not None:
            count = len(self.sides)
            if not isinstance(self.side_channels, tuple) or len(self.side_channels) != count:
                raise ValueError(f"side_channels: expected {count} numbers, got {self.side_channels!r}")
            for value in self.side_channels:
                require_integer("side_channels", value, 1, 2**16)

    @property
    def sides(self) -> tuple[int, ...]:
        """Of the features in pixels, 4 first."""
        return tuple(side for side in _MULTIPLIERS if side <= self.resolution)

    @property
    def channels(self) -> dict[int, int]:
        """Channels by side."""
        if self.side_channels is not None:
            return dict(zip(self.sides, self.side_channels, strict=True))
        return {side: int(_MULTIPLIERS[side] * self.base_channels) for side in self.sides}


class Convolution(nn.Module):
    """Square kernel; 3 x 3 keeps the size. `weight` is what spectral normalisation made of the trained one."""

    bias: Tensor | None

    def __init__(self, inputs: int, outputs: int, kernel: int, *, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(outputs, inputs, kernel, kernel, std=(inputs * kernel**2) ** -0.5))
        self.register_parameter("bias", nn.Parameter(torch.zeros(outputs)) if bias else None)
        self.padding = 1 if kernel == 3 else 0

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] -> [N, O, H', W'] in the type of `x`."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.conv2d(x, self.weight.to(x.dtype), bias, padding=self.padding)


class Norm(nn.Module):
    """Batch normalisation by the averages of the training, whichever mode the module is in."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor, y_NE: Tensor | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]. It takes no class."""
        return _normalise(x, self.running_mean, self.running_var, self.weight, self.bias)


class ClassNorm(nn.Module):
    """The same with gain and bias that depend on the class."""

    stored_mean: Tensor
    stored_var: Tensor

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.gain = nn.Linear(features, channels)
        self.bias = nn.Linear(features, channels)
        self.register_buffer("stored_mean", torch.zeros(channels))
        self.register_buffer("stored_var", torch.ones(channels))

    def forward(self, x: Tensor, y_NE: Tensor) -> Tensor:
        """[N, C, H, W] and the class [N, E] -> [N, C, H, W]."""
        return _normalise(x, self.stored_mean, self.stored_var, 1 + self.gain(y_NE), self.bias(y_NE))


def _normalise(x: Tensor, mean: Tensor, variance: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """Gain and bias are [C] or [N, C]. The factors are worked out in their type, not in half precision."""
    scale = gain * (variance + 1e-5).rsqrt()
    shift = bias - mean * scale
    return x * scale[..., None, None].to(x.dtype) + shift[..., None, None].to(x.dtype)


class NoiseStrength(nn.Module):
    """One number, for every channel."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


class Start(nn.Module):
    """z to 4 x 4 pixels, by a transposed convolution of one."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.init = nn.Module()
        outputs = 2 * config.channels[4]
        kernel = nn.Module()
        kernel.weight = nn.Parameter(drawn(config.z_dim, outputs, 4, 4, std=config.z_dim**-0.5))
        self.init.add_module("0", kernel)
        self.init.add_module("1", Norm(outputs))

    def forward(self, z_NZ: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """[N, Z] -> [N, C, 4, 4]."""
        weight = self.init.get_submodule("0").get_parameter("weight")
        x = F.conv_transpose2d(z_NZ[:, :, None, None].to(dtype), weight.to(dtype))
        return F.glu(self.init.get_submodule("1")(x), dim=1)


class UpBlock(nn.Module):
    """Every pixel twice in each direction, then twice (once if lite): convolution, noise, normalisation, and a gated
    linear unit.
    """

    def __init__(self, inputs: int, outputs: int, side: int, config: Config) -> None:
        super().__init__()
        self.steps: list[tuple[str, str | None, str]] = []
        """Names of convolution, noise and normalisation: places in a sequence without classes, words with them."""
        if config.c_dim:
            self.steps = (
                [("conv", None, "bn")] if config.lite else [("conv1", "noise", "bn1"), ("conv2", "noise", "bn2")]
            )
        else:
            self.steps = [("1", None, "2")] if config.lite else [("1", "2", "3"), ("5", "6", "7")]
        for index, (convolution, noise, norm) in enumerate(self.steps):
            self.add_module(convolution, Convolution(outputs if index else inputs, 2 * outputs, 3))
            self.add_module(norm, ClassNorm(2 * outputs, config.z_dim) if config.c_dim else Norm(2 * outputs))
            if noise is not None:
                if noise not in self._modules:  # with classes one strength serves both
                    self.add_module(noise, NoiseStrength())
                # Files have no constant noise: theirs is always random. Ours is the same in every generator.
                source = torch.Generator().manual_seed(2 * side + index)
                field = torch.randn(side, side, generator=source, device="cpu")
                self.register_buffer(f"noise_const{index}", field, persistent=False)

    def forward(
        self,
        x: Tensor,
        y_NE: Tensor | None = None,
        options: SynthesisOptions = DEFAULT_OPTIONS,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """[N, I, H, W] and the class [N, E], if there are classes -> [N, O, 2H, 2W]."""
        x = F.interpolate(x, scale_factor=2)
        for index, (convolution, strength, norm) in enumerate(self.steps):
            x = self.get_submodule(convolution)(x)
            if strength is not None:
                weight = self.get_submodule(strength).get_parameter("weight")
                const = self.get_buffer(f"noise_const{index}")
                field = spatial_noise(const, weight, len(x), options, generator)
                if field is not None:
                    x = x + field.to(x.dtype)
            x = F.glu(self.get_submodule(norm)(x, y_NE), dim=1)
        return x


class Excitation(nn.Module):
    """Skip-layer excitation: early features, pooled to 4 x 4, gate the channels of late ones (section 3.1)."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.main = nn.Module()
        self.main.add_module("1", Convolution(inputs, channels, 4))
        self.main.add_module("3", Convolution(channels, channels, 1))

    def forward(self, early: Tensor, late: Tensor) -> Tensor:
        """[N, I, h, w] and [N, C, H, W] -> [N, C, H, W]."""
        gate = F.silu(self.main.get_submodule("1")(F.adaptive_avg_pool2d(early, 4)))
        return late * torch.sigmoid(self.main.get_submodule("3")(gate))


class Synthesis(nn.Module):
    """The whole picture from one latent; with classes, from the latent and the features of the class behind it."""

    num_ws = 1

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.z_dim = config.z_dim
        self.width = 2 * config.z_dim if config.c_dim else config.z_dim
        self.tanh = config.tanh
        self.init = Start(config)
        self.sides = config.sides[1:]
        channels = config.channels
        for side in self.sides:
            self.add_module(f"feat_{side}", UpBlock(channels[side // 2], channels[side], side, config))
            if side in _GATED:
                self.add_module(f"se_{side}", Excitation(channels[side // 16], channels[side]))
        self.to_big = Convolution(channels[config.resolution], config.img_channels, 3, bias=True)
        if config.c_dim:
            self.embed = embedding(config.embed_classes, config.z_dim)

    def forward(
        self,
        ws: Tensor,
        options: SynthesisOptions = DEFAULT_OPTIONS,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """[N, W] or [N, 1, W] as `Generator.map` gives it -> pictures [N, 3, H, W], about [-1, 1], unclamped.

        `dtype` is the type of the convolutions; pictures come in that of the parameters. Noise of mode "random" was the
        only one in training; "const" is a fixed draw of it.
        """
        generator = noise_source(options, generator)
        (w,) = styles_by_layer(ws, 1)
        if w.ndim != 2 or w.shape[1] != self.width:
            raise ValueError(f"w: expected [N, {self.width}], got {list(w.shape)}")
        y = w[:, self.z_dim :] if self.width > self.z_dim else None
        features = {4: self.init(w[:, : self.z_dim], dtype)}
        for side in self.sides:
            x = self.get_submodule(f"feat_{side}")(features[side // 2], y, options, generator)
            if side in _GATED:
                x = self.get_submodule(f"se_{side}")(features[side // 16], x)
            features[side] = x
        rgb: Tensor = self.to_big(features[self.sides[-1]]).to(self.to_big.weight.dtype)
        return rgb.tanh() if self.tanh else rgb


class Generator(nn.Module):
    """Latents, and classes if it has them, to pictures; a `core.models.family.Generator`.

    There is no mapping and one style: w is z itself at unit second moment, joined by the features of the class, [2 Z],
    where there are classes. Truncation takes z towards 0, the mean of all z, and leaves the class as it is.
    """

    has_transform = False
    num_ws = 1

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.synthesis = Synthesis(config)
        self.config = config

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
    def has_noise(self) -> bool:
        return not self.config.lite

    @property
    def output_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.config.resolution, self.config.resolution

    @property
    def layers(self) -> tuple[LayerInfo, ...]:
        """First features, blocks, gates and RGB in order; all take the one style there is."""
        channels = self.config.channels
        found = [LayerInfo("synthesis.init", (4, 4), channels[4], 0)]
        for side in self.synthesis.sides:
            for kind in ("feat", "se") if side in _GATED else ("feat",):
                found.append(LayerInfo(f"synthesis.{kind}_{side}", (side, side), channels[side], 0))
        found.append(LayerInfo("synthesis.to_big", self.output_size, self.config.img_channels, 0))
        return tuple(found)

    def map(self, z_NZ: Tensor, c_NC: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """[N, 1, Z], or [N, 1, 2 Z] with classes: z at unit second moment, times `psi` unless `cutoff` is 0, and the
        features of the class. `c_NC`: class weights.
        """
        require_latents(z_NZ, self.z_dim, c_NC, self.c_dim)
        z = normalise_second_moment(z_NZ)
        ws = truncated_styles(z, torch.zeros_like(z[:1]), 1, psi, cutoff)
        if c_NC is None or not self.c_dim:
            return ws
        y_NE = c_NC @ self.synthesis.embed.weight[: self.c_dim]
        return torch.cat([ws, y_NE[:, None]], dim=2)

    def style(self, layer: LayerInfo, w_NW: Tensor) -> Tensor | None:
        """None: no layer has a style."""
        return None

    def forward(
        self,
        z_NZ: Tensor,
        c_NC: Tensor | None = None,
        psi: float = 1.0,
        options: SynthesisOptions = DEFAULT_OPTIONS,
    ) -> Tensor:
        """[N, Z] and the label [N, C] or None -> pictures [N, 3, H, W]."""
        rgb: Tensor = self.synthesis(self.map(z_NZ, c_NC, psi), options)
        return rgb


def spectral_weight(original: Tensor, u: Tensor, v: Tensor, *, dim: int = 0) -> Tensor:
    """The weight that spectral normalisation uses: over its largest singular value, u^T W v, as the file's vectors have
    it (Miyato et al. 2018, algorithm 1). `dim` is that of the outputs, the rows of W.
    """
    rows = original.movedim(dim, 0).flatten(1)
    if u.shape != rows.shape[:1] or v.shape != rows.shape[1:]:
        raise ValueError(
            f"spectral normalisation: expected vectors of {rows.shape[0]} and {rows.shape[1]}, "
            f"got {list(u.shape)} and {list(v.shape)}"
        )
    return original / torch.dot(u, rows @ v)


def from_published(
    tensors: Mapping[str, Tensor], *, c_dim: int | None = None, tanh: bool = False
) -> tuple[Config, dict[str, Tensor]]:
    """The configuration and the state dict for the tensors of a published generator, whose convolutions come as
    `weight_orig`, `weight_u` and `weight_v`.

    `c_dim` is the number of classes of a conditional one, None as many as its table has. Raises `ValueError` naming a
    tensor that is missing, too many or misshapen.
    """
    state = dict(tensors)
    for name in tensors:
        stem = name.removesuffix("_orig")
        if not name.endswith(".weight_orig"):
            continue
        for part in ("u", "v"):
            if f"{stem}_{part}" not in state:
                raise ValueError(f"{stem}_{part}: expected beside {name}, got none")
        # The transposed convolution has its outputs second.
        dim = 1 if ".init." in name else 0
        state[stem] = spectral_weight(state.pop(name), state.pop(f"{stem}_u"), state.pop(f"{stem}_v"), dim=dim)

    def take(*names: str) -> Tensor:
        for name in names:
            tensor = state.get(f"synthesis.{name}.weight")
            if tensor is not None and tensor.ndim != 4:
                raise ValueError(f"synthesis.{name}.weight: expected 4 dimensions, got {list(tensor.shape)}")
            if tensor is not None:
                return tensor
        raise ValueError(f"synthesis.{names[0]}.weight: expected it, got none")

    start, end = take("init.init.0"), take("to_big")
    channels = {4: start.shape[1] // 2}
    for side in list(_MULTIPLIERS)[1:]:
        block = f"synthesis.feat_{side}."
        if side <= 128 or any(name.startswith(block) for name in state):
            channels[side] = len(take(f"feat_{side}.1", f"feat_{side}.conv1", f"feat_{side}.conv")) // 2
    if max(channels) == 256 and end.shape[1] == channels[128] != channels[256]:
        # Layers for 256 pixels are in every file, used or not.
        del channels[256]
        state = {
            name: t for name, t in state.items() if not name.startswith(("synthesis.feat_256.", "synthesis.se_256."))
        }
    table = state.get("synthesis.embed.weight")
    config = Config(
        resolution=max(channels),
        z_dim=len(start),
        c_dim=0 if table is None else len(table) if c_dim is None else c_dim,
        embed_classes=1000 if table is None else len(table),
        side_channels=tuple(channels.values()),
        img_channels=len(end),
        lite=not any(name in state for name in ("synthesis.feat_8.5.weight", "synthesis.feat_8.conv2.weight")),
        tanh=tanh,
    )
    with torch.device("meta"):
        require_tensors(Generator(config), state)
    return config, state
