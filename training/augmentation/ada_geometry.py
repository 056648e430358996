"""The geometric part of the ADA pipeline (Karras et al. 2020, arXiv 2006.06676, appendix B): flips, turns, moves and
scales as one resampling through a wavelet's low-pass filter, differentiable twice.

Each function returns the inverse of a random transform, [N, 3, 3], from (x, y, 1) of the output to those of the input,
in pixels, the origin at the picture's centre. Matrices are multiplied from the left to the right in the order of the
transforms.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Low-pass decomposition filter of the symlet with six vanishing moments; its sum is sqrt 2.
SYM6 = (
    *(0.01540411, 0.00349071, -0.11799011, -0.04831174, 0.49105594, 0.78764114),
    *(0.33792942, -0.07263752, -0.02106029, 0.04472490, 0.00176771, -0.00780071),
)
REACH = len(SYM6) // 4
"""How many pixels the filter, laid over doubled pictures, reaches beyond an edge."""


def translate(x_N: Tensor, y_N: Tensor) -> Tensor:
    """Matrices that move by (x, y), [N, 3, 3]."""
    zero, one = torch.zeros_like(x_N), torch.ones_like(x_N)
    return _matrix([[one, zero, x_N], [zero, one, y_N], [zero, zero, one]])


def scale(x_N: Tensor, y_N: Tensor) -> Tensor:
    """Matrices that scale by (x, y), [N, 3, 3]."""
    zero, one = torch.zeros_like(x_N), torch.ones_like(x_N)
    return _matrix([[x_N, zero, zero], [zero, y_N, zero], [zero, zero, one]])


def rotate(angle_N: Tensor) -> Tensor:
    """Matrices that turn by an angle in radians, [N, 3, 3]."""
    cos, sin = angle_N.cos(), angle_N.sin()
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    return _matrix([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]])


def _matrix(rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def resample(x_NCHW: Tensor, inverse_N33: Tensor) -> Tensor:
    """Pictures through a transform for each, given by its inverse; what lies beyond an edge is mirrored.

    Pictures are doubled by SYM6, sampled bilinearly, and halved by the same filter. Mirroring goes on for at most the
    width of a picture; black lies behind it.
    """
    n, channels, height, width = x_NCHW.shape
    half_x, half_y = (width - 1) / 2, (height - 1) / 2
    corners = x_NCHW.new_tensor([[-half_x, half_x, half_x, -half_x], [-half_y, -half_y, half_y, half_y], [1.0] * 4])
    seen = (inverse_N33 @ corners)[:, :2]  # [N, 2, 4]
    reach = 2 * REACH
    lowest, highest = seen.amin(dim=(0, 2)).tolist(), seen.amax(dim=(0, 2)).tolist()
    sides = [
        min(max(math.ceil(overhang + reach - half), 0), length - 1)
        for overhang, half, length in (
            (-lowest[0], half_x, width),
            (highest[0], half_x, width),
            (-lowest[1], half_y, height),
            (highest[1], half_y, height),
        )
    ]
    left, right, top, bottom = sides
    x = F.pad(x_NCHW, sides, mode="reflect")

    def moved(x_: float, y_: float) -> Tensor:
        return translate(x_NCHW.new_full((1,), x_), x_NCHW.new_full((1,), y_))

    def scaled(x_: float, y_: float) -> Tensor:
        return scale(x_NCHW.new_full((1,), x_), x_NCHW.new_full((1,), y_))

    inverse = moved((left - right) / 2, (top - bottom) / 2) @ inverse_N33
    taps = x_NCHW.new_tensor(SYM6)
    taps = taps / taps.sum()
    x = _double(x, taps)
    # Coordinates of the doubled pictures, whose pixels' centres lie a quarter of a pixel to the side.
    inverse = scaled(2, 2) @ inverse @ scaled(0.5, 0.5)
    inverse = moved(-0.5, -0.5) @ inverse @ moved(0.5, 0.5)
    out_height, out_width = 2 * (height + reach), 2 * (width + reach)
    inverse = scaled(2 / x.shape[3], 2 / x.shape[2]) @ inverse @ scaled(out_width / 2, out_height / 2)
    grid = F.affine_grid(inverse[:, :2].expand(n, 2, 3), [n, channels, out_height, out_width], align_corners=False)
    x = F.grid_sample(x, grid.to(x.dtype), mode="bilinear", padding_mode="zeros", align_corners=False)
    return _halve(x, taps)


def _double(x: Tensor, taps: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, 2H, 2W]: a zero behind each pixel, then the filter (convolved) at twice its strength."""
    n, channels, height, width = x.shape
    x = torch.stack([x, torch.zeros_like(x)], dim=-1).reshape(n, channels, height, 2 * width)
    x = torch.stack([x, torch.zeros_like(x)], dim=-2).reshape(n, channels, 2 * height, 2 * width)
    size = len(taps)
    before, after = (size + 1) // 2, (size - 2) // 2
    x = F.pad(x, (before, after, before, after))
    kernel = (2 * taps.flip(0)).expand(channels, 1, size)
    x = F.conv2d(x, kernel[:, :, None, :], groups=channels)
    return F.conv2d(x, kernel[:, :, :, None], groups=channels)


def _halve(x: Tensor, taps: Tensor) -> Tensor:
    """[N, C, 2(H + 6), 2(W + 6)] -> [N, C, H, W]: the filter (correlated), every second sample."""
    channels, size = x.shape[1], len(taps)
    x = x[:, :, 1:-1, 1:-1]
    kernel = taps.expand(channels, 1, size)
    x = F.conv2d(x, kernel[:, :, None, :], stride=(1, 2), groups=channels)
    return F.conv2d(x, kernel[:, :, :, None], stride=(2, 1), groups=channels)
