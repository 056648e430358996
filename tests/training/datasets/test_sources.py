"""What is found in folders, zips and tars, in every way captions are kept; and that hostile files do no harm."""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.datasets.makers import pixels, png, samples, write_folder, write_tar
from training.datasets.captions import read_lines
from training.datasets.config import DataConfig, SourceSpec
from training.datasets.decoded import FolderDataset
from training.datasets.errors import DataError
from training.datasets.metadata import captions_of_sample, parse_metadata
from training.datasets.opening import load_pictures, open_data, vocabulary
from training.datasets.pictures import Look, decode, open_rgb, square
from training.datasets.shards import ShardSource, expand_braces, find_shards, open_shards
from training.datasets.sources import ListedSource, open_source
from training.datasets.tar import FileReader, StreamReader, TarError, index_tar, members


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLISSANDO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def found(place: Path | str, template: str | None = None) -> dict[str, tuple[str, ...]]:
    source = open_source(SourceSpec(place=str(place), template=template), cache=Path("nowhere"))
    assert isinstance(source, ListedSource)
    return {name: source.captions_of(row) for row, name in enumerate(source.names)}


def pictures(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(number))
    return root


# --- captions -------------------------------------------------------------------------------------------------------

WANTED = {"a.png": ("one",), "b/c.png": ("two", "deux")}

FILES = {
    "captions.json": json.dumps({"a.png": "one", "b/c.png": ["two", "deux"], "gone.png": "x"}),
    "metadata.jsonl": '{"file_name": "a.png", "text": "one"}\n\nno json\n'
    '{"file_name": "./b\\\\c.png", "captions": ["two", "deux"]}\n{"file_name": "gone.png", "text": "x"}\n',
    "metadata.csv": 'file_name,license,caption\na.png,x,one\nb/c.png,,two\n"b/c.png",,deux\ngone.png,,x\n',
    "captions.tsv": "filename\ttext\na.png\tone\nb/c.png\ttwo\nb/c.png\tdeux\ngone.png\tx\n",
    "captions.csv": "image;caption\r\na.png;one\r\nb/c.png;two\r\nb/c.png;deux\r\ngone.png;x\r\n",
    "metadata.json": json.dumps(
        {
            "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b/c.png"}],
            "annotations": [
                {"image_id": 1, "caption": "one"},
                {"image_id": 2, "caption": "two"},
                {"image_id": 2, "caption": "deux"},
                {"image_id": 9, "caption": "x"},
            ],
        }
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_captions_is_read(tmp_path: Path, name: str) -> None:
    pictures(tmp_path, "a.png", "b/c.png", "uncaptioned.png")
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    assert found(tmp_path) == WANTED
    source = open_source(SourceSpec(place=str(tmp_path)), cache=tmp_path)
    assert isinstance(source, ListedSource)
    assert source.captionless == 1
    assert source.findings.missing + source.findings.unreadable >= 1
    (tmp_path / name).rename(tmp_path / f"mine.{name.split('.')[1]}")
    assert found(tmp_path / f"mine.{name.split('.')[1]}") == WANTED


def test_a_caption_file_speaks_for_its_own_folder_and_texts_for_the_rest(tmp_path: Path) -> None:
    pictures(tmp_path, "train/a.png", "test/a.png", "test/b.png", "test/empty.png")
    (tmp_path / "train" / "metadata.csv").write_text("file_name,text\na.png,in train\n")
    (tmp_path / "test" / "a.txt").write_text("in test")
    (tmp_path / "test" / "empty.txt").write_text("")
    assert found(tmp_path) == {"train/a.png": ("in train",), "test/a.png": ("in test",)}


def test_classes_are_captioned_by_a_template(tmp_path: Path) -> None:
    pictures(tmp_path, "red_fox/1.png", "n001/2.png", "top.png")
    (tmp_path / "classes.json").write_text('{"n001": "goldfish"}')
    assert found(tmp_path, "a photo of a {}") == {
        "n001/2.png": ("a photo of a goldfish",),
        "red_fox/1.png": ("a photo of a red fox",),
    }
    with pytest.raises(DataError, match="give a template"):
        found(tmp_path)
    with pytest.raises(DataError, match="where the class belongs"):
        SourceSpec(place="x", template="a photo")
    (tmp_path / "red_fox" / "1.txt").write_text("own")
    with pytest.raises(DataError, match="leave the template away"):
        found(tmp_path, "a photo of a {}")


