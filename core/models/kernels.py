"""Convolutions with fixed weights, laid out once for one input size: three ways, all equal to the plain one.

- `Kernel` keeps the weights in oneDNN's own order, which spares a reordering at every call.
- `WinogradKernel` needs a quarter of the multiplications (Lavin and Gray 2015, "Fast Algorithms for Convolutional
  Neural Networks", F(4x4, 3x3)), at four times the memory for weights. In float32 its error is some 1e-4 of the output.
- `UpKernel` splits wide up-convolutions by the parity of the output pixel.

Inputs are [1, I, H, W] in channels_last order, sizes are those of inputs; none of this has gradients.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from core.models.layers import binomial_filter

# (height, width) in pixels.
Size = tuple[int, int]

# Where the other ways begin to pay, measured with AVX-512 in float32: at 512 channels and 64 x 64 pixels Winograd's
# takes 50 ms instead of 124 on one core; below 256 channels or 32 pixels, moving the data costs what the products save.
WINOGRAD_CHANNELS = 256
WINOGRAD_SIDE = 32
# oneDNN's transposed convolution reaches a third of the speed of its convolution from here on, and more of it below.
PHASES_CHANNELS = 256


def kernel_3x3(weight_OI33: Tensor, size: Size, padding: int = 1) -> Callable[[Tensor], Tensor]:
    """The fastest way to do `conv2d(x, weight, padding=padding)` for pictures of a size."""
    wide = min(weight_OI33.shape[:2]) >= WINOGRAD_CHANNELS and min(size) >= WINOGRAD_SIDE
    if wide and weight_OI33.device.type == "cpu" and weight_OI33.dtype == torch.float32:
        return WinogradKernel(weight_OI33, size, padding)
    return Kernel(weight_OI33, (padding, padding), size)


class Kernel:
    """One convolution with fixed weights, x -> y, for channels_last input of one known size."""

    def __init__(self, weight_OIHW: Tensor, padding: tuple[int, int], size: Size, *, groups: int = 1) -> None:
        self._padding = list(padding)
        self._groups = groups
        self._packed = weight_OIHW.device.type == "cpu" and can_pack(weight_OIHW.dtype)
        if self._packed:
            self._weight = _pack(weight_OIHW, self._padding, groups, size)
        else:
            self._weight = weight_OIHW.contiguous(memory_format=torch.channels_last)

    def __call__(self, x: Tensor) -> Tensor:
        if self._packed:
            return _convolve_packed(x, self._weight, self._padding, self._groups)
        return F.conv2d(x, self._weight, padding=self._padding, groups=self._groups)


# The matrices of F(4, 3), for the points 0, 1, -1, 2, -2 and infinity: y = A^T [(G g) * (B^T d)] for six inputs d,
# three weights g and four outputs y (Lavin and Gray, section 4.2).
_B_T = (
    (4.0, 0.0, -5.0, 0.0, 1.0, 0.0),
    (0.0, -4.0, -4.0, 1.0, 1.0, 0.0),
    (0.0, 4.0, -4.0, -1.0, 1.0, 0.0),
    (0.0, -2.0, -1.0, 2.0, 1.0, 0.0),
    (0.0, 2.0, -1.0, -2.0, 1.0, 0.0),
    (0.0, 4.0, 0.0, -5.0, 0.0, 1.0),
)
_G = (
    (1 / 4, 0.0, 0.0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0.0, 0.0, 1.0),
)
_A_T = (
    (1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
    (0.0, 1.0, -1.0, 2.0, -2.0, 0.0),
    (0.0, 1.0, 1.0, 4.0, 4.0, 0.0),
    (0.0, 1.0, -1.0, 8.0, -8.0, 1.0),
)


class WinogradKernel:
    """A 3x3 convolution in float32, over tiles of 4 x 4 outputs."""

    def __init__(self, weight_OI33: Tensor, size: Size, padding: int = 1) -> None:
        outputs, inputs = weight_OI33.shape[:2]
        self._size = height, width = size[0] + 2 * padding - 2, size[1] + 2 * padding - 2
        self._tiles = -(-height // 4), -(-width // 4)
        # On the right and at the bottom up to whole tiles; what they give too much is cut off.
        self._padding = (padding, padding - width % -4, padding, padding - height % -4)
        b, g, a = (torch.tensor(m, dtype=torch.float64, device=weight_OI33.device) for m in (_B_T, _G, _A_T))
        # Rows and columns in one product: the Kronecker square of each matrix, [36, 9], [36, 36] and [16, 36].
        taps_9IO = weight_OI33.permute(2, 3, 1, 0).reshape(9, -1).double()
        self._u = torch.mm(torch.kron(g, g), taps_9IO).to(weight_OI33.dtype).view(36, inputs, outputs)
        self._b = torch.kron(b, b).to(weight_OI33.dtype)
        self._a = torch.kron(a, a).to(weight_OI33.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        (n, m), inputs, outputs = self._tiles, self._u.shape[1], self._u.shape[2]
        padded_HWI = F.pad(x, self._padding)[0].permute(1, 2, 0).contiguous()
        row, pixel = padded_HWI.stride(0), padded_HWI.stride(1)
        # Six by six pixels around each tile of four by four: [6, 6, n, m, I].
        d = padded_HWI.as_strided((6, 6, n, m, inputs), (row, pixel, 4 * row, 4 * pixel, 1)).reshape(36, -1)
        v = torch.mm(self._b, d).view(36, n * m, inputs)
        y = torch.mm(self._a, torch.bmm(v, self._u).view(36, -1)).view(4, 4, n, m, outputs)
        return (
            y.permute(2, 0, 3, 1, 4)
            .reshape(1, 4 * n, 4 * m, outputs)
            .permute(0, 3, 1, 2)[:, :, : self._size[0], : self._size[1]]
        )


class UpKernel:
    """The up-convolution: insert zeros, true 3x3 convolution, low-pass. [1, I, H, W] -> [1, O, 2H, 2W]."""

    def __init__(self, weight_OIHW: Tensor, size: Size) -> None:
        outputs, inputs = weight_OIHW.shape[:2]
        self._size = 2 * size[0] + 1, 2 * size[1] + 1
        self._outputs = outputs
        self._blur = Kernel(binomial_filter(outputs, weight_OIHW).contiguous(), (1, 1), self._size, groups=outputs)
        self._transposed: Tensor | None = None
        self._phases: list[tuple[int, int, Kernel]] = []
        if weight_OIHW.device.type != "cpu" or min(inputs, outputs) < PHASES_CHANNELS:
            self._transposed = weight_OIHW.transpose(0, 1).contiguous(memory_format=torch.channels_last)
            return
        # Output pixel 2i takes the taps 2 and 0 at the inputs i - 1 and i, pixel 2i + 1 the tap 1 at the input i.
        taps = {0: ([2, 0], 1), 1: ([1], 0)}
        for row, (rows, pad_y) in taps.items():
            for column, (columns, pad_x) in taps.items():
                kernel = weight_OIHW[:, :, rows][:, :, :, columns]
                self._phases.append((row, column, Kernel(kernel, (pad_y, pad_x), size)))

    def __call__(self, x: Tensor) -> Tensor:
        if self._transposed is not None:
            return self._blur(F.conv_transpose2d(x, self._transposed, stride=2))
        shape = (1, self._outputs, *self._size)
        y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        for row, column, kernel in self._phases:
            y[:, :, row::2, column::2] = kernel(x)
        return self._blur(y)


@functools.cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether oneDNN can keep such weights in its own order here: tried once, since the calls are not public."""
    if not torch._C._has_mkldnn:
        return False
    x = torch.linspace(-1, 1, 8 * 16).view(1, 8, 4, 4).to(dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.linspace(-1, 1, 8 * 8 * 9).view(8, 8, 3, 3).to(dtype)
    try:
        packed = _convolve_packed(x, _pack(weight, [1, 1], 1, (4, 4)), [1, 1], 1)
        return torch.allclose(packed.float(), F.conv2d(x, weight, padding=1).float(), rtol=0.02, atol=0.02)
    except (AttributeError, RuntimeError, TypeError):
        return False


def _pack(weight_OIHW: Tensor, padding: list[int], groups: int, size: Size) -> Tensor:
    # This and the next are the calls that torch's own compiler emits for frozen weights.
    shape = [1, weight_OIHW.shape[1] * groups, *size]
    packed: Tensor = torch.ops.aten.mkldnn_reorder_conv2d_weight(
        weight_OIHW.contiguous().to_mkldnn(), padding, [1, 1], [1, 1], groups, shape
    )
    return packed


def _convolve_packed(x: Tensor, packed: Tensor, padding: list[int], groups: int) -> Tensor:
    y: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, packed, None, padding, [1, 1], [1, 1], groups, "none", [], ""
    )
    return y
