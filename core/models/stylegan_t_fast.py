"""`stylegan_t.Generator.synthesis` for one picture at a time, as fast as the hardware allows; equal to the plain one.

What it saves beside what fast_layers.py says, and why the result is the same:

- A style is affine in w = [f, c]: the prompt's part is kept while the prompt stays, so a walk over seeds multiplies
  by F columns instead of F + T; all styles come from one product. With a joint style, all columns are that one's.
- The sqrt 2 of the residual sum goes into GroupNorm's affine part.
- GroupNorm reads half precision directly where the CPU's kernel can.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.fast_layers import Factors, FastConvolution, FastRGB, Kept, styles_of_one
from core.models.layers import CLAMP, input_transform, noise_source
from core.models.stylegan_t import Block, Convolution, Generator, ResidualConvolution, Style
from core.request import DEFAULT_OPTIONS, SynthesisOptions

_ROOT = math.sqrt(2.0)


class _Layer:
    """A convolution, with the norm and the residual sum around it if it has them."""

    def __init__(self, layer: nn.Module, resolution: int, dtype: torch.dtype) -> None:
        self._norm = _Norm(layer, dtype) if isinstance(layer, ResidualConvolution) else None
        convolution = layer.conv if isinstance(layer, ResidualConvolution) else layer
        assert isinstance(convolution, Convolution)
        self.style: Style = convolution.style
        self.convolution = FastConvolution(
            convolution.weight,
            convolution.bias,
            (convolution.noise_const, convolution.noise_strength),
            size=(resolution, resolution),
            dtype=dtype,
            up=convolution.up,
            gain=convolution.gain,
            clamp=CLAMP if convolution.up else CLAMP * math.sqrt(0.5),
            input_gain=1.0 if self._norm is None else 1 / _ROOT,
        )

    def __call__(self, x: Tensor, factors: Factors, noise: Tensor | None) -> Tensor:
        """[1, I, H, W] -> [1, O, H, W]. Overwrites `x`."""
        if self._norm is None:
            return self.convolution(x, factors, noise, overwrite=True)
        x = self._norm(x)
        return x.addcmul_(self.convolution(x, factors, noise, overwrite=False), self._norm.gamma)


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


class FastSynthesis:
    """A generator's synthesis prepared for one precision on the generator's device. Not for training: no gradients.

    Keeps what belongs to the last w; not safe to call from two threads at once.
    """

    def __init__(self, generator: Generator, dtype: torch.dtype = torch.float32, *, consume: bool = False) -> None:
        """With `consume` the generator loses its blocks, so that their weights are not kept twice; it still maps."""
        self._dtype = dtype
        self._joint = generator.joint
        self._f_dim = generator.z_dim if generator.joint is None else generator.config.style_width
        self._first_maps = generator.first_maps
        self._num_ws = generator.num_ws
        self._blocks: list[tuple[list[_Layer], FastRGB]] = []
        styles: list[Style] = []
        self._rows: list[tuple[slice, int]] = []
        """Each layer's rows in a third of the joint style vector, and which w it takes."""
        place, index = 0, 1

        def append(style: Style, inputs: int) -> None:
            nonlocal place
            styles.append(style)
            self._rows.append((slice(place, place + inputs), index))
            place += inputs

        for block, resolution in zip(generator.blocks, generator.config.resolutions, strict=True):
            assert isinstance(block, Block)
            layers = [_Layer(layer, resolution, dtype) for layer in block.layers]
            for layer in layers:
                append(layer.style, layer.convolution.inputs)
                index += 1
            rgb = FastRGB(
                block.to_rgb.weight,
                block.to_rgb.bias,
                size=(resolution, resolution),
                dtype=dtype,
                clamp=CLAMP,
                skip=bool(self._blocks),
            )
            append(block.to_rgb.style, rgb.inputs)  # it shares the next convolution's w
            self._blocks.append((layers, rgb))
        # Rows in the order [all s1, all s2, all s3], so that s1 * s2 + s3 is one step for all layers.
        split = [(s.weight.detach() * s.weight_gain).chunk(3) for s in styles]
        joint = torch.cat([torch.cat([parts[i] for parts in split]) for i in range(3)])
        self._affine_f = joint[:, : self._f_dim].contiguous()
        self._affine_c = joint[:, self._f_dim :].contiguous()
        bias = [s.bias.detach().chunk(3) for s in styles]
        self._affine_bias = torch.cat([torch.cat([parts[i] for parts in bias]) for i in range(3)])
        self._prompts_part: Kept[Tensor] = Kept()
        self._styled: Kept[Tensor] = Kept()
        self._modulation: Kept[list[tuple[list[Factors], Tensor]]] = Kept()
        if consume:
            generator.blocks = nn.ModuleList()

    def __call__(
        self,
        w: Tensor,
        options: SynthesisOptions = DEFAULT_OPTIONS,
        /,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """The same as `Generator.synthesis` for one picture: [1, W] or per-layer [1, num_ws, W] -> [1, 3, R, R]
        float32. `dtype` is the one it was prepared for.
        """
        generator = noise_source(options, generator)
        w_LW = styles_of_one(w, self._num_ws, dtype, self._dtype)
        w_LW = self._styled(self._joined, w_LW)
        x = self._first_maps(w_LW[:1], input_transform(options, w))
        x = x.to(self._dtype).contiguous(memory_format=torch.channels_last)
        skip: Tensor | None = None
        modulation = self._modulation(self._modulate, w_LW)
        for (layers, rgb), (factors, rgb_weight) in zip(self._blocks, modulation, strict=True):
            for layer, pair in zip(layers, factors, strict=True):
                x = layer(x, pair, layer.convolution.noise(options, generator))
            skip = rgb(x, rgb_weight, skip)
        assert skip is not None
        return skip[None]

    def _joined(self, w_LW: Tensor) -> Tensor:
        """What styles are affine in, for every layer: w where there is no joint style."""
        if self._joint is None:
            return w_LW
        if bool((w_LW == w_LW[0]).all()):
            one: Tensor = self._joint(w_LW[:1])
            return one.expand(len(w_LW), -1)
        each: Tensor = self._joint(w_LW)
        return each

    def _modulate(self, w_LW: Tensor) -> list[tuple[list[Factors], Tensor]]:
        same = bool((w_LW == w_LW[0]).all())
        styles = iter(self._joint_styles(w_LW[0]) if same else self._styles_by_layer(w_LW))
        return [
            ([layer.convolution.factors(next(styles)) for layer in layers], rgb.weight(next(styles)))
            for layers, rgb in self._blocks
        ]

    def _joint_styles(self, w_W: Tensor) -> list[Tensor]:
        """Each layer's style from the w of all."""
        c_part = self._prompts_part(self._part_of_prompt, w_W[self._f_dim :])
        s1, s2, s3 = torch.addmv(c_part, self._affine_f, w_W[: self._f_dim]).chunk(3)
        style = torch.addcmul(s3, s1, s2)
        return [style[rows] for rows, _ in self._rows]

    def _part_of_prompt(self, c_T: Tensor) -> Tensor:
        return torch.addmv(self._affine_bias, self._affine_c, c_T)

    def _styles_by_layer(self, w_LW: Tensor) -> list[Tensor]:
        """The same from a w for each layer."""
        parts = []
        affine_f = self._affine_f.view(3, -1, self._f_dim)
        affine_c = self._affine_c.view(3, affine_f.shape[1], self._affine_c.shape[1])
        bias = self._affine_bias.view(3, -1)
        for rows, index in self._rows:
            f_F, c_T = w_LW[index, : self._f_dim], w_LW[index, self._f_dim :]
            s1, s2, s3 = bias[:, rows] + affine_f[:, rows] @ f_F + affine_c[:, rows] @ c_T
            parts.append(torch.addcmul(s3, s1, s2))
        return parts
