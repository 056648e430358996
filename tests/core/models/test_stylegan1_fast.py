"""The fast synthesis equals the plain one, whatever is kept from the frame before."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor

from core.models import kernels, registry, stylegan1_fast
from core.models.stylegan1 import Config, Generator
from core.models.stylegan1_fast import FastSynthesis
from core.request import NOISE_MODES, NoiseMode, SynthesisOptions

TINY: dict[str, Any] = {
    "resolution": 32,
    "z_dim": 5,
    "w_dim": 7,
    "mapping_layers": 2,
    "block_channels": (24, 24, 16, 12),
}


def build(**changes: Any) -> Generator:
    torch.manual_seed(0)
    generator = Generator(Config(**(TINY | changes))).eval().requires_grad_(False)
    for name, tensor in generator.state_dict().items():
        if name.startswith("synthesis.") and not name.endswith("weight"):
            tensor.add_(torch.randn_like(tensor) * 0.3)
    return generator


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(11)


def plain(generator: Generator, w: Tensor, noise: NoiseMode = "const", **kinds: Any) -> Tensor:
    return generator.synthesis(w, SynthesisOptions(noise=noise), generator=seeded(), **kinds)


def error(a: Tensor, b: Tensor) -> float:
    """Largest difference, as a part of the picture's spread."""
    assert a.shape == b.shape
    return float((a - b).abs().max() / b.std())


@pytest.mark.parametrize("noise", NOISE_MODES)
@pytest.mark.parametrize("changes", [{}, {"img_channels": 1}, {"resolution": 4, "block_channels": (8,)}], ids=str)
def test_float32(noise: NoiseMode, changes: dict[str, Any]) -> None:
    generator = build(**changes)
    fast = FastSynthesis(generator)
    for w in torch.randn(3, 1, 7):
        got = fast(w, SynthesisOptions(noise=noise), generator=seeded())
        assert got.shape == (1, generator.config.img_channels, *generator.output_size)
        assert got.dtype == torch.float32
        assert error(got, plain(generator, w, noise)) < 1e-4


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("phases", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_way_to_convolve(monkeypatch: pytest.MonkeyPatch, packed: bool, phases: bool, dtype: torch.dtype) -> None:
    if packed and not kernels.can_pack(dtype):
        pytest.skip(f"oneDNN cannot pack {dtype} weights here")
    if not packed:
        monkeypatch.setattr(kernels, "can_pack", lambda dtype: False)
    monkeypatch.setattr(stylegan1_fast, "PHASES_CHANNELS", 1 if phases else 10**9)
    generator = build()
    w = torch.randn(1, 7)
    for noise in NOISE_MODES:
        got = FastSynthesis(generator, dtype)(w, SynthesisOptions(noise=noise), generator=seeded())
        plainly, exact = plain(generator, w, noise, dtype=dtype), plain(generator, w, noise)
        assert got.dtype == torch.float32
        assert error(got, plainly) < {torch.float32: 1e-4, torch.bfloat16: 0.3, torch.float16: 0.03}[dtype]
        # Both are as far from float32 as the precision makes them.
        off, plainly_off = float((got - exact).square().mean()), float((plainly - exact).square().mean())
        assert dtype == torch.float32 or off < 2 * plainly_off


def test_winograd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "WINOGRAD_CHANNELS", 1)
    monkeypatch.setattr(kernels, "WINOGRAD_SIDE", 8)
    generator = build()
    fast = FastSynthesis(generator)
    assert isinstance(fast._layers[-1][0], kernels.WinogradKernel)
    w = torch.randn(1, 7)
    assert error(fast(w), plain(generator, w)) < 1e-3


def test_nothing_is_left_over_from_the_frame_before() -> None:
    generator = build()
    kept = FastSynthesis(generator)
    a, b, layers = torch.randn(1, 7), torch.randn(1, 7), torch.randn(1, generator.num_ws, 7)
    noises: tuple[NoiseMode, ...] = ("const", "random", "none", "const", "const", "random")
    for w, noise in zip((a, b, b, layers, a, layers), noises, strict=True):
        fresh = FastSynthesis(generator)(w, SynthesisOptions(noise=noise), generator=seeded())
        assert torch.equal(kept(w, SynthesisOptions(noise=noise), generator=seeded()), fresh)


def test_a_w_for_each_layer() -> None:
    generator = build()
    fast = FastSynthesis(generator)
    w = torch.randn(1, 7)
    same = w[:, None].expand(1, generator.num_ws, 7)
    assert torch.equal(fast(same), fast(w))
    # A single layer's counts, whichever it is.
    for layer in range(generator.num_ws):
        ws = same.clone()
        ws[0, layer] += 1
        assert error(fast(ws), plain(generator, ws)) < 1e-4
        assert error(fast(ws), fast(w)) > 1e-3


def test_what_does_not_fit() -> None:
    fast = FastSynthesis(build())
    with pytest.raises(ValueError, match=r"expected one picture's, \[1, W\] or \[1, 8, W\], got \[2, 7\]"):
        fast(torch.zeros(2, 7))


def test_a_consumed_generator_still_maps_and_its_weights_are_gone() -> None:
    generator, other = build(), build()
    weights = [weakref.ref(parameter) for parameter in generator.synthesis.parameters()]
    fast = registry.synthesis("stylegan1", generator, torch.float32, consume=True)
    assert isinstance(fast, FastSynthesis)
    gc.collect()
    # What is no bigger than a number for each channel may stay.
    left = [parameter for weight in weights if (parameter := weight()) is not None]
    assert [parameter.shape for parameter in left if parameter.numel() > 24] == []
    z = torch.randn(1, 5)
    assert torch.equal(generator.map(z), other.map(z))
    assert error(fast(generator.map(z)), plain(other, other.map(z))) < 1e-4
