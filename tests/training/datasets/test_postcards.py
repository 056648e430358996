"""Postcards: determinism, the held-out split, captions that name what they say, and the writer."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.words import words
from training.datasets.postcards import (
    ATTRIBUTES,
    CAPTIONS_PER_PICTURE,
    GENERATOR_VERSION,
    Attributes,
    DatasetError,
    caption,
    describe,
    is_held_out,
    is_plausible,
    make_record,
    render,
    sample_attributes,
    swap_pair,
    vocabulary,
    write_dataset,
)
from training.datasets.postcards.wording import PHRASES

BASE = Attributes(
    terrain="mountains",
    time="sunset",
    season="snowy",
    sky="sun",
    weather="clear",
    object="castle",
    style="watercolor",
)


def triples() -> list[tuple[str, str, str]]:
    return list(itertools.product(ATTRIBUTES["terrain"], ATTRIBUTES["time"], ATTRIBUTES["style"]))


def with_triple(triple: tuple[str, str, str]) -> Attributes:
    return replace(BASE, terrain=triple[0], time=triple[1], style=triple[2])


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float32) - b.astype(np.float32)).mean())


# Attributes and the split


def test_unknown_value_is_refused() -> None:
    with pytest.raises(ValueError, match=r"terrain: expected one of mountains, .*; got 'swamp'"):
        replace(BASE, terrain="swamp")


def test_a_sixth_of_the_triples_is_held_out_and_every_pair_stays() -> None:
    kept = [triple for triple in triples() if not is_held_out(with_triple(triple))]
    assert len(triples()) - len(kept) == 20
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert {(t[first], t[second]) for t in kept} == {(t[first], t[second]) for t in triples()}


def test_the_headline_prompt_is_a_training_triple() -> None:
    assert not is_held_out(BASE)


def test_splits_keep_apart_and_cover_every_value() -> None:
    rng = np.random.default_rng(0)
    train = [sample_attributes(rng, "train") for _ in range(1500)]
    heldout = [sample_attributes(rng, "heldout") for _ in range(300)]
    assert not any(is_held_out(a) for a in train)
    assert all(is_held_out(a) for a in heldout)
    for name, values in ATTRIBUTES.items():
        assert {getattr(a, name) for a in train} == set(values)
        assert {getattr(a, name) for a in heldout} == set(values)
    assert all(is_plausible(a) for a in train + heldout)
    assert {a.time for a in train if a.sky == "none"} == set(ATTRIBUTES["time"])
    with pytest.raises(ValueError, match="split: expected one of train, heldout, all; got 'test'"):
        sample_attributes(rng, "test")  # type: ignore[arg-type]


# Pictures


def test_render_is_deterministic_and_leaves_global_state_alone() -> None:
    np.random.seed(3)
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr, index]
    first = render(BASE, 7, 32)
    assert first.shape == (32, 32, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, render(BASE, 7, 32))
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]


@pytest.mark.parametrize("style", ATTRIBUTES["style"])
def test_every_terrain_and_object_renders_and_seeds_differ(style: str) -> None:
    objects = itertools.cycle(ATTRIBUTES["object"])
    weathers = itertools.cycle(ATTRIBUTES["weather"])
    for terrain, season in itertools.product(ATTRIBUTES["terrain"], ATTRIBUTES["season"]):
        attributes = replace(
            BASE, style=style, terrain=terrain, season=season, object=next(objects), weather=next(weathers)
        )
        pictures = [render(attributes, seed, 32) for seed in (1, 2)]
        assert difference(*pictures) > 4, attributes
        assert all(picture.std() > 12 for picture in pictures), attributes


@pytest.mark.parametrize("name", list(ATTRIBUTES))
def test_each_value_changes_the_picture(name: str) -> None:
    """At one seed, the mean over seeds: the values of an attribute give pictures apart from each other."""
    base = replace(BASE, sky="moon", style="plain")
    means = {
        value: np.mean([render(replace(base, **{name: value}), seed, 32) for seed in range(6)], axis=0)
        for value in ATTRIBUTES[name]
    }
    for a, b in itertools.combinations(ATTRIBUTES[name], 2):
        # Of the sky, only the body itself changes: a fiftieth of the picture.
        assert difference(means[a], means[b]) > (0.8 if name == "sky" else 2.0), (a, b)


# Mean colours of the four quarters at generator version 1. Whoever changes them changes GENERATOR_VERSION too.
REMEMBERED = {
    ("sea", "noon", "cloudy", "sailboat", "plain"): [
        [[175, 208, 192], [153, 196, 199]],
        [[142, 181, 193], [140, 166, 183]],
    ],
    ("hills", "dawn", "foggy", "house", "flat poster"): [
        [[230, 206, 222], [238, 215, 209]],
        [[232, 197, 193], [235, 213, 221]],
    ],
    ("forest", "sunset", "rain", "pine trees", "pixel art"): [
        [[224, 169, 110], [223, 152, 101]],
        [[138, 156, 146], [197, 181, 170]],
    ],
    ("desert", "noon", "clear", "cactus", "ink drawing"): [
        [[186, 213, 233], [194, 216, 213]],
        [[223, 224, 221], [179, 193, 180]],
    ],
    ("mountains", "dawn", "rain", "lighthouse", "neon"): [
        [[95, 84, 119], [135, 116, 108]],
        [[100, 93, 106], [77, 82, 96]],
    ],
    ("mountains", "sunset", "clear", "castle", "watercolor"): [
        [[233, 196, 143], [227, 175, 127]],
        [[192, 178, 172], [203, 191, 184]],
    ],
}


def test_pictures_stay_what_they_were() -> None:
    assert GENERATOR_VERSION == 1
    for seed, ((terrain, time, weather, thing, style), expected) in enumerate(REMEMBERED.items()):
        attributes = replace(BASE, terrain=terrain, time=time, weather=weather, object=thing, style=style)
        quarters = render(attributes, seed, 32).reshape(2, 16, 2, 16, 3).mean(axis=(1, 3))
        assert np.abs(quarters - np.array(expected)).max() <= 2, attributes


@pytest.mark.parametrize("style", ATTRIBUTES["style"])
def test_the_same_picture_at_every_resolution(style: str) -> None:
    attributes = replace(BASE, style=style)
    small, large = render(attributes, 5, 32), render(attributes, 5, 128)
    reduced = large.reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
    other = render(attributes, 6, 128).reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
    assert difference(small, reduced) < 0.35 * difference(small, other)


def test_pixel_art_has_square_blocks() -> None:
    picture = render(replace(BASE, style="pixel art"), 0, 128)
    blocks = picture.reshape(32, 4, 32, 4, 3)
    assert np.array_equal(blocks, np.broadcast_to(blocks[:, :1, :, :1], blocks.shape))


def test_the_sky_body_is_never_hidden() -> None:
    """The sun at noon is a patch of yellow in the upper half, whatever the terrain, weather, object and seed."""
    rng = np.random.default_rng(1)
    for seed in range(30):
        attributes = replace(sample_attributes(rng, "all"), time="noon", sky="sun", style="plain", season="plain")
        picture = render(attributes, seed, 32)[:11].astype(int)
        yellow = (picture[..., 0] - picture[..., 2] > 50) & (picture[..., 0] > 180)
        assert yellow.sum() >= 15, (attributes, seed)


@pytest.mark.parametrize(
    ("seed", "resolution", "message"), [(-1, 64, "seed"), (0, 8, "resolution"), (0, 4096, "resolution")]
)
def test_render_refuses_settings_out_of_range(seed: int, resolution: int, message: str) -> None:
    with pytest.raises(ValueError, match=rf"{message}: expected .*; got"):
        render(BASE, seed, resolution)


# Captions


def phrases(name: str, value: str) -> set[str]:
    """Every way an attribute's value can be written."""
    return {phrase for values in PHRASES[name].values() for phrase in values.get(value, ())}


