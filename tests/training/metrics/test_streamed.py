"""Shards and mixtures as real pictures: the figures of the same pictures in a folder, whoever reads them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from core.checkpoints import load
from core.runlog import read_log
from tests.training.datasets.makers import number_of, png, samples, serving, write_folder, write_shards, write_tar
from tests.training.small import SMALL, train
from training.datasets import remote
from training.datasets.config import DataConfig, SourceSpec
from training.datasets.errors import DataError
from training.datasets.folder import load_folder
from training.datasets.opening import StreamedData, open_data
from training.metrics import reals, streamed
from training.metrics.classifier import AttributeClassifier, ClassifierConfig, save_classifier
from training.metrics.during import Candidate, Finished, RunMetrics
from training.metrics.networks import FeatureExtractor
from training.metrics.quality import QualityConfig, evaluate_quality
from training.metrics.reals import ArrayPictures, RealFeatures, real_features
from training.metrics.sampler import draw_captions
from training.metrics.settings import EvaluationSettings
from training.metrics.shards import evaluate_shard, merge
from training.metrics.streamed import StreamedPictures
from training.runs.run import resume


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLISSANDO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "PAUSES", (0.0,))
    return tmp_path / "cache"


@pytest.fixture
def judge(tmp_path: Path) -> str:
    torch.manual_seed(0)
    model = AttributeClassifier({"time": ("dawn", "noon")}, ClassifierConfig(resolution=16, channels=(4,)))
    save_classifier(tmp_path / "judge.safetensors", model.eval(), {})
    return f"classifier={tmp_path / 'judge.safetensors'}"


def opened(*places: str | Path, side: int = 8, **changes: object) -> StreamedData:
    sources = tuple(SourceSpec.parse(str(place)) for place in places)
    data = open_data(DataConfig(sources=sources, **changes), side, progress=False)  # type: ignore[arg-type]
    assert isinstance(data, StreamedData)
    return data


def pictures(*places: str | Path, most: int = 1000, seed: int = 0, **changes: object) -> StreamedPictures:
    return StreamedPictures(opened(*places, **changes), most=most, seed=seed)


def numbers(found: StreamedPictures) -> list[int]:
    """Which of the makers' pictures the rows are."""
    return [number_of(picture.transpose(2, 0, 1)) for picture in found.read(range(len(found))).pictures]


def extractor(seen: list[int] | None = None) -> FeatureExtractor:
    def embed(x_N3HW: Tensor) -> Tensor:
        if seen is not None:
            seen.append(len(x_N3HW))
        return torch.stack([x_N3HW[:, 0, 0, 0], x_N3HW[:, 1, 0, 0], x_N3HW.mean(dim=(1, 2, 3))], dim=1)

    return FeatureExtractor(name="colours", digest="d", device=torch.device("cpu"), embed=embed)


def measured(found: reals.Pictures, cache: Path, most: int = 1000, **changes: object) -> RealFeatures:
    features = real_features(found, extractor(), most=most, cache=cache, **changes)  # type: ignore[arg-type]
    assert features is not None
    return features


# --- the same as a folder -------------------------------------------------------------------------------------------


def test_shards_are_the_rows_of_the_same_pictures_in_a_folder(tmp_path: Path) -> None:
    folder = load_folder(write_folder(tmp_path / "d", range(300)), 8, progress=False)
    shards = pictures(write_shards(tmp_path / "s", [100, 90, 110]))
    assert len(shards) == 300
    assert numbers(shards) == list(range(300))
    assert shards.prompts(40) == draw_captions(folder.captions, 40, 0)
    assert shards.prompts(700) == draw_captions(folder.captions, 700, 0)
    for most in (1000, 50):
        plain = measured(ArrayPictures(folder.images, folder.fingerprint), tmp_path / "a", most)
        found = measured(shards, tmp_path / "b", most)
        np.testing.assert_array_equal(found.features, plain.features)
        np.testing.assert_array_equal(found.gaussian.covariance, plain.gaussian.covariance)


def test_a_checkpoint_has_the_same_figures_on_shards_as_on_a_folder(
    tmp_path: Path, tiny_checkpoint: Path, judge: str
) -> None:
    config = QualityConfig(features=judge, pictures=45, device="cpu", reals=50)
    folder = evaluate_quality(tiny_checkpoint, write_folder(tmp_path / "d", range(70)), config)
    shards = evaluate_quality(tiny_checkpoint, write_shards(tmp_path / "s", [30, 40]), config)
    names = ("fid", "kid", "precision", "recall", "reals")
    assert {name: shards[name] for name in names} == {name: folder[name] for name in names}
    assert shards["reals"] == 50


