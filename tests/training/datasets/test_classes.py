"""Classes from folders, StyleGAN's dataset.json, metadata columns and shards; pictures with no condition at all."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.training.datasets.makers import number_of, png, serving, write_folder, write_tar
from training.datasets.build import BuildConfig, build
from training.datasets.check import Check, CheckReport, describe
from training.datasets.config import Condition, DataConfig, SourceSpec
from training.datasets.decoded import FolderDataset
from training.datasets.errors import DataError
from training.datasets.labels import UNLABELLED, merged
from training.datasets.loader import Batch
from training.datasets.opening import Data, StreamedData, open_batches, open_data


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLISSANDO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pictures(root: Path, *names: str) -> Path:
    """Picture number i has the i-th name."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(number))
    return root


def opened(*places: object, condition: Condition, streamed: bool = False, workers: int = 0) -> Data:
    specs = tuple(SourceSpec.parse(str(place)) for place in places)
    config = DataConfig(sources=specs, workers=workers, memory_gb=0 if streamed else 8)
    return open_data(config, 8, condition=condition, progress=False)


def first_batch(data: Data, size: int) -> Batch:
    stream = open_batches(data, batch=size, seed=0)
    try:
        return stream.next()
    finally:
        stream.close()


def dealt(data: Data) -> dict[int, int]:
    """Of each picture's number its class number, through batches."""
    batch = first_batch(data, len(data))
    assert batch.classes.dtype == np.int64
    assert batch.captions == [[]] * len(data)
    return {number_of(image): int(number) for image, number in zip(batch.images, batch.classes, strict=True)}


def checked(*places: object) -> CheckReport:
    return Check([SourceSpec.parse(str(place)) for place in places]).run(progress=False)


NAMES = ("b/0.png", "a/1.png", "b/2.png", "top.png")


def dataset_json(names: Sequence[str]) -> str:
    return json.dumps({"labels": [[name, number + 2] for number, name in enumerate(names)]})


@pytest.mark.parametrize("streamed", [False, True], ids=["decoded", "streamed"])
def test_folders_are_classes_in_the_order_of_their_names(tmp_path: Path, streamed: bool) -> None:
    root = pictures(tmp_path / "d", *NAMES)
    data = opened(root, condition="classes", streamed=streamed)
    assert data.class_names == ("a", "b")
    assert dealt(data) == {0: 1, 1: 0, 2: 1}
    assert data.skipped() == "skipped 1 without a class"
    (root / "classes.json").write_text('{"b": "bee"}')
    assert opened(root, condition="classes", streamed=streamed).class_names == ("a", "bee")


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("streamed", [False, True], ids=["decoded", "streamed"])
def test_a_dataset_json_of_stylegan_is_understood(tmp_path: Path, zipped: bool, streamed: bool) -> None:
    names = ["00000/img00000000.png", "00000/img00000001.png", "00001/img00001000.png"]
    root = pictures(tmp_path / "d", *names)
    (root / "dataset.json").write_text(dataset_json(names))
    place = root
    if zipped:
        place = tmp_path / "d.zip"
        with zipfile.ZipFile(place, "w") as file:
            for name in [*names, "dataset.json"]:
                file.write(root / name, name)
    data = opened(place, condition="classes", streamed=streamed)
    assert data.class_names == ("0", "1", "2", "3", "4")
    assert dealt(data) == {0: 2, 1: 3, 2: 4}
    report = checked(place)
    assert (report.condition, report.labelled, report.usable) == ("classes", 3, 3)
    assert "classes       5, from dataset.json" in describe(report)


