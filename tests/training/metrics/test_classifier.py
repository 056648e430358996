"""The classifier's file, its view of pictures, and that training teaches it something."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from training.datasets.postcards import ATTRIBUTES, GENERATOR_VERSION
from training.metrics.classifier import (
    POSTCARDS,
    AttributeClassifier,
    ClassifierConfig,
    ClassifierError,
    LoadedClassifier,
    check_fits,
    save_classifier,
    to_signed,
)
from training.metrics.classifier_training import TrainClassifierConfig, augment, train_classifier
from training.metrics.postcards_sets import label_indices, render_pictures, sample_labels

TINY = ClassifierConfig(resolution=16, channels=(8, 16))
VALUES = {"time": ("dawn", "noon"), "style": ("plain", "neon", "ink")}


def tiny(seed: int = 0) -> AttributeClassifier:
    torch.manual_seed(seed)
    return AttributeClassifier(VALUES, TINY).eval()


def test_a_saved_classifier_judges_as_before(tmp_path: Path) -> None:
    model = tiny()
    pictures = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    save_classifier(tmp_path / "new" / "c.safetensors", model, {"held_out_accuracy": {"time": 0.99}})
    loaded = LoadedClassifier.open(tmp_path / "new" / "c.safetensors")
    assert loaded.notes == {"held_out_accuracy": {"time": 0.99}}
    assert loaded.model.attributes == VALUES
    _, features = model.judge(pictures)
    _, again = loaded.model.judge(pictures)
    np.testing.assert_allclose(again, features, atol=0.02, rtol=0.02)  # kernels are stored in half precision


def test_bytes_and_signed_floats_are_the_same_pictures() -> None:
    model = tiny()
    pictures = np.random.default_rng(1).integers(0, 256, (10, 16, 16, 3), dtype=np.uint8)
    predictions, features = model.judge(pictures, batch=4)
    also, same = model.judge(to_signed(pictures))
    np.testing.assert_allclose(features, same, atol=1e-5)
    assert features.shape == (10, model.feature_dim)
    for name, values in VALUES.items():
        assert predictions[name].tolist() == also[name].tolist()
        assert set(predictions[name]) <= set(range(len(values)))


def test_larger_pictures_are_averaged_down() -> None:
    model = tiny()
    small = np.random.default_rng(2).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    _, features = model.judge(small)
    _, larger = model.judge(small.repeat(4, axis=1).repeat(4, axis=2))
    np.testing.assert_allclose(features, larger, atol=1e-5)


def test_judging_leaves_the_mode_alone_and_needs_a_picture() -> None:
    model = tiny().train()
    model.judge(np.zeros((2, 16, 16, 3), dtype=np.uint8))
    assert model.training
    with pytest.raises(ValueError, match="at least one picture"):
        model.judge(np.zeros((0, 16, 16, 3), dtype=np.uint8))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.safetensors", tmp_path):
        with pytest.raises(ClassifierError, match="glissando train classifier") as error:
            LoadedClassifier.open(path)
        assert str(path) in str(error.value)


def test_files_that_are_no_classifier(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"hello, this is not a safetensors file at all")
    with pytest.raises(ClassifierError, match="not a readable safetensors file"):
        LoadedClassifier.open(path)

    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ClassifierError, match="no Postcards classifier"):
        LoadedClassifier.open(path)

    save_classifier(path, tiny(), {})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ClassifierError, match="not a readable safetensors file"):
        LoadedClassifier.open(path)


def rewrite(path: Path, *, drop: str | None = None, **changes: object) -> None:
    with safetensors.safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()[POSTCARDS.metadata_key]) | changes
        tensors = {key: file.get_tensor(key) for key in file.keys() if key != drop}  # noqa: SIM118
    safetensors.torch.save_file(tensors, path, metadata={POSTCARDS.metadata_key: json.dumps(header)})


def test_newer_formats_and_wrong_tensors(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_classifier(path, tiny(), {})
    rewrite(path, format_version=99)
    with pytest.raises(ClassifierError, match="format version 99"):
        LoadedClassifier.open(path)

    rewrite(path, format_version=1, drop="heads.time.bias")
    with pytest.raises(ClassifierError, match=r"do not fit its header.*heads\.time\.bias"):
        LoadedClassifier.open(path)

    save_classifier(path, tiny(), {})
    rewrite(path, config={"resolution": 16, "channels": [8, 24]})
    with pytest.raises(ClassifierError, match="do not fit its header"):
        LoadedClassifier.open(path)

    rewrite(path, config={"resolution": 16})
    with pytest.raises(ClassifierError, match="header"):
        LoadedClassifier.open(path)


def test_a_classifier_for_other_postcards_is_refused() -> None:
    version = {"postcards_version": GENERATOR_VERSION}
    with pytest.raises(ClassifierError, match="trained for the attributes"):
        check_fits(LoadedClassifier(model=tiny(), notes=version), None)
    model = AttributeClassifier(ATTRIBUTES, TINY)
    check_fits(LoadedClassifier(model=model, notes=version), None)
    with pytest.raises(ClassifierError, match="trained on version 0 of Postcards"):
        check_fits(LoadedClassifier(model=model, notes={"postcards_version": 0}), None)


@pytest.mark.parametrize("values", [{"channels": ()}, {"channels": (8, 0)}, {"resolution": 18}, {"resolution": 0}])
def test_impossible_shapes_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        ClassifierConfig(**values)


def test_augmentation_changes_pictures_a_little_and_by_its_generator_alone() -> None:
    labels = sample_labels(8, split="all", seed=(1,))
    x = to_signed(render_pictures(labels, 32, seed=(1,)))
    first, second = (augment(x, torch.Generator().manual_seed(5)) for _ in range(2))
    other = augment(x, torch.Generator().manual_seed(6))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.shape == x.shape
    assert first.abs().max() <= 1
    # A flip or a shift moves pixels, but every picture stays much nearer to itself than to the other ones.
    palette = x.mean(dim=(2, 3))
    assert (first.mean(dim=(2, 3)) - palette).abs().max() < 0.25


def test_training_teaches(tmp_path: Path) -> None:
    config = TrainClassifierConfig(
        pictures=320,
        held_out=64,
        epochs=5,
        batch=32,
        workers=1,
        model=ClassifierConfig(resolution=16, channels=(16, 32)),
    )
    stages = []
    accuracy = train_classifier(
        tmp_path / "c.safetensors", config, progress=lambda stage, done, total: stages.append((stage, done, total))
    )
    assert set(accuracy) == set(ATTRIBUTES)
    # Chance is 25 %; palettes alone tell the time of day even at 16 pixels.
    assert accuracy["time"] > 0.5
    assert stages[-1] == ("held-out pictures", 64, 64)
    assert ("steps", 50, 50) in stages
    loaded = LoadedClassifier.open(tmp_path / "c.safetensors")
    assert loaded.notes["held_out_accuracy"] == accuracy
    labels = sample_labels(64, split="all", seed=(102, 0))
    predictions, _ = loaded.model.judge(render_pictures(labels, 16, seed=(102, 0)))
    assert np.mean(predictions["time"] == label_indices(labels)["time"]) == pytest.approx(accuracy["time"], abs=0.05)


def test_training_refuses_impossible_numbers() -> None:
    with pytest.raises(ValueError, match="epochs: expected at least 1, got 0"):
        TrainClassifierConfig(epochs=0)
    with pytest.raises(ValueError, match="at least one batch"):
        TrainClassifierConfig(pictures=10, batch=64)
