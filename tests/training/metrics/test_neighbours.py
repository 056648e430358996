"""Precision and recall on sets whose answer is known, and against every distance written out."""

from __future__ import annotations

import numpy as np
import pytest

from training.metrics import neighbours
from training.metrics.neighbours import precision_recall


def written_out(generated: np.ndarray, real: np.ndarray, k: int) -> tuple[float, float]:
    def covered(points: np.ndarray, centres: np.ndarray) -> float:
        radii = [sorted(np.linalg.norm(centres - centre, axis=1))[k] for centre in centres]
        return float(np.mean([any(np.linalg.norm(centres - point, axis=1) <= radii) for point in points]))

    return covered(generated, real), covered(real, generated)


@pytest.mark.parametrize("seed", range(3))
def test_equals_every_distance_written_out(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_PAIRS", 300)  # several blocks
    rng = np.random.default_rng(seed)
    generated = rng.standard_normal((60, 5)).astype(np.float32) * 0.7 + 0.3
    real = rng.standard_normal((47, 5)).astype(np.float32)
    expected = written_out(generated.astype(np.float64), real.astype(np.float64), 3)
    assert precision_recall(generated, real) == pytest.approx(expected, abs=1e-12)
    assert 0 < expected[1] < 1


def test_far_from_the_origin_digits_are_kept() -> None:
    rng = np.random.default_rng(1)
    generated, real = rng.standard_normal((2, 80, 4))
    assert precision_recall(generated + 1e6, real + 1e6) == pytest.approx(precision_recall(generated, real))


def test_one_mode_of_two_is_precise_and_recalls_half() -> None:
    rng = np.random.default_rng(2)
    near, far = rng.standard_normal((2, 300, 2))
    precision, recall = precision_recall(rng.standard_normal((300, 2)), np.concatenate([near, far + 100]))
    assert precision > 0.9
    assert 0.4 < recall < 0.55


def test_sets_apart_have_nothing_in_common_and_equal_sets_everything() -> None:
    a = np.random.default_rng(3).standard_normal((50, 3))
    assert precision_recall(a, a + 1000) == (0.0, 0.0)
    assert precision_recall(a, a) == (1.0, 1.0)


def test_too_few_rows_and_other_dimensions_are_refused() -> None:
    a = np.zeros((10, 3))
    for b in (np.zeros((3, 3)), np.zeros((10, 4)), np.zeros(10)):
        with pytest.raises(ValueError, match="expected"):
            precision_recall(a, b)
