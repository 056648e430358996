"""PNG metadata in both forms, there and back, and contact sheets."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.errors import UserError
from app.images import contact_sheet, parameters_text, read_png, save_png, seed_number, write_png
from app.provenance import document
from core import values
from core.arithmetic import Arithmetic
from core.model_info import ModelInfo
from core.request import Frame, RenderRequest

INFO = ModelInfo(
    name="postcards-64",
    family="stylegan_t",
    size=(4, 6),
    conditioning="text",
    classes=0,
    class_names=(),
    z_dim=64,
    w_dim=96,
    num_ws=2,
    layers=(),
    has_noise=True,
    has_transform=True,
    path=Path("postcards-64.safetensors"),
    sha256="0123456789abcdef" * 4,
    parameters=1,
    images_seen=1,
    vocabulary=frozenset(),
    arithmetic=Arithmetic(device="cpu", precision="float32", plain=False, threads=2),
)
PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def frame(**values) -> Frame:
    return Frame(request=RenderRequest(**values), pixels=PIXELS, render_ms=1.0)


def parse_as_the_web_ui_does(text: str) -> tuple[str, dict[str, str]]:
    """The prompt, and the last line's pairs: a value is a JSON string or runs to the next comma."""
    *prompt, last = text.split("\n")
    pairs = re.findall(r'\s*([\w ]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', last)
    return "\n".join(prompt), {key: json.loads(value) if value[:1] == '"' else value for key, value in pairs}


@pytest.mark.parametrize(
    "prompt",
    [
        "snowy mountains at sunset, watercolor",
        "",
        "Chinese 日落时的雪山, emoji 🏔️🎨, café",
        'quotes "and" \\ Steps: 20, Seed: 1',
        "two\nlines",
        "x" * 10_000,
        "nul \0 inside",
    ],
)
def test_a_picture_says_how_it_was_made(tmp_path, prompt):
    made = frame(prompt=prompt, seed_x=7, seed_y=1, psi=0.7, noise="random", noise_seed=5)
    save_png(tmp_path / "x.png", made, INFO)
    picture = read_png(tmp_path / "x.png")
    assert picture.request == made.request
    assert picture.checkpoint == {"name": "postcards-64", "family": "stylegan_t", "sha256": INFO.sha256}
    assert (picture.width, picture.height) == (6, 4)
    read_prompt, pairs = parse_as_the_web_ui_does(picture.parameters)
    assert read_prompt == prompt
    assert pairs == {
        "Steps": "1",
        "Seed": "107",
        "Size": "6x4",
        "Model hash": "0123456789",
        "Model": "postcards-64",
        "Psi": "0.7",
        "Noise": "random",
        "Noise seed": "5",
        "Version": pairs["Version"],
    }
    with Image.open(tmp_path / "x.png") as image:
        assert np.array_equal(np.asarray(image), PIXELS)


def test_the_parameters_read_as_people_know_them():
    text = parameters_text(RenderRequest(prompt="a house", seed_x=3, psi=0.7), INFO, width=64, height=64)
    assert text.startswith(
        "a house\nSteps: 1, Seed: 3, Size: 64x64, Model hash: 0123456789, Model: postcards-64, Psi: 0.7, Noise: const, "
    )


def test_values_with_commas_are_quoted():
    odd = replace(INFO, name='my, "model": v2')
    text = parameters_text(
        RenderRequest(prompt="a", prompt_b="b, and c", blend=0.25, seed_x=1.5, seed_y=-0.25), odd, width=1, height=1
    )
    _, pairs = parse_as_the_web_ui_does(text)
    assert pairs["Model"] == 'my, "model": v2'
    assert (pairs["Prompt B"], pairs["Blend"]) == ("b, and c", "0.25")
    assert (pairs["Seed"], pairs["Seed X"], pairs["Seed Y"]) == ("2", "1.5", "-0.25")


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [(7, 0, 7), (7, 2, 207), (-1, 0, 2**32 - 1), (2**32, 0, 0), (5, -1, 2**32 - 95), (0.5, 0, None), (0, 1.5, None)],
)
def test_seed_numbers(x, y, expected):
    assert seed_number(RenderRequest(seed_x=x, seed_y=y)) == expected