def test_no_phrase_means_two_values() -> None:
    for name, values in ATTRIBUTES.items():
        for a, b in itertools.combinations(values, 2):
            assert not phrases(name, a) & phrases(name, b)


def test_every_form_names_every_value() -> None:
    for name, forms in PHRASES.items():
        for form, values in forms.items():
            missing = set(ATTRIBUTES[name]) - set(values)
            assert missing <= ({"none"} if (name, form) == ("object", "noun") else set()), (name, form)


def mentions(text: str, name: str, value: str) -> bool:
    lowered = text.lower()
    for phrase in phrases(name, value):
        # An adjective may stand at "~", and "a" may have become "an" or begun the sentence.
        parts = [part for part in phrase.replace("~", "|").split("|") if part.strip()]
        stripped = [
            part.strip().removeprefix("a ").removeprefix("an ").removesuffix(" a").removesuffix(" an") for part in parts
        ]
        if all(part in ("a", "an", "") or part in lowered for part in stripped):
            return True
    return False


def test_captions_name_what_they_say_and_only_known_words() -> None:
    rng, known = np.random.default_rng(2), set(vocabulary())
    counts, texts, styles = [], set(), 0
    for _ in range(700):
        attributes = sample_attributes(rng)
        result = caption(attributes, rng)
        for name, value in result.named.items():
            assert getattr(attributes, name) == value
            assert mentions(result.text, name, value), (result, name)
        assert set(words(result.text)) <= known, result.text
        assert "~" not in result.text
        assert "  " not in result.text
        assert " a a" not in result.text
        counts.append(len(result.named))
        texts.add(result.text)
        styles += "style" in result.named
    assert min(counts) == 1
    assert max(counts) == 7
    assert np.mean([3 <= count <= 6 for count in counts]) > 0.7
    assert styles > 0.55 * len(counts)
    assert len(texts) > 650