def test_any_number_of_ranks_reads_the_same(tmp_path: Path) -> None:
    place = write_shards(tmp_path / "s", [60, 60, 60])
    alone = measured(pictures(place), tmp_path / "c")

    def part(rank: int, world: int) -> object:
        mine = pictures(place)
        measures = {"features": lambda x, _: extractor().features(x)}
        return evaluate_shard(rank, world, draw=mine.read, measures=measures, count=180)

    for world in (2, 3):
        whole = merge([part(rank, world) for rank in range(world)])  # type: ignore[misc]
        np.testing.assert_array_equal(whole.rows("features"), alone.features)


# --- mixtures and crops ---------------------------------------------------------------------------------------------


def test_sources_of_every_kind_are_mixed_by_weight(tmp_path: Path) -> None:
    places = [
        write_folder(tmp_path / "decoded", range(20)),
        f"{write_shards(tmp_path / 's', [12, 8])}=2",
    ]
    mixed = pictures(*places)
    found = numbers(mixed)
    assert len(found) == len(mixed) == 10 + 20
    assert found[10:] == list(range(20))
    assert len(set(found[:10])) == 10
    # Not decoded beforehand, and mirrored in training: the same pictures, and not mirrored.
    assert numbers(pictures(*places, memory_gb=0, mirror=True)) == found
    assert set(mixed.prompts(30)) == {f"number {number}" for number in range(20)}


def test_a_random_crop_is_the_same_each_time(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 40, 3), dtype=np.uint8)
    (tmp_path / "d").mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(pixels).save(tmp_path / "d" / f"{name}.png")
        (tmp_path / "d" / f"{name}.txt").write_text("wide")
    first = pictures(tmp_path / "d", crop="random").read([0, 2]).pictures
    assert not np.array_equal(first[0], first[1])
    again = pictures(tmp_path / "d", crop="random")
    np.testing.assert_array_equal(again.read([2]).pictures[0], first[1])
    np.testing.assert_array_equal(again.read([0]).pictures[0], first[0])


# --- what is broken, what is cached ---------------------------------------------------------------------------------


def damaged(root: Path) -> Path:
    """Five pictures of which one is no picture and one has an empty caption, a shard that is none, and one more."""
    files = dict(samples(range(5)))
    files["00001.png"] = b"no picture"
    files["00003.txt"] = b" \n"
    write_tar(root / "0.tar", list(files.items()))
    (root / "1.tar").write_bytes(b"no shard" * 200)
    return write_tar(root / "2.tar", samples([9])).parent


def test_what_is_broken_is_left_out_and_counted(tmp_path: Path) -> None:
    found = pictures(damaged(tmp_path / "s"))
    assert numbers(found) == [0, 2, 4, 9]
    assert found.read(range(len(found))).broken == 2
    features = measured(found, tmp_path / "c")
    assert (len(features.features), features.broken) == (4, 2)
    # Whose caption is empty gives its place to another.
    prompts = found.prompts(12)
    assert len(prompts) == 12
    assert set(prompts) == {"number 0", "number 1", "number 2", "number 4", "number 9"}


def test_data_of_which_nothing_can_be_measured_are_one_clear_message(tmp_path: Path) -> None:
    root = tmp_path / "s"
    write_tar(root / "0.tar", [("a.png", b"no"), ("a.txt", b"one"), ("b.png", png(1)), ("b.txt", b"")])
    with pytest.raises(DataError, match=r"s: none of 2 pictures drawn for the metrics .* `glissando data check`"):
        pictures(root).prompts(20)


