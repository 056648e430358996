"""Stickers: what a picture is, how a latent and a caption determine it, and what is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from core.words import words
from tests.training.datasets.sticker_art import make_art
from training.datasets.errors import DataError
from training.datasets.folder import load_folder
from training.datasets.generated import DatasetError
from training.datasets.stickers import (
    ATTRIBUTES,
    CONCEPTS,
    SETS,
    Art,
    Drawings,
    caption,
    compose,
    draw_sample,
    held_out_synonyms,
    is_held_out,
    render,
    synonyms,
    vocabulary,
    write_dataset,
)
from training.datasets.stickers.attributes import COLOURS, MANNERS, colour_held_out, manner_held_out
from training.datasets.stickers.colour import TARGETS, measure, to_oklab
from training.datasets.stickers.drawings import HANDS
from training.datasets.stickers.latents import BLOCKS, DIMENSIONS

pytest.importorskip("resvg_py")


@pytest.fixture(scope="module")
def art(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_art(tmp_path_factory.mktemp("art"))


@pytest.fixture(scope="module")
def drawings(art: Path) -> Drawings:
    return Drawings(Art(art))


def test_names_and_icons_are_unique() -> None:
    assert 64 <= len(CONCEPTS) <= 100
    for what in ([c.icon for c in CONCEPTS], [c.code for c in CONCEPTS], [n for c in CONCEPTS for n in c.names]):
        assert len(set(what)) == len(what)


def test_a_picture_is_its_caption_and_latent(drawings: Drawings) -> None:
    """Composing anew from what is stored gives the picture, whichever caption is taken."""
    for index in range(40):
        sample = draw_sample(index, 3, "train", drawings)
        assert compose(sample.z, sample.named) == sample.composition
        again = draw_sample(index, 3, "train", drawings)
        assert np.array_equal(again.z, sample.z)
        assert again.captions == sample.captions
        values = sample.composition.attributes.as_dict()
        assert all(values[name] == value for name, value in sample.named.items())


def test_latents_are_standard_normal_and_choose_what_is_left_open(drawings: Drawings) -> None:
    samples = [draw_sample(index, 0, "train", drawings) for index in range(1500)]
    rows = np.stack([sample.z for sample in samples])
    assert rows.shape == (1500, DIMENSIONS)
    # Of 1500 normal numbers, the mean lies within 0.13 and the deviation within 0.1 of it but once in 100,000.
    assert np.abs(rows.mean(axis=0)).max() < 0.13
    assert np.abs(rows.std(axis=0) - 1).max() < 0.1
    assert np.abs(np.corrcoef(rows.T) - np.eye(DIMENSIONS)).max() < 0.15
    for name, block in BLOCKS.items():
        agree = [
            ATTRIBUTES[name][int(np.argmax(s.z[block]))] == s.composition.attributes.as_dict()[name]
            for s in samples
            if name not in s.named
        ]
        assert len(agree) > 300
        assert all(agree)
        named = [s for s in samples if name in s.named]
        chance = np.mean([ATTRIBUTES[name][int(np.argmax(s.z[block]))] == s.named[name] for s in named])
        assert chance < 0.25  # what a caption names, z knows nothing of


def test_train_holds_no_held_out_pair_or_synonym(drawings: Drawings) -> None:
    kept = held_out_synonyms()
    known = set(vocabulary())
    for index in range(400):
        sample = draw_sample(index, 0, "train", drawings)
        concept = sample.composition.attributes.concept
        assert not is_held_out(sample.composition.attributes)
        assert all((concept, one.name) not in kept for one in sample.captions)
        assert {word for one in sample.captions for word in words(one.text)} <= known
        assert is_held_out(draw_sample(index, 0, "heldout", drawings).composition.attributes)


def test_a_tenth_of_the_pairs_and_synonyms_is_held_out() -> None:
    concepts = ATTRIBUTES["concept"]
    manners = np.array([[manner_held_out(c, m) for m in MANNERS] for c in concepts])
    colours = np.array([[colour_held_out(c, k) for k in COLOURS] for c in concepts])
    assert 0.08 < manners.mean() < 0.12
    assert 0.08 < colours.mean() < 0.12
    assert manners.sum(axis=1).max() == 1  # every concept keeps seven manners
    assert manners.sum(axis=0).min() > 4  # every manner loses some
    assert colours.sum(axis=0).min() > 4
    everything = sum(len(concept.names) - 1 for concept in CONCEPTS)
    assert 0.08 < len(held_out_synonyms()) / everything < 0.12
    for concept in CONCEPTS:
        assert concept.name in synonyms(concept.name, held_out=False)


def test_the_same_picture_at_every_resolution(drawings: Drawings) -> None:
    for index in range(12):
        sample = draw_sample(index, 1, "train", drawings)
        small = render(sample.composition, drawings, 64).astype(float)
        large = render(sample.composition, drawings, 256).astype(float)
        assert small.shape == (64, 64, 3)
        # Drawn lines are whole pixels wide: a little thinner in small pictures.
        assert np.abs(large.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3)) - small).mean() < 6


@pytest.mark.parametrize("colour", COLOURS)
def test_a_colour_word_is_true_of_a_recoloured_drawing(drawings: Drawings, colour: str) -> None:
    lightness, chroma, hue = TARGETS[colour]
    for manner in ("3D", "flat", "detailed"):
        drawn = np.asarray(drawings.get("cat", manner, colour, 64), np.float32) / 255
        found = measure(drawn)
        middle = to_oklab(drawn[len(drawn) // 2, len(drawn) // 2, :3])
        assert abs(float(middle[0]) - lightness) < 0.06
        if chroma > 0.05:
            assert abs(np.angle(np.exp(1j * (found.hue - np.deg2rad(hue))))) < 0.2


def test_grey_drawings_are_not_recoloured(drawings: Drawings) -> None:
    assert drawings.recolourable("cat", "flat")
    assert not drawings.recolourable("dog", "flat")
    assert drawings.recolourable("dog", "line drawing")  # its lines take any colour
    for index in range(300):
        sample = draw_sample(index, 5, "all", drawings)
        shown = sample.composition.attributes
        if shown.concept == "dog" and shown.manner not in ("line drawing", "neon"):
            assert shown.colour == "own"


def test_manners_differ(drawings: Drawings) -> None:
    """Every manner gives other pixels than every other, of the same concept on the same ground."""
    named = {"concept": "apple", "ground": "gray", "place": "centre", "size": "large"}
    z = np.zeros(DIMENSIONS, np.float32)
    pictures = [render(compose(z, {**named, "manner": manner}), drawings, 64).astype(float) for manner in HANDS]
    for first in range(len(pictures)):
        for second in range(first):
            assert np.abs(pictures[first] - pictures[second]).mean() > 1


def test_a_swap_changes_only_the_words_of_its_attribute() -> None:
    """The same random state gives the same plan: captions of two values differ where the value's words stand."""
    named = {"concept": "cat", "manner": "flat", "colour": "red", "ground": "navy"}
    for seed in range(40):
        texts = [
            caption({**named, "colour": colour}, np.random.default_rng(seed), ("cat",)).text.lower()
            for colour in ("green", "blue")
        ]
        assert "green" in texts[0]
        assert texts[0].replace("a green", "a blue").replace("green", "blue") == texts[1]


