"""Pictures of every kind that people bring: the right colours, or refused by name; and every file seen or counted."""

from __future__ import annotations

import importlib.util
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bring.files import (
    RED,
    SIDE,
    Maker,
    animated,
    plain,
    png,
    ramp,
    rotated_jpeg,
    saved,
    tiff,
    tiff_of_12_bits,
    write,
)
from training.datasets import pictures
from training.datasets.check import Check, CheckReport, describe
from training.datasets.config import SourceSpec
from training.datasets.errors import DataError
from training.datasets.pictures import PixelError, is_picture, missing_extra, open_rgb
from training.datasets.sources import ListedSource, open_source

GREYS = ramp(255, np.int64)
HAS_HEIF = importlib.util.find_spec("pillow_heif") is not None
HAS_JXL = importlib.util.find_spec("pillow_jxl") is not None


def numpy_png(values: np.ndarray) -> bytes:  # type: ignore[type-arg]
    return saved(Image.fromarray(values), "PNG")


def pgm(white: int) -> bytes:
    values = ramp(white, np.dtype(">u2") if white > 255 else np.uint8)
    return f"P5 {SIDE} {SIDE} {white}\n".encode() + values.tobytes()


GREY_RAMPS: dict[str, Maker] = {
    "PNG, 8 bits": lambda: numpy_png(ramp(255, np.uint8)),
    "PNG, 16 bits": lambda: numpy_png(ramp(65535, np.uint16)),
    "TIFF, 16 bits": lambda: tiff(ramp(65535, np.uint16)),
    "TIFF, 12 bits": tiff_of_12_bits,
    "TIFF, 12 bits in 16, and it says so": lambda: tiff(ramp(4095, np.uint16), max_sample_value=4095),
    "TIFF, floating point from 0 to 1": lambda: tiff(ramp(65535, np.float32) / np.float32(65535)),
    "PGM, 16 bits": lambda: pgm(65535),
    "PGM, 12 bits": lambda: pgm(4095),
    "JPEG 2000, 8 bits": lambda: saved(Image.fromarray(ramp(255, np.uint8)), "JPEG2000"),
    "JPEG 2000, 16 bits": lambda: saved(Image.fromarray(ramp(65535, np.uint16)), "JPEG2000"),
    "grey with alpha": lambda: saved(Image.fromarray(ramp(255, np.uint8)).convert("LA"), "PNG"),
}


@pytest.mark.parametrize("kind", GREY_RAMPS)
def test_a_grey_ramp_goes_from_black_to_white(kind: str) -> None:
    got = np.asarray(open_rgb(io.BytesIO(GREY_RAMPS[kind]()))).astype(int)
    assert np.abs(got - GREYS[:, :, None]).max() <= 1


RED_PICTURES: dict[str, Maker] = {
    "PNG": lambda: saved(plain(), "PNG"),
    "PNG with 16 colours": lambda: saved(plain().convert("P", palette=Image.Palette.ADAPTIVE, colors=16), "PNG"),
    "CMYK JPEG": lambda: saved(plain().convert("CMYK"), "JPEG", quality=95),
    "CMYK TIFF": lambda: saved(plain().convert("CMYK"), "TIFF"),
    "YCbCr TIFF": lambda: saved(plain().convert("YCbCr"), "TIFF"),
    "WebP": lambda: saved(plain(), "WEBP", lossless=True),
    "AVIF": lambda: saved(plain(), "AVIF", quality=100),
    "BMP": lambda: saved(plain(), "BMP"),
    "TGA": lambda: saved(plain(), "TGA"),
    "QOI": lambda: saved(plain(), "QOI"),
    "animated GIF, the first frame": lambda: animated("GIF"),
    "animated WebP, the first frame": lambda: animated("WEBP"),
    "animated PNG, the first frame": lambda: animated("PNG"),
}
if HAS_HEIF:
    RED_PICTURES["HEIC"] = lambda: saved(plain(size=(64, 64)), "HEIF", quality=-1)
if HAS_JXL:
    RED_PICTURES["JPEG XL"] = lambda: saved(plain(size=(64, 64)), "JXL", lossless=True)


@pytest.mark.parametrize("kind", RED_PICTURES)
def test_red_is_red_in_every_format(kind: str) -> None:
    pictures.picture_formats()
    got = np.asarray(open_rgb(io.BytesIO(RED_PICTURES[kind]()))).astype(int)
    assert np.abs(got - RED).max() <= 4