def test_a_foreign_picture_has_no_request(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "x.png")
    picture = read_png(tmp_path / "x.png")
    assert (picture.request, picture.checkpoint, picture.parameters) == (None, None, "")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("{", "metadata is damaged"),
        ("[]", "metadata is damaged"),
        ('{"version": 99}', "metadata version 99; this Glissando reads up to 2"),
        ('{"version": 1}', "metadata is damaged"),
        (
            '{"version": 1, "request": {"colour": 1}, "checkpoint": {}}',
            "metadata is damaged: request: unknown field 'colour'",
        ),
        ('{"version": 1, "request": {"psi": NaN}, "checkpoint": {}}', "damaged: request: psi: expected float"),
        ('{"version": 1, "request": {"psi": "high"}, "checkpoint": {}}', "metadata is damaged"),
        ('{"version": 1, "request": {"transform": 3}, "checkpoint": {}}', "metadata is damaged"),
        ('{"version": 1, "request": {}, "checkpoint": {"name": "x"}}', "metadata is damaged"),
    ],
)
def test_damaged_metadata_is_one_error(tmp_path, metadata, message):
    write_png(tmp_path / "x.png", PIXELS, {"glissando": metadata})
    with pytest.raises(UserError, match=message):
        read_png(tmp_path / "x.png")


def test_what_is_no_picture_is_one_error(tmp_path):
    (tmp_path / "text.png").write_text("hello")
    save_png(
        tmp_path / "whole.png",
        Frame(request=RenderRequest(), pixels=np.zeros((64, 64, 3), np.uint8), render_ms=1.0),
        INFO,
    )
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:-40])
    for name, message in (
        ("text.png", "expected a picture, got something else"),
        ("cut.png", "cannot read the picture"),
        ("absent.png", "no such file"),
        (".", "is a directory"),
    ):
        with pytest.raises(UserError, match=message):
            read_png(tmp_path / name)


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path, unwritable):
    with pytest.raises(UserError, match="cannot write the picture: part of the path is a file"):
        save_png(unwritable / "x.png", frame(), INFO)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="is a directory"):
        save_png(tmp_path / "folder", frame(), INFO)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-file", "folder"]


def test_a_full_disk_keeps_the_picture_that_was_there(small_disk):
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    path = small_disk / "x.png"
    save_png(path, frame(prompt="old"), INFO)
    with pytest.raises(UserError, match="no space left"):
        write_png(path, noise)
    assert read_png(path).request == RenderRequest(prompt="old")
    assert [entry.name for entry in small_disk.iterdir()] == ["x.png"]


def test_a_request_survives_json():
    request = RenderRequest(prompt="a", prompt_b="b", blend=0.5, transform=(0, -1, 0, 1, 0, 0.5, 0, 0, 1))
    data = json.loads(json.dumps(document(request, INFO)))["request"]
    assert values.from_json(RenderRequest, data, "request") == request


def test_a_contact_sheet_shows_every_picture_in_order():
    pictures = [np.full((8, 8, 3), 40 * index + 10, np.uint8) for index in range(5)]
    sheet = contact_sheet(pictures, columns=3, tile=16)
    assert sheet.shape == (2 * 18 + 2, 3 * 18 + 2, 3)
    for index in range(5):
        row, column = divmod(index, 3)
        block = sheet[2 + row * 18 : 18 + row * 18, 2 + column * 18 : 18 + column * 18]
        assert (block == 40 * index + 10).all()
    assert contact_sheet(pictures[:1], tile=4).shape == (12, 12, 3)
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([])


def test_labels_stand_above_their_rows():
    pictures = [np.zeros((16, 16, 3), np.uint8)] * 4
    plain = contact_sheet(pictures, columns=2, tile=64)
    labelled = contact_sheet(pictures, columns=2, tile=64, labels=["snow", "日落"])
    strip = (labelled.shape[0] - plain.shape[0]) // 2
    assert strip > 10
    assert labelled[:strip].max() > 150
    assert (labelled[strip + 2 : strip + 66, 2:66] == 0).all()


def test_captions_stand_above_their_pictures():
    pictures = [np.full((32, 32, 3), value, dtype=np.uint8) for value in (50, 100, 150)]
    bare = contact_sheet(pictures, columns=2, tile=64)
    captioned = contact_sheet(pictures, columns=2, tile=64, captions=["one", "a caption far too long for it", "three"])
    both = contact_sheet(pictures, columns=2, tile=64, labels=["row", "row"], captions=["one", "two", "three"])
    assert captioned.shape == (bare.shape[0] + 2 * 22, bare.shape[1], 3)
    assert both.shape == (bare.shape[0] + 2 * 44, bare.shape[1], 3)
    for left, value in ((2, 50), (68, 100)):
        assert (captioned[24:88, left : left + 64] == value).all(), "a caption stays out of the pictures"
        assert (captioned[2:24, left : left + 64] > 200).any()
    assert (captioned[2:24, 60:72] <= 24).all(), "and out of its neighbour's"
    assert not (captioned[90:112, 68:] > 24).any(), "no caption without a picture"