def test_a_caption_does_not_speak_of_what_it_does_not_name() -> None:
    """Words peculiar to one value never slip into captions that do not name it."""
    rng = np.random.default_rng(3)
    telling = {
        "castle": "object",
        "snowy": "season",
        "watercolor": "style",
        "dusk": "time",
        "fog": "weather",
        "desert": "terrain",
    }
    for _ in range(500):
        result = caption(sample_attributes(rng), rng)
        for word, name in telling.items():
            if word in words(result.text):
                assert name in result.named, result


def test_the_headline_prompt_is_a_possible_caption() -> None:
    rng = np.random.default_rng(4)
    texts = {describe(BASE, ["terrain", "season", "time", "style"], rng) for _ in range(7000)}
    assert "snowy mountains at sunset, watercolor" in texts
    assert "neon castle" in {describe(replace(BASE, style="neon"), ["style", "object"], rng) for _ in range(300)}


def test_describe_takes_any_subset() -> None:
    rng = np.random.default_rng(5)
    for size in range(8):
        for named in itertools.combinations(ATTRIBUTES, size):
            for attributes in (BASE, replace(BASE, object="none", sky="none", season="plain", style="plain")):
                text = describe(attributes, named, rng)
                assert text
                assert all(mentions(text, name, getattr(attributes, name)) for name in named), (text, named)
    with pytest.raises(ValueError, match="attribute: expected one of terrain, .*; got 'colour'"):
        describe(BASE, ["colour"], rng)


@pytest.mark.parametrize("name", list(ATTRIBUTES))
def test_swap_pairs_differ_in_one_attributes_words(name: str) -> None:
    rng = np.random.default_rng(6)
    for _ in range(60):
        attributes = replace(sample_attributes(rng), sky="moon")
        if name == "sky":
            attributes = replace(attributes, time="noon")
        values = [value for value in ATTRIBUTES[name] if value != getattr(attributes, name)]
        new_value = values[int(rng.integers(len(values)))]
        before, after, swapped = swap_pair(attributes, name, new_value, rng)
        assert swapped == replace(attributes, **{name: new_value})
        assert before != after
        assert mentions(before, name, getattr(attributes, name))
        assert mentions(after, name, new_value)
        # Cutting the common head and tail leaves the attribute's own words (and a shifted article).
        a, b = words(before), words(after)
        while a and b and a[0] == b[0]:
            a, b = a[1:], b[1:]
        while a and b and a[-1] == b[-1]:
            a, b = a[:-1], b[:-1]
        own = {
            w for value in ATTRIBUTES[name] for phrase in phrases(name, value) for w in words(phrase.replace("~", ""))
        }
        others = {
            w
            for other in ATTRIBUTES
            if other not in (name, "season", "style")
            for phrase in phrases(other, getattr(attributes, other))
            for w in words(phrase.replace("~", ""))
        }
        assert not (set(a) | set(b)) & (others - own - {"a", "an"}), (before, after)


def test_swap_pair_refuses_what_is_no_swap() -> None:
    rng = np.random.default_rng(7)
    with pytest.raises(ValueError, match="expected another value"):
        swap_pair(BASE, "time", "sunset", rng)
    with pytest.raises(ValueError, match="sun into the night sky"):
        swap_pair(BASE, "time", "night", rng)
    with pytest.raises(ValueError, match="time: expected one of"):
        swap_pair(BASE, "time", "teatime", rng)
    with pytest.raises(ValueError, match="attribute: expected one of"):
        swap_pair(BASE, "mood", "happy", rng)


