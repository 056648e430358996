"""`stylegan_t.Generator.synthesis` for one picture at a time, as fast as the hardware allows; equal to the plain one.

What it saves, and why the result is the same:

- Weights are laid out for the convolution once (on a CPU in oneDNN's own order) and not on every call.
- A style is affine in w = [f, c]: the prompt's part is kept while the prompt stays, so a walk over seeds multiplies
  by F columns instead of F + T; all styles come from one product. What depends on w alone is kept while w stays.
- The power of each kernel, which demodulation needs, depends on the weights alone.
- Gains move into the numbers they multiply: leaky ReLU is positively homogeneous, so the sqrt 2 of the up-convolution
  goes into its demodulation, bias and noise, and the sqrt 2 of the residual sum into GroupNorm's affine part.
- Elementwise steps write in place, and GroupNorm reads half precision directly where the CPU's kernel can.
- Wide up-convolutions are done as four small ones, one for each parity of the output pixel: oneDNN's transposed
  convolution reaches a third of the speed of its convolution there.
- The RGB skips, three channels, are upsampled by matrix products.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from core.models.layers import CLAMP, LEAK, binomial_filter, upsample
from core.models.stylegan_t import Block, Convolution, Generator, ResidualConvolution, Style, ToRGB
from core.request import NoiseMode

_EPS = 1e-8
# From this many channels on, four small convolutions beat one transposed convolution (measured with AVX-512).
_PHASES_FROM = 256
# Up to this side the two matrix products of an RGB upsampling are cheaper than a convolution.
_MATRIX_UPSAMPLE_TO = 64
_ROOT = math.sqrt(2.0)


class _Kernel:
    """One convolution with fixed weights, x -> y, for channels_last input of one known size."""

    def __init__(self, weight_OIHW: Tensor, padding: tuple[int, int], side: int, *, groups: int = 1) -> None:
        self._padding = list(padding)
        self._groups = groups
        self._weight = weight_OIHW.contiguous(memory_format=torch.channels_last)
        self._packed: Tensor | None = None
        if weight_OIHW.device.type == "cpu" and _can_pack(weight_OIHW.dtype):
            self._packed = _pack(weight_OIHW, self._padding, groups, side)

    def __call__(self, x: Tensor) -> Tensor:
        if self._packed is None:
            return F.conv2d(x, self._weight, padding=self._padding, groups=self._groups)
        return _convolve_packed(x, self._packed, self._padding, self._groups)


class _UpKernel:
    """The up-convolution: insert zeros, true 3x3 convolution, low-pass. [1, I, H, W] -> [1, O, 2H, 2W]."""

    def __init__(self, weight_OIHW: Tensor, side: int) -> None:
        outputs, inputs = weight_OIHW.shape[:2]
        self._side = 2 * side + 1
        self._outputs = outputs
        self._blur = _Kernel(binomial_filter(outputs, weight_OIHW).contiguous(), (1, 1), self._side, groups=outputs)
        self._transposed: Tensor | None = None
        self._phases: list[tuple[int, int, _Kernel]] = []
        if weight_OIHW.device.type != "cpu" or min(inputs, outputs) < _PHASES_FROM:
            self._transposed = weight_OIHW.transpose(0, 1).contiguous(memory_format=torch.channels_last)
            return
        # Output pixel 2i takes the taps 2 and 0 at the inputs i - 1 and i, pixel 2i + 1 the tap 1 at the input i.
        taps = {0: ([2, 0], 1), 1: ([1], 0)}
        for row, (rows, pad_y) in taps.items():
            for column, (columns, pad_x) in taps.items():
                kernel = weight_OIHW[:, :, rows][:, :, :, columns]
                self._phases.append((row, column, _Kernel(kernel, (pad_y, pad_x), side)))

    def __call__(self, x: Tensor) -> Tensor:
        if self._transposed is not None:
            return self._blur(F.conv_transpose2d(x, self._transposed, stride=2))
        y = torch.empty(
            1, self._outputs, self._side, self._side, dtype=x.dtype, device=x.device, memory_format=torch.channels_last
        )
        for row, column, kernel in self._phases:
            y[:, :, row::2, column::2] = kernel(x)
        return self._blur(y)


class _FastConvolution:
    """What one `Convolution` needs at every frame. `place` is where its style starts in the joint style vector."""

    def __init__(self, layer: Convolution, place: int, dtype: torch.dtype, norm: _Norm | None) -> None:
        self.place = place
        self.inputs = layer.weight.shape[1]
        self.norm = norm
        self.gain = layer.gain
        weight = layer.weight.detach().float()
        self.normalise = dtype != torch.float32
        if self.normalise:
            weight = weight / weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
        self.power_OI = weight.square().sum(dim=(2, 3))
        side = layer.noise_const.shape[-1]
        self.side = side
        self.kernel = _UpKernel(weight.to(dtype), side // 2) if layer.up else _Kernel(weight.to(dtype), (1, 1), side)
        self.bias = (layer.bias.detach() * layer.gain).to(dtype).view(1, -1, 1, 1)
        self.clamp = CLAMP if layer.up else CLAMP * math.sqrt(0.5)
        self.noise_strength = layer.noise_strength.detach() * layer.gain
        self.has_noise = bool(layer.noise_strength != 0)
        # The noise is one plane for all channels: [1, 1, H, W].
        self.noise_const = (layer.noise_const * self.noise_strength).to(dtype)[None, None]

    def modulation(self, style_C: Tensor) -> tuple[Tensor, Tensor]:
        """The factors on the input [I] and on the output [O], float32."""
        if self.normalise:
            style_C = style_C / style_C.abs().amax().clamp_min(1e-12)
        out = torch.mv(self.power_OI, style_C.square()).add_(_EPS).rsqrt_()
        if self.gain != 1.0:
            out.mul_(self.gain)
        if self.norm is not None:
            style_C = style_C / _ROOT
        return style_C, out

    def __call__(self, x: Tensor, factors: tuple[Tensor, Tensor], noise: Tensor | None) -> Tensor:
        style, out = factors
        if self.norm is not None:
            x = self.norm(x)
        y = self.kernel(x * style)
        torch.addcmul(self.bias, y, out, out=y)
        if noise is not None:
            y.add_(noise)
        F.leaky_relu_(y, LEAK)
        y.clamp_(-self.clamp, self.clamp)
        return y if self.norm is None else x.addcmul_(y, self.norm.gamma)


class _Norm:
    """GroupNorm times sqrt 2, and the residual's scale times sqrt 2: sqrt 2 (h + gamma y) = (sqrt 2 h) + (sqrt 2 gamma)
    y.
    """

    def __init__(self, layer: ResidualConvolution, dtype: torch.dtype) -> None:
        self._groups = layer.norm.num_groups
        self._eps = layer.norm.eps
        self._weight = layer.norm.weight.detach() * _ROOT
        self._bias = layer.norm.bias.detach() * _ROOT
        # The CPU's kernel takes half precision with float32 weights, and gathers its statistics in float32.
        self._direct = self._weight.device.type == "cpu"
        self.gamma = (layer.gamma.detach() * _ROOT).to(dtype).view(1, -1, 1, 1)

    def __call__(self, x: Tensor) -> Tensor:
        source = x if self._direct else x.float()
        return F.group_norm(source, self._groups, self._weight, self._bias, self._eps).to(x.dtype)


class _FastRGB:
    """ToRGB and the upsampling of the skip before it."""

    def __init__(self, layer: ToRGB, place: int, side: int) -> None:
        self.place = place
        self.inputs = layer.weight.shape[1]
        self._weight_3C = layer.weight.detach()[:, :, 0, 0] / math.sqrt(self.inputs)
        self._bias = layer.bias.detach().view(3, 1, 1)
        self._side = side
        self._up: Tensor | None = None
        if 8 < side <= 2 * _MATRIX_UPSAMPLE_TO:
            self._up = _upsampling_matrix(side // 2).to(layer.weight.device)

    def weight(self, style_C: Tensor, dtype: torch.dtype) -> Tensor:
        """The modulated kernel, [3, C]: cheaper than modulating the activations."""
        return (self._weight_3C * style_C).to(dtype)

    def __call__(self, x: Tensor, weight_3C: Tensor, skip: Tensor | None) -> Tensor:
        """[1, C, H, W] and the skip [3, H/2, W/2] -> [3, H, W] float32."""
        pixels_PC = x.permute(0, 2, 3, 1).reshape(-1, self.inputs)
        y = torch.matmul(weight_3C, pixels_PC.T).float().view(3, self._side, self._side)
        y = y.add_(self._bias).clamp_(-CLAMP, CLAMP)
        if skip is None:
            return y
        if self._up is None:
            return y.add_(upsample(skip[None])[0])
        return y.add_(self._up @ skip @ self._up.T)


class FastSynthesis:
    """A generator's synthesis prepared for one precision on the generator's device. Not for training: no gradients.

    Keeps what belongs to the last w; not safe to call from two threads at once.
    """

    def __init__(self, generator: Generator, dtype: torch.dtype = torch.float32) -> None:
        self._dtype = dtype
        self._f_dim = generator.z_dim
        self._input = generator.input
        self._blocks: list[tuple[list[_FastConvolution], _FastRGB]] = []
        styles: list[Style] = []
        place = 0
        for block, resolution in zip(generator.blocks, generator.config.resolutions, strict=True):
            assert isinstance(block, Block)
            convolutions = []
            for layer in block.layers:
                norm = _Norm(layer, dtype) if isinstance(layer, ResidualConvolution) else None
                convolution = layer.conv if isinstance(layer, ResidualConvolution) else layer
                assert isinstance(convolution, Convolution)
                convolutions.append(_FastConvolution(convolution, place, dtype, norm))
                styles.append(convolution.style)
                place += convolutions[-1].inputs
            rgb = _FastRGB(block.to_rgb, place, resolution)
            styles.append(block.to_rgb.style)
            place += rgb.inputs
            self._blocks.append((convolutions, rgb))
        # Rows in the order [all s1, all s2, all s3], so that s1 * s2 + s3 is one step for all layers.
        split = [(s.weight.detach() * s.weight_gain).chunk(3) for s in styles]
        joint = torch.cat([torch.cat([parts[i] for parts in split]) for i in range(3)])
        self._affine_f = joint[:, : self._f_dim].contiguous()
        self._affine_c = joint[:, self._f_dim :].contiguous()
        bias = [s.bias.detach().chunk(3) for s in styles]
        self._affine_bias = torch.cat([torch.cat([parts[i] for parts in bias]) for i in range(3)])
        self._c: Tensor | None = None
        self._c_part = self._affine_bias
        self._w: Tensor | None = None
        self._factors: list[tuple[list[tuple[Tensor, Tensor]], Tensor]] = []

    def __call__(
        self,
        w_1W: Tensor,
        *,
        noise: NoiseMode = "const",
        transform: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The same as `Generator.synthesis` for one w: [1, W] -> [1, 3, R, R] float32."""
        if w_1W.ndim != 2 or w_1W.shape[0] != 1:
            raise ValueError(f"w: expected one style vector [1, W], got {list(w_1W.shape)}")
        if self._w is None or not torch.equal(self._w, w_1W):
            self._factors = self._modulate(w_1W[0])
            self._w = w_1W.clone()
        x = self._input(w_1W, transform).to(self._dtype).contiguous(memory_format=torch.channels_last)
        skip: Tensor | None = None
        for (convolutions, rgb), (factors, rgb_weight) in zip(self._blocks, self._factors, strict=True):
            for convolution, pair in zip(convolutions, factors, strict=True):
                x = convolution(x, pair, self._noise(convolution, noise, generator))
            skip = rgb(x, rgb_weight, skip)
        assert skip is not None
        return skip[None]

    def convolutions(self) -> list[tuple[Callable[[Tensor], Tensor], tuple[int, int, int, int]]]:
        """Every 3x3 convolution as this synthesis calls it, with the shape of its input: for measuring them alone."""
        result: list[tuple[Callable[[Tensor], Tensor], tuple[int, int, int, int]]] = []
        for convolutions, _ in self._blocks:
            for c in convolutions:
                side = c.side // 2 if isinstance(c.kernel, _UpKernel) else c.side
                result.append((c.kernel, (1, c.inputs, side, side)))
        return result

    def _modulate(self, w_W: Tensor) -> list[tuple[list[tuple[Tensor, Tensor]], Tensor]]:
        c_T = w_W[self._f_dim :]
        if self._c is None or not torch.equal(self._c, c_T):
            self._c = c_T.clone()
            self._c_part = torch.addmv(self._affine_bias, self._affine_c, c_T)
        s1, s2, s3 = torch.addmv(self._c_part, self._affine_f, w_W[: self._f_dim]).chunk(3)
        style = torch.addcmul(s3, s1, s2)
        result = []
        for convolutions, rgb in self._blocks:
            factors = []
            for convolution in convolutions:
                pair = convolution.modulation(style[convolution.place : convolution.place + convolution.inputs])
                factors.append((self._factor(pair[0]), self._factor(pair[1])))
            weight = rgb.weight(style[rgb.place : rgb.place + rgb.inputs], self._dtype)
            result.append((factors, weight))
        return result

    def _factor(self, values_C: Tensor) -> Tensor:
        return values_C.to(self._dtype).view(1, -1, 1, 1)

    def _noise(self, layer: _FastConvolution, mode: NoiseMode, generator: torch.Generator | None) -> Tensor | None:
        if mode == "none":
            return None
        if mode == "const":
            return layer.noise_const if layer.has_noise else None
        # Drawn even where the strength is zero: the next layer's noise must not depend on it.
        device = generator.device if generator is not None else layer.noise_const.device
        drawn = torch.randn(1, 1, layer.side, layer.side, generator=generator, device=device)
        return (drawn.to(layer.noise_const.device) * layer.noise_strength).to(self._dtype) if layer.has_noise else None


