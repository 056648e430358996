"""The fast synthesis equals the plain one, whatever is kept from the frame before."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from core.models import fast_layers, kernels
from core.models.stylegan_t import Config, Generator
from core.models.stylegan_t_fast import FastSynthesis
from core.request import IDENTITY_TRANSFORM, NOISE_MODES, NoiseMode, SynthesisOptions

Transform = tuple[float, ...]
TURNED = (0.9, 0.1, 0.2, -0.1, 0.9, 0.1, 0.0, 0.0, 1.0)


def build(**changes: Any) -> Generator:
    torch.manual_seed(0)
    shape = {
        "resolution": 32,
        "text_dim": 6,
        "z_dim": 5,
        "base_channels": 512,
        "max_channels": 24,
        "convs_per_block": 2,
        "norm_groups": 4,
    }
    generator = Generator(Config(**(shape | changes))).eval().requires_grad_(False)
    for name, tensor in generator.state_dict().items():
        if name.endswith(("noise_strength", "gamma")):
            tensor.uniform_(0.2, 0.8)
        elif name.endswith("bias") and not name.startswith("mapping"):
            tensor.add_(torch.randn_like(tensor) * 0.3)
        elif name.endswith("norm.weight"):
            tensor.uniform_(0.5, 1.5)
        elif name == "input.affine.weight":
            tensor.normal_()
    return generator


def plain(
    generator: Generator, w: Tensor, noise: NoiseMode = "const", transform: Transform = IDENTITY_TRANSFORM, **kinds: Any
) -> Tensor:
    return generator.synthesis(w, SynthesisOptions(noise=noise, transform=transform), generator=seeded(), **kinds)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(11)


def error(a: Tensor, b: Tensor) -> float:
    """Largest difference, as a part of the picture's spread."""
    return float((a - b).abs().max() / b.std())


@pytest.mark.parametrize("noise", NOISE_MODES)
@pytest.mark.parametrize("transform", [IDENTITY_TRANSFORM, TURNED], ids=["as it is", "turned"])
@pytest.mark.parametrize("convs_per_block", [1, 2])
def test_float32(noise: NoiseMode, transform: Transform, convs_per_block: int) -> None:
    generator = build(convs_per_block=convs_per_block)
    fast = FastSynthesis(generator)
    for w in torch.randn(3, 1, 11):
        got = fast(w, SynthesisOptions(noise=noise, transform=transform), generator=seeded())
        assert got.shape == (1, 3, 32, 32)
        assert got.dtype == torch.float32
        assert error(got, plain(generator, w, noise, transform)) < 1e-4


@pytest.mark.parametrize("changes", [{"resolution": 8}, {"resolution": 128, "base_channels": 1024, "norm_groups": 2}])
def test_other_sizes(changes: dict[str, Any]) -> None:
    generator = build(**changes)
    w = torch.randn(1, 11)
    assert error(FastSynthesis(generator)(w), plain(generator, w)) < 1e-4


