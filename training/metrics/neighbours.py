"""Precision and recall of a generator by nearest neighbours (Kynkaanniemi et al. 2019, arXiv 1904.06991).

Around each picture of a set lies a ball that reaches to its k-th nearest neighbour in the set; together the balls
stand for what the set could contain. Precision is the share of generated pictures inside the balls of real ones
(fidelity), recall the share of real pictures inside the balls of generated ones (variety).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NEIGHBOURS = 3
# Distances of so many pairs are held at once, 8 bytes each.
_PAIRS = 2**24


def precision_recall(
    generated_ND: NDArray[np.floating], real_MD: NDArray[np.floating], *, neighbours: int = NEIGHBOURS
) -> tuple[float, float]:
    """(precision, recall) of two sets of features, each with more rows than `neighbours`."""
    shapes = [list(generated_ND.shape), list(real_MD.shape)]
    if any(len(shape) != 2 or shape[0] <= neighbours for shape in shapes) or shapes[0][1] != shapes[1][1]:
        raise ValueError(
            f"features: expected [N, D] and [M, D] with N, M > {neighbours}, got {shapes[0]} and {shapes[1]}"
        )
    # Distances do not change when both sets are moved, and lose fewer digits near the origin.
    centre_D = real_MD.mean(axis=0, dtype=np.float64)
    generated = torch.from_numpy(generated_ND.astype(np.float64) - centre_D)
    real = torch.from_numpy(real_MD.astype(np.float64) - centre_D)
    precision = _inside(generated, real, _radii(real, neighbours))
    recall = _inside(real, generated, _radii(generated, neighbours))
    return precision, recall


def _radii(x_ND: Tensor, neighbours: int) -> Tensor:
    """[N]: the squared distance from each row to its k-th nearest other row."""
    # The nearest of all is the row itself, hence one more.
    blocks = torch.split(x_ND, _block(x_ND))
    return torch.cat([_squared(rows, x_ND).kthvalue(neighbours + 1, dim=1).values for rows in blocks])


def _inside(x_ND: Tensor, centres_MD: Tensor, radii_M: Tensor) -> float:
    """The share of rows of `x_ND` that lie in any of the balls."""
    blocks = torch.split(x_ND, _block(centres_MD))
    hits = [int((_squared(rows, centres_MD) <= radii_M).any(dim=1).sum()) for rows in blocks]
    return sum(hits) / len(x_ND)


def _squared(a_ND: Tensor, b_MD: Tensor) -> Tensor:
    """[N, M] squared Euclidean distances."""
    squares = a_ND.square().sum(dim=1)[:, None] + b_MD.square().sum(dim=1)
    return torch.addmm(squares, a_ND, b_MD.T, alpha=-2.0).clamp_(min=0.0)


def _block(others_MD: Tensor) -> int:
    return max(1, _PAIRS // len(others_MD))