def test_odd_text_is_read_as_well_as_it_goes() -> None:
    assert read_lines("\ufeffeins\r\n zwei \r\n".encode()) == (("eins", "zwei"), "utf-8", 0)
    assert read_lines("größe".encode("utf-16")) == (("größe",), "utf-16", 0)
    assert read_lines(b"caf\xe9 \x00here\x07\n") == (("café  here",), "windows-1252", 0)
    assert len(read_lines(b"x" * 100_000).captions[0]) == 4000
    assert read_lines(bytes(range(256))).captions == ()
    assert captions_of_sample(b'{"caption": null, "text": ["a", 3, " "]}') == ["a"]
    assert captions_of_sample(b"[" * 100_000) == []
    assert captions_of_sample(b'"a"') == []
    with pytest.raises(DataError, match="could not read it"):
        parse_metadata("x.json", b"[" * 100_000)
    with pytest.raises(DataError, match="first line that names the columns"):
        parse_metadata("x.csv", b"a,b\n1,2\n")
    read = parse_metadata("x.csv", b"file,text\n" + b'"y' * 100_000 + b'",x\na.png,x\n')
    assert (read.captions, read.examples[0][:7]) == ({"a.png": ["x"]}, "line 2:")
    assert parse_metadata("x.csv", b"file,text\na\0.png,x\nb.png\n").captions == {"a\0.png": ["x"]}


def test_an_unrelated_file_of_a_captions_name_does_not_matter_where_texts_are(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    (tmp_path / "metadata.json").write_text("{no json")
    with pytest.raises(DataError, match=r"metadata\.json"):
        found(tmp_path)
    (tmp_path / "a.txt").write_text("one")
    assert found(tmp_path) == {"a.png": ("one",)}


# --- places ---------------------------------------------------------------------------------------------------------


def test_a_place_may_have_a_weight(tmp_path: Path) -> None:
    assert SourceSpec.parse("DIR=2") == SourceSpec(place="DIR", weight=2)
    assert SourceSpec.parse("a=b") == SourceSpec(place="a=b")
    assert SourceSpec.parse("http://x/{0..9}.tar=0.5") == SourceSpec(place="http://x/{0..9}.tar", weight=0.5)
    assert SourceSpec.parse("http://x/a.tar?v=2") == SourceSpec(place="http://x/a.tar?v=2")
    (tmp_path / "d=3").mkdir()
    assert SourceSpec.parse(f"{tmp_path}/d=3") == SourceSpec(place=f"{tmp_path}/d=3")
    for text in ("DIR=0", ""):
        with pytest.raises(DataError):
            SourceSpec.parse(text)


def test_a_config_is_json_and_old_runs_name_one_folder() -> None:
    config = DataConfig(sources=(SourceSpec(place="a", weight=2), SourceSpec(place="b", template="{}")), mirror=True)
    assert DataConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert config.to_json() == {
        "sources": [{"place": "a", "weight": 2}, {"place": "b", "template": "{}"}],
        "mirror": True,
    }
    assert DataConfig.from_json("/data/cats") == DataConfig.of("/data/cats")
    assert config.name() == "a + b"
    for wrong in ({"crop": "left"}, {"workers": -1}, {"lanes": 0}, {"mirror": 1}, {"memory_gb": -1.0}, {"sources": ()}):
        with pytest.raises(DataError):
            DataConfig(**{"sources": config.sources, **wrong})
    for foreign in ({}, {"sources": [{"where": "a"}]}, {"sources": 3}, {"sources": [{"place": "a"}], "speed": 2}):
        with pytest.raises(DataError, match="could not read them"):
            DataConfig.from_json(foreign)


def test_braces_name_many_shards() -> None:
    assert expand_braces("a{08..10}.tar") == ["a08.tar", "a09.tar", "a10.tar"]
    assert expand_braces("{8..10}") == ["8", "9", "10"]
    assert expand_braces("{x,y}/{0..1}") == ["x/0", "x/1", "y/0", "y/1"]
    assert expand_braces("plain") == ["plain"]
    assert len(expand_braces("s3-{00000..41454}.tar")) == 41455
    for wrong in ("{3..1}", "{a}", "{0..9999999}", "{{0..1}}", "{0..1", "{0..999}{0..999}{0..9}"):
        with pytest.raises(DataError):
            expand_braces(wrong)


def test_shards_are_found_in_folders_lists_and_by_braces(tmp_path: Path) -> None:
    for number in range(3):
        write_tar(tmp_path / f"{number}.tar", samples([number]))
    names = [str(tmp_path / f"{number}.tar") for number in range(3)]
    (tmp_path / "list.txt").write_text("# mine\n0.tar\n{1..2}.tar\n")
    assert find_shards(str(tmp_path)) == names
    assert find_shards(str(tmp_path / "list.txt")) == names
    assert find_shards(str(tmp_path / "{0..2}.tar")) == names
    source = open_shards(SourceSpec(place=str(tmp_path)), cache=tmp_path / "cache", progress=False)
    assert source.counts == (1, 1, 1)
    with pytest.raises(DataError, match="not compressed"):
        find_shards(str(tmp_path / "0.tar.gz"))
    with pytest.raises(DataError, match="cannot read this shard"):
        open_shards(SourceSpec(place=str(tmp_path / "{0..3}.tar")), cache=tmp_path / "cache", progress=False)


def test_counts_are_kept_until_a_shard_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tar(tmp_path / "a.tar", samples([1, 2]))
    spec = SourceSpec(place=str(tmp_path))
    first = open_shards(spec, cache=tmp_path / "cache", progress=False)
    with monkeypatch.context() as patch:
        patch.setattr("training.datasets.shards.count_file", lambda path: pytest.fail("counted although known"))
        assert open_shards(spec, cache=tmp_path / "cache", progress=False) == first
    write_tar(tmp_path / "a.tar", samples([1, 2, 3]))
    assert open_shards(spec, cache=tmp_path / "cache", progress=False).counts == (3,)


def test_a_zip_gives_what_the_folder_does(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "d", range(5))
    (folder / "00003.png").write_bytes(b"broken")
    with zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.iterdir()):
            file.write(path, f"inside/{path.name}")
        file.writestr("__MACOSX/inside/._00000.png", b"resource fork")
    from_folder, from_zip = (
        load_pictures(folder, 8, progress=False),
        load_pictures(tmp_path / "d.zip", 8, progress=False),
    )
    np.testing.assert_array_equal(from_folder.images, from_zip.images)
    assert from_folder.captions == from_zip.captions
    assert from_zip.names == [f"inside/{name}" for name in from_folder.names]
    assert (from_zip.broken, from_zip.captionless) == (1, 0)


