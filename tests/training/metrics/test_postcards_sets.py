"""The drawn captions, pictures and swaps, and that they are what the data set's own sampler would give."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from training.datasets import postcards
from training.datasets.postcards import ATTRIBUTES
from training.metrics.postcards_sets import (
    captions_for_variety,
    label_indices,
    labels_for,
    render_pictures,
    sample_captions,
    sample_labels,
    sample_swaps,
)


def test_labels_are_drawn_by_seed_and_indexed_in_order() -> None:
    labels = sample_labels(30, split="all", seed=(3,))
    assert labels == sample_labels(30, split="all", seed=(3,))
    assert labels != sample_labels(30, split="all", seed=(4,))
    indices = label_indices(labels)
    for i, label in enumerate(labels):
        assert {name: ATTRIBUTES[name][indices[name][i]] for name in ATTRIBUTES} == label.as_dict()


def test_pictures_do_not_depend_on_the_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = sample_labels(70, split="all", seed=(1,))
    alone = render_pictures(labels, 16, seed=(1,), workers=1)
    monkeypatch.setattr("training.metrics.postcards_sets._WORTH_PROCESSES", 1)
    done = []
    together = render_pictures(labels, 16, seed=(1,), workers=2, progress=lambda at, total: done.append((at, total)))
    np.testing.assert_array_equal(alone, together)
    assert done == [(64, 70), (70, 70)]
    assert not np.array_equal(alone, render_pictures(labels, 16, seed=(2,), workers=1))
    with pytest.raises(ValueError, match="at least one picture"):
        render_pictures([], 16, seed=(1,))


def test_seen_captions_never_name_a_held_out_triple_and_held_out_ones_always_do() -> None:
    seen = sample_captions(200, split="train", seed=(1,))
    held_out = sample_captions(200, split="heldout", seed=(2,), name_triple=True)
    base = postcards.sample_attributes(np.random.default_rng(0))
    for named in seen.named:
        if {"terrain", "time", "style"} <= named.keys():
            assert not postcards.is_held_out(
                replace(base, sky="none", **{k: named[k] for k in ("terrain", "time", "style")})
            )
    for named in held_out.named:
        assert postcards.is_held_out(replace(base, sky="none", **{k: named[k] for k in ("terrain", "time", "style")}))
    both = seen + held_out
    assert len(both.prompts) == len(both.named) == len(both.labels) == 400
    assert all(label.as_dict().items() >= named.items() for label, named in zip(both.labels, both.named, strict=True))


def test_attributes_for_a_caption_are_distributed_as_the_samplers() -> None:
    named = {"sky": "moon", "style": "neon"}
    rng = np.random.default_rng(5)
    ours = [labels_for(named, rng, split="train") for _ in range(2000)]
    plain = []
    while len(plain) < 1000:  # the plain way: draw until the caption fits
        drawn = postcards.sample_attributes(rng, split="train")
        if drawn.sky == "moon" and drawn.style == "neon":
            plain.append(drawn)
    assert all(label.sky == "moon" and label.style == "neon" and not postcards.is_held_out(label) for label in ours)
    for name in ("terrain", "time", "weather", "object"):
        counts, expected = Counter(getattr(a, name) for a in ours), Counter(getattr(a, name) for a in plain)
        for value in ATTRIBUTES[name]:
            assert counts[value] / 2000 == pytest.approx(expected[value] / 1000, abs=0.06)


def test_a_caption_that_no_picture_of_the_split_fits_is_an_error() -> None:
    held_out = postcards.sample_attributes(np.random.default_rng(0), split="heldout").as_dict()
    named = {name: held_out[name] for name in ("terrain", "time", "style")}
    assert labels_for(named, np.random.default_rng(0), split="heldout").style == named["style"]
    with pytest.raises(ValueError, match="found none"):
        labels_for(named, np.random.default_rng(0), split="train")


def test_variety_repeats_each_caption_and_varies_what_it_leaves_open() -> None:
    some = captions_for_variety(6, 5, seed=(9,))
    assert len(some.prompts) == 30
    for start in range(0, 30, 5):
        assert len(set(some.prompts[start : start + 5])) == 1
        for label in some.labels[start : start + 5]:
            assert label.as_dict().items() >= some.named[start].items()
    assert any(len(set(some.labels[start : start + 5])) > 1 for start in range(0, 30, 5))


def test_swaps_change_one_attribute_each() -> None:
    swaps = sample_swaps(4, seed=(2,))
    assert Counter(swap.attribute for swap in swaps) == dict.fromkeys(ATTRIBUTES, 4)
    for swap in swaps:
        assert swap.before != swap.after
        assert swap.new_value in ATTRIBUTES[swap.attribute]
    assert swaps == sample_swaps(4, seed=(2,))
