"""Frechet and kernel distances against plain formulas and known answers."""

from __future__ import annotations

import numpy as np
import pytest

from training.metrics.frechet import (
    Gaussian,
    fid,
    frechet_distance,
    frechet_warnings,
    gaussian,
    kid,
    kid_over_subsets,
)


def random_features(seed: int, count: int = 200, dim: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, dim)) @ rng.standard_normal((dim, dim)) + rng.standard_normal(dim)


def plain_frechet(a: np.ndarray, b: np.ndarray) -> float:
    """The textbook form: the trace of the root from the eigenvalues of S1 S2, a matrix that is not symmetric."""
    s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    eigenvalues = np.linalg.eigvals(s1 @ s2)
    shift = a.mean(0) - b.mean(0)
    return float(shift @ shift + np.trace(s1) + np.trace(s2) - 2 * np.sqrt(eigenvalues.astype(complex)).sum().real)


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_textbook_formula(seed: int) -> None:
    a, b = random_features(seed), random_features(seed + 100, count=150)
    assert fid(a, b) == pytest.approx(plain_frechet(a, b), rel=1e-9)
    assert fid(a, b) == pytest.approx(fid(b, a), rel=1e-9)


def test_identical_sets_are_at_distance_zero() -> None:
    a = random_features(3)
    assert fid(a, a) == pytest.approx(0.0, abs=1e-6 * float(np.trace(gaussian(a).covariance)))


def test_fewer_rows_than_dimensions_is_still_zero_to_itself() -> None:
    a = random_features(5, count=4, dim=12)  # a singular covariance
    assert fid(a, a) == pytest.approx(0.0, abs=1e-5)


def test_shifted_gaussian_is_the_squared_shift() -> None:
    a = random_features(1)
    shift = np.array([1.0, -2.0, 0.5, 0.0, 3.0, 0.25])
    assert fid(a, a + shift) == pytest.approx(float(shift @ shift), rel=1e-6)


def test_diagonal_gaussians_have_a_closed_form() -> None:
    v1, v2 = np.array([1.0, 4.0, 9.0]), np.array([4.0, 1.0, 0.0])
    a = Gaussian(mean=np.zeros(3), covariance=np.diag(v1))
    b = Gaussian(mean=np.ones(3), covariance=np.diag(v2))
    assert frechet_distance(a, b) == pytest.approx(3.0 + float(((np.sqrt(v1) - np.sqrt(v2)) ** 2).sum()), rel=1e-12)


def test_kid_is_near_zero_for_one_distribution_and_grows_with_a_shift() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.standard_normal((2, 1000, 4))
    assert abs(kid(a, b)) < 0.02
    assert 0.1 < kid(a, b + 0.5) < kid(a, b + 1.0)


def test_kid_equals_sums_over_pairs() -> None:
    a, b = random_features(1, count=5, dim=3), random_features(2, count=4, dim=3)

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 3 + 1) ** 3)

    within_a = np.mean([kernel(a[i], a[j]) for i in range(5) for j in range(5) if i != j])
    within_b = np.mean([kernel(b[i], b[j]) for i in range(4) for j in range(4) if i != j])
    between = np.mean([kernel(x, y) for x in a for y in b])
    assert kid(a, b) == pytest.approx(float(within_a + within_b - 2 * between), rel=1e-9)


@pytest.mark.parametrize(
    "features", [np.zeros(4), np.zeros((1, 4)), np.full((5, 2), np.nan), np.array([[1.0, np.inf], [0.0, 0.0]])]
)
def test_unusable_features_are_refused(features: np.ndarray) -> None:
    with pytest.raises(ValueError, match="features: expected"):
        gaussian(features)


def test_different_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="same dimension twice, got 6 and 3"):
        fid(random_features(0), random_features(0, dim=3))
    with pytest.raises(ValueError, match="expected"):
        kid(random_features(0), random_features(0, dim=3))


def test_large_sets_are_fitted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    x = random_features(3, count=101)
    monkeypatch.setattr("training.metrics.frechet._ROWS", 7)
    fitted = gaussian(x)
    np.testing.assert_allclose(fitted.covariance, np.cov(x, rowvar=False), rtol=1e-12)


def test_too_few_pictures_for_the_features_are_told() -> None:
    assert frechet_warnings(64, 256, 10_000) == []
    (few,) = frechet_warnings(64, 255, 10_000)
    assert "255 generated pictures are few for 64 features" in few
    assert "at least 256" in few
    singular = frechet_warnings(2048, 2048, 500)
    assert all("singular" in warning for warning in singular)
    assert "2048 generated" in singular[0]
    assert "500 real" in singular[1]


def test_kid_over_subsets_is_about_the_whole() -> None:
    a, b = random_features(1, count=400), random_features(2, count=300)
    mean, deviation = kid_over_subsets(a, b, subsets=200, size=100)
    assert mean == pytest.approx(kid(a, b), rel=0.05)
    assert deviation > 0
    # No more rows than there are: then each subset is the whole.
    assert kid_over_subsets(a[:50], b[:50], subsets=2, size=1000)[0] == pytest.approx(kid(a[:50], b[:50]))
    with pytest.raises(ValueError, match="at least two rows"):
        kid_over_subsets(a[:1], b)
