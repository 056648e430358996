"""Filters against formulas that need no Bessel functions of a library, the non-linearity against a dense loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from core.models.filtered_lrelu import (
    axis_padding,
    filtered_lrelu,
    filtered_lrelu_plain,
    lowpass_filter,
    radial_filter,
)

Array = NDArray[np.float64]


# --- filters --------------------------------------------------------------------------------------------------------


def bessel_i0(x: float) -> float:
    """The power series."""
    return sum((x / 2) ** (2 * k) / math.factorial(k) ** 2 for k in range(60))


def bessel_j1(x: float) -> float:
    """Bessel's integral; the rectangle rule is exact to rounding for a periodic integrand."""
    steps = np.arange(400) * (2 * np.pi / 400)
    return float(np.cos(steps - x * np.sin(steps)).mean())


def kaiser(taps: int, half_width: float, rate: float) -> Array:
    attenuation = 2.285 * (taps - 1) * math.pi * (2 * half_width) / (rate / 2) + 7.95
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation > 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    else:
        beta = 0.0
    middle = (taps - 1) / 2
    return np.array(
        [bessel_i0(beta * math.sqrt(1 - ((i - middle) / middle) ** 2)) / bessel_i0(beta) for i in range(taps)]
    )


# Below 21 dB, between, and above 50 dB: all three of Kaiser's cases.
BANDS = [(12, 2.0, 0.3, 32.0), (12, 2.0, 2.3, 32.0), (12, 2.0, 6.0, 32.0), (24, 5.0, 4.0, 64.0)]


@pytest.mark.parametrize(("taps", "cutoff", "half_width", "rate"), BANDS)
def test_lowpass(taps: int, cutoff: float, half_width: float, rate: float) -> None:
    got = lowpass_filter(taps, cutoff=cutoff, half_width=half_width, rate=rate)
    assert got.dtype == torch.float32
    time = (np.arange(taps) - (taps - 1) / 2) / rate
    expected = np.sin(2 * np.pi * cutoff * time) / (np.pi * time) * kaiser(taps, half_width, rate)
    assert np.allclose(got.double().numpy(), expected / expected.sum(), atol=1e-7)


@pytest.mark.parametrize(("taps", "cutoff", "half_width", "rate"), BANDS)
def test_radial(taps: int, cutoff: float, half_width: float, rate: float) -> None:
    got = radial_filter(taps, cutoff=cutoff, half_width=half_width, rate=rate)
    window = kaiser(taps, half_width, rate)
    expected = np.zeros((taps, taps))
    for i in range(taps):
        for j in range(taps):
            r = math.hypot(i - (taps - 1) / 2, j - (taps - 1) / 2) / rate
            expected[i, j] = bessel_j1(2 * math.pi * cutoff * r) / (math.pi * r) * window[i] * window[j]
    assert np.allclose(got.double().numpy(), expected / expected.sum(), atol=1e-7)
    assert float(got.double().sum()) == pytest.approx(1, abs=1e-6)
    for same in (got.T, got.flip(0), got.flip(1)):
        assert torch.allclose(got, same, atol=1e-8)


def test_a_radial_filter_with_a_tap_in_the_middle() -> None:
    odd = radial_filter(5, cutoff=2.0, half_width=6.0, rate=32.0)
    assert torch.isfinite(odd).all()
    assert float(odd[2, 2]) == float(odd.max())


@pytest.mark.parametrize(
    ("taps", "cutoff", "half_width"), [(1, 2.0, 1.0), (4, 16.0, 1.0), (4, 0.0, 1.0), (4, 2.0, 0.0)]
)
def test_impossible_filters(taps: int, cutoff: float, half_width: float) -> None:
    for design in (lowpass_filter, radial_filter):
        with pytest.raises(ValueError, match="filter: expected"):
            design(taps, cutoff=cutoff, half_width=half_width, rate=32.0)


# --- the non-linearity ----------------------------------------------------------------------------------------------


def true_convolution(x_HW: Array, kernel: Array) -> Array:
    height, width = x_HW.shape[0] - kernel.shape[0] + 1, x_HW.shape[1] - kernel.shape[1] + 1
    y = np.zeros((height, width))
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            y += kernel[::-1, ::-1][i, j] * x_HW[i : i + height, j : j + width]
    return y


def square(kernel: Array | None) -> Array:
    if kernel is None:
        return np.ones((1, 1))
    return np.outer(kernel, kernel) if kernel.ndim == 1 else kernel


def dense(
    x_CHW: Array,
    up_filter: Array | None,
    down_filter: Array | None,
    bias: Array,
    up: int,
    down: int,
    padding: tuple[int, int, int, int],
    clamp: float,
) -> Array:
    left, right, top, bottom = padding
    outputs = []
    for channel, b in zip(x_CHW, bias, strict=True):
        y = np.zeros((channel.shape[0] * up, channel.shape[1] * up))
        y[::up, ::up] = channel + b
        y = np.pad(y, ((max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))))
        y = y[max(-top, 0) : y.shape[0] - max(-bottom, 0), max(-left, 0) : y.shape[1] - max(-right, 0)]
        y = true_convolution(y, square(up_filter)) * up**2
        y = np.clip(np.where(y > 0, y, 0.2 * y) * math.sqrt(2), -clamp, clamp)
        outputs.append(true_convolution(y, square(down_filter))[::down, ::down])
    return np.stack(outputs)


