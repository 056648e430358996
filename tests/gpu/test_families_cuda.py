"""Every family on a CUDA device: as the CPU draws it, and the same bits each time. Skipped without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core import bench, bench_families
from core.checkpoints import load
from core.engine import DTYPES, Engine, load_generator
from core.models import registry
from core.models.stylegan2 import ARCHITECTURES
from core.request import NOISE_MODES, RenderRequest, SynthesisOptions
from tests.core.models import test_stylegan2_fast, test_stylegan3_fast
from tests.core.test_engine_families import CONFIGS, write

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

NAMES = ("stylegan_t", *CONFIGS)
TURNED = (0.0, -1.0, 0.1, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
REQUESTS = [
    RenderRequest(seed_x=1.5, psi=0.7, label=1),
    RenderRequest(seed_x=4, label=0, label_b=2, blend=0.4, noise="random", noise_seed=5),
    RenderRequest(seed_x=4, noise="none", transform=TURNED),
]
# Mean difference from the CPU's picture in float32, of 255.
LIMITS = {"float32": 0.1, "float16": 1.5, "bfloat16": 12.0}


@pytest.fixture(params=NAMES)
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path, tiny_checkpoint: Path) -> Path:
    if request.param == "stylegan_t":
        return tiny_checkpoint
    return write(tmp_path / "model.safetensors", request.param)


def test_every_family_is_among_them() -> None:
    assert {name.split()[0] for name in NAMES} == set(registry.FAMILIES)


@pytest.mark.parametrize("precision", ["auto", *DTYPES])
def test_frames_repeat_to_the_bit_and_are_the_cpus(checkpoint: Path, precision: str) -> None:
    engine = Engine.open(checkpoint, device="cuda", precision=precision)
    cpu = Engine.open(checkpoint, device="cpu", precision="float32")
    requests = [
        r for r in REQUESTS if max(r.label, r.label_b) < max(engine.info.classes, 1) or engine.info.classes == 0
    ]
    first = [engine.render(request).pixels for request in requests]
    again = [frame.pixels for frame in engine.render_batch(requests[::-1])][::-1]
    for request, a, b in zip(requests, first, again, strict=True):
        assert np.array_equal(a, b)
        assert np.abs(a.astype(float) - cpu.render(request).pixels).mean() < LIMITS[engine.info.precision]


@pytest.mark.parametrize("kind", DTYPES)
def test_the_fast_synthesis_is_the_plain_one(checkpoint: Path, kind: str) -> None:
    family = load(checkpoint).header.family
    generator = load_generator(load(checkpoint)).to("cuda")
    torch.manual_seed(0)
    ws = torch.randn(1, generator.num_ws, generator.w_dim, device="cuda")
    with torch.inference_mode():
        fast = registry.synthesis(family, generator, DTYPES[kind])
        for noise in NOISE_MODES:
            for place in ("cpu", "cuda"):
                made: list[torch.Tensor] = []
                for draw in (generator.synthesis, fast):
                    source = torch.Generator(place).manual_seed(3)
                    made.append(draw(ws, SynthesisOptions(noise=noise), generator=source, dtype=DTYPES[kind]))
                plain, other = made
                assert other.device.type == "cuda"
                error = float((other - plain).abs().max() / plain.std())
                assert error < {"float32": 1e-3, "float16": 0.1, "bfloat16": 0.6}[kind], noise


def families() -> list[Callable[[], Any]]:
    two = [lambda a=a: test_stylegan2_fast.build(architecture=a, size=(4, 6)) for a in ARCHITECTURES]
    three = [lambda kind=kind: test_stylegan3_fast.build(kind) for kind in test_stylegan3_fast.KINDS]
    return [*two, *three]


@pytest.mark.parametrize("build", families())
def test_every_architecture(build: Callable[[], Any]) -> None:
    generator = build().to("cuda")
    family = next(name for name, family in registry.FAMILIES.items() if type(generator.config) is family.config)
    with torch.inference_mode():
        ws = torch.randn(1, generator.num_ws, generator.w_dim, device="cuda")
        plain = generator.synthesis(ws)
        for kind, limit in (("float32", 1e-3), ("float16", 0.1)):
            other = registry.synthesis(family, generator, DTYPES[kind])(ws)
            assert float((other - plain).abs().max() / plain.std()) < limit


def test_centroids(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", "stylegan_xl")
    np.save(tmp_path / "model.centroids.npy", np.random.RandomState(0).randn(5, 8).astype(np.float32))
    request = RenderRequest(seed_x=2, psi=0.3)
    frames = [
        Engine.open(path, device=device, precision="float32").render(request).pixels for device in ("cuda", "cpu")
    ]
    assert np.abs(frames[0].astype(float) - frames[1]).mean() < 0.1


@pytest.mark.parametrize("name", ["StyleGAN2", "StyleGAN3-T", "StyleGAN-XL"])
def test_the_bench(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_SECONDS_A_ROUND", 0.01)
    monkeypatch.setattr(bench_families, "_STAGES", 1)
    changes = {"c_dim": 3} if name == "StyleGAN-XL" else {}
    report = bench_families.bench_families([name], rounds=1, resolution=16, max_channels=8, z_dim=8, w_dim=8, **changes)
    assert report["precision"] == "float16"