def test_small_sets_are_decoded_whatever_keeps_the_captions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path / "d", "a.png", "b/c.png", "broken.png")
    (tmp_path / "d" / "broken.png").write_bytes(b"no")
    rows = {"a.png": "one fish", "b/c.png": ["two", "deux"], "broken.png": "x"}
    (tmp_path / "d" / "captions.json").write_text(json.dumps(rows))
    data = open_data(DataConfig.of(tmp_path / "d"), 8, progress=False)
    assert isinstance(data, FolderDataset)
    assert (data.names, data.captions) == (["a.png", "b/c.png"], [["one fish"], ["two", "deux"]])
    assert data.broken == 1
    assert vocabulary(data) == ("deux", "fish", "one", "two")
    monkeypatch.setattr("training.datasets.decoded.open_rgb", lambda *_: pytest.fail("decoded although cached"))
    again = open_data(DataConfig.of(tmp_path / "d"), 8, progress=False)
    np.testing.assert_array_equal(again.images, data.images)  # type: ignore[union-attr]
    other = open_data(DataConfig(sources=(SourceSpec(place=str(tmp_path / "d")),), mirror=True), 8, progress=False)
    assert vocabulary(other) == vocabulary(data)


# --- pictures -------------------------------------------------------------------------------------------------------


def gradient(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def test_a_random_crop_moves_along_the_longer_side_and_a_mirror_flips() -> None:
    wide = Image.fromarray(np.arange(24, dtype=np.uint8)[None, :, None].repeat(8, 0).repeat(3, 2))
    look = Look(resolution=8, crop="random", mirror=True)
    firsts = set()
    for seed in range(200):
        row = square(wide, look, np.random.default_rng(seed))[0, 0].astype(int)
        assert set(np.diff(row)) in ({1}, {-1})
        firsts.add((int(row.min()), bool(row[0] > row[-1])))
    assert {first for first, _ in firsts} == set(range(17))
    assert {flipped for _, flipped in firsts} == {True, False}
    centre = square(wide, Look(resolution=8), np.random.default_rng(0))
    assert centre[0, 0].tolist() == list(range(8, 16))


def test_area_and_lanczos_differ_where_it_matters() -> None:
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (16, 8))[..., None].repeat(3, 2))
    area = square(stripes, Look(resolution=8))
    assert set(area.ravel().tolist()) <= {127, 128}
    picture = gradient(64, 64)
    sharp = square(picture, Look(resolution=16, resize="lanczos"))
    expected = np.asarray(picture.resize((16, 16), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
    np.testing.assert_array_equal(sharp, expected)


def test_a_large_jpeg_is_read_small_with_nearly_the_same_result() -> None:
    file = io.BytesIO()
    gradient(640, 480).save(file, format="JPEG", quality=95)
    whole = square(open_rgb(io.BytesIO(file.getvalue())), Look(resolution=32))
    assert open_rgb(io.BytesIO(file.getvalue()), side=32).size == (80 * 2, 60 * 2)
    small = decode(file.getvalue(), Look(resolution=32))
    assert np.abs(whole.astype(int) - small).mean() < 2


def test_only_formats_of_pixels_are_opened() -> None:
    with pytest.raises(OSError, match="cannot identify"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(x) run\n", Look(resolution=8))


def test_a_picture_bomb_is_a_broken_picture(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    crc = __import__("zlib").crc32(b"IHDR" + header)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", crc)
    folder = write_folder(tmp_path / "d", range(3))
    (folder / "bomb.png").write_bytes(bomb)
    (folder / "bomb.txt").write_text("boom")
    data = load_pictures(folder, 8, progress=False)
    assert (len(data), data.broken) == (3, 1)


def test_grey_of_sixteen_bits_is_not_clipped() -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(file, format="PNG")
    assert set(decode(file.getvalue(), Look(resolution=8)).ravel().tolist()) == {40_000 >> 8}


# --- hostile archives -----------------------------------------------------------------------------------------------


def test_names_in_archives_are_only_names(tmp_path: Path) -> None:
    evil = ["../../evil.png", "/etc/evil.png", "C:\\evil.png", "..\\evil.png"]
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        for number, name in enumerate(evil):
            file.writestr(name, png(number))
            file.writestr(name[:-3] + "txt", f"number {number}")
    before = set(tmp_path.rglob("*"))
    source = open_source(SourceSpec(place=str(tmp_path / "evil.zip")), cache=tmp_path)
    assert isinstance(source, ListedSource)
    assert len(source) == 4
    assert set(tmp_path.rglob("*")) == before
    data = load_pictures(tmp_path / "evil.zip", 8, progress=False)
    assert len(data) == 4
    files = [(name, data) for name, data in samples([7])]
    write_tar(tmp_path / "t" / "evil.tar", [("../../" + name, data) for name, data in files])
    with tarfile.open(tmp_path / "t" / "evil.tar", "a") as tar:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    shards = open_source(SourceSpec(place=str(tmp_path / "t")), cache=tmp_path / "cache", progress=False)
    assert isinstance(shards, ShardSource)
    assert shards.counts == (1,)
    assert not list(tmp_path.rglob("evil.png"))


def test_captions_cannot_reach_out_of_the_folder(tmp_path: Path) -> None:
    pictures(tmp_path, "secret.png", "d/a.png")
    (tmp_path / "d" / "captions.json").write_text(json.dumps({"../secret.png": "x", "a.png": "one"}))
    assert found(tmp_path / "d") == {"a.png": ("one",)}


def test_a_zip_bomb_is_read_to_the_limit_and_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.png", b"\0" * (4 << 20))
        file.writestr("bomb.txt", "boom")
        file.writestr("a.png", png(1))
        file.writestr("a.txt", "one")
    source = open_source(SourceSpec(place=str(tmp_path / "bomb.zip")), cache=tmp_path)
    assert isinstance(source, ListedSource)
    with pytest.raises(OSError, match="larger than 1000 bytes"):
        source.tree.read("bomb.png", 1000)
    data = load_pictures(tmp_path / "bomb.zip", 8, progress=False)
    assert (data.names, data.broken) == (["a.png"], 1)


def test_damaged_and_encrypted_zips_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "no.zip").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(DataError, match="expected a zip file"):
        open_source(SourceSpec(place=str(tmp_path / "no.zip")), cache=tmp_path)
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as file:
        for number in range(4):
            file.writestr(f"{number}.png", png(number))
        file.writestr("captions.json", json.dumps({f"{number}.png": "x" for number in range(4)}))
    data = bytearray((tmp_path / "d.zip").read_bytes())
    at = data.index(png(1)) + 20
    data[at : at + 4] = b"\0\0\0\0"  # the checksum no longer fits
    first = data.index(b"PK\x01\x02")
    data[first + 8] |= 1  # the directory calls the first entry encrypted
    (tmp_path / "d.zip").write_bytes(data)
    dataset = load_pictures(tmp_path / "d.zip", 8, progress=False)
    assert (dataset.names, dataset.broken) == (["2.png", "3.png"], 2)


def test_a_link_back_does_not_lead_round_in_circles(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "d", range(2))
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    assert sorted(found(folder)) == ["00000.png", "00001.png"]


# --- tar ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_of_every_kind_are_read_as_tarfile_does(tmp_path: Path, layout: int) -> None:
    files = [("short.png", b"x" * 1000), ("empty.txt", b""), ("d/" * 40 + "deep.png", b"y" * 512), ("z.json", b"{}")]
    if layout != tarfile.USTAR_FORMAT:
        files += [("ü" * 90 + ".png", b"q" * 3), ("l" * 300 + ".jpg", b"w" * 700)]
    path = write_tar(tmp_path / "t.tar", files, format=layout)
    with tarfile.open(path) as tar, open(path, "rb") as file, open(path, "rb") as again:
        expected = [(member.name, member.offset_data, member.size) for member in tar]
        assert [(name, *span) for name, span in members(FileReader(file))] == expected
        assert [(name, *span) for name, span in members(StreamReader(again))] == expected


def test_a_sample_is_the_files_of_one_name(tmp_path: Path) -> None:
    files = [
        ("a/1.jpg", b"A"), ("a/1.txt", b"x"), ("a/1.json", b"{}"), ("a/1.mask.png", b"M"),
        ("b/1.webp", b"B"), ("b/1.json", b"{}"),
        ("alone.png", b"C"), ("text.txt", b"D"), (".hidden.png", b"E"),
    ]  # fmt: skip
    path = write_tar(tmp_path / "t.tar", files)
    with open(path, "rb") as file:
        index = index_tar(FileReader(file))
        assert [sample.key for sample in index.samples] == ["a/1", "b/1"]
        assert FileReader(file).read_at(*index.samples[0].picture) == b"A"
    assert (index.pictures_alone, index.torn) == (1, False)


def test_torn_and_garbled_tars_give_what_is_whole(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "t.tar", samples(range(6)))
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for cut in [0, 1, 511, 512, 700, 1024, 3000, 5000]:
        path.write_bytes(data[:cut])
        with open(path, "rb") as file:
            try:
                index = index_tar(FileReader(file))
            except TarError:
                assert cut < 512
                continue
            assert index.torn
            for sample in index.samples:
                assert png(int(sample.key[1:])) == FileReader(file).read_at(*sample.picture)
    for _ in range(300):
        garbled = bytearray(data)
        for at in rng.integers(0, len(data), 5):
            garbled[at] = rng.integers(0, 256)
        path.write_bytes(garbled)
        with open(path, "rb") as file, contextlib.suppress(TarError):
            assert len(index_tar(FileReader(file)).samples) <= 6


@pytest.mark.parametrize(
    "size", [b"\x80" + b"\xff" * 11, b"\xff" * 12, b"77777777777\0", b"-1234567890\0", b"zzzzzzzzzzz\0"]
)
def test_sizes_that_lie_end_the_tar(tmp_path: Path, size: bytes) -> None:
    path = write_tar(tmp_path / "t.tar", samples(range(2)))
    data = bytearray(path.read_bytes())
    second = next(at for at in range(512, len(data), 512) if data[at : at + 9] == b"00001.png")
    data[second + 124 : second + 136] = size
    head = data[second : second + 512]
    total = sum(head) - sum(head[148:156]) + 256
    data[second + 148 : second + 156] = f"{total:06o}\0 ".encode()
    path.write_bytes(data)
    with open(path, "rb") as file:
        index = index_tar(FileReader(file))
    assert [sample.key for sample in index.samples] == ["/00000"]
    assert index.torn


def test_a_pax_header_cannot_claim_what_is_not_there(tmp_path: Path) -> None:
    for records in (b"99999999999 path=x\n", b"5 a=\n" * 1000, b"0 path=x\n", b"12 size=-50\n", b"xx", b"\xff" * 100):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as tar:
            info = tarfile.TarInfo("pax")
            info.type, info.size = b"x", len(records)
            tar.addfile(info, io.BytesIO(records))
            for name, data in samples([1]):
                one = tarfile.TarInfo(name)
                one.size = len(data)
                tar.addfile(one, io.BytesIO(data))
        (tmp_path / "t.tar").write_bytes(file.getvalue())
        with open(tmp_path / "t.tar", "rb") as opened:
            assert len(index_tar(FileReader(opened)).samples) == 1


def test_the_pictures_of_a_folder_are_found_whatever_their_names(tmp_path: Path) -> None:
    names = ["ü ö.png", "a'b\"c.png", "new\nline.png"]
    if os.name == "posix":
        names.append(os.fsdecode(b"bad\xff.png"))
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(png(number))
        (tmp_path / (name[:-3] + "txt")).write_text("x")
    data = load_pictures(tmp_path, 8, progress=False)
    assert len(data) == len(names)
    assert sorted(image[0, 0, 0] for image in data.images) == [pixels(n)[0, 0, 0] for n in range(len(names))]