def _upsampling_matrix(side: int) -> Tensor:
    """U [2 side, side] such that U x U^T is `upsample(x)`: [1, 3, 3, 1] / 4 around each sample, cut at the edges."""
    matrix = torch.zeros(2 * side + 2, side)
    place = torch.arange(side)
    for tap, weight in enumerate((0.25, 0.75, 0.75, 0.25)):
        matrix[2 * place + tap, place] = weight
    return matrix[1:-1]


@functools.cache
def _can_pack(dtype: torch.dtype) -> bool:
    """Whether oneDNN can keep such weights in its own order here: tried once, since the calls are not public."""
    if not torch._C._has_mkldnn:
        return False
    x = torch.linspace(-1, 1, 8 * 16).view(1, 8, 4, 4).to(dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.linspace(-1, 1, 8 * 8 * 9).view(8, 8, 3, 3).to(dtype)
    try:
        packed = _convolve_packed(x, _pack(weight, [1, 1], 1, 4), [1, 1], 1)
        return torch.allclose(packed.float(), F.conv2d(x, weight, padding=1).float(), rtol=0.02, atol=0.02)
    except (AttributeError, RuntimeError, TypeError):
        return False


def _pack(weight_OIHW: Tensor, padding: list[int], groups: int, side: int) -> Tensor:
    # This and the next are the calls that torch's own compiler emits for frozen weights.
    size = [1, weight_OIHW.shape[1] * groups, side, side]
    packed: Tensor = torch.ops.aten.mkldnn_reorder_conv2d_weight(
        weight_OIHW.contiguous().to_mkldnn(), padding, [1, 1], [1, 1], groups, size
    )
    return packed


def _convolve_packed(x: Tensor, packed: Tensor, padding: list[int], groups: int) -> Tensor:
    y: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, packed, None, padding, [1, 1], [1, 1], groups, "none", [], ""
    )
    return y
