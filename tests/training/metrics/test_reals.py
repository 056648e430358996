"""Real pictures and their cached features: worked out once, and anew whenever something they hang on changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from training.datasets.errors import DataError
from training.metrics.networks import FeatureExtractor
from training.metrics.reals import (
    ArrayPictures,
    FilePictures,
    chosen_rows,
    lanczos_square,
    picture_files,
    real_features,
)


class Counted:
    """An extractor that counts the pictures it has seen."""

    def __init__(self) -> None:
        self.seen = 0

    def embed(self, x_N3HW: Tensor) -> Tensor:
        self.seen += len(x_N3HW)
        return x_N3HW.flatten(1)[:, :5]

    def extractor(self, digest: str = "one") -> FeatureExtractor:
        return FeatureExtractor(name="counted", digest=digest, device=torch.device("cpu"), embed=self.embed)


def arrays(count: int = 50, fingerprint: str = "f") -> ArrayPictures:
    return ArrayPictures(np.random.default_rng(0).integers(0, 256, (count, 3, 4, 4), dtype=np.uint8), fingerprint)


def test_features_are_worked_out_once(tmp_path: Path) -> None:
    counted = Counted()
    first = real_features(arrays(), counted.extractor(), most=1000, cache=tmp_path)
    again = real_features(arrays(), counted.extractor(), most=1000, cache=tmp_path)
    assert counted.seen == 50
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first.features, again.features)
    np.testing.assert_array_equal(first.gaussian.covariance, again.gaussian.covariance)
    np.testing.assert_allclose(first.gaussian.mean, first.features.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        lambda c, d: real_features(arrays(fingerprint="other"), c.extractor(), most=1000, cache=d),
        lambda c, d: real_features(arrays(), c.extractor("two"), most=1000, cache=d),
        lambda c, d: real_features(arrays(), c.extractor(), most=49, cache=d),
        lambda c, d: real_features(arrays(), c.extractor(), most=1000, seed=1, cache=d),
    ],
)
def test_whatever_they_hang_on_changes_them(tmp_path: Path, change: Callable[[Counted, Path], object]) -> None:
    counted = Counted()
    real_features(arrays(), counted.extractor(), most=1000, cache=tmp_path)
    change(counted, tmp_path)
    assert counted.seen >= 99


@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: b"", lambda data: b"x" * len(data)])
def test_a_damaged_cache_is_worked_out_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    counted = Counted()
    real_features(arrays(), counted.extractor(), most=1000, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    found = real_features(arrays(), counted.extractor(), most=1000, cache=tmp_path)
    assert counted.seen == 100
    assert found is not None
    assert len(found.features) == 50


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert real_features(arrays(), Counted().extractor(), most=1000, cache=tmp_path / "file" / "x") is not None


def test_stopping_leaves_no_half_cache(tmp_path: Path) -> None:
    counted = Counted()
    assert real_features(arrays(), counted.extractor(), most=1000, cache=tmp_path, stopped=lambda: True) is None
    assert list(tmp_path.iterdir()) == []


def test_rows_are_drawn_at_random_but_the_same_each_time() -> None:
    rows = chosen_rows(1000, 10, seed=0)
    assert len(set(rows.tolist())) == 10
    assert rows.tolist() == sorted(rows.tolist()) == chosen_rows(1000, 10, seed=0).tolist()
    assert rows.tolist() != chosen_rows(1000, 10, seed=1).tolist()
    assert chosen_rows(5, 10, seed=0).tolist() == [0, 1, 2, 3, 4]


def write(path: Path, colour: tuple[int, int, int] = (9, 99, 199), size: tuple[int, int] = (20, 12)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_files_are_read_and_broken_ones_counted(tmp_path: Path) -> None:
    for name in ("b/2.png", "a.png", "c.png"):
        write(tmp_path / name)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("x")
    files = picture_files(tmp_path)
    assert [path.name for path in files] == ["a.png", "2.png", "bad.png", "c.png"]
    drawn = FilePictures(files, 8).read(range(4))
    assert drawn.broken == 1
    assert drawn.pictures.shape == (3, 8, 8, 3)
    assert drawn.pictures[0, 0, 0].tolist() == [9, 99, 199]
    found = real_features(FilePictures(files, 8), Counted().extractor(), most=10, cache=tmp_path / "cache")
    assert found is not None
    assert (len(found.features), found.broken) == (3, 1)


def test_nothing_to_read_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        picture_files(tmp_path / "absent")
    with pytest.raises(DataError, match="no pictures found"):
        picture_files(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of the 1 real pictures could be read"):
        real_features(FilePictures(picture_files(tmp_path), 8), Counted().extractor(), most=9, cache=tmp_path / "c")


def test_the_fingerprint_follows_the_files(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    files = [tmp_path / "a.png"]
    first = FilePictures(files, 8).fingerprint
    assert FilePictures(files, 8).fingerprint == first
    assert FilePictures(files, 16).fingerprint != first
    assert FilePictures(files, 8, via=16).fingerprint != first
    os.utime(files[0], (1, 1))
    assert FilePictures(files, 8).fingerprint != first


def test_the_protocol_crops_the_middle_and_resizes_twice(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    middle = Image.fromarray(pixels[:, 10:50])
    expected = middle.resize((32, 32), Image.Resampling.LANCZOS).resize((8, 8), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(lanczos_square(tmp_path / "a.png", 32, 8), np.asarray(expected))


def test_an_extractor_gets_bytes_as_floats(tmp_path: Path) -> None:
    seen: list[Tensor] = []

    def embed(x_N3HW: Tensor) -> Tensor:
        seen.append(x_N3HW)
        return x_N3HW.mean(dim=(2, 3))

    extractor = replace(Counted().extractor(), embed=embed)
    picture = np.zeros((1, 2, 2, 3), np.uint8)
    picture[..., 2] = 255
    assert extractor.features(picture).tolist() == [[0, 0, 255]]
    assert seen[0].shape == (1, 3, 2, 2)