def test_articles_and_plurals() -> None:
    rng = np.random.default_rng(0)
    texts = [
        caption({"concept": concept, "count": count}, rng, synonyms(concept, held_out=held)).text.lower()
        for concept in ATTRIBUTES["concept"]
        for count in ("one", "two")
        for held in (False, True)
        if synonyms(concept, held_out=held)
        for _ in range(4)
    ]
    assert "two mice" in " ".join(texts)
    assert not [text for text in texts if text.startswith(("a a", "a e", "a i", "a o", "an uni", "an b"))]
    assert not [text for text in texts if text.rstrip(".").endswith(("ss", "bys", "mouses", "leafs"))]


def test_writing_goes_on_and_says_which_latent_made_what(tmp_path: Path, art: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    write_dataset(whole, art, 60, 32, workers=2)
    write_dataset(stopped, art, 20, 32, workers=1)
    (stopped / "00000" / "000003.png").unlink()
    write_dataset(stopped, art, 60, 32, workers=1)
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert len(files) == 60 * 2 + 3
    for file in files:
        assert (whole / file).read_bytes() == (stopped / file).read_bytes()
    lines = [json.loads(line) for line in (whole / "stickers.jsonl").read_text().splitlines()]
    data = load_folder(whole, 32, cache=tmp_path / "cache", progress=False)
    assert data.names == [line["file"] for line in lines]
    assert data.captions == [line["captions"] for line in lines]
    assert data.latents is not None
    assert data.latents.rows.shape == (60, DIMENSIONS)
    assert data.latents.blocks == tuple((block.start, block.stop) for block in BLOCKS.values())
    drawings = Drawings(Art(art))
    for row in (0, 31, 59):
        made = render(compose(np.array(data.latents.rows[row]), lines[row]["named"]), drawings, 32)
        assert np.array_equal(data.images[row], made.transpose(2, 0, 1))


def test_latents_follow_their_pictures_when_one_is_broken(tmp_path: Path, art: Path) -> None:
    folder = write_dataset(tmp_path / "set", art, 5, 32, workers=1)
    rows = np.load(folder / "latents.npy")
    (folder / "00000" / "000002.png").write_bytes(b"no picture")
    data = load_folder(folder, 32, cache=tmp_path / "cache", progress=False)
    assert data.latents is not None
    assert np.array_equal(data.latents.rows, rows[[0, 1, 3, 4]])


def test_latents_of_another_length_are_refused(tmp_path: Path, art: Path) -> None:
    folder = write_dataset(tmp_path / "set", art, 5, 32, workers=1)
    np.save(folder / "latents.npy", np.zeros((4, 64), np.float32))
    with pytest.raises(DataError, match=r"expected float32 \[5, D\].*got float32 \[4, 64\]"):
        load_folder(folder, 32, cache=tmp_path / "cache", progress=False)


def test_missing_and_broken_art_is_named(tmp_path: Path, art: Path) -> None:
    with pytest.raises(DataError, match="missing: @lobehub/fluent-emoji-3d, .*npm install --ignore-scripts @lobehub"):
        write_dataset(tmp_path / "set", tmp_path, 1, 32)
    assert not (tmp_path / "set").exists()
    place = tmp_path / "node_modules"
    place.symlink_to(art / "node_modules")
    found = Art(tmp_path)
    (tmp_path / "copy").mkdir()
    for source in SETS.values():
        (tmp_path / "copy" / source.package).mkdir(parents=True)
        (tmp_path / "copy" / source.package / "package.json").write_text("{}")
    assert found.picture("noto", CONCEPTS[0]).mode == "RGBA"
    (tmp_path / "copy" / "@iconify-json/noto" / "icons.json").write_text("[]")
    with pytest.raises(DataError, match="icons.json: expected a file of drawings"):
        Art(tmp_path / "copy").picture("noto", CONCEPTS[0])
    (tmp_path / "copy" / "@iconify-json/noto" / "icons.json").write_text(
        json.dumps({"icons": {CONCEPTS[0].icon: {"body": "<g"}}})
    )
    with pytest.raises(DataError, match="expected a drawing in SVG"):
        Art(tmp_path / "copy").picture("noto", CONCEPTS[0])


def test_it_does_not_write_into_other_folders(tmp_path: Path, art: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match="expected an empty folder or a Stickers data set"):
        write_dataset(tmp_path, art, 1, 32)
    folder = write_dataset(tmp_path / "set", art, 3, 32, workers=1)
    with pytest.raises(DatasetError, match="with seed 0; expected 1"):
        write_dataset(folder, art, 3, 32, seed=1)
    with pytest.raises(DatasetError, match="resolution: expected 32 to 1024 pixels; got 8"):
        write_dataset(folder, art, 3, 8)
