"""The fast synthesis equals the plain one, whatever is kept from the frame before."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor

from core.models import fast_layers, kernels, registry
from core.models.stylegan2 import ARCHITECTURES, Config, Generator
from core.models.stylegan2_fast import FastSynthesis
from core.request import NOISE_MODES, NoiseMode, SynthesisOptions

TINY: dict[str, Any] = {
    "resolution": 32,
    "z_dim": 5,
    "w_dim": 7,
    "mapping_layers": 2,
    "base_channels": 256,
    "max_channels": 24,
    "conv_clamp": 256.0,
}


def build(**changes: Any) -> Generator:
    torch.manual_seed(0)
    generator = Generator(Config(**(TINY | changes))).eval().requires_grad_(False)
    for name, tensor in generator.state_dict().items():
        if name.endswith("noise_strength"):
            tensor.uniform_(0.2, 0.8)
        elif name.endswith("bias") and not name.startswith("mapping"):
            tensor.add_(torch.randn_like(tensor) * 0.3)
    return generator


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(11)


def plain(generator: Generator, w: Tensor, noise: NoiseMode = "const", **kinds: Any) -> Tensor:
    rgb: Tensor = generator.synthesis(w, SynthesisOptions(noise=noise), generator=seeded(), **kinds)
    return rgb


def error(a: Tensor, b: Tensor) -> float:
    """Largest difference, as a part of the picture's spread."""
    assert a.shape == b.shape
    return float((a - b).abs().max() / b.std())


@pytest.mark.parametrize("noise", NOISE_MODES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"conv_clamp": None, "size": (3, 5)},
        {"conv_clamp": 0.7, "img_channels": 4},  # low enough to cut into every layer
        {"use_noise": False},
        {"resolution": 4},
    ],
    ids=str,
)
def test_float32(noise: NoiseMode, architecture: str, changes: dict[str, Any]) -> None:
    generator = build(architecture=architecture, **changes)
    fast = FastSynthesis(generator)
    for w in torch.randn(3, 1, 7):
        got = fast(w, SynthesisOptions(noise=noise), generator=seeded())
        assert got.shape == (1, generator.config.img_channels, *generator.output_size)
        assert got.dtype == torch.float32
        assert error(got, plain(generator, w, noise)) < 1e-4


