"""`stylegan1.Synthesis` for one picture at a time, as fast as the hardware allows; equal to the plain one.

Kernels and gains are worked out once, all styles come from one product and are kept while w stays, wide up-convolutions
are split by the parity of the output pixel, and AdaIN is GroupNorm with one channel a group.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.fast_layers import JointStyles, Kept, planes, styles_of_one
from core.models.kernels import PHASES_CHANNELS, Kernel, Size, kernel_3x3
from core.models.layers import LEAK, Dense, noise_source
from core.models.stylegan1 import Convolution, Generator, Layer, up_kernel
from core.request import DEFAULT_OPTIONS, NoiseMode, SynthesisOptions

_EPS = 1e-8


class _UpKernel:
    """Every pixel twice in each direction, 3 x 3 convolution, blur: [1, I, H, W] -> [1, O, 2H, 2W]."""

    def __init__(self, weight_OI33: Tensor, size: Size) -> None:
        """`size` is (H, W)."""
        outputs, inputs = weight_OI33.shape[:2]
        self._shape = (1, outputs, 2 * size[0], 2 * size[1])
        row = torch.tensor([1.0, 2.0, 1.0], dtype=weight_OI33.dtype, device=weight_OI33.device) / 4
        binomial = torch.outer(row, row).expand(outputs, 1, 3, 3).contiguous()
        self._blur = Kernel(binomial, (1, 1), self._shape[2:], groups=outputs)
        self._transposed: Tensor | None = None
        self._phases: list[tuple[int, int, Kernel]] = []
        kernel_OI44 = up_kernel(weight_OI33)
        if weight_OI33.device.type != "cpu" or min(inputs, outputs) < PHASES_CHANNELS:
            self._transposed = kernel_OI44.transpose(0, 1).contiguous(memory_format=torch.channels_last)
            return
        # Output pixel 2i takes the taps 3 and 1 at the inputs i - 1 and i, 2i + 1 the taps 2 and 0 at i and i + 1.
        taps = ([3, 1], [2, 0])
        for y, rows in enumerate(taps):
            for x, columns in enumerate(taps):
                self._phases.append((y, x, Kernel(kernel_OI44[:, :, rows][:, :, :, columns], (1, 1), size)))

    def __call__(self, x: Tensor) -> Tensor:
        if self._transposed is not None:
            return self._blur(F.conv_transpose2d(x, self._transposed, stride=2, padding=1))
        height, width = x.shape[2:]
        y = torch.empty(self._shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        for row, column, kernel in self._phases:
            y[:, :, row::2, column::2] = kernel(x)[:, :, row : row + height, column : column + width]
        return self._blur(y)


class _FastEnd:
    """What ends a layer: noise, bias, leaky ReLU, AdaIN."""

    def __init__(self, layer: Layer, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._bias = planes(layer.bias.detach(), dtype)
        self._strength = planes(layer.noise_strength.detach(), torch.float32)
        self._noise_const = layer.noise_const.detach().clone()
        self._channels = len(layer.bias)
        # The CPU's kernel takes half precision with float32 weights, and gathers its statistics in float32.
        self._direct = layer.bias.device.type == "cpu"

    def __call__(
        self,
        x: Tensor,
        style: tuple[Tensor, Tensor],
        options: SynthesisOptions,
        generator: torch.Generator | None,
    ) -> Tensor:
        """[1, C, H, W] -> [1, C, H, W]. Overwrites `x`."""
        scale = options.noise_strength
        if options.noise != "none" and scale != 0.0:
            x.add_((self._field(options.noise, generator) * (self._strength * scale)).to(self._dtype))
        F.leaky_relu_(x.add_(self._bias), LEAK)
        source = x if self._direct else x.float()
        return F.group_norm(source, self._channels, *style, _EPS).to(self._dtype)

    def _field(self, noise: NoiseMode, generator: torch.Generator | None) -> Tensor:
        const = self._noise_const
        if noise == "const":
            return const
        # Drawn where the generator lives, so that a seed gives the same noise on every device.
        device = generator.device if generator is not None else const.device
        return torch.randn(1, 1, *const.shape, generator=generator, device=device).to(const.device)


class FastSynthesis:
    """A generator's synthesis prepared for one precision on the generator's device. Not for training: no gradients.

    Keeps what belongs to the last w; not safe to call from two threads at once.
    """

    def __init__(self, generator: Generator, dtype: torch.dtype = torch.float32, *, consume: bool = False) -> None:
        """With `consume` the generator loses its synthesis, so that weights are not kept twice; it still maps."""
        self._dtype = dtype
        self._num_ws = generator.num_ws
        synthesis = generator.synthesis
        const = synthesis.input.const.detach().to(dtype)[None]
        self._const = const.clone(memory_format=torch.channels_last)
        self._first = _FastEnd(synthesis.input, dtype)
        affines: list[tuple[Dense, int]] = [(synthesis.input.affine, 0)]
        self._layers: list[tuple[Callable[[Tensor], Tensor], _FastEnd]] = []
        for index, name in enumerate(synthesis.convolutions, 1):
            layer = synthesis.get_submodule(name)
            assert isinstance(layer, Convolution)
            side = len(layer.noise_const)
            weight = (layer.weight.detach() * math.sqrt(2 / layer.weight[0].numel())).to(dtype)
            kernel = _UpKernel(weight, (side // 2, side // 2)) if layer.up else kernel_3x3(weight, (side, side))
            self._layers.append((kernel, _FastEnd(layer, dtype)))
            affines.append((layer.affine, index))
        self._styles = JointStyles(affines)
        self._modulation: Kept[list[tuple[Tensor, Tensor]]] = Kept()
        rgb = synthesis.torgb
        self._rgb = Kernel(
            (rgb.weight.detach() / math.sqrt(rgb.weight.shape[1])).to(dtype), (0, 0), generator.output_size
        )
        self._rgb_bias = planes(rgb.bias.detach(), torch.float32)
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
        """The same as `Synthesis` for one picture: [1, W] or per-layer [1, num_ws, W] -> [1, 3, R, R] float32. `dtype`
        is the one it was prepared for.
        """
        generator = noise_source(options, generator)
        styles = self._modulation(self._modulate, styles_of_one(ws, self._num_ws, dtype, self._dtype))
        x = self._first(self._const.clone(), styles[0], options, generator)
        for (kernel, end), style in zip(self._layers, styles[1:], strict=True):
            x = end(kernel(x), style, options, generator)
        return self._rgb(x).float().add_(self._rgb_bias)

    def _modulate(self, w_LW: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [(scale, shift) for scale, shift in (style.chunk(2) for style in self._styles(w_LW))]
