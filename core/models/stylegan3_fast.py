"""`stylegan3.Synthesis` for one picture at a time, as fast as the hardware allows; equal to the plain one. StyleGAN-XL
has the same.

Beside what fast_layers.py says: kernels are brought to unit power once, all styles come from one product, the bias goes
with the demodulation, and what follows works in place.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from core.models.fast_layers import Factors, JointStyles, Kept, Modulation, in_range, planes, styles_of_one
from core.models.filtered_lrelu import resampled_lrelu
from core.models.kernels import Kernel, kernel_3x3
from core.models.layers import LEAK, Dense, input_transform
from core.models.stylegan3 import Generator, Layer, Synthesis
from core.request import DEFAULT_OPTIONS, SynthesisOptions


class _FastLayer:
    """Modulated convolution and filtered leaky ReLU."""

    def __init__(self, layer: Layer, dtype: torch.dtype) -> None:
        spec = layer.spec
        self._rgb = spec.rgb
        self._dtype = dtype
        # Half precision is left for the filters on a CPU: see `filtered_lrelu`.
        wide = dtype != torch.float32 and layer.weight.device.type == "cpu"
        self._inside = torch.float32 if wide else dtype
        weight = layer.weight.detach().float()
        self._input_gain = layer.magnitude_ema.rsqrt()
        self._modulation: Modulation | None = None
        if self._rgb:
            self._input_gain = self._input_gain / math.sqrt(weight[0].numel())
        else:
            weight = weight * weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
            weight = in_range(weight, dtype)
            self._modulation = Modulation(weight, dtype, input_gain=self._input_gain)
        padding = spec.kernel - 1
        kernel = weight.to(dtype)
        self._kernel: Callable[[Tensor], Tensor] = (
            kernel_3x3(kernel, spec.in_size, padding)
            if spec.kernel == 3
            else Kernel(kernel, (padding, padding), spec.in_size)
        )
        self._bias = planes(layer.bias.detach(), self._inside)
        self._up_filter, self._down_filter = layer.up_filter, layer.down_filter
        self._up, self._down, self._padding = layer.up, layer.down, layer.padding
        self._clamp = layer.clamp

    def factors(self, style_I: Tensor) -> Factors:
        """What a style amounts to: to be kept as long as it stays."""
        if self._modulation is None:
            return planes(style_I * self._input_gain, self._dtype), torch.ones_like(self._bias)
        return self._modulation(style_I * style_I.square().mean().rsqrt(), self._inside)

    def __call__(self, x: Tensor, factors: Factors) -> Tensor:
        """[1, I, H, W] in channels_last order -> [1, O, H', W']. Overwrites `x`."""
        style, out = factors
        y = self._kernel(x.mul_(style)).to(self._inside)
        # A part cut out of something larger is not written back to: what follows wants it dense.
        dense = y.is_contiguous(memory_format=torch.channels_last)
        y = torch.addcmul(self._bias, y, out, out=y if dense else None)
        y = resampled_lrelu(
            y,
            self._up_filter,
            self._down_filter,
            up=self._up,
            down=self._down,
            padding=self._padding,
            slope=1.0 if self._rgb else LEAK,
            gain=1.0 if self._rgb else math.sqrt(2),
            clamp=self._clamp,
        )
        return y.to(self._dtype)


class FastSynthesis:
    """A generator's synthesis prepared for one precision on the generator's device. Not for training: no gradients.

    Keeps what belongs to the last w; not safe to call from two threads at once.
    """

    def __init__(self, generator: Generator, dtype: torch.dtype = torch.float32, *, consume: bool = False) -> None:
        """With `consume` the generator loses its synthesis, so that weights are not kept twice; it still maps."""
        synthesis = generator.synthesis
        assert isinstance(synthesis, Synthesis)
        self._dtype = dtype
        self._num_ws = generator.num_ws
        self._output_scale = synthesis.output_scale
        self._input = synthesis.input
        self._layers: list[_FastLayer] = []
        affines: list[tuple[Dense, int]] = []
        for index, name in enumerate(synthesis.layers, 1):
            layer = synthesis.get_submodule(name)
            assert isinstance(layer, Layer)
            self._layers.append(_FastLayer(layer, dtype))
            affines.append((layer.affine, index))
        self._styles = JointStyles(affines)
        self._factors: Kept[list[Factors]] = Kept()
        if consume:
            generator.synthesis = nn.Module()  # type: ignore[assignment]

    def __call__(
        self,
        ws: Tensor,
        options: SynthesisOptions = DEFAULT_OPTIONS,
        /,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """The same as `Synthesis` for one picture: [1, W] or per-layer [1, num_ws, W] -> [1, 3, H, W] float32. `dtype`
        is the one it was prepared for. There is no noise.
        """
        w_LW = styles_of_one(ws, self._num_ws, dtype, self._dtype)
        x: Tensor = (
            self._input(w_LW[:1], input_transform(options, ws))
            .to(self._dtype)
            .contiguous(memory_format=torch.channels_last)
        )
        for layer, factors in zip(self._layers, self._factors(self._modulate, w_LW), strict=True):
            x = layer(x, factors)
        rgb: Tensor = x.float() * self._output_scale
        return rgb

    def _modulate(self, w_LW: Tensor) -> list[Factors]:
        return [layer.factors(style) for layer, style in zip(self._layers, self._styles(w_LW), strict=True)]