# up, down, up taps, down taps, padding; taps None for no filter and negative for a 2-D one. None is symmetric.
CASES = [
    (2, 2, 12, 12, (9, 8, 9, 8)),
    (4, 2, 8, -6, (3, 5, -2, 4)),
    (2, 4, 6, 6, (-1, -2, 2, 0)),
    (2, 1, -4, None, (9, 0, -3, 1)),
    (1, 1, None, None, (-2, 1, 0, -1)),
    (2, 2, None, 4, (1, 1, 1, 1)),
    (1, 2, 5, 4, (6, 6, 3, 0)),
]


def random_filter(taps: int | None) -> torch.Tensor | None:
    if taps is None:
        return None
    made = torch.rand((taps,) if taps > 0 else (-taps, -taps), dtype=torch.float64)
    return made / made.sum()


@pytest.mark.parametrize(("up", "down", "up_taps", "down_taps", "padding"), CASES)
def test_values_and_gradients(
    up: int, down: int, up_taps: int | None, down_taps: int | None, padding: tuple[int, int, int, int]
) -> None:
    torch.manual_seed(0)
    up_filter, down_filter = random_filter(up_taps), random_filter(down_taps)
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True)
    results = []
    for way in (filtered_lrelu_plain, filtered_lrelu):
        y = way(x, up_filter, down_filter, bias, up=up, down=down, padding=padding, clamp=0.8)
        results.append((y, *torch.autograd.grad((y * torch.sin(y.detach() * 9)).sum(), (x, bias))))
    for plain, fast in zip(*results, strict=True):
        assert plain.shape == fast.shape
        assert torch.allclose(plain, fast, rtol=0, atol=1e-12)
    arrays = [None if f is None else f.numpy() for f in (up_filter, down_filter)]
    expected = dense(x[1].detach().numpy(), *arrays, bias.detach().numpy(), up, down, padding, 0.8)
    assert np.allclose(results[0][0][1].detach().numpy(), expected, rtol=0, atol=1e-12)


def test_gradcheck() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(1, dtype=torch.float64, requires_grad=True)
    taps = random_filter(4)

    def call(x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return filtered_lrelu(x, taps, taps, bias, up=2, down=2, padding=(2, 2, 2, 2), clamp=1.0)

    assert torch.autograd.gradcheck(call, (x, bias))


def test_a_linear_one_leaves_flat_areas_alone() -> None:
    taps = lowpass_filter(12, cutoff=4.0, half_width=6.0, rate=32.0)
    low, high = axis_padding(16, 16, up=2, down=2, up_taps=12, down_taps=12, kernel=1)
    x = torch.full((1, 1, 16, 16), 3.0)
    y = filtered_lrelu(x, taps, taps, torch.zeros(1), up=2, down=2, padding=(low, high, low, high), slope=1.0, gain=1.0)
    assert y.shape == x.shape
    assert torch.allclose(y[..., 6:10, 6:10], x[..., 6:10, 6:10], atol=0.01)


def test_padding_keeps_the_centre() -> None:
    # The spec's formula, in full, for the first layer of StyleGAN3-T: 36 pixels, 3 x 3, up 2, down 2.
    total = 35 * 2 + 1 - 38 * 2 + 12 + 12 - 2
    assert axis_padding(36, 36, up=2, down=2, up_taps=12, down_taps=12, kernel=3) == (
        (total + 2) // 2,
        (total - 1) // 2,
    )
    assert axis_padding(64, 60, up=1, down=1, up_taps=1, down_taps=1, kernel=1) == (-2, -2)
    # A symmetric picture stays symmetric.
    for up, down, inputs, outputs in ((2, 2, 8, 8), (4, 2, 8, 12), (2, 4, 16, 8)):
        taps_up, taps_down = (lowpass_filter(6 * k, cutoff=2.0, half_width=6.0, rate=32.0) for k in (up, down))
        low, high = axis_padding(inputs, outputs, up=up, down=down, up_taps=6 * up, down_taps=6 * down, kernel=1)
        x = torch.randn(1, 1, inputs, inputs, generator=torch.Generator().manual_seed(0))
        x = x + x.flip(3)
        y = filtered_lrelu(x, taps_up, taps_down, torch.zeros(1), up=up, down=down, padding=(low, high, low, high))
        assert y.shape == (1, 1, outputs, outputs)
        assert torch.allclose(y, y.flip(3), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_its_type(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    taps = lowpass_filter(12, cutoff=4.0, half_width=6.0, rate=32.0)
    x, bias = torch.randn(1, 4, 8, 8), torch.randn(4)
    full = filtered_lrelu(x, taps, taps, bias, up=2, down=2, padding=(9, 8, 9, 8))
    half = filtered_lrelu(x.to(dtype), taps, taps, bias, up=2, down=2, padding=(9, 8, 9, 8))
    assert half.dtype == dtype
    assert torch.allclose(half.float(), full, atol=0.03)
