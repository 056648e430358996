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
    centred_ND = x_ND - mean_D
    return Gaussian(mean=mean_D, covariance=centred_ND.T @ centred_ND / (len(x_ND) - 1))


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