WHITE_WHERE_CLEAR: dict[str, Maker] = {
    "RGBA": lambda: saved(plain("RGBA", (*RED, 0)), "PNG"),
    "grey with alpha": lambda: saved(plain("LA", (30, 0)), "PNG"),
    "a palette with alpha": lambda: saved(plain("P", 0), "PNG", transparency=0),
    "RGB with a clear colour": lambda: saved(plain(), "PNG", transparency=RED),
    "a palette with alpha in WebP": lambda: saved(plain("RGBA", (*RED, 0)), "WEBP", lossless=True),
}


@pytest.mark.parametrize("kind", WHITE_WHERE_CLEAR)
def test_what_is_clear_becomes_white(kind: str) -> None:
    assert np.asarray(open_rgb(io.BytesIO(WHITE_WHERE_CLEAR[kind]()))).min() == 255


def test_a_photograph_is_turned_as_its_exif_says() -> None:
    upright = open_rgb(io.BytesIO(rotated_jpeg()))
    assert upright.size == (16, 32)
    assert np.abs(np.asarray(upright)[4, 8].astype(int) - RED).max() < 12


REFUSED: dict[str, tuple[Maker, str]] = {
    "32-bit integers": (lambda: tiff(ramp(100_000, np.int32)), "signed or 32-bit integers"),
    "floating point of an unknown range": (lambda: tiff(ramp(255, np.float32)), "beyond 0 to 1"),
    "floating point below 0": (lambda: tiff(ramp(1, np.float32) - np.float32(0.5)), "beyond 0 to 1"),
    "floating point with gaps": (lambda: tiff(ramp(1, np.float32) / np.float32(0)), "beyond 0 to 1"),
    "Lab": (lambda: saved(Image.new("LAB", (SIDE, SIDE), (120, 130, 140)), "TIFF"), "Lab"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value):RuntimeWarning")
def test_pixels_of_unknown_range_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    make, words = REFUSED[kind]
    data = make()
    with pytest.raises(PixelError, match=words):
        open_rgb(io.BytesIO(data))
    report = checked(write(tmp_path, {"a.tif": data, "a.txt": "x", "b.png": png(), "b.txt": "y"}))
    assert (report.broken, report.usable) == (1, 1)
    assert words in describe(report)


def test_white_is_zero_in_16_bits_too() -> None:
    data = bytearray(tiff(ramp(65535, np.uint16)))
    at = data.index((262).to_bytes(2, "little") + b"\x03\0\x01\0\0\0") + 8
    assert data[at] == 1
    data[at] = 0
    got = np.asarray(open_rgb(io.BytesIO(bytes(data)))).astype(int)
    assert np.abs(got - (255 - GREYS[:, :, None])).max() <= 1


def checked(place: Path) -> CheckReport:
    return Check([SourceSpec(place=str(place))]).run(progress=False)


def test_a_check_says_what_the_pixels_are(tmp_path: Path) -> None:
    files = {
        "a.gif": animated("GIF"),
        "b.jpg": saved(plain().convert("CMYK"), "JPEG"),
        "c.png": numpy_png(ramp(65535, np.uint16)),
        "d.png": numpy_png(ramp(4095, np.uint16)),
        "e.png": png(),
    }
    report = checked(write(tmp_path, files))
    assert (report.usable, report.animated, report.nearly_black) == (5, 1, 1)
    assert report.dark_examples == ["d.png"]
    assert report.kinds == {"P": 1, "CMYK": 1, "I;16": 2, "RGB": 1}
    text = describe(report)
    for words in ("1 animated or of several pages: the first is used", "2 I;16", "1 nearly black, such as d.png"):
        assert words in text


def test_a_huge_picture_is_not_decoded(tmp_path: Path) -> None:
    huge = saved(Image.new("1", (20_000, 20_000)), "PNG")
    report = checked(write(tmp_path, {"huge.png": huge, "a.png": png()}))
    assert report.broken == 1
    assert "exceeds limit" in report.broken_examples[0]


# --- which files are seen -------------------------------------------------------------------------------------------


SEEN = ["a.JPG", "a.PnG", "a.jfif", "a.jpe", "a.avif", "a.JP2", "a.webp", "a.tif", "a.TIFF", "a.bmp", "a.tga", "a.qoi"]
NOT_SEEN = ["a.eps", "a.ps", "a.pdf", "a.svg", "a.mp4", "a.mpg", "a.h5", "a.txt", "a", "a.jpg.part"]


def test_pillows_table_says_what_a_picture_is() -> None:
    assert [name for name in SEEN if not is_picture(name)] == []
    assert [name for name in NOT_SEEN if is_picture(name)] == []


@pytest.mark.parametrize(("picture", "text"), [("a.JPG", "A.txt"), ("A.Jpeg", "a.TXT"), ("b.PNG", "b.txt")])
def test_a_text_is_found_whatever_the_case(tmp_path: Path, picture: str, text: str) -> None:
    source = open_source(SourceSpec(place=str(write(tmp_path, {picture: png(), text: "one"}))), cache=tmp_path)
    assert isinstance(source, ListedSource)
    assert source.captions_of(0) == ("one",)


def test_a_format_that_needs_a_package_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {suffix: name for suffix, name in pictures.picture_formats().items() if name not in ("HEIF", "JXL")}
    for module in ("training.datasets.pictures",):
        monkeypatch.setattr(f"{module}.picture_formats", lambda: table)
    assert (missing_extra("a.HEIC"), missing_extra("a.jxl"), missing_extra("a.png")) == (
        "pillow-heif",
        "pillow-jxl-plugin",
        "",
    )
    root = write(tmp_path / "d", {"a.png": png(), "a.txt": "one", "b.HEIC": b"x", "c.heic": b"x", "d.jxl": b"x"})
    source = open_source(SourceSpec(place=str(root)), cache=tmp_path)
    assert isinstance(source, ListedSource)
    notes = "\n".join(source.findings.notes())
    assert "2 .heic need pillow-heif: pip install 'glissando[formats]'" in notes
    assert "1 .jxl need pillow-jxl-plugin" in notes
    only = write(tmp_path / "only", {"b.HEIC": b"x", "c.pdf": b"x"})
    with pytest.raises(DataError, match=r"no pictures found.*it holds 1 \.pdf; 1 \.heic need pillow-heif"):
        open_source(SourceSpec(place=str(only)), cache=tmp_path)


# --- what a place is, by its contents -------------------------------------------------------------------------------


def zip_bytes() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.png", png())
        archive.writestr("a.txt", "one")
    return file.getvalue()


def tar_bytes() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in (("a.png", png()), ("a.txt", b"one")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


@pytest.mark.parametrize("name", ["d.zip", "d.bin", "d", "d.tar", "d.txt"])
def test_a_zip_is_a_zip_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(zip_bytes())
    assert len(open_source(SourceSpec(place=str(tmp_path / name)), cache=tmp_path / "cache")) == 1


@pytest.mark.parametrize("name", ["d.tar", "d.bin", "d", "d.zip"])
def test_a_tar_is_a_shard_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(tar_bytes())
    source = open_source(SourceSpec(place=str(tmp_path / name)), cache=tmp_path / "cache", progress=False)
    assert len(source) == 1


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("d.tar.gz", b"\x1f\x8b" + bytes(600), "packed with gzip.*unpack it"),
        ("d.7z", b"7z\xbc\xaf\x27\x1c" + bytes(600), "packed with 7-Zip"),
        ("d.rar", b"Rar!\x1a\x07" + bytes(600), "packed with RAR"),
        ("a.png", png(), "one picture; give the folder"),
        ("a.doc", b"x" * 600, "expected a folder, a .zip, a .tar shard or a file of captions"),
    ],
)
def test_what_is_no_data_is_told_so_by_name(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=words):
        open_source(SourceSpec(place=str(tmp_path / name)), cache=tmp_path / "cache")


def test_a_check_speaks_json_about_what_it_found(tmp_path: Path) -> None:
    root = write(tmp_path, {"a.png": png(), "metadata.csv": "file_name,text\na.png,one\na.png\n", "x.pdf": b""})
    report = json.loads(json.dumps(checked(root).to_json()))
    found = report["findings"][str(root)]
    assert found["unused"] == {".pdf": 1}
    assert found["metadata"][0]["caption_columns"] == ["text"]
    assert report["unreadable"] == 1
