"""Captioned folders: what is read, what is skipped, the cache, and an order of batches that can be resumed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.datasets import decoded, folder
from training.datasets.errors import DataError
from training.datasets.folder import BatchStream, load_folder, order


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    monkeypatch.setenv("GLISSANDO_CACHE", str(path))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "b").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index, name in enumerate(("a0", "a1", "b/c0")):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(root / f"{name}.png")
        (root / f"{name}.txt").write_text(f"caption {index}\n\n  other {index}  \n", encoding="utf-8")
    return root


def read(path: Path, resolution: int = 8) -> folder.FolderDataset:
    return load_folder(path, resolution, progress=False)


def test_pictures_and_captions_are_read_from_subfolders_too(data: Path) -> None:
    dataset = read(data)
    assert dataset.names == ["a0.png", "a1.png", "b/c0.png"]
    assert dataset.captions == [[f"caption {i}", f"other {i}"] for i in range(3)]
    assert dataset.images.shape == (3, 3, 8, 8)
    assert dataset.images.dtype == np.uint8
    for row, name in enumerate(dataset.names):
        np.testing.assert_array_equal(dataset.images[row].transpose(1, 2, 0), np.asarray(Image.open(data / name)))
    assert dataset.skipped() == ""


def test_broken_and_captionless_pictures_are_skipped_and_counted(data: Path) -> None:
    (data / "broken.png").write_bytes(b"\x89PNG\r\n not really")
    (data / "broken.txt").write_text("a broken picture")
    whole = (data / "a0.png").read_bytes()
    (data / "torn.png").write_bytes(whole[: len(whole) // 2])
    (data / "torn.txt").write_text("half a picture")
    (data / "alone.png").write_bytes(whole)
    (data / "blank.png").write_bytes(whole)
    (data / "blank.txt").write_text("\n  \n")
    for _ in range(2):  # decoded, then from the cache
        dataset = read(data)
        assert dataset.names == ["a0.png", "a1.png", "b/c0.png"]
        assert (dataset.broken, dataset.captionless) == (2, 2)
        assert dataset.skipped() == "skipped 2 broken and 2 without a caption"


def test_larger_pictures_are_averaged_and_wide_ones_centre_cropped(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    wide = rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    (tmp_path / "wide.txt").write_text("wide")
    image = read(tmp_path, 4).images[0].transpose(1, 2, 0)
    expected = wide[:, 2:10].reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))
    assert np.abs(image - expected).max() <= 1.01  # rounded once a direction


def test_smaller_grey_transparent_and_palette_pictures_become_rgb(tmp_path: Path) -> None:
    Image.new("L", (2, 2), 77).save(tmp_path / "grey.png")
    Image.new("RGBA", (4, 4), (10, 20, 30, 0)).save(tmp_path / "ghost.png")
    Image.new("RGB", (4, 4), (200, 0, 0)).convert("P").save(tmp_path / "palette.gif")
    for name in ("grey", "ghost", "palette"):
        (tmp_path / f"{name}.txt").write_text(name)
    dataset = read(tmp_path, 4)
    colours = {c[0]: image[:, 1, 1].tolist() for c, image in zip(dataset.captions, dataset.images, strict=True)}
    assert colours["grey"] == [77, 77, 77]
    assert colours["ghost"] == [255, 255, 255]
    assert abs(colours["palette"][0] - 200) < 30
    assert colours["palette"][1:] == [0, 0]


def test_a_second_start_does_not_decode(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read(data)
    monkeypatch.setattr(decoded, "open_rgb", lambda *_: pytest.fail("decoded although cached"))
    second = read(data)
    np.testing.assert_array_equal(first.images, second.images)
    assert (first.names, first.captions) == (second.names, second.captions)
    assert not second.images.flags.writeable


def test_a_changed_file_is_decoded_again_and_the_old_cache_goes(data: Path, cache: Path) -> None:
    before = read(data)
    Image.new("RGB", (8, 8), (1, 2, 3)).save(data / "a1.png")
    after = read(data)
    assert before.fingerprint != after.fingerprint
    assert after.images[1, :, 0, 0].tolist() == [1, 2, 3]
    assert len(list(cache.glob("*.u8"))) == 1
    (data / "a1.txt").write_text("a new caption, longer than before")
    assert read(data).captions[1] == ["a new caption, longer than before"]


@pytest.mark.parametrize("damage", ["truncate", "garble", "remove"])
def test_a_damaged_cache_is_made_again(data: Path, cache: Path, damage: str) -> None:
    expected = read(data).images.copy()
    index, pixels = next(cache.glob("*.json")), next(cache.glob("*.u8"))
    if damage == "truncate":
        pixels.write_bytes(b"")
    elif damage == "garble":
        index.write_text("{")
    else:
        pixels.unlink()
    np.testing.assert_array_equal(read(data).images, expected)


def test_a_cache_that_cannot_be_written_does_no_harm(data: Path, tmp_path: Path) -> None:
    expected = read(data).images
    (tmp_path / "file").write_text("in the way")
    dataset = load_folder(data, 8, cache=tmp_path / "file" / "cache", progress=False)
    np.testing.assert_array_equal(dataset.images, expected)


def test_worker_processes_give_the_same(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read(data)
    monkeypatch.setattr(decoded, "WORKERS_FROM", 1)
    monkeypatch.setattr(decoded, "CHUNK", 2)
    dataset = load_folder(data, 8, workers=2, cache=tmp_path / "other", progress=False)
    np.testing.assert_array_equal(dataset.images, expected.images)
    assert (dataset.names, dataset.captions) == (expected.names, expected.captions)


def test_unusable_folders_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        read(tmp_path / "missing")
    file = tmp_path / "file.png"
    file.write_bytes(b"")
    with pytest.raises(DataError, match="got a file"):
        read(file)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="no pictures found"):
        read(empty)
    (empty / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of its 1 pictures has captions"):
        read(empty)
    (empty / "a.txt").write_text("a caption")
    with pytest.raises(DataError, match="no usable picture: 1 broken, 0 without a caption"):
        read(empty)
    (empty / "a.txt").write_text("")
    with pytest.raises(DataError, match="no usable picture: 0 broken, 1 without a caption"):
        read(empty)
    with pytest.raises(DataError, match="resolution"):
        read(empty, 0)


def test_hidden_folders_and_captions_in_other_encodings(data: Path) -> None:
    (data / ".trash").mkdir()
    (data / ".trash" / "x.png").write_bytes((data / "a0.png").read_bytes())
    (data / ".trash" / "x.txt").write_text("gone")
    (data / "a0.txt").write_bytes(b"caf\xe9 at dusk\r\n")
    assert read(data).captions[0] == ["café at dusk"]
    assert len(read(data)) == 3


def test_an_epoch_is_a_permutation_fixed_by_seed_and_epoch() -> None:
    assert sorted(order(100, 3, 7)) == list(range(100))
    np.testing.assert_array_equal(order(100, 3, 7), order(100, 3, 7))
    assert not np.array_equal(order(100, 3, 7), order(100, 3, 8))
    assert not np.array_equal(order(100, 3, 7), order(100, 4, 7))


@pytest.mark.parametrize(("n", "batch"), [(10, 3), (10, 10), (4, 9), (1, 2)])
def test_batches_deal_out_every_row_once_an_epoch(n: int, batch: int) -> None:
    stream = BatchStream(n, batch, seed=1)
    rows = np.concatenate([stream.next() for _ in range(3 * n)])
    for epoch in range(len(rows) // n):
        np.testing.assert_array_equal(rows[epoch * n : (epoch + 1) * n], order(n, 1, epoch))


def test_a_resumed_stream_goes_on_as_if_never_stopped() -> None:
    whole = BatchStream(10, 4, seed=5)
    for stop in range(8):
        resumed = BatchStream(10, 4, seed=5)
        resumed.load_state_dict(whole.state_dict())
        ahead = BatchStream(10, 4, seed=5)
        ahead.load_state_dict(whole.state_dict())
        for _ in range(stop):
            np.testing.assert_array_equal(resumed.next(), ahead.next())
        whole.next()


def test_a_stream_refuses_the_state_of_other_data() -> None:
    state = BatchStream(10, 4, seed=5).state_dict()
    with pytest.raises(ValueError, match="the data has changed"):
        BatchStream(11, 4, seed=5).load_state_dict(state)
    with pytest.raises(ValueError, match="seed 5"):
        BatchStream(10, 4, seed=6).load_state_dict(state)
    with pytest.raises(ValueError, match="at least one row"):
        BatchStream(0, 4, seed=6)


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLISSANDO_CACHE", os.path.join("some", "where"))
    assert folder.cache_folder() == Path("some", "where")
    monkeypatch.delenv("GLISSANDO_CACHE")
    assert folder.cache_folder().name == "glissando"
