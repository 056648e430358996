"""The StyleGAN3 generator (Karras et al. 2021, "Alias-Free Generative Adversarial Networks"), configurations T
(translation) and R (rotation).

Read top to bottom: what describes a layer, the configuration and its schedule, Fourier input, layer, synthesis,
generator. Names in the state dict are those of the published files. Rates are in samples, frequencies in cycles, both
per side of the picture. Shape letters: N batch, Z latent, C I O channels, W style, H W pixels.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.model_info import LayerInfo
from core.models.family import MappingShape, require_integer, require_number, require_pair
from core.models.filtered_lrelu import axis_padding, filtered_lrelu, lowpass_filter, radial_filter
from core.models.layers import (
    CLAMP,
    Dense,
    MappedGenerator,
    Mapping,
    drawn,
    fourier_features,
    input_transform,
    modulated_conv2d,
    random_frequencies,
    styles_by_layer,
)
from core.request import DEFAULT_OPTIONS, SynthesisOptions

# Bounds on what a file may ask for: no published one comes near, and designing longer filters takes time and memory.
MAX_LAYERS = 128
MAX_TAPS = 512


def _adopted(kind: type[Any], values: Any) -> Any:
    """Specifications come from JSON as objects."""
    if isinstance(values, kind):
        return values
    if not isinstance(values, dict):
        raise ValueError(f"{kind.__name__}: expected an object, got {type(values).__name__}")
    try:
        return kind(**values)
    except TypeError as error:  # a key too many or too few; the message names it
        raise ValueError(f"{kind.__name__}: {error}") from None


def _tuples(spec: object, *names: str) -> None:
    """Pairs come from JSON as lists."""
    for name in names:
        if isinstance(getattr(spec, name), list):
            object.__setattr__(spec, name, tuple(getattr(spec, name)))


def _check_band(name: str, rate: float, cutoff: float, half_width: float) -> None:
    require_number(f"{name}_rate", rate, 0, 2**16)
    require_number(f"{name}_cutoff", cutoff, 0, rate)
    require_number(f"{name}_half_width", half_width, 0, 2**16)


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """The Fourier input. Raises `ValueError` for one that cannot be built."""

    channels: int
    size: tuple[int, int]
    """(height, width) in pixels."""
    rate: float
    """Pixels per side of the picture: the rest of `size` is margin."""
    bandwidth: float
    """The highest frequency."""

    def __post_init__(self) -> None:
        _tuples(self, "size")
        require_integer("channels", self.channels, 1, 8192)
        require_pair("size", self.size, 1, 4096)
        require_number("rate", self.rate, 0, 2**16)
        require_number("bandwidth", self.bandwidth, 0, 2**16)
        if not self.bandwidth < self.rate / 2:
            raise ValueError(f"bandwidth: expected above 0, below half the rate {self.rate:g}, got {self.bandwidth!r}")


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """One synthesis layer. Raises `ValueError` for one that cannot be built."""

    in_channels: int
    out_channels: int
    in_size: tuple[int, int]
    """(height, width) in pixels, margin included."""
    out_size: tuple[int, int]
    in_rate: float
    """Pixels per side of the picture."""
    out_rate: float
    in_cutoff: float
    """Where the low-pass filter of the upsampling falls off."""
    out_cutoff: float
    in_half_width: float
    """Half of the filter's transition band."""
    out_half_width: float
    kernel: int = 3
    """Side of the convolution's kernel; to RGB it is 1."""
    critical: bool = False
    """Sampled critically, just dense enough: keeps a separable filter in R too."""
    radial: bool = False
    """Downsamples with a radial filter unless `critical`."""
    rgb: bool = False
    """The last layer: 1 x 1, linear, no demodulation, no filters."""

    def __post_init__(self) -> None:
        _tuples(self, "in_size", "out_size")
        for name in ("in_channels", "out_channels"):
            require_integer(name, getattr(self, name), 1, 8192)
        for name in ("in_size", "out_size"):
            require_pair(name, getattr(self, name), 1, 4096)
        _check_band("in", self.in_rate, self.in_cutoff, self.in_half_width)
        _check_band("out", self.out_rate, self.out_cutoff, self.out_half_width)
        if type(self.kernel) is not int or self.kernel not in (1, 3, 5, 7):
            raise ValueError(f"kernel: expected 1, 3, 5 or 7, got {self.kernel!r}")
        for name in ("critical", "radial", "rgb"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name}: expected true or false, got {getattr(self, name)!r}")
        for low, high in ((self.in_rate, self.out_rate), (self.out_rate, self.in_rate)):
            if high > low and (high / low) % 1:
                raise ValueError(f"in_rate, out_rate: expected a whole ratio, got {self.in_rate:g}, {self.out_rate:g}")
        if self.rgb and self.in_rate != self.out_rate:
            raise ValueError(f"rgb: expected equal rates, got {self.in_rate:g} and {self.out_rate:g}")


