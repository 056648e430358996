from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from core import bench
from core.bench import BenchError, bench_engine, format_report, plain_synthesis
from core.checkpoints import CheckpointError, load
from core.engine import load_generator


def test_the_report(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_SECONDS_A_ROUND", 0.01)
    report = bench_engine(tiny_checkpoint, rounds=3, lite=False)
    assert json.loads(json.dumps(report)) == report
    (model,) = report["models"]
    assert (model["name"], model["resolution"]) == ("tiny", 32)
    for name in ("plain_ms", "fast_ms", "convolutions_ms", "request_ms", "ratio", "frames_per_second"):
        assert math.isfinite(model[name])
        assert model[name] > 0
    assert model["ratio"] == pytest.approx(model["plain_ms"] / model["fast_ms"])
    assert model["frames_per_second"] == pytest.approx(1000 / model["request_ms"])
    text = format_report(report)
    assert f"{model['fast_ms']:.2f}" in text
    assert "tiny (32 px)" in text
    assert report["precision"] in text


def test_the_plain_reference_is_the_model(tiny_checkpoint: Path) -> None:
    generator = load_generator(load(tiny_checkpoint))
    w = torch.randn(1, 32)
    assert torch.allclose(plain_synthesis(generator, w), generator.synthesis(w), atol=1e-4)


def test_times_are_not_compared_when_the_pictures_differ(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "plain_synthesis", lambda generator, w: generator.synthesis(w) + 0.01)
    with pytest.raises(BenchError, match="fast frame differs from the plain one"):
        bench_engine(tiny_checkpoint, rounds=1, lite=False)


def test_the_median_is_over_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([float(t) for t in (0, 0, 0, 1, 0, 1, 0, 9, 0, 2)])
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(clock))
    times = bench.interleave({"task": lambda i: None}, 3, torch.device("cpu"))
    assert times == {"task": 2000.0}


def test_bad_arguments(tmp_path: Path, tiny_checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="expected one or more"):
        bench_engine(tiny_checkpoint, rounds=0)
    with pytest.raises(CheckpointError):
        bench_engine(tmp_path / "none.safetensors", rounds=1)


def test_a_frame_beside_a_busy_process_is_timed_and_the_process_ends(tiny_checkpoint: Path) -> None:
    with bench.busy_process() as process:
        assert process.poll() is None
    assert process.poll() is not None
    report = bench.bench_engine(tiny_checkpoint, rounds=1, lite=False, beside=True)
    (model,) = report["models"]
    assert model["alone_ms"] > 0
    assert model["beside_ms"] > 0
    assert model["threads"] == 1
    assert "beside a busy process" in bench.format_report(report)
    assert "beside a busy process" not in bench.format_report(
        report | {"models": [model | {"alone_ms": None, "beside_ms": None}]}
    )