def test_rgb_beyond_the_matrix_upsampling(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = build(size=(4, 3))
    w = torch.randn(1, 7)
    monkeypatch.setattr(fast_layers, "_MATRIX_UPSAMPLE_TO", 8)
    assert error(FastSynthesis(generator)(w), plain(generator, w)) < 1e-4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("phases", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_way_to_convolve(
    monkeypatch: pytest.MonkeyPatch, architecture: str, packed: bool, phases: bool, dtype: torch.dtype
) -> None:
    if packed and not kernels.can_pack(dtype):
        pytest.skip(f"oneDNN cannot pack {dtype} weights here")
    if not packed:
        monkeypatch.setattr(kernels, "can_pack", lambda dtype: False)
    monkeypatch.setattr(kernels, "PHASES_CHANNELS", 1 if phases else 10**9)
    generator = build(architecture=architecture, size=(4, 6))
    w = torch.randn(1, 7)
    limit = {torch.float32: 1e-4, torch.bfloat16: 0.3, torch.float16: 0.03}[dtype]
    for noise in NOISE_MODES:
        got = FastSynthesis(generator, dtype)(w, SynthesisOptions(noise=noise), generator=seeded())
        assert got.dtype == torch.float32
        assert error(got, plain(generator, w, noise, dtype=dtype)) < limit
        # Both are as far from float32 as the precision makes them; the fast one rounds less often.
        exact = plain(generator, w, noise)
        off = float((got - exact).square().mean())
        plainly_off = float((plain(generator, w, noise, dtype=dtype) - exact).square().mean())
        assert dtype == torch.float32 or off < 2 * plainly_off


def test_winograd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "WINOGRAD_CHANNELS", 1)
    monkeypatch.setattr(kernels, "WINOGRAD_SIDE", 8)
    generator = build(size=(4, 6))
    w = torch.randn(1, 7)
    fast = FastSynthesis(generator)
    kinds = [type(block.convolutions[-1].kernel) for block in fast._blocks]
    assert kinds == [kernels.Kernel] + 3 * [kernels.WinogradKernel]
    for noise in NOISE_MODES:
        assert error(fast(w, SynthesisOptions(noise=noise), generator=seeded()), plain(generator, w, noise)) < 1e-3


def test_large_styles_in_half_precision() -> None:
    generator = build(architecture="orig")
    for name, tensor in generator.state_dict().items():
        if name.endswith("torgb.affine.weight"):  # RGB has no demodulation
            tensor.zero_()
    w = torch.randn(1, 7) * 1e6  # styles over float16's largest number
    got = FastSynthesis(generator, torch.float16)(w)
    assert torch.isfinite(got).all()
    assert error(got, plain(generator, w, dtype=torch.float16)) < 0.1


def test_silent_layers_still_draw_their_noise() -> None:
    generator = build()
    generator.get_parameter("synthesis.b8.conv0.noise_strength").fill_(0.0)
    w = torch.randn(1, 7)
    got = FastSynthesis(generator)(w, SynthesisOptions(noise="random"), generator=seeded())
    assert error(got, plain(generator, w, "random")) < 1e-4
    assert error(FastSynthesis(generator)(w), plain(generator, w)) < 1e-4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nothing_is_left_over_from_the_frame_before(architecture: str) -> None:
    generator = build(architecture=architecture)
    kept = FastSynthesis(generator)
    a, b, layers = torch.randn(1, 7), torch.randn(1, 7), torch.randn(1, generator.num_ws, 7)
    noises: tuple[NoiseMode, ...] = ("const", "random", "none", "const", "const", "random")
    for w, noise in zip((a, b, b, layers, a, layers), noises, strict=True):
        fresh = FastSynthesis(generator)(w, SynthesisOptions(noise=noise), generator=seeded())
        assert torch.equal(kept(w, SynthesisOptions(noise=noise), generator=seeded()), fresh)


def test_a_w_changed_in_place_is_noticed() -> None:
    generator = build()
    fast = FastSynthesis(generator)
    w = torch.randn(1, 7)
    fast(w)
    w[0, 2] += 1
    assert error(fast(w), plain(generator, w)) < 1e-4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_w_for_each_layer(architecture: str) -> None:
    generator = build(architecture=architecture)
    fast = FastSynthesis(generator)
    w = torch.randn(1, 7)
    same = w[:, None].expand(1, generator.num_ws, 7)
    assert torch.equal(fast(same), fast(w))
    for ws in torch.randn(2, 1, generator.num_ws, 7):
        assert error(fast(ws), plain(generator, ws)) < 1e-4
    # A single layer's counts, whichever it is.
    for layer in range(generator.num_ws):
        ws = same.clone()
        ws[0, layer] += 1
        assert error(fast(ws), plain(generator, ws)) < 1e-4
        assert error(fast(ws), fast(w)) > 1e-3


def test_what_does_not_fit() -> None:
    fast = FastSynthesis(build())
    for shape in ((2, 7), (1, 9, 7), (7,), (1, 1, 1, 7)):
        with pytest.raises(ValueError, match=r"expected one picture's, \[1, W\] or \[1, 8, W\], got"):
            fast(torch.zeros(shape))
    with pytest.raises(ValueError, match="prepared for torch.float32, got torch.float16"):
        fast(torch.zeros(1, 7), dtype=torch.float16)


def test_a_consumed_generator_still_maps_and_its_weights_are_gone() -> None:
    generator, other = build(), build()
    weights = [weakref.ref(parameter) for parameter in generator.synthesis.parameters()]
    fast = registry.synthesis("stylegan2", generator, torch.float32, consume=True)
    assert isinstance(fast, FastSynthesis)
    gc.collect()
    # What is no bigger than the picture's channels may stay.
    assert not [weight().shape for weight in weights if weight() is not None and weight().numel() > 24]  # type: ignore[union-attr]
    z = torch.randn(1, 5)
    assert torch.equal(generator.map(z), other.map(z))
    assert error(fast(generator.map(z)), plain(other, other.map(z))) < 1e-4


def test_weights_go_with_the_synthesis() -> None:
    # Not when the garbage collector finds the time: two models at once may be too much.
    fast = FastSynthesis(build(), consume=True)
    fast(torch.randn(1, 7))
    kernel = weakref.ref(fast._blocks[0].convolutions[0])
    gc.disable()
    try:
        del fast
        assert kernel() is None
    finally:
        gc.enable()
