"""Distances between two sets of feature vectors: Frechet (FID, arXiv 1706.08500) and kernel (KID, arXiv 1801.01401).

The Frechet distance is

    |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^(1/2)).

S1 S2 is not symmetric, and a general matrix square root of it is slow and can come out complex. S1^(1/2) S2 S1^(1/2)
has the same eigenvalues and is symmetric and positive semi-definite, so two symmetric eigen-decompositions in float64
give the trace.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]

KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000
# Below this many pictures for each dimension of the features a Frechet distance is plainly too high: its authors ask
# for 10,000 at 2048 dimensions.
ENOUGH_PER_DIMENSION = 4
_ROWS = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class Gaussian:
    """Mean and covariance of a set of feature vectors, in float64."""

    mean: NDArray[np.float64]
    """[D]"""
    covariance: NDArray[np.float64]
    """[D, D], the unbiased estimate (divided by N - 1)."""


def gaussian(features_ND: Features) -> Gaussian:
    """Fits a Gaussian to `features_ND`: [N, D], N >= 2, finite. Raises `ValueError` otherwise."""
    x_ND = np.asarray(features_ND, dtype=np.float64)
    if x_ND.ndim != 2 or x_ND.shape[0] < 2 or x_ND.shape[1] < 1:
        raise ValueError(f"features: expected [N, D] with at least two rows, got the shape {list(x_ND.shape)}")
    if not np.isfinite(x_ND).all():
        raise ValueError("features: expected finite numbers, got NaN or infinity; the pictures behind them are broken")
    mean_D = x_ND.mean(axis=0)
    covariance_DD = np.zeros((x_ND.shape[1], x_ND.shape[1]))
    for start in range(0, len(x_ND), _ROWS):  # a centred copy of fifty thousand rows would take a gigabyte
        centred_ND = x_ND[start : start + _ROWS] - mean_D
        covariance_DD += centred_ND.T @ centred_ND
    return Gaussian(mean=mean_D, covariance=covariance_DD / (len(x_ND) - 1))


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """The squared Frechet distance between two Gaussians of the same dimension, at least 0."""
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features: expected the same dimension twice, got {a.mean.shape[0]} and {b.mean.shape[0]}")
    values_D, vectors_DD = np.linalg.eigh(a.covariance)
    root_DD = (vectors_DD * np.sqrt(np.clip(values_D, 0.0, None))) @ vectors_DD.T
    product_DD = root_DD @ b.covariance @ root_DD
    # Rounding leaves the product symmetric only to 1e-16 and its smallest eigenvalues slightly negative.
    product_values_D = np.linalg.eigvalsh((product_DD + product_DD.T) / 2)
    trace_of_root = float(np.sqrt(np.clip(product_values_D, 0.0, None)).sum())
    shift_D = a.mean - b.mean
    distance = float(shift_D @ shift_D) + float(np.trace(a.covariance) + np.trace(b.covariance)) - 2.0 * trace_of_root
    return max(distance, 0.0)


def fid(features_a_ND: Features, features_b_MD: Features) -> float:
    """The Frechet distance between Gaussians fitted to two sets of features, [N, D] and [M, D]."""
    return frechet_distance(gaussian(features_a_ND), gaussian(features_b_MD))


def frechet_warnings(dim: int, generated: int, real: int) -> list[str]:
    """What makes a Frechet distance between so many pictures doubtful, in words; empty when nothing does.

    A covariance from N pictures has at most N - 1 directions, and the distance between two sets of one kind falls with
    N, so that figures from different numbers of pictures cannot be compared, least of all from few.
    """
    warnings: list[str] = []
    for what, count in (("generated", generated), ("real", real)):
        if count <= dim:
            warnings.append(
                f"FID: only {count} {what} pictures for {dim} features, so the covariance is singular and the figure "
                f"means nothing by itself; take at least {ENOUGH_PER_DIMENSION * dim}"
            )
        elif count < ENOUGH_PER_DIMENSION * dim:
            warnings.append(
                f"FID: {count} {what} pictures are few for {dim} features, so the figure is too high and compares only "
                f"with others of the same number; take at least {ENOUGH_PER_DIMENSION * dim}"
            )
    return warnings


def kid(features_a_ND: Features, features_b_MD: Features) -> float:
    """The unbiased squared maximum mean discrepancy with the kernel (x . y / D + 1)^3; may be slightly negative."""
    a_ND = np.asarray(features_a_ND, dtype=np.float64)
    b_MD = np.asarray(features_b_MD, dtype=np.float64)
    if a_ND.ndim != 2 or b_MD.ndim != 2 or a_ND.shape[1] != b_MD.shape[1] or min(len(a_ND), len(b_MD)) < 2:
        raise ValueError(
            f"features: expected [N, D] and [M, D] with N, M >= 2, got {list(a_ND.shape)} and {list(b_MD.shape)}"
        )
    n, m, dim = len(a_ND), len(b_MD), a_ND.shape[1]
    kernel_aa = (a_ND @ a_ND.T / dim + 1.0) ** 3
    kernel_bb = (b_MD @ b_MD.T / dim + 1.0) ** 3
    kernel_ab = (a_ND @ b_MD.T / dim + 1.0) ** 3
    within_a = (kernel_aa.sum() - np.trace(kernel_aa)) / (n * (n - 1))
    within_b = (kernel_bb.sum() - np.trace(kernel_bb)) / (m * (m - 1))
    return float(within_a + within_b - 2.0 * kernel_ab.mean())


def kid_over_subsets(
    features_a_ND: Features,
    features_b_MD: Features,
    *,
    subsets: int = KID_SUBSETS,
    size: int = KID_SUBSET_SIZE,
    seed: int = 0,
) -> tuple[float, float]:
    """(mean, standard deviation) of `kid` over random subsets of `size` rows of each set, as it is usually reported.

    `size` is cut down to the smaller set. The subsets are those that torch-fidelity draws from the same seed.
    """
    size = min(size, len(features_a_ND), len(features_b_MD))
    if subsets < 1 or size < 2:
        raise ValueError(f"KID: expected at least one subset of at least two rows, got {subsets} of {size}")
    rng = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        rows_a = rng.choice(len(features_a_ND), size, replace=False)
        rows_b = rng.choice(len(features_b_MD), size, replace=False)
        values.append(kid(features_a_ND[rows_a], features_b_MD[rows_b]))
    return float(np.mean(values)), float(np.std(values))
