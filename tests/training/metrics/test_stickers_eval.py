"""The evaluation of Stickers end to end, on generators whose worth is known.

A picture holds its attributes in its first row of pixels, a caption is the JSON of what it names; the judge reads the
one, the generators the other.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.training.datasets.sticker_art import make_art
from training.datasets import stickers
from training.datasets.stickers import ATTRIBUTES, Caption, Composition, Drawings, compose, sampling
from training.datasets.stickers.drawings import drawings_of
from training.metrics.classifier import (
    STICKERS,
    AttributeClassifier,
    ClassifierConfig,
    ClassifierError,
    LoadedClassifier,
    check_fits,
    save_classifier,
)
from training.metrics.classifier_training import TrainClassifierConfig, train_stickers_classifier
from training.metrics.stickers_eval import (
    Generator,
    evaluate,
    evaluate_generator,
    format_table,
    nearest_training_pictures,
)
from training.metrics.stickers_sets import (
    allowed,
    compose_pictures,
    draw_samples,
    sample_swaps,
    stickers_targets,
    synonym_prompts,
)

pytest.importorskip("resvg_py")
SIZE = 16


@pytest.fixture(scope="module")
def art(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_art(tmp_path_factory.mktemp("art"))


def coded_picture(composition: Composition, drawings: Drawings, resolution: int) -> NDArray[np.uint8]:
    picture = np.zeros((resolution, resolution, 3), np.uint8)
    for column, (name, value) in enumerate(composition.attributes.as_dict().items()):
        picture[0, column] = 2 * ATTRIBUTES[name].index(value)
    pose = composition.poses[0]
    picture[1:] = int(255 * min(max(pose.x, 0), 1))
    picture[2:] = int(255 * min(max(pose.side, 0), 1))
    return picture


def coded_caption(named: dict[str, str], rng: np.random.Generator, names: Any) -> Caption:
    return Caption(json.dumps({**named, "called": names[0]}), names[0])


class CodedJudge(AttributeClassifier):
    """Reads the code; its features are what it read and the pixels below."""

    def __init__(self) -> None:
        super().__init__(STICKERS.attributes, ClassifierConfig(resolution=16, channels=(64,)))
        head = self.heads["concept"]
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        with torch.no_grad():
            head.weight[:, : len(ATTRIBUTES["concept"])] = 20 * torch.eye(len(ATTRIBUTES["concept"]))

    def judge(self, pictures: Any, batch: int = 256) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.float32]]:
        read = {name: pictures[:, 0, column, 0].astype(np.int64) // 2 for column, name in enumerate(ATTRIBUTES)}
        read["colour"] -= 1  # without "own"
        features = np.zeros((len(pictures), self.feature_dim), np.float32)
        features[np.arange(len(pictures)), read["concept"]] = 1
        features[:, -2:] = pictures[:, 1:3, 0, 0] / 255
        return read, features


@pytest.fixture
def coded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stickers, "render", coded_picture)
    monkeypatch.setattr(stickers, "caption", coded_caption)
    monkeypatch.setattr(sampling, "caption", coded_caption)


def obedient(prompts: list[str], z_NZ: Tensor) -> Tensor:
    pictures = []
    for prompt, z_Z in zip(prompts, z_NZ, strict=True):
        named = json.loads(prompt)
        del named["called"]
        pictures.append(coded_picture(compose(z_Z.numpy(), named), None, SIZE))  # type: ignore[arg-type]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 127.5 - 1


def deaf(prompts: list[str], z_NZ: Tensor) -> Tensor:
    return obedient(['{"concept": "cat", "called": "cat"}'] * len(prompts), z_NZ)


def first(prompts: list[str], others: list[str], z_NZ: Tensor) -> Tensor:
    return obedient(prompts, z_NZ)


def test_an_obedient_generator_reaches_everything(art: Path, coded: None) -> None:
    generator = Generator(render=obedient, between=first, z_dim=64, resolution=SIZE)
    result = evaluate_generator(generator, CodedJudge(), art, captions=256, workers=1)
    for name, accuracy in result["attributes"].items():
        assert accuracy["real"] == 1
        assert accuracy["seen"] in (1, None)
        assert accuracy["heldout"] in (1, None)
        assert result["swap"]["changed"][name] == 1
        assert result["swap"]["kept"][name] == 1
    assert result["concept_top5"] == {"real": 1, "seen": 1, "heldout": 1}
    assert result["synonyms"] == {"heldout": 1, "own": 1}
    assert result["midpoints"]["either"] == result["midpoints"]["confident"] == 1
    assert 0.85 < result["variety"] < 1.15
    assert result["fid"] < 2 * result["fid_real"]
    table = format_table(json.loads(json.dumps(result)))
    assert "100.0 >= 95" in table
    assert "<= 2 times that" in table


def test_a_deaf_generator_is_found_out(art: Path, coded: None) -> None:
    generator = Generator(render=deaf, between=lambda a, b, z: deaf(a, z), z_dim=64, resolution=SIZE)
    result = evaluate_generator(generator, CodedJudge(), art, captions=256, workers=1)
    assert result["attributes"]["concept"]["seen"] < 0.1
    assert result["attributes"]["manner"]["heldout"] < 0.4
    assert result["swap"]["changed"]["concept"] < 0.2
    assert result["swap"]["changed"]["count"] < 0.8
    assert result["swap"]["kept"]["concept"] == 1  # the cat stays
    assert result["synonyms"]["heldout"] < 0.2
    assert result["midpoints"]["either"] < 0.2
    assert result["fid"] > 2 * result["fid_real"]
    assert "> " in next(line for line in format_table(result).splitlines() if line.startswith("FID"))


def test_held_out_captions_name_their_pair_and_swaps_stay_in_training(art: Path) -> None:
    drawings = drawings_of(art)
    for sample in draw_samples(60, "heldout", (1,), drawings, pair=True):
        shown = sample.composition.attributes
        assert stickers.is_held_out(shown)
        assert not allowed(sample.named, drawings)
    for swap in sample_swaps(6, (2,), drawings):
        before, after = swap.before.lower().rstrip(".").split(), swap.after.lower().rstrip(".").split()
        assert before != after
        if swap.attribute in ("colour", "ground", "manner"):
            kept = [word for word in before if word in after]
            assert len(kept) >= len(before) - 5


def test_synonym_prompts_use_held_out_names_only(art: Path) -> None:
    by_synonym, by_name = synonym_prompts(40, (3,), drawings_of(art))
    known = stickers.held_out_synonyms()
    for text, named, other in zip(by_synonym.texts, by_synonym.named, by_name.texts, strict=True):
        stems = [synonym[:3].lower() for concept, synonym in known if concept == named["concept"]]
        assert any(stem in text.lower() for stem in stems)
        assert text != other


def test_what_a_caption_leaves_open_is_no_target(art: Path) -> None:
    samples = draw_samples(80, "train", (4,), drawings_of(art))
    targets = stickers_targets(samples)
    for row, sample in enumerate(samples):
        assert (targets["colour"][row] == -1) == ("colour" not in sample.named)
        assert (targets["size"][row] == -1) == ("size" not in sample.named)
        assert targets["concept"][row] == ATTRIBUTES["concept"].index(sample.named["concept"])
        assert targets["ground"][row] >= 0


def test_a_classifier_learns_plain_grounds_and_its_file_says_what_it_is(tmp_path: Path, art: Path) -> None:
    config = TrainClassifierConfig(
        pictures=384,
        held_out=96,
        epochs=6,
        batch=32,
        workers=1,
        model=ClassifierConfig(resolution=32, channels=(16, 24)),
    )
    accuracy = train_stickers_classifier(tmp_path / "judge.safetensors", art, config)
    assert accuracy["ground"] > 3 / 24  # three times chance
    loaded = LoadedClassifier.open(tmp_path / "judge.safetensors", STICKERS)
    assert loaded.notes["held_out_accuracy"] == accuracy
    with pytest.raises(ClassifierError, match="no Postcards classifier"):
        LoadedClassifier.open(tmp_path / "judge.safetensors")


def test_the_nearest_training_picture_of_a_copy_is_itself(
    tmp_path: Path, art: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLISSANDO_CACHE", str(tmp_path / "cache"))
    folder = stickers.write_dataset(tmp_path / "set", art, 30, 32, workers=1)
    samples = [stickers.draw_sample(index, 0, "train", drawings_of(art)) for index in range(30)]
    pictures = compose_pictures([sample.composition for sample in samples], art, 32, workers=1)

    def copies(prompts: list[str], z_NZ: Tensor) -> Tensor:
        chosen = np.resize(pictures[7:9], (len(prompts), 32, 32, 3))
        return torch.from_numpy(chosen).permute(0, 3, 1, 2) / 127.5 - 1

    torch.manual_seed(0)
    judge = AttributeClassifier(STICKERS.attributes, ClassifierConfig(resolution=32, channels=(8,))).eval()
    generator = Generator(render=copies, between=first, z_dim=64, resolution=32)
    nearest = nearest_training_pictures(generator, judge, art, folder)
    assert np.array_equal(nearest.training, nearest.generated)
    assert nearest.side_by_side()[0].shape == (32, 64, 3)


def test_bad_input_is_one_clear_message(tmp_path: Path, art: Path) -> None:
    with pytest.raises(ValueError, match="captions: expected at least 16, got 3"):
        evaluate(tmp_path / "x", art, captions=3)
    with pytest.raises(ClassifierError, match="glissando train classifier --art DIR --out FILE"):
        evaluate(tmp_path / "x", art, classifier=tmp_path / "none.safetensors")
    model = AttributeClassifier({"time": ("dawn", "noon")}, ClassifierConfig(resolution=16, channels=(8,)))
    save_classifier(tmp_path / "other.safetensors", model, {}, STICKERS)
    with pytest.raises(ClassifierError, match="trained for the attributes"):
        evaluate(tmp_path / "x", art, classifier=tmp_path / "other.safetensors")


def test_the_bundled_classifier_is_of_todays_stickers_and_small() -> None:
    loaded = LoadedClassifier.open(None, STICKERS)
    check_fits(loaded, None, STICKERS)
    assert STICKERS.bundled.stat().st_size <= 4 * 2**20
    assert min(loaded.notes["held_out_accuracy"].values()) > 0.8  # of 4,096 real pictures
