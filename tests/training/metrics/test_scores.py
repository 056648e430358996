"""The counting rules on hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest

from training.metrics.scores import mean_pairwise_distance, named_accuracy, swap_consistency, variety

VOCABULARY = {"time": ("dawn", "noon", "night"), "sky": ("none", "moon")}


def predictions(time: list[int], sky: list[int]) -> dict[str, np.ndarray]:
    return {"time": np.array(time), "sky": np.array(sky)}


def test_accuracy_counts_only_what_the_caption_names() -> None:
    named = [{"time": "dawn"}, {"time": "noon", "sky": "moon"}, {}, {"sky": "moon"}]
    # Time is right in one of the two captions that name it; sky in both of two. What the others show must not matter.
    for unnamed_time in (0, 1, 2):
        for unnamed_sky in (0, 1):
            got = named_accuracy(
                predictions([0, 2, unnamed_time, unnamed_time], [unnamed_sky, 1, unnamed_sky, 1]), named, VOCABULARY
            )
            assert got == {"time": 0.5, "sky": 1.0}


def test_an_attribute_no_caption_names_has_no_accuracy() -> None:
    assert named_accuracy(predictions([0], [0]), [{"time": "dawn"}], VOCABULARY) == {"time": 1.0, "sky": None}


def test_accuracy_needs_a_prediction_for_every_caption() -> None:
    with pytest.raises(ValueError, match=r"time: expected one prediction per caption \(2\), got 1"):
        named_accuracy(predictions([0], [0]), [{}, {}], VOCABULARY)


def test_swap_counts_changes_and_what_stays() -> None:
    changed, kept = swap_consistency(
        before=predictions([0, 0, 1, 2], [0, 1, 0, 1]),
        after=predictions([1, 0, 1, 0], [0, 0, 1, 1]),
        swapped=["time", "time", "sky", "sky"],
        new_values=["noon", "noon", "moon", "moon"],
        vocabulary=VOCABULARY,
    )
    # Pair 0: dawn became noon, sky stayed. Pair 1: time did not change, sky did. Pair 2: the moon rose, time stayed.
    # Pair 3: the moon was there and stays (it shows the new value), but time changed.
    assert changed == {"time": 0.5, "sky": 1.0}
    assert kept == {"time": 0.5, "sky": 0.5}


def test_a_generator_that_ignores_the_words_changes_nothing() -> None:
    same = predictions([0, 1], [0, 0])
    changed, kept = swap_consistency(same, same, ["time", "sky"], ["night", "moon"], VOCABULARY)
    assert changed == {"time": 0.0, "sky": 0.0}
    assert kept == {"time": 1.0, "sky": 1.0}


def test_pairwise_distance_is_the_mean_over_pairs() -> None:
    assert mean_pairwise_distance(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])) == pytest.approx(10 / 3)
    assert mean_pairwise_distance(np.tile([0.1, 0.7], (5, 1))) == 0.0
    with pytest.raises(ValueError, match="at least two rows"):
        mean_pairwise_distance(np.zeros((1, 3)))


def test_variety_of_a_constant_generator_is_zero_and_of_real_pictures_about_one() -> None:
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.5, 5.0, size=(24, 1, 1))  # captions that pin down more or less
    real, more_real = (rng.standard_normal((24, 16, 8)) * spread for _ in range(2))
    assert variety(np.zeros((24, 16, 8)), real) == 0.0
    assert variety(more_real, real) == pytest.approx(1.0, abs=0.05)
    assert variety(real * 0.5, real) == pytest.approx(0.5)


def test_variety_refuses_what_it_cannot_compare() -> None:
    with pytest.raises(ValueError, match="all alike"):
        variety(np.ones((2, 3, 4)), np.ones((2, 3, 4)))
    with pytest.raises(ValueError, match="same captions twice, got 2 and 3"):
        variety(np.ones((2, 3, 4)), np.ones((3, 3, 4)))
