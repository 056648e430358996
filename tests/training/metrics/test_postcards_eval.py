"""The evaluation end to end, on generators whose worth is known.

The first tests replace pictures and captions by ones a test can read and write: a picture holds its attributes in its
first row of pixels and noise below, a caption is the JSON of what it names. The last ones use the real things.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core import checkpoints
from core.models import registry
from core.text import bundled_text_tower
from training.datasets import postcards
from training.datasets.postcards import ATTRIBUTES, Attributes, Caption
from training.metrics.classifier import (
    POSTCARDS,
    AttributeClassifier,
    ClassifierConfig,
    ClassifierError,
    LoadedClassifier,
    save_classifier,
)
from training.metrics.judging import generate_pictures, latents
from training.metrics.postcards_eval import evaluate, evaluate_generator, format_table, quick_eval
from training.metrics.postcards_sets import label_indices, labels_for, render_pictures, sample_labels

SIZE = 16
STEP = 30  # apart enough to survive rounding


def coded_picture(attributes: Attributes, seed: int, resolution: int) -> np.ndarray:
    picture = np.random.default_rng(seed).integers(0, 256, (resolution, resolution, 3), dtype=np.uint8)
    for column, (name, values) in enumerate(ATTRIBUTES.items()):
        picture[0, column] = STEP * values.index(getattr(attributes, name))
    return picture


def coded_caption(attributes: Attributes, rng: np.random.Generator) -> Caption:
    names = [name for name in ATTRIBUTES if rng.random() < 0.6] or ["terrain"]
    named = {name: getattr(attributes, name) for name in names}
    return Caption(json.dumps(named), named)


def coded_swap(
    attributes: Attributes, name: str, new_value: str, rng: np.random.Generator
) -> tuple[str, str, Attributes]:
    other = replace(attributes, **{name: new_value})
    return json.dumps(attributes.as_dict()), json.dumps(other.as_dict()), other


class CodeReader:
    """Reads the attributes off a coded picture; the noise is the feature space."""

    def __init__(self) -> None:
        self.attributes = dict(ATTRIBUTES)

    def judge(self, pictures: np.ndarray, batch: int = 256) -> tuple[dict[str, np.ndarray], np.ndarray]:
        predictions = {
            name: np.clip(np.rint(pictures[:, 0, column].mean(axis=1) / STEP).astype(np.int64), 0, len(values) - 1)
            for column, (name, values) in enumerate(ATTRIBUTES.items())
        }
        return predictions, pictures[:, 1:4, :2].reshape(len(pictures), -1).astype(np.float32)


@pytest.fixture
def coded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postcards, "render", coded_picture)
    monkeypatch.setattr(postcards, "caption", coded_caption)
    monkeypatch.setattr(postcards, "swap_pair", coded_swap)


def seed_of(z: Tensor) -> int:
    return int(z.double().abs().sum() * 1e6)


def to_signed(pictures: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def perfect(prompts: list[str], z_NZ: Tensor) -> Tensor:
    """Shows what is named and draws the rest, and the noise, from z."""
    pictures = []
    for prompt, z in zip(prompts, z_NZ, strict=True):
        label = labels_for(json.loads(prompt), np.random.default_rng(seed_of(z)), split="all")
        pictures.append(coded_picture(label, seed_of(z), SIZE))
    return to_signed(pictures)


def forgetful(prompts: list[str], z_NZ: Tensor) -> Tensor:
    """Shows the neighbour's caption."""
    return perfect(prompts[1:] + prompts[:1], z_NZ)


def collapsed(prompts: list[str], z_NZ: Tensor) -> Tensor:
    """One picture a caption, whatever z."""
    return perfect(prompts, torch.zeros_like(z_NZ))


def deaf(prompts: list[str], z_NZ: Tensor) -> Tensor:
    """Ignores the caption."""
    return perfect(["{}"] * len(prompts), z_NZ)


def run(render: Callable[[list[str], Tensor], Tensor], **options: Any) -> dict[str, Any]:
    return evaluate_generator(render, CodeReader(), z_dim=4, resolution=SIZE, captions=128, workers=1, **options)


@pytest.mark.usefixtures("coded")
def test_a_perfect_generator_has_perfect_scores() -> None:
    stages = []
    result = run(perfect, progress=lambda stage, done, total: stages.append((stage, done == total)))
    assert set(result) == {"attributes", "swap", "variety", "fid", "fid_real", "warnings"}
    assert result["attributes"] == {name: {"real": 1.0, "seen": 1.0, "heldout": 1.0} for name in ATTRIBUTES}
    assert result["swap"]["changed"] == dict.fromkeys(ATTRIBUTES, 1.0)
    assert result["swap"]["kept"] == dict.fromkeys(ATTRIBUTES, 1.0)
    assert result["variety"] == pytest.approx(1.0, abs=0.05)
    assert result["fid"] < 2 * result["fid_real"]  # both are what 128 samples of one distribution give
    assert {stage for stage, finished in stages if finished} == {stage for stage, _ in stages}


