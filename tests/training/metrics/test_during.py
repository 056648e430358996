"""Metrics of a run: measured without its doing, kept with the best checkpoint, never the end of the run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from core.checkpoints import load, read_header
from core.perception.inception import InceptionError
from training.metrics import during
from training.metrics.classifier import AttributeClassifier, ClassifierConfig, save_classifier
from training.metrics.during import BEST, Candidate, RunMetrics, is_better
from training.metrics.settings import EvaluationSettings

COUNT, SIDE = 48, 16
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 3, SIDE, SIDE), dtype=np.uint8)


class Colours:
    def encode_image(self, x_N3HW: Tensor) -> Tensor:
        return x_N3HW.mean(dim=(2, 3))

    def encode_text(self, prompts: list[str]) -> Tensor:
        return torch.tensor([[1.0, len(prompt) % 3, len(prompt) % 2] for prompt in prompts])


@pytest.fixture
def settings(tmp_path: Path) -> EvaluationSettings:
    torch.manual_seed(0)
    model = AttributeClassifier({"time": ("dawn", "noon")}, ClassifierConfig(resolution=16, channels=(4,))).eval()
    save_classifier(tmp_path / "judge.safetensors", model, {})
    return EvaluationSettings(
        metrics_kimg=1.0,
        metrics=("fid", "clip"),
        metrics_pictures=64,
        metrics_features=f"classifier={tmp_path / 'judge.safetensors'}",
    )


@pytest.fixture
def make(tmp_path: Path, settings: EvaluationSettings) -> Callable[..., RunMetrics]:
    def metrics(**changes: object) -> RunMetrics:
        return RunMetrics.of_arrays(
            replace(settings, **changes),  # type: ignore[arg-type]
            IMAGES,
            "fingerprint",
            folder=tmp_path,
            captions=[[f"caption {n}"] for n in range(COUNT)],
            own_clip=Colours(),
            z_dim=4,
            device=torch.device("cpu"),
            cache=tmp_path / "cache",
        )

    return metrics


def noise(amount: float) -> Callable[..., Tensor]:
    """Pictures that are the real ones' kind at amount 1, and darker and flatter below."""

    def render(prompts: list[str], z_NZ: Tensor, /, *, psi: float = 1.0) -> Tensor:
        seed = int(z_NZ.double().sum().abs() * 1e6) % 2**31
        x = torch.rand((len(prompts), 3, SIDE, SIDE), generator=torch.Generator().manual_seed(seed))
        return (x * 2 * amount * psi - 1).clamp(-1, 1)

    return render


def candidate(make_checkpoint: Callable[..., Path], path: Path, seed: int) -> Candidate:
    file = load(make_checkpoint(path, seed=seed))
    return Candidate(header=replace(file.header, images_seen=seed), tensors=file.tensors)


@pytest.fixture
def candidates(tmp_path: Path, make_checkpoint: Callable[..., Path]) -> Callable[[int], Callable[[], Candidate]]:
    (tmp_path / "made").mkdir()
    return lambda seed: lambda: candidate(make_checkpoint, tmp_path / "made" / f"{seed}.safetensors", seed)


def test_the_best_is_kept_with_its_figures(tmp_path: Path, make: Callable[..., RunMetrics], candidates) -> None:
    metrics = make()
    results = []
    for images, amount in ((1000, 0.5), (2000, 0.9), (3000, 0.2)):
        metrics.measure(noise(amount), candidates(images), images=images)
        results += metrics.close()
    assert [result.images for result in results] == [1000, 2000, 3000]
    assert [result.figures["best"] for result in results] == [True, True, False]
    assert results[1].figures["fid"] < results[0].figures["fid"] < results[2].figures["fid"]
    assert all(-1 <= result.figures["clip"] <= 1 for result in results)
    header = read_header(tmp_path / BEST)
    assert header.images_seen == 2000
    assert header.notes["figures"]["fid"] == results[1].figures["fid"] == header.notes["best"]["value"]
    assert header.notes["best"]["metric"] == "fid"
    # It opens like any checkpoint, and says what it said before.
    assert load(tmp_path / BEST).header.notes["data"] == "random weights for tests"
    assert metrics.finished() == []


