"""What a run is said to take, against what it takes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.small import SMALL, train
from training.datasets.config import DataConfig
from training.engine.costs import Estimate
from training.errors import RunError
from training.methods.stylegan_t.config import StyleGANTConfig
from training.methods.stylegan_t.costs import estimate
from training.methods.stylegan_t.recipes import full_64, gan_recipe, lite_64
from training.runs.dry_run import Speed as RunSpeed
from training.runs.dry_run import dry_run, report

CPU = torch.device("cpu")


def part(figures: Estimate, name: str) -> tuple[int, int]:
    found = next(part for part in figures.networks if part.name == name)
    return found.parameters, found.learning


@pytest.mark.parametrize(("recipe", "millions"), [(lite_64(), 74.6), (full_64(), 975.5)])
def test_the_papers_networks_are_counted_without_their_weights(recipe: StyleGANTConfig, millions: float) -> None:
    figures = estimate(replace(recipe, encoder="clip"), CPU, Path)
    parameters, learning = part(figures, "generator")
    assert parameters / 1e6 == pytest.approx(millions, abs=0.1)
    assert learning == parameters
    assert part(figures, "discriminator") == (5 * 1_550_720, 5 * 1_550_720)
    assert part(figures, "feature network") == (21_665_664, 0)  # DINO ViT-S/16
    assert part(figures, "text tower") == (123_650_304, 0)  # CLIP ViT-L/14's
    dino, guidance = (
        next(p.flops for p in figures.networks if p.name == name) for name in ("feature network", "guidance")
    )
    assert dino / 1e9 == pytest.approx(9.2, abs=0.1)  # 4.6 GMAC
    assert guidance / 1e9 == pytest.approx(162, abs=1)  # 81 GMAC
    assert figures.flops > 3 * next(p.flops for p in figures.networks if p.name == "generator")


def test_files_are_as_large_as_said(small_data: Path, small_clip: Path, tmp_path: Path) -> None:
    latest = train(SMALL, small_data, small_clip, tmp_path / "run")
    figures = estimate(replace(SMALL, clip=str(small_clip), encoder="clip"), CPU, Path)
    assert latest.stat().st_size == pytest.approx(figures.snapshot_bytes, rel=0.1)
    saved = sum(file.stat().st_size for file in (tmp_path / "run" / "state-000001").iterdir())
    assert saved == pytest.approx(figures.state_bytes, rel=0.5)


def test_what_learns_is_said(small_data: Path, small_clip: Path, tmp_path: Path) -> None:
    config = replace(SMALL, resolution=32, frozen_to=16, clip=str(small_clip), encoder="clip")
    parameters, learning = part(estimate(config, CPU, Path), "generator")
    assert 0 < learning < parameters
    train(SMALL, small_data, small_clip, tmp_path / "run")
    text = replace(SMALL, preset="start", phase="text", resolution=0, clip=str(small_clip))
    said = dry_run(text, start=tmp_path / "run")
    rows = {line[:16].strip(): line[16:].split() for line in said.splitlines()}
    assert rows["generator"][2] == "0.00"
    assert rows["text tower"][2] == rows["text tower"][0] != "0.00"
    assert "reckoned, not measured (without --data)" in said


def test_steps_are_measured_where_everything_is_here(small_data: Path, small_clip: Path) -> None:
    said = dry_run(replace(SMALL, clip=str(small_clip)), DataConfig.of(small_data))
    assert "16 x 16, 12 of them" in said
    assert "measured here (cpu) over 3 steps of 4" in said
    absent = replace(SMALL, clip=str(small_clip), features="timm:vit_tiny_patch16_224=/nowhere/model.safetensors")
    assert "reckoned, not measured (/nowhere/model.safetensors: no such file" in dry_run(
        absent, DataConfig.of(small_data)
    )


def test_what_cannot_be_started_is_refused(small_clip: Path) -> None:
    with pytest.raises(RunError, match="taps: the feature network has 3"):
        dry_run(replace(SMALL, taps=(7,), clip=str(small_clip)))
    with pytest.raises(RunError, match="needs a checkpoint or run to start from"):
        dry_run(replace(gan_recipe("grow"), clip=str(small_clip)))


def test_time_and_memory_follow_from_the_figures(small_clip: Path) -> None:
    config = replace(SMALL, clip=str(small_clip), encoder="clip", kimg=72.0, batch=4)
    figures = estimate(config, CPU, Path)
    said = report(config, figures, RunSpeed(images_per_s=10.0, source="by hand"))
    assert "speed           10 pictures/s, by hand" in said
    assert "time            2 hours for 72 thousand pictures" in said
    assert "steps           18000 of 4 pictures" in said
    assert figures.memory(8, 8) - figures.memory(4, 8) == pytest.approx(4 * figures.kept_bytes)
    assert figures.kept_bytes > 4 * 3 * 16 * 16


def memory_said(text: str) -> float:
    """Bytes, as printed."""
    found = re.search(r"^memory +about ([\d.]+) (kB|MB|GB) ", text, re.MULTILINE)
    assert found is not None
    return float(found[1]) * {"kB": 1e3, "MB": 1e6, "GB": 1e9}[found[2]]


def test_memory_follows_the_pictures_that_are_in_the_networks_at_once(small_clip: Path) -> None:
    config = replace(SMALL, resolution=64, base_channels=1024, max_channels=64, batch=64)
    said = {micro: dry_run(replace(config, micro_batch=micro, clip=str(small_clip))) for micro in (0, 32, 16, 4, 1)}
    figures = estimate(replace(config, clip=str(small_clip), encoder="clip"), CPU, Path)
    assert " with 64 pictures at once: " in said[0]
    assert " with 16 pictures at once of a batch of 64: " in said[16]
    memory = {micro: memory_said(text) for micro, text in said.items()}
    for micro in (32, 16, 4, 1):
        fewer = (64 - micro) * figures.kept_bytes
        assert memory[0] - memory[micro] == pytest.approx(fewer, rel=0.01)
    assert memory[1] < 0.2 * memory[0]
    # What is left is that of one picture, of the weights, and of the batch's pictures.
    assert memory[1] > figures.fixed_bytes + 64 * 4 * 2 * 3 * 64 * 64
    # Fakes are drawn once more for the other network.
    assert (
        estimate(replace(config, clip=str(small_clip), encoder="clip", micro_batch=4), CPU, Path).flops > figures.flops
    )


def test_steps_are_measured_in_parts(small_data: Path, small_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(SMALL, batch=12, micro_batch=3, clip=str(small_clip))
    data = DataConfig.of(small_data)
    assert "over 3 steps of 12 in parts of 3" in dry_run(config, data)
    monkeypatch.setattr("training.runs.dry_run.convolution_rate", lambda *_: 0.0)  # a machine on which two take long
    assert "over 3 steps of 2\n" in dry_run(config, data)
    with pytest.raises(RunError, match="micro_batch: expected a divisor of the batch of 12, got 5"):
        dry_run(replace(config, micro_batch=5))
