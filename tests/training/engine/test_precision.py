"""Half precision, compilation and the bench of a training step."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.small import SHAPE, SMALL, opened
from training.engine.figures import PendingFigures
from training.engine.step_timer import SECTIONS, StepTimer
from training.engine.trainer import Trainer
from training.engine.updates import Updater
from training.methods.stylegan_t.method import StyleGANT
from training.methods.stylegan_t.plain import make_plain
from training.runs.bench import bench_train, format_train

CPU = torch.device("cpu")


def trainer_of(data: Path, clip: Path, **settings: object) -> tuple[Trainer[Any, Any], StyleGANT]:
    return opened(replace(SMALL, reconstruction=10.0, **settings), data, clip)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_about_the_same(precision: str, small_data: Path, small_clip: Path) -> None:
    (whole, one), (half, other) = (
        trainer_of(small_data, small_clip, precision=name) for name in ("float32", precision)
    )
    figures = [trainer.step() for trainer in (whole, half) for _ in range(3)]
    # A gradient may be infinite in the first steps of float16, until the scale of the loss is right.
    assert all(torch.isfinite(row[name]) for row in figures for name in ("loss_d", "loss_g", "error"))
    assert figures[0]["loss_d"].item() == pytest.approx(figures[3]["loss_d"].item(), rel=0.05)
    for a, b in zip(one.generator.parameters(), other.generator.parameters(), strict=True):
        assert b.dtype == torch.float32
        assert (a - b).abs().mean() < 0.02
    assert half.updaters["g", "encoder"].scaler.is_enabled() == (precision == "float16")
    assert bool(half.state_dict()["loss_scales"]["g"]) == (precision == "float16")


def test_a_loss_scale_that_is_too_large_is_halved_and_its_update_skipped() -> None:
    from training.engine.distributed import Ranks

    weight = torch.nn.Parameter(torch.ones(4))
    optimiser = torch.optim.Adam([weight], lr=0.1, betas=(0.0, 0.99), fused=True)
    update = Updater([optimiser], Ranks(), CPU, torch.float16)
    before = update.scaler.get_scale()
    for factor, moves in ((1e36, False), (1.0, True)):
        update.zero_grad()
        update.accumulate((weight * factor).sum(), {}, 1)
        update.step()
        assert (weight[0].item() != 1.0) == moves
    assert update.scaler.get_scale() == before / 2
    state = update.state_dict()
    again = Updater([optimiser], Ranks(), CPU, torch.float16)
    again.load_state_dict(state)
    assert again.scaler.get_scale() == before / 2


def test_gradients_that_are_not_finite_are_mended_where_the_loss_is() -> None:
    from training.engine.distributed import Ranks

    weight = torch.nn.Parameter(torch.zeros(3))
    optimiser = torch.optim.Adam([weight], lr=0.1, betas=(0.0, 0.99), fused=True)
    update = Updater([optimiser], Ranks(), CPU, torch.float32)
    update.zero_grad()
    # The square root's slope at 0 is infinite, its value is not.
    update.accumulate(weight[0].sqrt() + weight[1], {}, 1)
    update.step()
    assert torch.isfinite(weight).all()
    assert weight[0] < 0
    assert weight[1] < 0
    assert weight[2] == 0


def test_a_compiled_generator_gives_the_same_step(
    small_data: Path, small_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function: compile_(function, backend="eager"))
    (first, plain), (second, fast) = (trainer_of(small_data, small_clip, compile=chosen) for chosen in (False, True))
    for trainer in (first, second):
        trainer.step()
    for a, b in zip(plain.generator.parameters(), fast.generator.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_the_plain_step_is_the_same_step(small_data: Path, small_clip: Path) -> None:
    (first, fast), (second, plain) = (trainer_of(small_data, small_clip, precision="float64") for _ in range(2))
    make_plain(plain)
    for trainer in (first, second):
        trainer.step()
    for a, b in zip(fast.generator.parameters(), plain.generator.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert not plain.generator.blocks[1].layers[1].weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr, operator]


def test_the_bench_says_where_the_time_goes(small_clip: Path) -> None:
    config = SMALL.changed([*SHAPE, "taps_every=1", "features=clip"])
    report = bench_train(config, rounds=1)
    assert report["ratio"] == pytest.approx(report["plain_step_s"] / report["step_s"])
    assert report["images_per_s"] == pytest.approx(4 / report["step_s"])
    assert set(report["shares"]) == set(SECTIONS)
    assert sum(report["shares"].values()) == pytest.approx(1)
    assert all(report["shares"][name] > 0 for name in ("data", "generator", "discriminator", "features", "optimiser"))
    text = format_train(report)
    assert f"{report['ratio']:.2f}" in text
    assert "optimiser" in text
    with pytest.raises(ValueError, match="rounds"):
        bench_train(config, rounds=0)


def test_the_clock_follows_the_backward_pass() -> None:
    clock = StepTimer(CPU)
    a = torch.ones(3, requires_grad=True)
    b, c = a * 2, a * 3
    clock.on_gradient([b, c, None, torch.ones(1)], "features")
    clock.mark("discriminator")
    (b * c).sum().backward()  # type: ignore[no-untyped-call]
    assert [section for section, _ in clock._marks] == ["discriminator", "features"]
    seconds = clock.stop()
    assert seconds["features"] > 0
    assert clock.stop() == dict.fromkeys(SECTIONS, 0.0)


def test_figures_are_there_at_once_on_a_cpu() -> None:
    late = PendingFigures()
    assert late.take() == []
    late.put(8, 2.0, {"loss": torch.tensor(1.5), "nan": torch.tensor(float("nan"))})
    (row,) = late.take()
    assert (row.images, row.speed, row.read()["loss"]) == (8, 2.0, 1.5)
    assert math.isnan(row.read()["nan"])
    assert late.take(last=True) == []
