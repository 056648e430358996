"""The alias-free non-linearity of StyleGAN3 and the low-pass filters it needs (Karras et al. 2021, "Alias-Free
Generative Adversarial Networks", section 3.1 and appendix C).

A pointwise non-linearity on samples makes frequencies that the samples cannot carry. So: upsample, leaky ReLU at the
higher rate, low-pass, downsample. `filtered_lrelu_plain` is that in the plainest form; `filtered_lrelu` equals it and
skips what is multiplied by zero or thrown away.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from core.models.layers import LEAK

# (left, right, top, bottom) in pixels at the upsampled rate, as `torch.nn.functional.pad` takes it; negative crops.
Padding = tuple[int, int, int, int]


def lowpass_filter(taps: int, *, cutoff: float, half_width: float, rate: float) -> Tensor:
    """Windowed-sinc low-pass filter, [taps] float32, unit sum (appendix C.1).

    `cutoff` and `half_width`, half the transition band, are in the unit of the sampling `rate`; the window is Kaiser's.
    """
    _check(taps, cutoff, half_width, rate)
    ratio = 2 * cutoff / rate
    place = np.arange(taps) - (taps - 1) / 2
    response = np.sinc(ratio * place) * _window(taps, half_width, rate)
    return torch.tensor(response / response.sum(), dtype=torch.float32)


def radial_filter(taps: int, *, cutoff: float, half_width: float, rate: float) -> Tensor:
    """Rotationally symmetric low-pass filter, [taps, taps] float32, unit sum: a jinc times the outer product of a
    Kaiser window (appendix C.2).
    """
    _check(taps, cutoff, half_width, rate)
    place = (np.arange(taps) - (taps - 1) / 2) / rate
    radius = np.hypot(place[:, None], place)
    angle = torch.from_numpy(np.where(radius > 0, 2 * math.pi * cutoff * radius, 1.0))
    jinc = torch.special.bessel_j1(angle).numpy() / np.where(radius > 0, math.pi * radius, 1.0)
    window = _window(taps, half_width, rate)
    response = np.where(radius > 0, jinc, cutoff) * np.outer(window, window)  # J1(x) / x is 1/2 at 0
    return torch.tensor(response / response.sum(), dtype=torch.float32)


def _check(taps: int, cutoff: float, half_width: float, rate: float) -> None:
    if taps < 2:
        raise ValueError(f"filter: expected at least 2 taps, got {taps}")
    if not 0 < cutoff < rate / 2 or not half_width > 0:
        raise ValueError(
            f"filter: expected a cutoff between 0 and half the rate, {rate / 2:g}, and a positive transition band, "
            f"got {cutoff:g} and {half_width:g}"
        )


def _window(taps: int, half_width: float, rate: float) -> NDArray[np.float64]:
    """Kaiser's window for a transition band of 2 `half_width`, by his formulas for attenuation and shape (Kaiser 1974).

    The band is taken relative to half the rate.
    """
    attenuation = 2.285 * (taps - 1) * math.pi * (2 * half_width / (rate / 2)) + 7.95  # dB
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation > 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    else:
        beta = 0.0
    return np.kaiser(taps, beta)


def axis_padding(
    inputs: int, outputs: int, *, up: int, down: int, up_taps: int, down_taps: int, kernel: int
) -> tuple[int, int]:
    """(low, high) padding at the upsampled rate for one axis, so that `inputs` samples, after a full convolution with
    `kernel` taps, become exactly `outputs`, centred as well as whole samples allow.
    """
    total = (outputs - 1) * down + 1 - (inputs + kernel - 1) * up + up_taps + down_taps - 2
    low = (total + up) // 2  # a sample sits at the start of its group of `up`, not in the middle: hence + up
    return low, total - low


def filtered_lrelu_plain(
    x_NCHW: Tensor,
    up_filter: Tensor | None,
    down_filter: Tensor | None,
    bias_C: Tensor,
    *,
    up: int,
    down: int,
    padding: Padding,
    slope: float = LEAK,
    gain: float = math.sqrt(2),
    clamp: float | None = None,
) -> Tensor:
    """Bias, upsample, leaky ReLU, gain, clamp at +-`clamp`, downsample: [N, C, H, W] -> [N, C, H', W'].

    Filters are [taps], used on both axes, [taps, taps], or None for none, and have unit sum.
    """
    x = x_NCHW + bias_C.to(x_NCHW.dtype)[:, None, None]
    n, c, height, width = x.shape
    y = x.new_zeros(n, c, height * up, width * up)
    y[:, :, ::up, ::up] = x
    y = _convolve(F.pad(y, padding), up_filter) * up**2
    y = F.leaky_relu(y, slope) * gain
    if clamp is not None:
        y = y.clamp(-clamp, clamp)
    return _convolve(y, down_filter)[:, :, ::down, ::down]


def filtered_lrelu(
    x_NCHW: Tensor,
    up_filter: Tensor | None,
    down_filter: Tensor | None,
    bias_C: Tensor,
    *,
    up: int,
    down: int,
    padding: Padding,
    slope: float = LEAK,
    gain: float = math.sqrt(2),
    clamp: float | None = None,
) -> Tensor:
    """The same as `filtered_lrelu_plain`, gradients included; `gain` must not be negative.

    Axis by axis where the filter is separable; a strided transposed convolution never meets the zeros that upsampling
    inserts, and a strided convolution never makes the samples that downsampling drops. Radial filters stay 2-D.
    """
    dtype = x_NCHW.dtype
    x = x_NCHW
    if x.device.type == "cpu":
        # Measured without AMX: transposed convolutions of single channels take thirty times as long in bfloat16 as in
        # float32, and five times as long without channels_last.
        x = x.float() if dtype in (torch.bfloat16, torch.float16) else x
        x = x.contiguous(memory_format=torch.channels_last)
    x = x + bias_C.to(x.dtype)[:, None, None]
    y = resampled_lrelu(
        x, up_filter, down_filter, up=up, down=down, padding=padding, slope=slope, gain=gain, clamp=clamp
    )
    return y.to(dtype)


def resampled_lrelu(
    x: Tensor,
    up_filter: Tensor | None,
    down_filter: Tensor | None,
    *,
    up: int,
    down: int,
    padding: Padding,
    slope: float,
    gain: float,
    clamp: float | None,
) -> Tensor:
    """`filtered_lrelu` without the bias, in the type and layout of `x`, [N, C, H, W]."""
    left, right, top, bottom = padding
    if up_filter is None:
        y = _pad(_insert_zeros(x, up), padding) * (up**2 * gain)
    elif up_filter.ndim == 1:
        # The leaky ReLU passes a positive factor through, so all gains go into the filter.
        taps_K = up_filter.to(x.dtype) * (up * math.sqrt(gain))
        y = _upsample(x, taps_K[:, None], (up, 1), (0, 0, top, bottom))
        y = _upsample(y, taps_K[None, :], (1, up), (left, right, 0, 0))
    else:
        y = _upsample(x, up_filter.to(x.dtype) * (up**2 * gain), (up, up), padding)
    y = F.leaky_relu_(y, slope)  # y is ours alone, and in place it costs half the memory traffic
    if clamp is not None:
        # Gradients need what the leaky ReLU left.
        y = y.clamp(-clamp, clamp) if y.requires_grad else y.clamp_(-clamp, clamp)
    if down_filter is None:
        y = y[:, :, ::down, ::down]
    elif down_filter.ndim == 1:
        y = _downsample(y, down_filter[None, :], (1, down))
        y = _downsample(y, down_filter[:, None], (down, 1))
    else:
        y = _downsample(y, down_filter, (down, down))
    return y


def _convolve(x_NCHW: Tensor, filter_: Tensor | None) -> Tensor:
    """True convolution with [taps, taps], or with [taps] on both axes; only where the filter fits wholly."""
    if filter_ is None:
        return x_NCHW
    filter_KK = torch.outer(filter_, filter_) if filter_.ndim == 1 else filter_
    return _downsample(x_NCHW, filter_KK, (1, 1))


def _downsample(x_NCHW: Tensor, filter_KL: Tensor, stride: tuple[int, int]) -> Tensor:
    channels = x_NCHW.shape[1]
    kernel = filter_KL.flip(0, 1).to(x_NCHW.dtype).expand(channels, 1, -1, -1)  # conv2d correlates
    return F.conv2d(x_NCHW, kernel, stride=stride, groups=channels)


def _upsample(x_NCHW: Tensor, filter_KL: Tensor, up: tuple[int, int], padding: Padding) -> Tensor:
    """Insert zeros after each sample, pad, convolve where the filter fits: by scattering the filter instead."""
    channels = x_NCHW.shape[1]
    (rows, columns), (up_y, up_x), (left, right, top, bottom) = filter_KL.shape, up, padding
    # A transposed convolution begins taps - 1 before the first place where the filter fits wholly, and ends before the
    # last zeros that were inserted.
    crop = (columns - 1 - left, columns - up_x - right, rows - 1 - top, rows - up_y - bottom)
    even_x, even_y = max(0, min(crop[:2])), max(0, min(crop[2:]))  # its own cropping is the same on both sides
    y = F.conv_transpose2d(
        x_NCHW,
        filter_KL.expand(channels, 1, -1, -1),
        stride=up,
        padding=(even_y, even_x),
        groups=channels,
    )
    return _pad(y, (even_x - crop[0], even_x - crop[1], even_y - crop[2], even_y - crop[3]))


def _insert_zeros(x_NCHW: Tensor, up: int) -> Tensor:
    if up == 1:
        return x_NCHW
    n, c, height, width = x_NCHW.shape
    y = x_NCHW.new_zeros(n, c, height * up, width * up)
    y[:, :, ::up, ::up] = x_NCHW
    return y


def _pad(x_NCHW: Tensor, padding: Padding) -> Tensor:
    return F.pad(x_NCHW, padding) if any(padding) else x_NCHW