@dataclass(frozen=True, kw_only=True)
class Config(MappingShape):
    """The shape of one generator: by rule, or layer by layer. Raises `ValueError` for a shape that cannot be built.

    The defaults are configuration T; R is `kernel` 1, `radial`, `base_channels` 65536 and `max_channels` 1024.
    """

    resolution: int = 1024
    """Side of the picture by the rule: a power of two, 16 to 2048. Not read if `layers` are given."""
    mapping_layers: int = 2
    base_channels: int = 32768
    """A layer with cutoff f has min(base_channels / 2 / f, max_channels) channels, rounded."""
    max_channels: int = 512
    img_channels: int = 3
    num_layers: int = 14
    """Before the one to RGB."""
    num_critical: int = 2
    """How many of them, the last ones, are critically sampled."""
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3
    """Stopband of the last layer, over its cutoff."""
    margin: int = 10
    """Pixels kept around the picture in every layer but the critical ones."""
    kernel: int = 3
    radial: bool = False
    filter_size: int = 6
    """Taps of a filter for each step of up- or downsampling."""
    oversampling: int = 2
    """The non-linearity runs at this times the higher of a layer's two rates."""
    conv_clamp: float | None = CLAMP
    output_scale: float = 0.25
    """Times the last layer's output."""
    input: InputSpec | None = None
    """None is what the first layer expects."""
    layers: tuple[LayerSpec, ...] | None = None
    """All layers, that to RGB last, instead of the rule."""

    def __post_init__(self) -> None:
        if self.input is not None:
            object.__setattr__(self, "input", _adopted(InputSpec, self.input))
        if self.layers is not None:
            if not isinstance(self.layers, list | tuple) or len(self.layers) > MAX_LAYERS:
                raise ValueError(f"layers: expected a list of at most {MAX_LAYERS}")
            object.__setattr__(self, "layers", tuple(_adopted(LayerSpec, values) for values in self.layers))
        self.check_mapping()
        for name, low, high in (
            ("base_channels", 1, 2**22),
            ("max_channels", 1, 8192),
            ("img_channels", 1, 64),
            ("num_layers", 2, 64),
            ("num_critical", 0, 64),
            ("margin", 0, 64),
            ("filter_size", 2, 64),
            ("oversampling", 1, 8),
        ):
            require_integer(name, getattr(self, name), low, high)
        for name in ("first_cutoff", "first_stopband", "last_stopband_rel", "output_scale"):
            require_number(name, getattr(self, name), 0, 1e4)
        if self.conv_clamp is not None:
            require_number("conv_clamp", self.conv_clamp, 0, 1e6)
        if self.layers is None:
            if type(self.resolution) is not int or self.resolution not in (16, 32, 64, 128, 256, 512, 1024, 2048):
                raise ValueError(f"resolution: expected a power of two from 16 to 2048, got {self.resolution!r}")
            if self.num_critical >= self.num_layers:
                raise ValueError(f"num_critical: expected below num_layers, {self.num_layers}, got {self.num_critical}")
        layers = self.layer_specs
        if not layers or not layers[-1].rgb or any(layer.rgb for layer in layers[:-1]):
            raise ValueError("layers: expected one or more, of which the last alone is to RGB")
        before = (self.input_spec.channels, self.input_spec.size)
        for index, layer in enumerate(layers):
            if (layer.in_channels, layer.in_size) != before:
                raise ValueError(
                    f"layers: expected layer {index} to take {before[0]} channels of {before[1]} pixels, "
                    f"got {layer.in_channels} of {layer.in_size}"
                )
            before = (layer.out_channels, layer.out_size)
            nyquist = self.oversampling * max(layer.in_rate, layer.out_rate) / 2
            if not layer.rgb and max(layer.in_cutoff, layer.out_cutoff) >= nyquist:
                raise ValueError(
                    f"layers: expected cutoffs of layer {index} below half its oversampled rate, {nyquist:g}, "
                    f"got {layer.in_cutoff:g} and {layer.out_cutoff:g}"
                )
            taps = self.filter_size * 2 * nyquist / min(layer.in_rate, layer.out_rate)
            if taps > MAX_TAPS:
                raise ValueError(f"layers: expected filters of layer {index} of at most {MAX_TAPS} taps, got {taps:g}")

    @property
    def input_spec(self) -> InputSpec:
        """The Fourier input."""
        if self.input is not None:
            return self.input
        first = self.layer_specs[0]
        return InputSpec(channels=first.in_channels, size=first.in_size, rate=first.in_rate, bandwidth=first.in_cutoff)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers' modules: index, width in pixels and channels."""
        return tuple(f"L{i}_{spec.out_size[1]}_{spec.out_channels}" for i, spec in enumerate(self.layer_specs))

    @functools.cached_property
    def layer_specs(self) -> tuple[LayerSpec, ...]:
        """All layers, by the rule of section 3.2 and appendix C if they are not given: cutoff and stopband grow
        geometrically, rates are the powers of two that hold the stopband.
        """
        if self.layers is not None:
            return self.layers
        last_cutoff = self.resolution / 2
        last_stopband = last_cutoff * self.last_stopband_rel
        bands: list[dict[str, Any]] = []
        for index in range(self.num_layers + 1):
            exponent = min(index / (self.num_layers - self.num_critical), 1.0)
            cutoff = self.first_cutoff * (last_cutoff / self.first_cutoff) ** exponent
            stopband = self.first_stopband * (last_stopband / self.first_stopband) ** exponent
            rate = 2 ** math.ceil(math.log2(min(2 * stopband, self.resolution)))
            # The last two, a critical layer and RGB, have no margin.
            side = self.resolution if index >= self.num_layers - 1 else rate + 2 * self.margin
            bands.append(
                {
                    "channels": round(min(self.base_channels / 2 / cutoff, self.max_channels)),
                    "size": (side, side),
                    "rate": float(rate),
                    "cutoff": cutoff,
                    "half_width": max(stopband, rate / 2) - cutoff,
                }
            )
        bands[-1]["channels"] = self.img_channels
        specs = []
        for index, band in enumerate(bands):
            ends = {f"in_{name}": value for name, value in bands[max(index - 1, 0)].items()}
            ends |= {f"out_{name}": value for name, value in band.items()}
            rgb = index == self.num_layers
            critical = index >= self.num_layers - self.num_critical
            kernel = 1 if rgb else self.kernel
            specs.append(LayerSpec(**ends, kernel=kernel, critical=critical, radial=self.radial, rgb=rgb))
        return tuple(specs)


