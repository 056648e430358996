"""GAN runs on data of every kind: they resume exactly, and say what is wrong with the data."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.checkpoints import load
from core.runlog import read_log
from tests.training.datasets.makers import write_folder, write_shards
from tests.training.engine.test_trainer import CONFIG, TWICE, clip, state
from tests.training.small import train
from training.datasets.config import DataConfig, SourceSpec
from training.datasets.errors import DataError
from training.datasets.loader import Loader
from training.methods.stylegan_t.config import StyleGANTConfig
from training.runs.config_file import read_run
from training.runs.run import resume

__all__ = ["clip"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLISSANDO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def mixed(tmp_path: Path) -> DataConfig:
    """A folder and shards, read while they are trained on."""
    write_folder(tmp_path / "d", range(10))
    write_shards(tmp_path / "s", [6, 7])
    places = (SourceSpec(place=str(tmp_path / "d"), weight=2), SourceSpec(place=str(tmp_path / "s")))
    return DataConfig(sources=places, memory_gb=0, workers=0, lanes=2, mirror=True, crop="random")


def same(a: Path, b: Path) -> bool:
    one, other = state(a), state(b)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_on_streamed_data_resumes_to_the_same_weights(mixed: DataConfig, clip: Path, tmp_path: Path) -> None:
    latest = train(TWICE, mixed, clip, tmp_path / "whole")
    assert load(latest).header.vocabulary == ("number",)
    train(replace(TWICE, kimg=0.024), mixed, clip, tmp_path / "stopped")
    resume(tmp_path / "stopped", settings=["kimg=0.06"])
    assert same(tmp_path / "whole", tmp_path / "stopped")


def test_data_that_go_away_stop_a_run_that_goes_on_when_they_are_back(
    mixed: DataConfig, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(TWICE, mixed, clip, tmp_path / "whole")
    ready, asked = Loader.ready, []

    def vanish(self: Loader, count: int) -> None:
        asked.append(count)
        if len(asked) == 12:
            (tmp_path / "d").rename(tmp_path / "elsewhere")
            self.load_state_dict(self.state_dict())  # nothing is read ahead
        ready(self, count)

    with monkeypatch.context() as patch:
        patch.setattr(Loader, "ready", vanish)
        with pytest.raises(DataError, match=r"went away.*--resume"):
            train(TWICE, mixed, clip, tmp_path / "stopped")
    assert "went away" in read_log(tmp_path / "stopped" / "log.jsonl", "stop")[-1]["problem"]
    (tmp_path / "elsewhere").rename(tmp_path / "d")
    resume(tmp_path / "stopped")
    assert same(tmp_path / "whole", tmp_path / "stopped")


def test_data_of_which_nothing_can_be_used_are_refused(mixed: DataConfig, clip: Path, tmp_path: Path) -> None:
    for picture in (tmp_path / "d").glob("*.png"):
        picture.write_bytes(b"no")
    shutil.rmtree(tmp_path / "s")
    for memory_gb in (0.0, 1.0):
        broken = replace(mixed, sources=mixed.sources[:1], memory_gb=memory_gb, crop="centre", mirror=False)
        with pytest.raises(DataError, match="broken|cannot be used"):
            train(CONFIG, broken, clip, tmp_path / f"run{memory_gb}")
        assert not list((tmp_path / f"run{memory_gb}").glob("s*"))  # neither state nor samples


@pytest.mark.parametrize("memory_gb", [0.0, 1.0])
def test_text_embeddings_are_kept_and_change_next_to_nothing(
    mixed: DataConfig, clip: Path, tmp_path: Path, memory_gb: float
) -> None:
    config: StyleGANTConfig = replace(CONFIG, kimg=0.024)
    data = replace(mixed, memory_gb=memory_gb, crop="centre")
    for name, kept in (("plain", False), ("kept", True)):
        train(config, replace(data, text_cache=kept), clip, tmp_path / name)
    assert len(list((tmp_path / "cache").glob("texts-*.npy"))) == 1
    plain, kept_state = state(tmp_path / "plain"), state(tmp_path / "kept")
    weight = "generator.blocks.1.layers.0.weight"
    np.testing.assert_allclose(plain[weight], kept_state[weight], atol=2e-2)
    train(replace(config, kimg=0.012), replace(data, text_cache=True), clip, tmp_path / "stopped")
    shutil.rmtree(tmp_path / "cache")
    resume(tmp_path / "stopped", settings=["kimg=0.024"])
    assert same(tmp_path / "kept", tmp_path / "stopped")


def test_one_folder_is_remembered_by_its_path_alone(clip: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "d", range(6))
    Image.new("RGB", (8, 8)).save(tmp_path / "d" / "captionless.png")
    train(replace(CONFIG, kimg=0.004), tmp_path / "d", clip, tmp_path / "run")
    assert read_run(tmp_path / "run").data == DataConfig.of(tmp_path / "d")
