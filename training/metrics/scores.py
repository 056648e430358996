"""The counting behind the evaluations of Postcards and Stickers, apart from any model: predictions and features in,
fractions out.

Predictions and labels are dictionaries attribute -> [N] arrays of value indices; captions say what they name as
attribute -> value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Predictions = Mapping[str, NDArray[np.int64]]
"""Attribute -> [N] index of the predicted value."""
Vocabulary = Mapping[str, tuple[str, ...]]
"""Attribute -> its values, in the order of the classifier's outputs."""


UNKNOWN = -1
"""The index of a value where nothing is asked, or nothing true could be said."""


def accuracy_where_known(predicted_N: NDArray[np.int64], truth_N: NDArray[np.int64]) -> float:
    """The fraction of pictures whose value is right, of those whose value is known; NaN when none is."""
    known = truth_N != UNKNOWN
    return float((predicted_N == truth_N)[known].mean()) if known.any() else float("nan")


def _values(predictions: Predictions, vocabulary: Vocabulary, name: str) -> list[str]:
    return [vocabulary[name][int(i)] for i in predictions[name]]


def named_accuracy(
    predictions: Predictions, named: Sequence[Mapping[str, str]], vocabulary: Vocabulary
) -> dict[str, float | None]:
    """The fraction of pictures whose predicted value is the one the caption names, per attribute.

    A caption that does not name an attribute leaves it to z, so it does not count there. An attribute that no caption
    names has no accuracy: None.
    """
    result: dict[str, float | None] = {}
    for name in vocabulary:
        predicted = _values(predictions, vocabulary, name)
        if len(predicted) != len(named):
            raise ValueError(f"{name}: expected one prediction per caption ({len(named)}), got {len(predicted)}")
        hits = [value == labels[name] for value, labels in zip(predicted, named, strict=True) if name in labels]
        result[name] = sum(hits) / len(hits) if hits else None
    return result


def swap_consistency(
    before: Predictions,
    after: Predictions,
    swapped: Sequence[str],
    new_values: Sequence[str],
    vocabulary: Vocabulary,
    *,
    comparable: Sequence[Collection[str]] | None = None,
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """What changing one attribute's words does to the picture at a fixed seed: (changed, kept).

    `swapped[i]` is the attribute whose words pair i changes and `new_values[i]` what they now say. changed[name]:
    among the pairs that swap `name`, the fraction whose picture shows the new value. kept[name]: among the pairs that
    swap another attribute, the fraction whose prediction of `name` is the same before and after, whether or not the
    caption names it; with `comparable`, which says for each pair what must not change, only among the pairs of `name`.
    """
    changed: dict[str, float | None] = {}
    kept: dict[str, float | None] = {}
    for name in vocabulary:
        was, now = _values(before, vocabulary, name), _values(after, vocabulary, name)
        if not len(was) == len(now) == len(swapped) == len(new_values):
            raise ValueError(f"{name}: expected one prediction before and after per pair ({len(swapped)})")
        hits = [now[i] == new_values[i] for i, attribute in enumerate(swapped) if attribute == name]
        stays = [
            now[i] == was[i]
            for i, attribute in enumerate(swapped)
            if attribute != name and (comparable is None or name in comparable[i])
        ]
        changed[name] = sum(hits) / len(hits) if hits else None
        kept[name] = sum(stays) / len(stays) if stays else None
    return changed, kept


def mean_pairwise_distance(features_ND: NDArray[np.floating]) -> float:
    """The mean Euclidean distance over all pairs of rows of [N, D], N >= 2."""
    x_ND = np.asarray(features_ND, dtype=np.float64)
    if x_ND.ndim != 2 or len(x_ND) < 2:
        raise ValueError(f"features: expected [N, D] with at least two rows, got the shape {list(x_ND.shape)}")
    # The differences themselves, not |a|^2 + |b|^2 - 2 a.b: identical rows must give exactly 0. One row at a time
    # keeps memory small.
    total = sum(float(np.linalg.norm(x_ND[i + 1 :] - x_ND[i], axis=1).sum()) for i in range(len(x_ND) - 1))
    return total / (len(x_ND) * (len(x_ND) - 1) / 2)


def variety(generated_CSD: NDArray[np.floating], real_CSD: NDArray[np.floating]) -> float:
    """How much the seed changes a picture, relative to real pictures of the same caption.

    0 is one picture a caption, 1 is as varied as real ones. Features of C captions x S seeds. For each caption the mean
    pairwise distance over seeds, generated divided by real; then the mean of these ratios.
    """
    if len(generated_CSD) != len(real_CSD) or not len(real_CSD):
        raise ValueError(f"variety: expected the same captions twice, got {len(generated_CSD)} and {len(real_CSD)}")
    ratios = []
    for generated_SD, real_SD in zip(generated_CSD, real_CSD, strict=True):
        real = mean_pairwise_distance(real_SD)
        if real == 0.0:
            raise ValueError("variety: real pictures of one caption are all alike, so there is nothing to compare with")
        ratios.append(mean_pairwise_distance(generated_SD) / real)
    return float(np.mean(ratios))