def test_a_resumed_run_knows_its_best(tmp_path: Path, make: Callable[..., RunMetrics], candidates) -> None:
    first = make()
    first.measure(noise(0.9), candidates(1), images=1)
    first.close()
    for changes, best in (({}, False), ({"metrics_pictures": 48}, True), ({"metrics": ("clip", "fid")}, True)):
        resumed = make(**changes)
        resumed.measure(noise(0.3), candidates(2), images=2)
        (result,) = resumed.close()
        assert result.figures["best"] is best, changes
    (tmp_path / BEST).write_bytes(b"damaged")
    resumed = make()
    resumed.measure(noise(0.3), candidates(3), images=3)
    assert resumed.close()[0].figures["best"]


def test_better_is_less_or_more() -> None:
    assert is_better("fid", 1.0, 2.0)
    assert is_better("kid", -0.1, 0.0)
    assert is_better("clip", 0.3, 0.2)
    assert not is_better("recall", 0.3, 0.3)
    assert not is_better("fid", float("nan"), 2.0)


def test_the_run_goes_on_while_figures_are_worked_out(
    make: Callable[..., RunMetrics], candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    work = RunMetrics._figures

    def slow(self: RunMetrics, shards: list[object]) -> dict[str, object]:
        assert go.wait(60)
        return work(self, shards)  # type: ignore[arg-type]

    monkeypatch.setattr(RunMetrics, "_figures", slow)
    metrics = make()
    metrics.measure(noise(0.5), candidates(1), images=1)
    assert metrics.finished() == []
    assert metrics.close(patience=0.01) == []
    go.set()
    (result,) = metrics.close()
    assert result.figures["fid"] > 0


def test_what_goes_wrong_is_told_and_the_run_goes_on(
    tmp_path: Path, make: Callable[..., RunMetrics], candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(during, "save", full)
    metrics = make()
    metrics.measure(noise(0.5), candidates(1), images=1)
    (result,) = metrics.close()
    assert result.figures["error"] == "no space left on device"
    monkeypatch.undo()
    metrics.measure(noise(0.5), candidates(2), images=2)
    assert metrics.close()[0].figures["best"]


def test_pictures_without_values_are_never_the_best(
    tmp_path: Path, make: Callable[..., RunMetrics], candidates
) -> None:
    metrics = make()
    metrics.measure(lambda prompts, z, psi=1.0: torch.full((len(prompts), 3, 8, 8), torch.nan), candidates(1), images=1)
    (result,) = metrics.close()
    assert result.figures["best"] is False
    assert "64 generated pictures have values that are not finite" in result.figures["warnings"][0]
    assert not (tmp_path / BEST).exists()


def test_a_run_that_is_stopped_gives_the_evaluation_up(make: Callable[..., RunMetrics], candidates) -> None:
    metrics = make()
    metrics.measure(noise(0.5), candidates(1), images=1, stopped=lambda: True)
    assert metrics.close() == []


def test_several_psi_give_a_curve(make: Callable[..., RunMetrics], candidates) -> None:
    metrics = make(metrics_psis=(1.0, 0.5), metrics=("kid", "fid", "clip"), best_metric="clip")
    metrics.measure(noise(0.9), candidates(1), images=1)
    (result,) = metrics.close()
    curve = result.figures["curve"]
    assert [point["psi"] for point in curve] == [1.0, 0.5]
    assert set(curve[0]) == {"psi", "fid", "clip"}
    assert curve[0]["fid"] == result.figures["fid"] < curve[1]["fid"]
    assert "kid" in result.figures


def test_measuring_draws_no_random_numbers_of_the_run(make: Callable[..., RunMetrics], candidates) -> None:
    made = candidates(1)()
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    metrics = make()
    metrics.measure(noise(0.5), lambda: made, images=1)
    metrics.close()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


def test_a_network_that_is_not_here_is_told_before_the_run_starts(make: Callable[..., RunMetrics]) -> None:
    with pytest.raises(InceptionError, match="absent"):
        make(metrics_features="inception=absent.pth")


def test_impossible_settings_are_refused() -> None:
    for changes, message in (
        ({"metrics": ("fid", "ppl")}, "expected some of fid, kid, precision, recall, clip"),
        ({"metrics_kimg": -1.0}, "metrics_kimg"),
        ({"metrics_pictures": 3}, "metrics_pictures"),
        ({"metrics_psis": ()}, "metrics_psis"),
        ({"best_metric": "clip"}, r"best_metric: expected first or one of metrics \(fid, kid\), got 'clip'"),
    ):
        with pytest.raises(ValueError, match=message):
            EvaluationSettings(**changes).check_evaluation()  # type: ignore[arg-type]
