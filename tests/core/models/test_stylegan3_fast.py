"""The fast synthesis of StyleGAN3 and StyleGAN-XL equals the plain one, whatever is kept from the frame before."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from core.models import kernels, registry, stylegan3, stylegan_xl
from core.models.stylegan3_fast import FastSynthesis
from core.request import DEFAULT_OPTIONS, NOISE_MODES, SynthesisOptions
from tests.core.models import test_stylegan3, test_stylegan_xl
from tests.core.models.formulas import stirred

TURNED = SynthesisOptions(transform=(0.9, 0.1, 0.2, -0.1, 0.9, 0.1, 0.0, 0.0, 1.0))
KINDS: dict[str, dict[str, Any]] = {
    "T": {},
    "R": {"kernel": 1, "radial": True},
    "5 x 5 kernels": {"kernel": 5},
    "no clamp": {"conv_clamp": None},
    "low clamp": {"conv_clamp": 0.4},  # cuts into every layer
    "grown": {"layers": test_stylegan_xl.grown(), "input": stylegan_xl.Config(**test_stylegan_xl.TINY).input_spec},
}


def build(kind: str = "T", seed: int = 0) -> stylegan3.Generator:
    torch.manual_seed(seed)
    if kind == "grown":
        generator: stylegan3.Generator = stylegan_xl.Generator(
            stylegan_xl.Config(**(test_stylegan_xl.TINY | KINDS[kind] | {"c_dim": 2}))
        )
    else:
        generator = stylegan3.Generator(stylegan3.Config(**(test_stylegan3.TINY | KINDS[kind])))
    stirred(generator)
    return generator.eval().requires_grad_(False)


def error(a: Tensor, b: Tensor) -> float:
    """Largest difference, as a part of the picture's spread."""
    assert a.shape == b.shape
    return float((a - b).abs().max() / b.std())


def family(kind: str) -> str:
    return "stylegan_xl" if kind == "grown" else "stylegan3"


@pytest.mark.parametrize("options", [DEFAULT_OPTIONS, TURNED], ids=["as it is", "turned"])
@pytest.mark.parametrize("kind", KINDS)
def test_float32(kind: str, options: SynthesisOptions) -> None:
    generator = build(kind)
    fast = FastSynthesis(generator)
    for w, noise in zip(torch.randn(3, 1, 7), NOISE_MODES, strict=True):
        got = fast(w, replace(options, noise=noise))
        assert got.shape == (1, 3, *generator.output_size)
        assert got.dtype == torch.float32
        assert error(got, generator.synthesis(w, options)) < 1e-4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_way_to_convolve(monkeypatch: pytest.MonkeyPatch, kind: str, packed: bool, dtype: torch.dtype) -> None:
    if packed and not kernels.can_pack(dtype):
        pytest.skip(f"oneDNN cannot pack {dtype} weights here")
    if not packed:
        monkeypatch.setattr(kernels, "can_pack", lambda dtype: False)
    generator = build(kind)
    w = torch.randn(1, 7)
    got, plainly = FastSynthesis(generator, dtype)(w), generator.synthesis(w, dtype=dtype)
    assert got.dtype == torch.float32
    assert error(got, plainly) < {torch.float32: 1e-4, torch.bfloat16: 0.3, torch.float16: 0.03}[dtype]
    # Both are as far from float32 as the precision makes them; the fast one rounds less often.
    exact = generator.synthesis(w)
    off, plainly_off = float((got - exact).square().mean()), float((plainly - exact).square().mean())
    assert dtype == torch.float32 or off < 2 * plainly_off


def test_winograd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "WINOGRAD_CHANNELS", 1)
    monkeypatch.setattr(kernels, "WINOGRAD_SIDE", 8)
    for kind in ("T", "grown"):
        generator = build(kind)
        fast = FastSynthesis(generator)
        assert any(isinstance(layer._kernel, kernels.WinogradKernel) for layer in fast._layers)
        w = torch.randn(1, 7)
        assert error(fast(w), generator.synthesis(w)) < 1e-3


def test_large_styles_in_half_precision() -> None:
    generator = build()
    assert isinstance(generator.synthesis, stylegan3.Synthesis)
    last = generator.synthesis.get_submodule(generator.synthesis.layers[-1])
    last.get_parameter("affine.weight").zero_()  # RGB has no demodulation
    w = torch.randn(1, 7) * 1e6  # styles over float16's largest number
    got = FastSynthesis(generator, torch.float16)(w)
    assert torch.isfinite(got).all()
    assert error(got, generator.synthesis(w, dtype=torch.float16)) < 0.1


def test_nothing_is_left_over_from_the_frame_before() -> None:
    generator = build()
    kept = FastSynthesis(generator)
    a, b, layers = torch.randn(1, 7), torch.randn(1, 7), torch.randn(1, generator.num_ws, 7)
    still = DEFAULT_OPTIONS
    calls = [(a, still), (b, still), (b, TURNED), (layers, still), (a, TURNED), (layers, still), (a, still)]
    for w, options in calls:
        assert torch.equal(kept(w, options), FastSynthesis(generator)(w, options))


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
        assert error(fast(ws), generator.synthesis(ws)) < 1e-4
        assert error(fast(ws), fast(w)) > 1e-3


def test_what_does_not_fit() -> None:
    fast = FastSynthesis(build())
    with pytest.raises(ValueError, match=r"expected one picture's, \[1, W\] or \[1, 6, W\], got \[2, 7\]"):
        fast(torch.zeros(2, 7))
    with pytest.raises(ValueError, match="prepared for torch.float32, got torch.float16"):
        fast(torch.zeros(1, 7), dtype=torch.float16)


@pytest.mark.parametrize("kind", ["T", "grown"])
def test_a_consumed_generator_still_maps_and_its_weights_are_gone(kind: str) -> None:
    generator, other = build(kind), build(kind)
    weights = [
        weakref.ref(parameter)
        for name, parameter in generator.synthesis.named_parameters()
        if not name.startswith("input.") and parameter.ndim > 1
    ]
    fast = registry.synthesis(family(kind), generator, torch.float32, consume=True)
    assert isinstance(fast, FastSynthesis)
    gc.collect()
    assert all(weight() is None for weight in weights)
    z, c = torch.randn(1, 5), torch.eye(2)[:1] if kind == "grown" else None
    assert torch.equal(generator.map(z, c, 0.5), other.map(z, c, 0.5))
    assert error(fast(generator.map(z, c)), other.synthesis(other.map(z, c))) < 1e-4
