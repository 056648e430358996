"""`stylegan_t.Generator.synthesis` for one picture at a time, as fast as the hardware allows; equal to the plain one.

What it saves, and why the result is the same:

- Each convolution is laid out once, in the way that is fastest here (kernels.py).
- A style is affine in w = [f, c]: the prompt's part is kept while the prompt stays, so a walk over seeds multiplies
  by F columns instead of F + T; all styles come from one product. What depends on w alone is kept while w stays.
- The power of each kernel, which demodulation needs, depends on the weights alone.
- Gains move into the numbers they multiply: leaky ReLU is positively homogeneous, so the sqrt 2 of the up-convolution
  goes into its demodulation, bias and noise, and the sqrt 2 of the residual sum into GroupNorm's affine part.
- Elementwise steps write in place, and GroupNorm reads half precision directly where the CPU's kernel can.
- The RGB skips, three channels, are upsampled by matrix products.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.kernels import UpKernel, kernel_3x3
from core.models.layers import CLAMP, LEAK, upsample
from core.models.stylegan_t import Block, Convolution, Generator, ResidualConvolution, Style, ToRGB
from core.request import NoiseMode

_EPS = 1e-8
# Up to this side the two matrix products of an RGB upsampling are cheaper than a convolution.
_MATRIX_UPSAMPLE_TO = 64
_ROOT = math.sqrt(2.0)


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
        self.kernel = UpKernel(weight.to(dtype), side // 2) if layer.up else kernel_3x3(weight.to(dtype), side)
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

    def __init__(self, generator: Generator, dtype: torch.dtype = torch.float32, *, consume: bool = False) -> None:
        """With `consume` the generator loses its blocks, so that their weights are not kept twice; it still maps."""
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
        self._num_ws = generator.num_ws
        self._rows: list[tuple[slice, int]] = []
        """Each layer's rows in a third of the joint style vector, and which w it takes."""
        index = 1
        for convolutions, rgb in self._blocks:
            for place, inputs in [(c.place, c.inputs) for c in convolutions] + [(rgb.place, rgb.inputs)]:
                self._rows.append((slice(place, place + inputs), index))
                index += 1
            index -= 1  # a ToRGB shares the next convolution's
        self._c: Tensor | None = None
        self._c_part = self._affine_bias
        self._w: Tensor | None = None
        self._factors: list[tuple[list[tuple[Tensor, Tensor]], Tensor]] = []
        if consume:
            generator.blocks = nn.ModuleList()

    def __call__(
        self,
        w: Tensor,
        /,
        *,
        noise: NoiseMode = "const",
        transform: Tensor | None = None,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """The same as `Generator.synthesis` for one picture: [1, W] or per-layer [1, num_ws, W] -> [1, 3, R, R]
        float32. `dtype` is the one it was prepared for.
        """
        if dtype not in (None, self._dtype):
            raise ValueError(f"dtype: prepared for {self._dtype}, got {dtype}")
        if w.shape[0] != 1 or w.ndim not in (2, 3) or (w.ndim == 3 and w.shape[1] != self._num_ws):
            raise ValueError(f"w: expected one picture's, [1, W] or [1, {self._num_ws}, W], got {list(w.shape)}")
        w_LW = w if w.ndim == 2 else w[0]
        if self._w is None or not torch.equal(self._w, w_LW):
            self._factors = self._modulate(w_LW)
            self._w = w_LW.clone()
        x = self._input(w_LW[:1], transform).to(self._dtype).contiguous(memory_format=torch.channels_last)
        skip: Tensor | None = None
        for (convolutions, rgb), (factors, rgb_weight) in zip(self._blocks, self._factors, strict=True):
            for convolution, pair in zip(convolutions, factors, strict=True):
                x = convolution(x, pair, self._noise(convolution, noise, generator))
            skip = rgb(x, rgb_weight, skip)
        assert skip is not None
        return skip[None]

    def _modulate(self, w_LW: Tensor) -> list[tuple[list[tuple[Tensor, Tensor]], Tensor]]:
        style = self._joint_style(w_LW[0]) if (w_LW == w_LW[0]).all() else self._styles_by_layer(w_LW)
        result = []
        for convolutions, rgb in self._blocks:
            factors = []
            for convolution in convolutions:
                pair = convolution.modulation(style[convolution.place : convolution.place + convolution.inputs])
                factors.append((self._factor(pair[0]), self._factor(pair[1])))
            weight = rgb.weight(style[rgb.place : rgb.place + rgb.inputs], self._dtype)
            result.append((factors, weight))
        return result

    def _joint_style(self, w_W: Tensor) -> Tensor:
        """All layers' styles, one after another, from the w of all."""
        c_T = w_W[self._f_dim :]
        if self._c is None or not torch.equal(self._c, c_T):
            self._c = c_T.clone()
            self._c_part = torch.addmv(self._affine_bias, self._affine_c, c_T)
        s1, s2, s3 = torch.addmv(self._c_part, self._affine_f, w_W[: self._f_dim]).chunk(3)
        return torch.addcmul(s3, s1, s2)

    def _styles_by_layer(self, w_LW: Tensor) -> Tensor:
        """The same from a w for each layer."""
        parts = []
        affine_f = self._affine_f.view(3, -1, self._f_dim)
        affine_c = self._affine_c.view(3, -1, self._affine_c.shape[1])
        bias = self._affine_bias.view(3, -1)
        for rows, index in self._rows:
            f_F, c_T = w_LW[index, : self._f_dim], w_LW[index, self._f_dim :]
            s1, s2, s3 = bias[:, rows] + affine_f[:, rows] @ f_F + affine_c[:, rows] @ c_T
            parts.append(torch.addcmul(s3, s1, s2))
        return torch.cat(parts)

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