class FourierInput(nn.Module):
    """C random Fourier features, moved and turned by w and the user, then mixed by a learned matrix (section 3.2)."""

    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, spec: InputSpec, w_dim: int) -> None:
        super().__init__()
        self.spec = spec
        self.weight = nn.Parameter(drawn(spec.channels, spec.channels))
        self.affine = Dense(w_dim, 4, bias=[1.0, 0.0, 0.0, 0.0], weight_std=0.0)
        self.register_buffer("transform", torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
        self.register_buffer("freqs", random_frequencies(spec.channels, spec.bandwidth))
        self.register_buffer("phases", torch.empty(spec.channels).uniform_(-0.5, 0.5))

    def forward(self, w_NW: Tensor, transform: Tensor | None = None) -> Tensor:
        """[N, W] -> [N, C, H, W]; `transform` is [3, 3] or [N, 3, 3], applied before the file's own (the identity)."""
        features = fourier_features(
            self.freqs,
            self.phases,
            self.affine(w_NW),
            self.transform if transform is None else self.transform @ transform.to(self.transform),
            size=self.spec.size,
            rate=self.spec.rate,
            bandwidth=self.spec.bandwidth,
        )
        return F.conv2d(features, (self.weight / math.sqrt(self.spec.channels))[:, :, None, None])


class Layer(nn.Module):
    """Modulated convolution, then the filtered leaky ReLU, which also changes the size (section 3.2, figure 4).

    Inputs are brought to unit variance by a moving average of their power, `magnitude_ema`, which is only read here.
    """

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, spec: LayerSpec, config: Config) -> None:
        super().__init__()
        self.spec = spec
        self.clamp = config.conv_clamp
        self.affine = Dense(config.w_dim, spec.in_channels, bias=1.0)
        self.weight = nn.Parameter(drawn(spec.out_channels, spec.in_channels, spec.kernel, spec.kernel))
        self.bias = nn.Parameter(torch.zeros(spec.out_channels))
        self.register_buffer("magnitude_ema", torch.ones(()))

        rate = max(spec.in_rate, spec.out_rate) * (1 if spec.rgb else config.oversampling)
        self.up, self.down = round(rate / spec.in_rate), round(rate / spec.out_rate)
        up_taps = 1 if spec.rgb or self.up == 1 else config.filter_size * self.up
        down_taps = 1 if spec.rgb or self.down == 1 else config.filter_size * self.down
        up_filter: Tensor | None = None
        down_filter: Tensor | None = None
        if up_taps > 1:
            up_filter = lowpass_filter(up_taps, cutoff=spec.in_cutoff, half_width=spec.in_half_width, rate=rate)
        if down_taps > 1:
            design = radial_filter if spec.radial and not spec.critical else lowpass_filter
            down_filter = design(down_taps, cutoff=spec.out_cutoff, half_width=spec.out_half_width, rate=rate)
        self.register_buffer("up_filter", up_filter)
        self.register_buffer("down_filter", down_filter)
        (top, bottom), (left, right) = (
            axis_padding(
                inputs,
                outputs,
                up=self.up,
                down=self.down,
                up_taps=up_taps,
                down_taps=down_taps,
                kernel=spec.kernel,
            )
            for inputs, outputs in zip(spec.in_size, spec.out_size, strict=True)
        )
        self.padding = (left, right, top, bottom)

    def forward(self, x: Tensor, w_NW: Tensor) -> Tensor:
        """[N, I, H, W] -> [N, O, H', W']."""
        weight: Tensor = self.weight
        style: Tensor = self.affine(w_NW)
        if self.spec.rgb:
            style = style / math.sqrt(weight[0].numel())
        else:
            # Demodulation cancels both factors; they keep half precision in range. The authors take the mean square of
            # the styles over the batch: here it is over each sample, so that no picture depends on its neighbours.
            weight = weight * weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
            style = style * style.square().mean(dim=1, keepdim=True).rsqrt()
        x = modulated_conv2d(
            x,
            weight,
            style,
            demodulate=not self.spec.rgb,
            padding=self.spec.kernel - 1,
            input_gain=self.magnitude_ema.rsqrt(),
        )
        return filtered_lrelu(
            x,
            self.up_filter,
            self.down_filter,
            self.bias,
            up=self.up,
            down=self.down,
            padding=self.padding,
            slope=1.0 if self.spec.rgb else 0.2,
            gain=1.0 if self.spec.rgb else math.sqrt(2),
            clamp=self.clamp,
        )


