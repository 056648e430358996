from __future__ import annotations

import json
import math

import pytest
import torch

from core import bench, bench_families
from core.bench import BenchError
from core.bench_families import SHAPES, format_families, grouped_conv2d
from core.models.layers import modulated_conv2d


@pytest.mark.parametrize("options", [{}, {"up": True}, {"demodulate": False}, {"padding": 2}, {"input_gain": 0.7}])
def test_the_grouped_convolution_is_the_modulated_one(options: dict[str, object]) -> None:
    x, weight, style = torch.randn(2, 3, 6, 5), torch.randn(4, 3, 3, 3), torch.randn(2, 3)
    if "input_gain" in options:
        options = {"input_gain": torch.tensor(0.7)}
    expected = modulated_conv2d(x, weight, style, **options)  # type: ignore[arg-type]
    assert torch.allclose(grouped_conv2d(x, weight, style, **options), expected, atol=1e-5)  # type: ignore[arg-type]


SMALL = {
    "StyleGAN2": {"resolution": 16, "max_channels": 8},
    "StyleGAN3-R": {"resolution": 16, "max_channels": 8},
    "StyleGAN-XL": {"resolution": 16, "max_channels": 8, "c_dim": 3},
}


@pytest.mark.parametrize("name", SMALL)
def test_the_report(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_SECONDS_A_ROUND", 0.01)
    monkeypatch.setattr(bench_families, "_STAGES", 1)
    report = bench_families.bench_families([name], rounds=2, z_dim=8, w_dim=8, **SMALL[name])
    assert json.loads(json.dumps(report)) == report
    (family,) = report["families"]
    resolution = 32 if name == "StyleGAN-XL" else 16  # grown once
    assert (family["name"], family["resolution"]) == (name, resolution)
    assert all(math.isfinite(family[key]) and family[key] > 0 for key in ("plain_ms", "float32_ms", "fast_ms"))
    assert family["ratio"] == pytest.approx(family["plain_ms"] / family["fast_ms"])
    assert f"{name} ({resolution} px)" in format_families(report)


def test_another_picture_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        bench_families, "grouped_conv2d", lambda *args, **options: modulated_conv2d(*args, **options) + 1
    )
    with pytest.raises(BenchError, match="StyleGAN2: the float32 frame differs from the plain one"):
        bench_families.bench_families(["StyleGAN2"], rounds=1, resolution=16, max_channels=8, z_dim=8, w_dim=8)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="expected one or more"):
        bench_families.bench_families(rounds=0)
    with pytest.raises(ValueError, match=f"expected some of {next(iter(SHAPES))}, .* got 'StyleGAN9'"):
        bench_families.bench_families(["StyleGAN9"])