def test_rgb_beyond_the_matrix_upsampling(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = build()
    w = torch.randn(1, 11)
    monkeypatch.setattr(fast_layers, "_MATRIX_UPSAMPLE_TO", 8)
    assert error(FastSynthesis(generator)(w), plain(generator, w)) < 1e-4


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("phases", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_way_to_convolve(monkeypatch: pytest.MonkeyPatch, packed: bool, phases: bool, dtype: torch.dtype) -> None:
    if packed and not kernels.can_pack(dtype):
        pytest.skip(f"oneDNN cannot pack {dtype} weights here")
    if not packed:
        monkeypatch.setattr(kernels, "can_pack", lambda dtype: False)
    monkeypatch.setattr(kernels, "PHASES_CHANNELS", 1 if phases else 10**9)
    generator = build()
    w = torch.randn(1, 11)
    limit = {torch.float32: 1e-4, torch.bfloat16: 0.3, torch.float16: 0.03}[dtype]
    for noise in NOISE_MODES:
        got = FastSynthesis(generator, dtype)(w, SynthesisOptions(noise=noise), generator=seeded())
        assert got.dtype == torch.float32
        assert error(got, plain(generator, w, noise, dtype=dtype)) < limit
        # Both are as far from float32 as the precision makes them; the fast one rounds less often.
        exact = plain(generator, w, noise)
        off, plainly_off = (
            (got - exact).square().mean(),
            (plain(generator, w, noise, dtype=dtype) - exact).square().mean(),
        )
        assert dtype == torch.float32 or float(off) < 2 * float(plainly_off)


def test_winograd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "WINOGRAD_CHANNELS", 1)
    monkeypatch.setattr(kernels, "WINOGRAD_SIDE", 8)
    generator = build()
    w = torch.randn(1, 11)
    fast = FastSynthesis(generator)
    assert isinstance(fast._blocks[2][0][1].convolution.kernel, kernels.WinogradKernel)
    for noise in NOISE_MODES:
        assert error(fast(w, SynthesisOptions(noise=noise), generator=seeded()), plain(generator, w, noise)) < 1e-3


def test_large_styles_in_half_precision() -> None:
    generator = build()
    w = torch.randn(1, 11) * 30  # styles in the hundreds of thousands, over float16's largest number
    got = FastSynthesis(generator, torch.float16)(w)
    assert torch.isfinite(got).all()
    assert error(got, plain(generator, w, dtype=torch.float16)) < 0.1


def test_silent_layers_still_draw_their_noise() -> None:
    generator = build()
    generator.blocks[1].layers[0].noise_strength.fill_(0.0)
    w = torch.randn(1, 11)
    got = FastSynthesis(generator)(w, SynthesisOptions(noise="random"), generator=seeded())
    assert error(got, plain(generator, w, "random")) < 1e-4
    assert error(FastSynthesis(generator)(w), plain(generator, w)) < 1e-4


def test_nothing_is_left_over_from_the_frame_before() -> None:
    generator = build()
    kept = FastSynthesis(generator)
    f, c = torch.randn(2, 1, 5), torch.randn(2, 1, 6)
    calls = [
        (f[0], c[0], "const", IDENTITY_TRANSFORM),
        (f[1], c[0], "const", IDENTITY_TRANSFORM),
        (f[1], c[0], "random", TURNED),
        (f[1], c[1], "none", IDENTITY_TRANSFORM),
        (f[0], c[1], "const", TURNED),
        (f[0], c[0], "const", IDENTITY_TRANSFORM),
    ]
    for f_1F, c_1T, noise, transform in calls:
        w = torch.cat([f_1F, c_1T], dim=1)
        fresh = FastSynthesis(generator)(w, SynthesisOptions(noise=noise, transform=transform), generator=seeded())
        assert torch.equal(kept(w, SynthesisOptions(noise=noise, transform=transform), generator=seeded()), fresh)


def test_a_w_changed_in_place_is_noticed() -> None:
    generator = build()
    fast = FastSynthesis(generator)
    w = torch.randn(1, 11)
    fast(w)
    w[0, 2] += 1
    assert error(fast(w), plain(generator, w)) < 1e-4
    w[0, 8] += 1
    assert error(fast(w), plain(generator, w)) < 1e-4


def test_one_w_at_a_time() -> None:
    fast = FastSynthesis(build())
    for shape in ((2, 11), (1, 15, 11), (11,), (1, 1, 1, 11)):
        with pytest.raises(ValueError, match=r"expected one picture's, \[1, W\] or \[1, 16, W\], got"):
            fast(torch.zeros(shape))
    with pytest.raises(ValueError, match="prepared for torch.float32, got torch.float16"):
        fast(torch.zeros(1, 11), dtype=torch.float16)


@pytest.mark.parametrize("convs_per_block", [1, 2])
def test_a_w_for_each_layer(convs_per_block: int) -> None:
    generator = build(convs_per_block=convs_per_block)
    fast = FastSynthesis(generator)
    w = torch.randn(1, 11)
    same = w[:, None].expand(1, generator.num_ws, 11)
    assert torch.equal(fast(same), fast(w))
    for ws in torch.randn(2, 1, generator.num_ws, 11):
        assert error(fast(ws), plain(generator, ws)) < 1e-4
    # A single layer's counts, whichever it is.
    for layer in range(generator.num_ws):
        ws = same.clone()
        ws[0, layer] += 1
        assert error(fast(ws), plain(generator, ws)) < 1e-4
        assert error(fast(ws), fast(w)) > 1e-3