class Synthesis(nn.Module):
    """Styles to pictures: the input takes the first style, each layer the next."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.output_scale = config.output_scale
        self.input = FourierInput(config.input_spec, config.w_dim)
        self.layers = list(config.layer_names)
        for name, spec in zip(self.layers, config.layer_specs, strict=True):
            self.add_module(name, Layer(spec, config))
        self.num_ws = 1 + len(self.layers)

    def forward(
        self,
        ws: Tensor,
        options: SynthesisOptions = DEFAULT_OPTIONS,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """[N, W] or per-layer [N, num_ws, W] -> pictures [N, 3, H, W], about [-1, 1], unclamped.

        `dtype` is the type of the convolutions; pictures come in that of the parameters. There is no noise.
        """
        styles = styles_by_layer(ws, self.num_ws)
        x = self.input(styles[0], input_transform(options, ws))
        result = x.dtype
        x = x.to(dtype).contiguous(memory_format=torch.channels_last)
        for name, style in zip(self.layers, styles[1:], strict=True):
            x = self.get_submodule(name)(x, style)
        rgb: Tensor = x.to(result) * self.output_scale
        return rgb


class Generator(MappedGenerator):
    """Latents, and classes if it has them, to pictures; a `core.models.family.Generator`."""

    synthesis: Synthesis
    has_noise = False
    has_transform = True

    def __init__(self, config: Config, mapping: Mapping | None = None) -> None:
        """`mapping` is another family's; None is the one that the configuration describes."""
        mapping = mapping or Mapping(
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

    @property
    def output_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.config.layer_specs[-1].out_size

    @property
    def layers(self) -> tuple[LayerInfo, ...]:
        """The input and the layers in order."""
        first = self.config.input_spec
        found = [LayerInfo("synthesis.input", first.size, first.channels, 0)]
        for name, spec in zip(self.synthesis.layers, self.config.layer_specs, strict=True):
            found.append(LayerInfo(f"synthesis.{name}", spec.out_size, spec.out_channels, len(found)))
        return tuple(found)

    def style(self, layer: LayerInfo, w_NW: Tensor) -> Tensor | None:
        """The style of a layer at w, [N, W] -> [N, S]; the input has none, w moves and turns it."""
        return None if layer.name == "synthesis.input" else super().style(layer, w_NW)
