from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.models import kernels
from core.models.kernels import Kernel, Size, UpKernel, WinogradKernel, can_pack, kernel_3x3
from core.models.layers import up_convolution

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def tensors(inputs: int, outputs: int, size: Size, taps: tuple[int, int] = (3, 3)) -> tuple[Tensor, Tensor]:
    """An input in channels_last order and a kernel that gives outputs of about 1, float32."""
    torch.manual_seed(0)
    x = torch.randn(1, inputs, *size).contiguous(memory_format=torch.channels_last)
    return x, torch.randn(outputs, inputs, *taps) / (inputs * taps[0] * taps[1]) ** 0.5


def difference(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a.double() - b.double()).abs().max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("packed", [True, False])
def test_kernels(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, packed: bool) -> None:
    if packed and not can_pack(dtype):
        pytest.skip(f"oneDNN cannot pack {dtype} weights here")
    monkeypatch.setattr(kernels, "can_pack", lambda dtype: packed)
    for taps, padding in (((3, 3), (1, 1)), ((2, 1), (1, 0)), ((1, 2), (0, 1)), ((1, 1), (0, 0))):
        x, weight = tensors(5, 7, (12, 9), taps)
        y = Kernel(weight.to(dtype), padding, (12, 9))(x.to(dtype))
        assert y.dtype == dtype
        expected = F.conv2d(x.to(dtype).double(), weight.to(dtype).double(), padding=padding)
        assert difference(y, expected) < {torch.float32: 1e-5, torch.bfloat16: 0.05, torch.float16: 0.005}[dtype]
    x, weight = tensors(1, 6, (9, 9), (4, 4))
    x = x.expand(1, 6, 9, 9).contiguous(memory_format=torch.channels_last)
    grouped = Kernel(weight, (1, 1), (9, 9), groups=6)
    assert difference(grouped(x), F.conv2d(x.double(), weight.double(), padding=1, groups=6)) < 1e-5


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize(("inputs", "outputs", "size"), [(3, 5, (4, 4)), (8, 8, (9, 20)), (5, 2, (30, 7))])
def test_winograd_in_float64_is_exact(inputs: int, outputs: int, size: Size, padding: int) -> None:
    # In double precision nothing is left of the rounding, so this shows that the algorithm is the convolution.
    x, weight = tensors(inputs, outputs, size)
    y = WinogradKernel(weight.double(), size, padding)(x.double())
    assert difference(y, F.conv2d(x.double(), weight.double(), padding=padding)) < 1e-12
    assert y.stride(1) == 1  # channels last


def test_winograd_in_float32_is_close() -> None:
    x, weight = tensors(64, 64, (16, 16))
    assert difference(WinogradKernel(weight, (16, 16))(x), F.conv2d(x.double(), weight.double(), padding=1)) < 2e-4
    plain = x.contiguous(memory_format=torch.contiguous_format)
    assert difference(WinogradKernel(weight, (16, 16))(plain), WinogradKernel(weight, (16, 16))(x)) < 1e-5


def test_winograd_is_taken_where_it_pays() -> None:
    wide = torch.zeros(kernels.WINOGRAD_CHANNELS, kernels.WINOGRAD_CHANNELS, 3, 3)
    side = kernels.WINOGRAD_SIDE
    assert isinstance(kernel_3x3(wide, (side, side)), WinogradKernel)
    assert isinstance(kernel_3x3(wide, (side, side + 4)), WinogradKernel)
    assert isinstance(kernel_3x3(wide, (side, side // 2)), Kernel)
    assert isinstance(kernel_3x3(wide[1:], (side, side)), Kernel)
    assert isinstance(kernel_3x3(wide[:, 1:], (side, side)), Kernel)
    assert (
        difference(
            kernel_3x3(wide, (side, side), 2)(torch.ones(1, len(wide), side, side)),
            torch.zeros(1, len(wide), side + 2, side + 2),
        )
        == 0.0
    )
    assert isinstance(kernel_3x3(wide.bfloat16(), (side, side)), Kernel)


@pytest.mark.parametrize("phases", [True, False])
@pytest.mark.parametrize("size", [(4, 4), (8, 8), (3, 10)])
def test_up_kernels(monkeypatch: pytest.MonkeyPatch, phases: bool, size: Size) -> None:
    monkeypatch.setattr(kernels, "PHASES_CHANNELS", 1 if phases else 10**9)
    x, weight = tensors(6, 5, size)
    assert difference(UpKernel(weight, size)(x), up_convolution(x.double(), weight.double())) < 1e-5


def test_packing_is_tried_before_it_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> Tensor:
        raise RuntimeError("no such operator")

    can_pack.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(kernels, "_pack", fail)
        assert not can_pack(torch.float32)
    can_pack.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(kernels, "_convolve_packed", lambda *args: torch.zeros(1, 8, 4, 4))
        assert not can_pack(torch.float32)
    can_pack.cache_clear()
