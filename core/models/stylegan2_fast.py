"""`stylegan2.Synthesis` for one picture at a time, as fast as the hardware allows; equal to the plain one.

Beside what fast_layers.py says, all styles come from one product, and the skips of resnet generators are upsampled by
bilinear interpolation, which has the binomial filter's weights.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.fast_layers import Factors, FastConvolution, FastRGB, JointStyles, Kept, styles_of_one
from core.models.kernels import Kernel, Size
from core.models.layers import Dense, noise_source, upsample
from core.models.stylegan2 import Block, Convolution, Generator, ResnetSkip, Synthesis
from core.request import DEFAULT_OPTIONS, SynthesisOptions


class _FastSkip:
    """1 x 1 convolution and upsampling of a resnet generator."""

    def __init__(self, layer: ResnetSkip, size: Size, dtype: torch.dtype) -> None:
        """`size` is (H, W) of the input."""
        gain = math.sqrt(0.5) / math.sqrt(layer.weight.shape[1])
        self._kernel = Kernel((layer.weight.detach() * gain).to(dtype), (0, 0), size)
        # Transposed convolutions of single channels are fast on a CPU in float32, in half precision they take ten times
        # as long as interpolation.
        self._interpolate = dtype != torch.float32

    def __call__(self, x: Tensor) -> Tensor:
        """[1, I, H, W] -> [1, O, 2H, 2W]."""
        y = self._kernel(x)
        if not self._interpolate:
            return upsample(y)
        # At the edges interpolation repeats the last pixel; ours is followed by zeros.
        padded = F.pad(y, (1, 1, 1, 1))
        return F.interpolate(padded, scale_factor=2, mode="bilinear", align_corners=False)[:, :, 2:-2, 2:-2]


class _FastBlock:
    """One resolution: its convolutions, RGB and skip where the architecture has them."""

    def __init__(self, block: Block, size: Size, dtype: torch.dtype, *, rgb_before: bool) -> None:
        """`size` is (H, W) of the output."""
        self.convolutions: list[FastConvolution] = []
        for name in block.convolutions:
            layer = block.get_submodule(name)
            assert isinstance(layer, Convolution)
            self.convolutions.append(
                FastConvolution(
                    layer.weight,
                    layer.bias,
                    (layer.noise_const, layer.noise_strength) if layer.has_noise else None,
                    size=size,
                    dtype=dtype,
                    up=layer.up,
                    gain=layer.gain,
                    clamp=layer.clamp,
                )
            )
        self.rgb: FastRGB | None = None
        if block.has_rgb:
            rgb = block.torgb
            self.rgb = FastRGB(rgb.weight, rgb.bias, size=size, dtype=dtype, clamp=rgb.clamp, skip=rgb_before)
        self.skip = _FastSkip(block.skip, (size[0] // 2, size[1] // 2), dtype) if block.resnet else None


class FastSynthesis:
    """A generator's synthesis prepared for one precision on the generator's device. Not for training: no gradients.

    Keeps what belongs to the last w; not safe to call from two threads at once.
    """

    def __init__(self, generator: Generator, dtype: torch.dtype = torch.float32, *, consume: bool = False) -> None:
        """With `consume` the generator loses its synthesis, so that weights are not kept twice; it still maps."""
        self._dtype = dtype
        self._num_ws = generator.num_ws
        synthesis = generator.synthesis
        assert isinstance(synthesis, Synthesis)
        self._blocks: list[_FastBlock] = []
        affines: list[tuple[Dense, int]] = []
        index = 0
        for name, resolution in zip(synthesis.blocks, generator.config.resolutions, strict=True):
            block = synthesis.get_submodule(name)
            assert isinstance(block, Block)
            if block.first:
                const = block.const.detach().to(dtype)[None]
                # A copy: with `consume` nothing of the generator's is kept.
                self._const = const.clone(memory_format=torch.channels_last)
            size = generator.config.pixels(resolution)
            rgb_before = any(before.rgb is not None for before in self._blocks)
            self._blocks.append(_FastBlock(block, size, dtype, rgb_before=rgb_before))
            for convolution in block.convolutions:
                layer = block.get_submodule(convolution)
                assert isinstance(layer, Convolution)
                affines.append((layer.affine, index))
                index += 1
            if block.has_rgb:
                affines.append((block.torgb.affine, index))  # it shares the next convolution's w
        self._styles = JointStyles(affines)
        self._modulation: Kept[list[tuple[list[Factors], Tensor | None]]] = Kept()
        if consume:
            generator.synthesis = nn.Module()

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
        is the one it was prepared for.
        """
        generator = noise_source(options, generator)
        w_LW = styles_of_one(ws, self._num_ws, dtype, self._dtype)
        x = self._const
        rgb: Tensor | None = None
        modulation = self._modulation(self._modulate, w_LW)
        for block, (factors, rgb_weight) in zip(self._blocks, modulation, strict=True):
            skip = block.skip(x) if block.skip is not None else None
            for convolution, pair in zip(block.convolutions, factors, strict=True):
                x = convolution(x, pair, convolution.noise(options, generator), overwrite=x is not self._const)
            if skip is not None:
                x.add_(skip)
            if block.rgb is not None and rgb_weight is not None:
                rgb = block.rgb(x, rgb_weight, rgb)
        assert rgb is not None
        return rgb[None]

    def _modulate(self, w_LW: Tensor) -> list[tuple[list[Factors], Tensor | None]]:
        styles = iter(self._styles(w_LW))
        result = []
        for block in self._blocks:
            factors = [convolution.factors(next(styles)) for convolution in block.convolutions]
            result.append((factors, None if block.rgb is None else block.rgb.weight(next(styles))))
        return result
