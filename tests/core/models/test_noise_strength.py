"""Noise strength in every family that has noise: it is the noise, scaled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.checkpoints import load
from core.engine import Engine, load_generator
from core.models import registry
from core.request import NoiseMode, RenderRequest, SynthesisOptions
from tests.core.test_engine_families import CONFIGS, write

NAMES = [*CONFIGS, "stylegan_t"]


@pytest.fixture(params=NAMES)
def path(request: pytest.FixtureRequest, tmp_path: Path, tiny_checkpoint: Path) -> Path:
    return tiny_checkpoint if request.param == "stylegan_t" else write(tmp_path / "m.safetensors", request.param)


def picture(generator: Any, noise: NoiseMode, **inputs: float) -> torch.Tensor:
    torch.manual_seed(1)
    z, c = torch.randn(1, generator.z_dim), torch.randn(1, generator.c_dim) if generator.c_dim else None
    source = torch.Generator().manual_seed(5)
    with torch.inference_mode():
        return generator.synthesis(generator.map(z, c), SynthesisOptions(noise=noise, **inputs), generator=source)


@pytest.mark.parametrize("noise", ["const", "random"])
def test_strength_scales_the_noise(path: Path, noise: NoiseMode) -> None:
    plain, louder = load_generator(load(path)), load_generator(load(path))
    scaled = 0
    for name, tensor in louder.state_dict().items():
        if name.endswith(("noise_strength", "noise.weight")) or (".feat_" in name and tensor.shape == (1,)):
            tensor.mul_(2.0)
            scaled += 1
    assert (scaled > 0) == plain.has_noise
    # Twice is exact in floating point.
    assert torch.equal(picture(plain, noise, noise_strength=2.0), picture(louder, noise))
    assert torch.equal(picture(plain, noise, noise_strength=1.0), picture(plain, noise))
    assert torch.equal(picture(plain, noise, noise_strength=0.0), picture(plain, "none"))
    half = picture(plain, noise, noise_strength=0.5)
    assert torch.equal(half, picture(plain, noise)) != plain.has_noise
    assert torch.equal(half, picture(plain, "none")) != plain.has_noise


@pytest.mark.parametrize("noise", ["const", "random"])
@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 2.5])
def test_fast_is_plain(path: Path, noise: NoiseMode, strength: float) -> None:
    checkpoint = load(path)
    generator = load_generator(checkpoint)
    for name, tensor in generator.state_dict().items():
        if name.endswith("input.const"):
            tensor.normal_()  # instance normalisation makes noise of a flat one's rounding
    fast = registry.synthesis(checkpoint.header.family, generator, torch.float32)
    ws = torch.randn(1, generator.num_ws, generator.w_dim, generator=torch.Generator().manual_seed(2))
    options = SynthesisOptions(noise=noise, noise_strength=strength)
    with torch.inference_mode():
        expected = generator.synthesis(ws, options, generator=torch.Generator().manual_seed(5))
        got = fast(ws, options, generator=torch.Generator().manual_seed(5))
        silent = generator.synthesis(ws, SynthesisOptions(noise="none"))
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)
    if generator.has_noise and strength:
        assert (expected - silent).abs().max() > 0.02


def test_the_engine_follows_the_request(path: Path) -> None:
    engine = Engine.open(path, device="cpu", precision="float32")
    one, none, half = (engine.render(RenderRequest(seed_x=1, noise_strength=s)).pixels for s in (1.0, 0.0, 0.5))
    assert np.array_equal(one, engine.render(RenderRequest(seed_x=1)).pixels)
    assert np.array_equal(none, engine.render(RenderRequest(seed_x=1, noise="none")).pixels)
    assert np.array_equal(half, one) != engine.info.has_noise
