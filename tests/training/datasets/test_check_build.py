"""Reports on data, and shards made of them: the same whether made in one go or not, and read as what they were made
of."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from tests.training.datasets.makers import number_of, png, serving, write_folder, write_shards
from training.datasets import build as building
from training.datasets.build import BuildConfig, Built, build
from training.datasets.check import Check, CheckReport, describe
from training.datasets.config import DataConfig, SourceSpec
from training.datasets.decoding import Decoder
from training.datasets.errors import DataError
from training.datasets.opening import open_batches, open_data, vocabulary


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLISSANDO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def specs(*places: object) -> list[SourceSpec]:
    return [SourceSpec.parse(str(place)) for place in places]


def check(*places: object, every: int = 1, workers: int = 1) -> tuple[CheckReport, Check]:
    done = Check(specs(*places), every=every, sheet=4)
    return done.run(workers=workers, progress=False), done


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """Ten pictures, of which two are broken, two have no caption and two are the same as another."""
    folder = write_folder(tmp_path / "messy", range(10))
    (folder / "00003.png").write_bytes(b"no")
    (folder / "00004.png").write_bytes(png(4)[:50])
    (folder / "00005.txt").unlink()
    (folder / "00006.txt").write_text("\n")
    (folder / "00008.png").write_bytes(png(7))
    (folder / "00009.png").write_bytes(png(7, (30, 12)))
    (folder / "00000.txt").write_text("a rather long caption of eight words altogether\nanother\n")
    return folder


def test_a_report_counts_everything_once(messy: Path) -> None:
    report, done = check(messy)
    assert (report.pictures, report.usable, report.broken, report.captionless) == (10, 6, 2, 2)
    assert report.duplicates == 1
    assert report.duplicate_examples == ["00008.png = 00007.png"]
    assert [example.split(":")[0] for example in report.broken_examples] == ["00003.png", "00004.png"]
    assert report.width == {"smallest": 8, "median": 8, "largest": 30}
    assert report.height == {"smallest": 8, "median": 8, "largest": 12}
    assert report.not_square == 1
    captions = report.captions
    assert (captions["all"], captions["different"]) == (7, 7)
    assert captions["words"] == {"fewest": 1, "median": 1, "most": 8}
    assert len(done.tiles) == 4
    assert all(tile.shape == (192, 192, 3) for tile, _ in done.tiles)
    text = describe(report)
    for words in (
        "10, of which 6 can be used",
        "2 broken",
        "2 without a caption",
        "1 duplicates",
        "8 to 30 (median 8) wide",
    ):
        assert words in text
    assert json.loads(json.dumps(report.to_json()))["usable"] == 6


def test_several_sources_are_reported_each_and_together_whoever_reads_them(messy: Path, tmp_path: Path) -> None:
    write_shards(tmp_path / "s", [5, 4])
    (tmp_path / "s" / "00002.tar").write_bytes(b"no tar")
    report, done = check(messy, tmp_path / "s")
    assert [(row["pictures"], row["usable"]) for row in report.sources] == [(10, 6), (9, 9)]
    assert report.sources[1]["shards"] == 3
    assert (report.empty_shards, report.usable) == (1, 15)
    assert report.duplicates == 1 + 6  # 0, 1, 2, 5, 6 and 7 are in both
    other, again = check(messy, tmp_path / "s", workers=2)
    assert other == report
    assert [caption for _, caption in again.tiles] == [caption for _, caption in done.tiles]
    some, _ = check(tmp_path / "s", every=2)
    assert some.pictures == 5


def test_remote_shards_are_reported(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "s", [5, 4])
    with serving(root) as server:
        assert check(f"{server.url}/{{00000..00001}}.tar")[0].usable == 9


def test_nothing_usable_is_a_report_too(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "d", range(3))
    for picture in folder.glob("*.png"):
        picture.write_bytes(b"no")
    report, done = check(folder)
    assert (report.usable, report.broken, done.tiles) == (0, 3, [])
    assert "0 can be used" in describe(report)
    with pytest.raises(DataError, match="every"):
        check(folder, every=0)


# --- build ----------------------------------------------------------------------------------------------------------


def numbers_in(out: Path) -> list[int]:
    data = open_data(DataConfig(sources=tuple(specs(out)), workers=0, lanes=1), 8, progress=False)
    stream = open_batches(data, batch=len(data), seed=0)
    batch = stream.next()
    stream.close()
    numbers = []
    for image, captions in zip(batch.images, batch.captions, strict=True):
        numbers.append(number_of(image))
        assert captions[0] == f"number {numbers[-1]}"
    return sorted(numbers)


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def test_shards_hold_what_the_sources_do(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "d", range(25))
    (folder / "00003.png").write_bytes(b"no")
    (folder / "00004.txt").write_text("")
    write_shards(tmp_path / "s", [30, 5])
    (tmp_path / "s" / "00000.tar").unlink()
    done = build(specs(folder, tmp_path / "s"), tmp_path / "out", BuildConfig(pictures=10), progress=False)
    assert done == Built(shards=4, pictures=28, left_out=2, condition="captions")
    assert numbers_in(tmp_path / "out") == [n for n in range(25) if n not in (3, 4)] + list(range(30, 35))
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert sum(index["shards"].values()) == 28
    assert vocabulary(open_data(DataConfig.of(tmp_path / "out"), 8, progress=False)) == ("number",)
    with tarfile.open(tmp_path / "out" / "00000.tar") as tar:
        names = tar.getnames()
    assert names[:2] == ["00000000000.png", "00000000000.txt"]
    first = [int(text.split()[1]) for text in _texts(tmp_path / "out" / "00000.tar")]
    assert first != sorted(first)


def _texts(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        files = [tar.extractfile(name) for name in tar.getnames() if name.endswith(".txt")]
        return [file.read().decode() for file in files if file is not None]


def test_a_build_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "d", range(25))
    config = BuildConfig(pictures=5, resolution=4)
    build(specs(folder), tmp_path / "whole", config, progress=False)
    made = []

    def make(out: Path, config: BuildConfig, unit: building._Unit) -> building.Made:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(unit.number)
        return original(out, config, unit)

    original = building._make
    with monkeypatch.context() as patch:
        patch.setattr(building, "_make", make)
        with pytest.raises(KeyboardInterrupt):
            build(specs(folder), tmp_path / "stopped", config, progress=False)
    assert len(list((tmp_path / "stopped").glob("*.tar"))) == 2
    (tmp_path / "stopped" / "00002.tar.partial").write_bytes(b"half")
    kept = (tmp_path / "stopped" / "00001.tar").stat().st_mtime_ns
    done = build(specs(folder), tmp_path / "stopped", config, progress=False, workers=2)
    assert done == Built(shards=5, pictures=25, left_out=0, condition="captions")
    assert (tmp_path / "stopped" / "00001.tar").stat().st_mtime_ns == kept
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_pictures_are_resized_if_wanted(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "d", range(3))
    (folder / "00001.png").write_bytes(png(1, (40, 24)))
    build(specs(folder), tmp_path / "png", BuildConfig(resolution=8), progress=False)
    build(specs(folder), tmp_path / "jpg", BuildConfig(resolution=8, quality=95), progress=False)
    assert numbers_in(tmp_path / "png") == [0, 1, 2]
    with tarfile.open(tmp_path / "jpg" / "00000.tar") as tar:
        assert sum(name.endswith(".jpg") for name in tar.getnames()) == 3
    report, _ = check(tmp_path / "jpg")
    assert report.width == {"smallest": 8, "median": 8, "largest": 8}


def test_a_build_says_what_is_in_its_way(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "d", range(3))
    build(specs(folder), tmp_path / "out", BuildConfig(), progress=False)
    with pytest.raises(DataError, match="other sources or settings"):
        build(specs(folder), tmp_path / "out", BuildConfig(seed=1), progress=False)
    with pytest.raises(DataError, match="other files"):
        build(specs(folder), folder, BuildConfig(), progress=False)
    with pytest.raises(DataError, match="cannot write here"):
        build(specs(folder), folder / "00000.png" / "x", BuildConfig(), progress=False)
    with pytest.raises(DataError, match="weights belong to training"):
        build(specs(f"{folder}=2"), tmp_path / "new", BuildConfig(), progress=False)
    for wrong in ({"resolution": -1}, {"quality": 101}, {"pictures": 0}, {"seed": -1}):
        with pytest.raises(DataError):
            BuildConfig(**wrong)
    for picture in folder.glob("*.png"):
        picture.write_bytes(b"no")
    with pytest.raises(DataError, match="no usable picture"):
        build(specs(folder), tmp_path / "none", BuildConfig(), progress=False)


def test_readers_close_what_they_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards(tmp_path, [3, 3, 3])
    opened: list[Decoder] = []
    before = Decoder.__init__

    def remember(self: Decoder, setting: object) -> None:
        before(self, setting)  # type: ignore[arg-type]
        opened.append(self)

    monkeypatch.setattr(Decoder, "__init__", remember)
    data = open_data(DataConfig(sources=tuple(specs(tmp_path)), workers=0, lanes=1), 8, progress=False)
    stream = open_batches(data, batch=3, seed=0)
    for _ in range(10):
        stream.next()
    assert len(opened[0]._shards) <= 2
    files = [shard.file for shard in opened[0]._shards.values()]
    stream.close()
    assert all(file.closed for file in files)
