"""What the fast syntheses share: a modulated convolution and a layer to RGB, prepared for one picture at a time.

What they save, and why the result is the same:

- Each convolution is laid out once, in the way that is fastest here (kernels.py).
- The power of each kernel, which demodulation needs, depends on the weights alone; the factors made from it and the
  styles depend on w alone, so they are kept while w stays.
- Gains move into the numbers they multiply: leaky ReLU is positively homogeneous, so the gain after it goes into the
  demodulation, the bias and the noise.
- Elementwise steps write in place.
- The RGB skips, a few channels, are upsampled by matrix products.

None of this has gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from core.models.kernels import Size, UpKernel, kernel_3x3
from core.models.layers import LEAK, Dense, upsample
from core.request import SynthesisOptions

_EPS = 1e-8
# Up to this side the two matrix products of an RGB upsampling are cheaper than a convolution.
_MATRIX_UPSAMPLE_TO = 64

Factors = tuple[Tensor, Tensor]
"""What a modulated convolution multiplies its input and its output by, [1, I, 1, 1] and [1, O, 1, 1]."""
T = TypeVar("T")


class Modulation:
    """Style and demodulation of one convolution, as `layers.modulated_conv2d` has them."""

    def __init__(
        self, weight_OIHW: Tensor, dtype: torch.dtype, *, gain: float = 1.0, input_gain: float | Tensor = 1.0
    ) -> None:
        """`weight_OIHW` is in range for `dtype`. `gain` scales the output, `input_gain` the input alone: demodulation
        does not see it.
        """
        self._dtype = dtype
        self._power_OI = weight_OIHW.square().sum(dim=(2, 3))
        self._gain = gain
        self._input_gain = input_gain

    def __call__(self, style_I: Tensor, out_dtype: torch.dtype | None = None) -> Factors:
        """What a style amounts to: to be kept as long as it stays. `out_dtype` is that of the factor on the output."""
        if self._dtype != torch.float32:
            style_I = style_I / style_I.abs().amax().clamp_min(1e-12)
        out_O = torch.mv(self._power_OI, style_I.square()).add_(_EPS).rsqrt_().mul_(self._gain)
        return planes(style_I * self._input_gain, self._dtype), planes(out_O, out_dtype or self._dtype)


def in_range(weight_OIHW: Tensor, dtype: torch.dtype) -> Tensor:
    """Kernels in float32, each divided by its largest magnitude for half precision: demodulation cancels that."""
    weight = weight_OIHW.detach().float()
    if dtype == torch.float32:
        return weight
    return weight / weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)


def planes(values_C: Tensor, dtype: torch.dtype) -> Tensor:
    """A number for each channel, [C] -> [1, C, 1, 1]."""
    return values_C.to(dtype).view(1, -1, 1, 1)


class FastConvolution:
    """A 3 x 3 convolution with style, demodulation, noise, bias, leaky ReLU and clamp; with `up`, to twice the size."""

    def __init__(
        self,
        weight_OI33: Tensor,
        bias_O: Tensor,
        noise: tuple[Tensor, Tensor] | None,
        *,
        size: Size,
        dtype: torch.dtype,
        up: bool,
        gain: float,
        clamp: float | None,
        input_gain: float = 1.0,
    ) -> None:
        """`noise` is the constant field and its strength; `size` is (H, W) of the output; `gain` comes after the leaky
        ReLU, and `clamp` after the gain; `input_gain` is `Modulation`'s.
        """
        self.inputs = weight_OI33.shape[1]
        self._dtype = dtype
        weight = in_range(weight_OI33, dtype)
        self.factors = Modulation(weight, dtype, gain=gain, input_gain=input_gain)
        height, width = size
        kernel = weight.to(dtype)
        self.kernel: Callable[[Tensor], Tensor] = (
            UpKernel(kernel, (height // 2, width // 2)) if up else kernel_3x3(kernel, size)
        )
        self._bias = planes(bias_O.detach() * gain, dtype)
        self._clamp = clamp
        self._noise: tuple[Tensor, Tensor] | None = None
        self._silent = True
        if noise is not None:
            field_HW, strength = noise[0], noise[1].detach() * gain
            self._silent = bool(strength == 0)
            # One plane for all channels: [1, 1, H, W].
            self._noise = (field_HW * strength).to(dtype)[None, None], strength

    def noise(self, options: SynthesisOptions, generator: torch.Generator | None) -> Tensor | None:
        """What to add in a frame, [1, 1, H, W], or None. Mode "random" draws it from `generator`."""
        scale = options.noise_strength
        if options.noise == "none" or scale == 0.0 or self._noise is None:
            return None
        const, strength = self._noise
        if options.noise == "const":
            return None if self._silent else const if scale == 1.0 else const * scale
        # Drawn where the generator lives, and even where the strength is zero: the next layer's noise must not depend
        # on it.
        device = generator.device if generator is not None else const.device
        drawn = torch.randn(const.shape, generator=generator, device=device)
        return None if self._silent else (drawn.to(const.device) * (strength * scale)).to(self._dtype)

    def __call__(self, x: Tensor, factors: Factors, noise: Tensor | None, *, overwrite: bool) -> Tensor:
        """[1, I, H, W] in channels_last order -> [1, O, H, W], which is the caller's. `overwrite` leaves anything in
        `x`: memory for another one costs as much as filling it, for large pictures.
        """
        style, out = factors
        y = self.kernel(x.mul_(style) if overwrite else x * style)
        torch.addcmul(self._bias, y, out, out=y)
        if noise is not None:
            y.add_(noise)
        F.leaky_relu_(y, LEAK)
        return y if self._clamp is None else y.clamp_(-self._clamp, self._clamp)


class FastRGB:
    """A modulated 1 x 1 convolution to the picture's channels, and the upsampling of the skip before it."""

    def __init__(
        self, weight_OI11: Tensor, bias_O: Tensor, *, size: Size, dtype: torch.dtype, clamp: float | None, skip: bool
    ) -> None:
        """`size` is (H, W) of the picture; `skip` says whether there is one to upsample."""
        self.inputs = weight_OI11.shape[1]
        self._dtype = dtype
        self._weight_OI = weight_OI11.detach()[:, :, 0, 0] / math.sqrt(self.inputs)
        self._bias = bias_O.detach().view(-1, 1, 1)
        self._clamp = clamp
        self._size = size
        self._up: tuple[Tensor, Tensor] | None = None
        if skip and max(size) <= 2 * _MATRIX_UPSAMPLE_TO:
            rows, columns = (_upsampling_matrix(side // 2).to(weight_OI11.device) for side in size)
            self._up = rows, columns.T.contiguous()

    def weight(self, style_I: Tensor) -> Tensor:
        """The modulated kernel, [O, I]: cheaper than modulating the activations; to be kept while the style stays."""
        return (self._weight_OI * style_I).to(self._dtype)

    def __call__(self, x: Tensor, weight_OI: Tensor, skip: Tensor | None) -> Tensor:
        """[1, I, H, W] and the skip [O, H/2, W/2] -> [O, H, W] float32."""
        pixels_PI = x.permute(0, 2, 3, 1).reshape(-1, self.inputs)
        y = torch.matmul(weight_OI, pixels_PI.T).float().view(-1, *self._size)
        y = y.add_(self._bias)
        if self._clamp is not None:
            y = y.clamp_(-self._clamp, self._clamp)
        if skip is None:
            return y
        if self._up is None:
            return y.add_(upsample(skip[None])[0])
        rows, columns = self._up
        return y.add_(rows @ skip @ columns)


class JointStyles:
    """The styles of all layers, which are affine in w, from one product."""

    def __init__(self, layers: Sequence[tuple[Dense, int]]) -> None:
        """What gives each layer's style, and which w it takes."""
        self._weight = torch.cat([layer.weight.detach() * layer.weight_gain for layer, _ in layers])
        self._bias = torch.cat([layer.bias.detach() * layer.bias_gain for layer, _ in layers])
        self._sizes = [len(layer.bias) for layer, _ in layers]
        self._indices = [index for _, index in layers]

    def __call__(self, w_LW: Tensor) -> list[Tensor]:
        """One w for all layers, or one for each of them -> each layer's style."""
        if bool((w_LW == w_LW[0]).all()):
            return list(torch.addmv(self._bias, self._weight, w_LW[0]).split_with_sizes(self._sizes))
        biases, weights = self._bias.split_with_sizes(self._sizes), self._weight.split_with_sizes(self._sizes)
        parts = zip(biases, weights, self._indices, strict=True)
        return [torch.addmv(bias, weight, w_LW[index]) for bias, weight, index in parts]


class Kept(Generic[T]):
    """The last value of a function of one tensor, for as long as it is called with the same numbers.

    It does not hold the function: a method would hold the weights, in a circle that only the garbage collector breaks.
    """

    def __init__(self) -> None:
        self._last: tuple[Tensor, T] | None = None

    def __call__(self, function: Callable[[Tensor], T], x: Tensor) -> T:
        if self._last is None or not torch.equal(self._last[0], x):
            # A copy: the caller may change his in place.
            self._last = x.clone(), function(x)
        return self._last[1]


def styles_of_one(w: Tensor, num_ws: int, dtype: torch.dtype | None, prepared: torch.dtype) -> Tensor:
    """[1, W] or per-layer [1, num_ws, W] -> [1, W] or [num_ws, W]. Raises `ValueError` for anything else, and for a
    precision that a synthesis was not prepared for.
    """
    if dtype not in (None, prepared):
        raise ValueError(f"dtype: prepared for {prepared}, got {dtype}")
    if w.ndim not in (2, 3) or w.shape[0] != 1 or (w.ndim == 3 and w.shape[1] != num_ws):
        raise ValueError(f"w: expected one picture's, [1, W] or [1, {num_ws}, W], got {list(w.shape)}")
    return w if w.ndim == 2 else w[0]


def _upsampling_matrix(side: int) -> Tensor:
    """U [2 side, side] such that U x U^T is `upsample(x)`: [1, 3, 3, 1] / 4 around each sample, cut at the edges."""
    matrix = torch.zeros(2 * side + 2, side)
    place = torch.arange(side)
    for tap, weight in enumerate((0.25, 0.75, 0.75, 0.25)):
        matrix[2 * place + tap, place] = weight
    return matrix[1:-1]