def test_captions_and_features_are_kept_by_content(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write_shards(tmp_path / "s", [30, 30])
    first = pictures(place)
    seen: list[int] = []
    prompts = first.prompts(20)
    real_features(first, extractor(seen), most=50)
    assert sum(seen) == 50
    with monkeypatch.context() as patch:
        patch.setattr(streamed, "_open_shard", None)  # nothing is opened any more
        again = pictures(place)
        assert again.prompts(20) == prompts
        found = real_features(again, extractor(seen), most=50)
        assert found is not None
        assert (len(found.features), sum(seen)) == (50, 50)
    kept = next((cache / "metrics").glob("prompts-*.json"))
    kept.write_text(kept.read_text()[:-9])
    assert pictures(place).prompts(20) == prompts
    for other in (pictures(place, seed=1), pictures(place, most=40), pictures(place, resize="lanczos")):
        assert other.fingerprint != first.fingerprint
    write_tar(place / "00001.tar", samples(range(100, 130)))
    changed = pictures(place)
    assert changed.fingerprint != first.fingerprint
    assert changed.prompts(60) != pictures(write_shards(tmp_path / "t", [30, 30])).prompts(60)


# --- from a server --------------------------------------------------------------------------------------------------


def test_shards_on_a_server_are_the_same_and_each_is_fetched_once(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "s", [40, 40, 40])
    local = pictures(root)
    with serving(root) as server:
        far = pictures(f"{server.url}/{{00000..00002}}.tar")
        assert far.prompts(30) == local.prompts(30)
        server.asked.clear()
        server.hiccups = 1
        np.testing.assert_array_equal(
            measured(far, tmp_path / "a", 90).features, measured(local, tmp_path / "b", 90).features
        )
        assert sorted(set(server.asked)) == [f"/0000{shard}.tar" for shard in range(3)]
        assert len(server.asked) == 4  # one broke off and was taken up again
        other = pictures(f"{server.url}/../s/{{00000..00002}}.tar")
        assert other.fingerprint != far.fingerprint


def test_a_shard_that_is_smaller_than_thought_or_missing(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "s", [10, 7, 10])
    with serving(root) as server:
        found = pictures(f"{server.url}/{{00000..00002}}.tar")
        assert len(found) == 30  # without an index all are taken to be as large as the first
        (root / "00002.tar").unlink()
        drawn = found.read(range(30))
        assert (len(drawn.pictures), drawn.broken) == (17, 10)
        assert set(found.prompts(300)) == {f"number {number}" for number in range(17)}


def metrics_of(data: StreamedData, folder: Path, judge: str) -> RunMetrics:
    settings = EvaluationSettings(metrics=("fid",), metrics_pictures=40, metrics_reals=40, metrics_features=judge)
    return RunMetrics.of_streamed(
        settings,
        data,
        from_first=lambda text: text,
        folder=folder,
        own_clip=None,
        z_dim=3,
        device=torch.device("cpu"),
    )


def measure(
    metrics: RunMetrics, checkpoint: Path, images: int, stopped: Callable[[], bool] | None = None
) -> list[Finished]:
    def render(prompts: list[str], z_NZ: Tensor, /, *, psi: float = 1.0) -> Tensor:
        return z_NZ.tanh()[:, :, None, None].expand(-1, 3, 8, 8)

    file = load(checkpoint)
    metrics.measure(render, lambda: Candidate(header=file.header, tensors=file.tensors), images=images, stopped=stopped)
    return metrics.close()


def test_a_server_that_is_gone_is_told_and_the_next_evaluation_tries_again(
    tmp_path: Path, judge: str, tiny_checkpoint: Path
) -> None:
    root = write_shards(tmp_path / "s", [30, 30])
    with serving(root) as server:
        metrics = metrics_of(opened(f"{server.url}/{{00000..00001}}.tar"), tmp_path, judge)
        server.down = True
        (result,) = measure(metrics, tiny_checkpoint, 1)
        assert "went away" in result.figures["error"]
        assert "503" in result.figures["error"]
        server.down = False
        (result,) = measure(metrics, tiny_checkpoint, 2)
        assert result.figures["fid"] > 0


def test_a_run_that_is_to_stop_does_not_wait_for_a_server(
    tmp_path: Path, judge: str, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reals, "PATIENCE_S", 0.01)
    with serving(write_shards(tmp_path / "s", [30, 30])) as server:
        metrics = metrics_of(opened(f"{server.url}/{{00000..00001}}.tar"), tmp_path, judge)
        with server.pausing():
            answers = iter([False] * 3)
            assert measure(metrics, tiny_checkpoint, 1, stopped=lambda: next(answers, True)) == []


# --- runs -----------------------------------------------------------------------------------------------------------


def evaluations(run: Path) -> list[tuple[int, float]]:
    return [(row["images"], row["fid"]) for row in read_log(run / "log.jsonl", "evaluate")]


MEASURED = replace(
    SMALL,
    kimg=0.036,
    save_kimg=0.012,
    metrics_kimg=0.012,
    metrics=("fid",),
    metrics_pictures=40,
    metrics_reals=16,
)


def test_a_run_on_a_mixture_is_measured_and_resumes_to_the_same_figures(
    tmp_path: Path, small_clip: Path, judge: str, cache: Path
) -> None:
    places = (
        SourceSpec(place=str(write_folder(tmp_path / "d", range(20)))),
        SourceSpec(place=str(write_shards(tmp_path / "s", [12, 9])), weight=2),
    )
    data = DataConfig(sources=places, workers=0, lanes=2, mirror=True)
    config = replace(MEASURED, metrics_features=judge)
    train(config, data, small_clip, tmp_path / "whole")
    whole = evaluations(tmp_path / "whole")
    assert [images for images, _ in whole] == [12, 24, 36]
    train(replace(config, kimg=0.012), data, small_clip, tmp_path / "stopped")
    shutil.rmtree(cache)  # what is kept only saves time
    resume(tmp_path / "stopped", settings=["kimg=0.036"])
    assert evaluations(tmp_path / "stopped") == whole