# The writer


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_write_dataset(tmp_path: Path) -> None:
    out = write_dataset(tmp_path / "data", 12, 16, seed=3, workers=1)
    description = json.loads((out / "dataset.json").read_text())
    assert (description["count"], description["resolution"], description["seed"], description["split"]) == (
        12,
        16,
        3,
        "train",
    )
    assert description["complete"]
    assert tuple(description["vocabulary"]) == vocabulary()
    lines = [json.loads(line) for line in (out / "postcards.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines] == [f"00000/{index:06d}.png" for index in range(12)]
    for index, line in enumerate(lines):
        attributes = Attributes(**line["attributes"])
        assert not is_held_out(attributes)
        assert attributes == make_record(index, 3, "train").attributes
        with Image.open(out / line["file"]) as picture:
            assert np.array_equal(np.asarray(picture), render(attributes, line["seed"], 16))
        texts = (out / line["file"]).with_suffix(".txt").read_text().splitlines()
        assert texts == [c["text"] for c in line["captions"]]
        assert len(set(texts)) == CAPTIONS_PER_PICTURE
    assert not list(out.rglob("*.partial"))


def test_interrupted_run_goes_on_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write_dataset(tmp_path / "whole", 10, 16, workers=1)
    from training.datasets.postcards import writing

    drawn = 0

    def failing(attributes: Attributes, seed: int, resolution: int) -> np.ndarray:
        nonlocal drawn
        drawn += 1
        if drawn == 6:
            raise KeyboardInterrupt
        return render(attributes, seed, resolution)

    monkeypatch.setattr(writing, "render", failing)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "part", 10, 16, workers=1)
    assert not json.loads((tmp_path / "part" / "dataset.json").read_text())["complete"]
    write_dataset(tmp_path / "part", 10, 16, workers=1)
    assert drawn == 6 + 5  # five pictures were there; the sixth and the last four came now
    assert snapshot(tmp_path / "part") == snapshot(whole)
    write_dataset(tmp_path / "part", 10, 16, workers=1)
    assert drawn == 11


def test_several_processes_write_the_same(tmp_path: Path) -> None:
    one = write_dataset(tmp_path / "one", 60, 16, split="heldout", workers=1)
    two = write_dataset(tmp_path / "two", 60, 16, split="heldout", workers=2)
    assert snapshot(one) == snapshot(two)
    assert all(is_held_out(make_record(index, 0, "heldout").attributes) for index in range(60))


def test_a_larger_count_adds_pictures(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", 3, 16, workers=1)
    write_dataset(tmp_path / "data", 5, 16, workers=1)
    assert len(list((tmp_path / "data").rglob("*.png"))) == 5
    with pytest.raises(DatasetError, match="holds a Postcards data set of 5 pictures; expected at most 4"):
        write_dataset(tmp_path / "data", 4, 16, workers=1)


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.txt").write_text("mine")
    with pytest.raises(DatasetError, match="expected an empty folder or a Postcards data set"):
        write_dataset(tmp_path, 2, 16, workers=1)
    assert snapshot(tmp_path) == {"holiday.txt": b"mine"}
    with pytest.raises(DatasetError, match="it is a file"):
        write_dataset(tmp_path / "holiday.txt", 2, 16, workers=1)


def test_other_settings_are_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path, 2, 16, workers=1)
    with pytest.raises(DatasetError, match="with resolution 16; expected 32"):
        write_dataset(tmp_path, 2, 32, workers=1)
    with pytest.raises(DatasetError, match="with seed 0; expected 1"):
        write_dataset(tmp_path, 2, 16, seed=1, workers=1)
    with pytest.raises(DatasetError, match="with split 'train'; expected 'all'"):
        write_dataset(tmp_path, 2, 16, split="all", workers=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "count: expected at least 1 picture; got 0"),
        ({"resolution": 4}, "resolution: expected 16 to 1024 pixels; got 4"),
        ({"seed": -1}, "seed: expected a number from 0 up; got -1"),
        ({"split": "test"}, "split: expected one of train, heldout, all; got 'test'"),
        ({"workers": 0}, "workers: expected at least 1 process; got 0"),
    ],
)
def test_bad_settings(tmp_path: Path, change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"count": 1, "resolution": 16, "workers": 1, **change}
    with pytest.raises(DatasetError, match=message):
        write_dataset(tmp_path / "data", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "data").exists()