@pytest.mark.usefixtures("coded")
def test_every_score_can_go_down() -> None:
    good, shuffled, constant, unheeding = (run(render) for render in (perfect, forgetful, collapsed, deaf))
    for name in ATTRIBUTES:
        for split in ("seen", "heldout"):
            assert shuffled["attributes"][name][split] < 0.8
            assert unheeding["attributes"][name][split] < 0.8
        assert shuffled["attributes"][name]["real"] == 1.0
        assert unheeding["swap"]["changed"][name] < 0.8
        # The neighbour's swap changes its attribute, so others change here: at borders between attributes.
        assert shuffled["swap"]["changed"][name] < 0.8
    assert unheeding["swap"]["kept"] == dict.fromkeys(ATTRIBUTES, 1.0)
    assert constant["variety"] == 0.0
    assert constant["attributes"] == good["attributes"]
    assert constant["fid"] > 2 * good["fid"]


@pytest.mark.usefixtures("coded")
def test_a_generator_that_redraws_everything_keeps_nothing() -> None:
    def restless(prompts: list[str], z_NZ: Tensor) -> Tensor:
        """A caption's words decide the noise too, and with it whatever the caption does not name."""
        texts = [json.dumps({"terrain": json.loads(prompt)["terrain"]}) for prompt in prompts]
        shifts = torch.tensor([float(sum(map(ord, prompt))) for prompt in prompts])
        return perfect(texts, z_NZ + shifts[:, None])

    def only_full(prompts: list[str], z_NZ: Tensor) -> Tensor:
        full = all(len(json.loads(prompt)) == len(ATTRIBUTES) for prompt in prompts)
        return restless(prompts, z_NZ) if full else perfect(prompts, z_NZ)

    kept = run(only_full)["swap"]["kept"]
    assert kept["terrain"] == 1.0
    assert all(kept[name] < 0.8 for name in ATTRIBUTES if name != "terrain")


@pytest.mark.usefixtures("coded")
def test_the_seed_decides_everything() -> None:
    assert run(deaf, seed=3) == run(deaf, seed=3)
    assert run(deaf, seed=3) != run(deaf, seed=4)


@pytest.mark.usefixtures("coded")
def test_quick_form_agrees_and_draws_the_same_captions_each_time() -> None:
    asked: list[list[str]] = []

    def listening(prompts: list[str], z_NZ: Tensor) -> Tensor:
        asked.append(prompts)
        return perfect(prompts, z_NZ)

    first = quick_eval(listening, CodeReader(), z_dim=4, resolution=SIZE, n=128)
    half = len(asked)
    assert quick_eval(listening, CodeReader(), z_dim=4, resolution=SIZE, n=128) == first
    assert asked[:half] == asked[half:]
    assert first["accuracy"] == dict.fromkeys(ATTRIBUTES, 1.0)
    assert first["variety"] == pytest.approx(1.0, abs=0.1)
    worse = quick_eval(forgetful, CodeReader(), z_dim=4, resolution=SIZE, n=128)
    assert all(worse["accuracy"][name] < 0.9 for name in ATTRIBUTES)
    assert quick_eval(collapsed, CodeReader(), z_dim=4, resolution=SIZE, n=128)["variety"] == 0.0


def test_generated_pictures_are_rounded_to_bytes_and_nan_is_black() -> None:
    def render(prompts: list[str], z_NZ: Tensor) -> Tensor:
        x = torch.full((len(prompts), 3, 2, 2), 5.0)
        x[:, 1] = 0.0
        x[:, 2] = float("nan")
        return x

    pictures = generate_pictures(render, ["a"] * 40, torch.zeros(40, 4))
    assert pictures.shape == (40, 2, 2, 3)
    assert np.unique(pictures.reshape(-1, 3), axis=0).tolist() == [[255, 128, 0]]
    with pytest.raises(ValueError, match="expected pictures"):
        generate_pictures(lambda prompts, z: torch.zeros(1, 3, 2, 2), ["a", "b"], torch.zeros(2, 4))


def test_latents_are_those_of_seeds() -> None:
    z = latents(3, 5, (1, 2))
    assert torch.equal(z, latents(3, 5, (1, 2)))
    assert not torch.equal(z, latents(3, 5, (1, 3)))
    seed = int(np.random.default_rng((1, 2)).integers(0, 2**32, size=3)[0])
    np.testing.assert_allclose(z[0], np.random.RandomState(seed).randn(5), rtol=1e-6)