def test_a_dataset_json_without_labels_has_none_whatever_the_folders(tmp_path: Path) -> None:
    root = pictures(tmp_path, "a/0.png", "b/1.png")
    (root / "dataset.json").write_text('{"labels": null}')
    with pytest.raises(DataError, match="none of its 2 pictures has a class"):
        opened(root, condition="classes")
    assert dealt(opened(root, condition="none")) == {0: UNLABELLED, 1: UNLABELLED}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"labels": [["0.png", [0.1, 0.2]]]}', "labels that are vectors"),
        ('{"labels": [["0.png", -1]]}', "class number from 0"),
        ('{"labels": [["0.png", true]]}', "class number from 0"),
        ('{"labels": [3]}', "entry 0"),
        ('{"labels": 3}', "labels of type int"),
        ("[]", "got list"),
        ("{", "could not read it"),
        ('{"labels": [["0.png", 99999999999]]}', "is it another column"),
    ],
)
def test_a_dataset_json_that_is_none_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    root = pictures(tmp_path, "0.png")
    (root / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        opened(root, condition="classes")
    assert "dataset.json" in str(caught.value)


def test_a_damaged_dataset_json_does_not_matter_where_captions_are(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", range(2))
    for text in ("{", '{"labels": 3}', '{"format": "another program"}'):
        (root / "dataset.json").write_text(text)
        assert len(opened(root, condition="captions")) == 2


def test_folders_that_only_part_a_large_set_are_no_classes(tmp_path: Path) -> None:
    root = pictures(tmp_path, "00000/0.png", "00001/1.png")
    with pytest.raises(DataError, match="has a class; expected a folder for each class"):
        opened(root, condition="classes")
    digits = pictures(tmp_path / "digits", "3/0.png", "7/1.png")
    assert opened(digits, condition="classes").class_names == ("3", "7")


@pytest.mark.parametrize(
    ("name", "text", "class_names", "numbers"),
    [
        ("metadata.csv", "file_name,label\n0.png,dog\n1.png,cat\n9.png,cat\n", ("cat", "dog"), {0: 1, 1: 0}),
        ("metadata.csv", "file_name,label,text\n0.png,1.5,x\n1.png,,y\n", ("1.5",), {0: 0}),
        ("metadata.jsonl", '{"file": "0.png", "label": 3}\n{"file": "1.png", "label": 0.0}\n', 4, {0: 3, 1: 0}),
        ("metadata.json", '{"0.png": {"class": "x", "text": "a"}, "1.png": {"class": "y"}}', ("x", "y"), {0: 0, 1: 1}),
    ],
)  # fmt: skip
def test_a_column_of_labels_is_read(
    tmp_path: Path, name: str, text: str, class_names: tuple[str, ...] | int, numbers: dict[int, int]
) -> None:
    root = pictures(tmp_path, "0.png", "1.png")
    (root / name).write_text(text)
    data = opened(root, condition="classes")
    expected = tuple(map(str, range(class_names))) if isinstance(class_names, int) else class_names
    assert data.class_names == expected
    assert dealt(data) == numbers
    assert checked(root).classes[str(root)]["from"] == name


def test_several_sources_agree_about_the_numbers_of_their_classes(tmp_path: Path) -> None:
    first = pictures(tmp_path / "1", "cat/0.png", "fox/1.png")
    second = pictures(tmp_path / "2", "x.png", "y.png", "cat/2.png", "dog/3.png")
    data = opened(first, second, condition="classes")
    assert isinstance(data, StreamedData)
    assert data.class_names == ("cat", "dog", "fox")
    numbers = {}
    batch = first_batch(data, 40)
    for image, number in zip(batch.images, batch.classes, strict=True):
        numbers[number_of(image)] = int(number)
    assert numbers == {0: 0, 1: 2, 2: 0, 3: 1}
    assert merged([("a", ("0", "1")), ("b", ("0", "1", "2"))]) == ("0", "1", "2")
    with pytest.raises(DataError, match="two of its classes"):
        merged([("a", ("crane", "crane")), ("b", ("crane",))])


def test_pictures_with_nothing_beside_them_are_data_for_methods_without_a_condition(tmp_path: Path) -> None:
    root = pictures(tmp_path, "0.png", "1.png")
    for streamed in (False, True):
        data = opened(root, condition="none", streamed=streamed)
        assert dealt(data) == {0: UNLABELLED, 1: UNLABELLED}
        assert data.class_names == ()
    with pytest.raises(DataError, match="none of its 2 pictures has captions"):
        opened(root, condition="captions")
    report = checked(root)
    assert (report.condition, report.usable, report.captionless) == ("none", 2, 2)
    assert "for methods without a condition (there are neither captions nor classes)" in describe(report)


def test_captions_are_refused_with_the_classes_that_are_there(tmp_path: Path) -> None:
    root = pictures(tmp_path, "a/0.png", "b/1.png")
    with pytest.raises(DataError, match=r"has captions; it has 2 classes \(folders\)"):
        opened(root, condition="captions")


def test_captioned_pictures_are_data_without_a_condition_and_keep_no_captions(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", range(3))
    (root / "00001.txt").unlink()
    assert dealt(opened(root, condition="none")) == dict.fromkeys(range(3), UNLABELLED)
    captioned = opened(root, condition="captions")
    assert isinstance(captioned, FolderDataset)
    assert captioned.names == ["00000.png", "00002.png"]  # another array than that of all pictures


# --- shards ---------------------------------------------------------------------------------------------------------


def write_classed(root: Path) -> Path:
    """Two shards; classes in .cls and in .json; picture 2 has none."""
    write_tar(root / "0.tar", [("0.png", png(0)), ("0.cls", b"4\n"), ("1.png", png(1)), ("1.json", b'{"label": 1}')])
    write_tar(
        root / "1.tar", [("2.png", png(2)), ("3.png", png(3)), ("3.cls", b"0"), ("4.png", png(4)), ("4.cls", b"x")]
    )
    return root


@pytest.mark.parametrize("workers", [0, 1])
def test_shards_have_classes_too(tmp_path: Path, workers: int) -> None:
    root = write_classed(tmp_path / "s")
    data = opened(root, condition="classes", workers=workers)
    assert isinstance(data, StreamedData)
    assert data.class_names == ("0", "1", "2", "3", "4")
    batch = first_batch(data, 20)
    found = {(number_of(image), int(number)) for image, number in zip(batch.images, batch.classes, strict=True)}
    assert found == {(0, 4), (1, 1), (3, 0)}
    everything = first_batch(opened(root, condition="none"), 40)
    assert {number_of(image) for image in everything.images} == {0, 1, 2, 3, 4}
    assert set(everything.classes.tolist()) == {UNLABELLED}
    report = checked(root)
    assert (report.condition, report.pictures, report.labelled, report.usable) == ("classes", 5, 3, 3)
    with pytest.raises(DataError, match="a captioned picture"):
        write_tar(tmp_path / "t" / "0.tar", [("0.png", png(0)), ("0.cls", b"4")])
        opened(tmp_path / "t", condition="captions")


def test_shards_are_built_with_classes_and_read_from_a_server(tmp_path: Path) -> None:
    root = pictures(tmp_path / "d", *NAMES)
    done = build([SourceSpec(place=str(root))], tmp_path / "out", BuildConfig(), progress=False)
    assert (done.pictures, done.left_out, done.condition) == (3, 1, "classes")
    assert json.loads((tmp_path / "out" / "index.json").read_text())["classes"] == ["a", "b"]
    local = opened(tmp_path / "out", condition="classes")
    assert local.class_names == ("a", "b")
    assert dealt(local) == {0: 1, 1: 0, 2: 1}
    with serving(tmp_path / "out") as server:
        remote = opened(f"{server.url}/00000.tar", condition="classes")
        assert remote.class_names == ("a", "b")
        assert dealt(remote) == {0: 1, 1: 0, 2: 1}
        (tmp_path / "out" / "index.json").unlink()
        with pytest.raises(DataError, match=r"index\.json with their classes"):
            opened(f"{server.url}/00000.tar", condition="classes")


def test_shards_of_plain_pictures_are_built(tmp_path: Path) -> None:
    root = pictures(tmp_path / "d", "0.png", "1.png")
    done = build([SourceSpec(place=str(root))], tmp_path / "out", BuildConfig(), progress=False)
    assert (done.pictures, done.left_out, done.condition) == (2, 0, "none")
    assert dealt(opened(tmp_path / "out", condition="none")) == {0: UNLABELLED, 1: UNLABELLED}