def tiny_checkpoint(path: Path) -> None:
    text_cfg = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    torch.manual_seed(0)
    tower = bundled_text_tower(8, text_cfg)
    config = {
        "resolution": 16,
        "z_dim": 8,
        "text_dim": 8,
        "base_channels": 128,
        "max_channels": 8,
        "convs_per_block": 1,
        "norm_groups": 2,
    }
    generator = registry.build("stylegan_t", config)
    header = checkpoints.Header(
        name="tiny",
        family="stylegan_t",
        config=config,
        text={"kind": "bundled", "embed_dim": 8, "text_cfg": text_cfg},
        images_seen=0,
        vocabulary=(),
        licence="Apache-2.0",
    )
    tensors = {f"generator.{k}": v for k, v in generator.state_dict().items()}
    tensors |= {f"text.{k}": v.half() if v.is_floating_point() else v for k, v in tower.state_dict().items()}
    checkpoints.save(path, header, tensors)


def test_a_checkpoint_file_is_evaluated_and_its_figures_are_json(tmp_path: Path) -> None:
    tiny_checkpoint(tmp_path / "tiny.safetensors")
    save_classifier(
        tmp_path / "judge.safetensors",
        AttributeClassifier(ATTRIBUTES, ClassifierConfig(resolution=16, channels=(8,))).eval(),
        {"postcards_version": postcards.GENERATOR_VERSION},
    )
    result = evaluate(tmp_path / "tiny.safetensors", captions=16, classifier=tmp_path / "judge.safetensors")
    again = json.loads(json.dumps(result))
    assert set(again) >= {"attributes", "swap", "variety", "fid", "fid_real", "checkpoint", "sha256", "captions"}
    assert len(again["sha256"]) == 64
    assert again["captions"] == 16
    assert "singular" in again["warnings"][0]
    assert again["fid"] > again["fid_real"] > 0
    assert set(again["attributes"]) == set(again["swap"]["changed"]) == set(again["swap"]["kept"]) == set(ATTRIBUTES)
    table = format_table(again)
    assert all(name in table for name in ATTRIBUTES)
    assert f"{again['variety']:.3f}" in table


def test_the_table_shows_figures_and_aims_and_copes_with_none() -> None:
    figures = {
        "attributes": {name: {"real": 0.99, "seen": 0.951, "heldout": None} for name in ATTRIBUTES},
        "swap": {"changed": dict.fromkeys(ATTRIBUTES, 0.5), "kept": dict.fromkeys(ATTRIBUTES, 0.91)},
        "variety": 0.4321,
        "fid": 12.5,
        "fid_real": 0.25,
        "warnings": ["FID: few"],
    }
    table = format_table(figures)
    row = next(line for line in table.splitlines() if line.startswith("terrain"))
    assert row.split() == [
        "terrain",
        "99.0",
        ">=",
        "95",
        "95.1",
        ">=",
        "95",
        "-",
        "<",
        "85",
        "50.0",
        "<",
        "90",
        "91.0",
        ">=",
        "90",
    ]
    assert "0.432 <  0.7" in table
    assert "12.500" in table
    assert table.endswith("Warning: FID: few.")
    assert "0.250" in table


def test_bad_input_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="captions: expected at least 16, got 3"):
        evaluate(tmp_path / "x", captions=3)
    with pytest.raises(ClassifierError, match="glissando train classifier"):
        evaluate(tmp_path / "x", classifier=tmp_path / "none.safetensors")
    save_classifier(
        tmp_path / "other.safetensors",
        AttributeClassifier({"time": ("dawn", "noon")}, ClassifierConfig(resolution=16, channels=(8,))),
        {},
    )
    with pytest.raises(ClassifierError, match="trained for the attributes"):
        evaluate(tmp_path / "x", classifier=tmp_path / "other.safetensors")


def test_the_bundled_classifier_is_right_about_real_pictures() -> None:
    loaded = LoadedClassifier.open()
    assert POSTCARDS.bundled.stat().st_size <= 2 * 2**20
    labels = sample_labels(300, split="all", seed=(777,))
    predictions, _ = loaded.model.judge(render_pictures(labels, 64, seed=(777,), workers=1))
    for name, truth in label_indices(labels).items():
        assert loaded.notes["held_out_accuracy"][name] >= 0.95  # of 4,096 pictures
        assert np.mean(predictions[name] == truth) >= 0.92  # of 300: two standard deviations of a true 95 %
