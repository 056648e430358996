"""Latent arithmetic: seeds, the seed plane, truncation, and interpolation. Pure functions; nothing here holds state.

A seed means what it means in every published StyleGAN tool: `numpy.random.RandomState(seed).randn(z_dim)`, so that
seeds people share give the same z here.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from core.request import SEED_LIMIT, SEEDS_PER_ROW

# Two directions closer than this (in radians) to each other, or to being opposite, leave the great circle numerically
# undefined.
_ANGLE_EPS = 1e-4


def seed_to_z(seed: int, z_dim: int) -> Tensor:
    """The latent of a seed: float32 [z_dim], standard normal.

    Any integer is a seed: numpy takes 0 to 2**32 - 1, so the seed is first taken modulo 2**32 (2**32 is 0, -1 is 2**32
    - 1).
    """
    state = np.random.RandomState(int(seed) % SEED_LIMIT)
    return torch.from_numpy(state.randn(z_dim).astype(np.float32))


def seed_corners(x: float, y: float) -> list[tuple[int, float]]:
    """The seeds around a point of the seed plane with their bilinear weights: 1, 2 or 4 pairs whose weights are
    positive and sum to 1.

    At integers there is one corner, (x + 100 y) mod 2**32 with weight 1, so that the plane passes exactly through every
    seed.
    """
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"seed: expected two finite numbers, got ({x!r}, {y!r})")
    x0, y0 = math.floor(x), math.floor(y)
    dx, dy = x - x0, y - y0
    corners: list[tuple[int, float]] = []
    for j, weight_y in ((0, 1.0 - dy), (1, dy)):
        for i, weight_x in ((0, 1.0 - dx), (1, dx)):
            weight = weight_x * weight_y
            if weight > 0.0:
                corners.append(((x0 + i + SEEDS_PER_ROW * (y0 + j)) % SEED_LIMIT, weight))
    return corners


def lerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """The straight line from `a` (t = 0) to `b` (t = 1). Exactly `a` and `b` at the ends."""
    if t == 0.0:
        return a
    if t == 1.0:
        return b
    return a + (b - a) * t


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """From `a` to `b` at constant angular speed (Shoemake 1985), the length going linearly from |a| to |b|. Last
    dimension is the vector.

    Safe where the great circle is undefined: equal or zero vectors move on the straight line, opposite ones through a
    fixed perpendicular direction. Exactly `a` and `b` at the ends.
    """
    if t == 0.0:
        return a
    if t == 1.0:
        return b
    a64, b64 = a.double(), b.double()
    length_a, length_b = a64.norm(dim=-1, keepdim=True), b64.norm(dim=-1, keepdim=True)
    zero = (length_a == 0) | (length_b == 0)
    one = torch.ones_like(length_a)
    u = a64 / torch.where(zero, one, length_a)
    v = b64 / torch.where(zero, one, length_b)
    # atan2 of the half chords keeps full precision near 0 and pi, where acos of the dot product loses half the digits.
    omega = 2.0 * torch.atan2((u - v).norm(dim=-1, keepdim=True), (u + v).norm(dim=-1, keepdim=True))
    # The unit vector perpendicular to u in the plane of u and v; for opposite vectors any perpendicular will do, as
    # long as it is fixed.
    side = v - u * (u * v).sum(dim=-1, keepdim=True)
    side = torch.where(omega > math.pi - _ANGLE_EPS, _perpendicular(u), side)
    side = side / side.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    length = length_a + (length_b - length_a) * t
    curved = (u * torch.cos(t * omega) + side * torch.sin(t * omega)) * length
    straight = a64 + (b64 - a64) * t
    return torch.where(zero | (omega < _ANGLE_EPS), straight, curved).to(a.dtype)


def _perpendicular(u: Tensor) -> Tensor:
    """A direction at right angles to each unit vector: the axis it leans on least, made perpendicular."""
    if u.shape[-1] == 1:
        return torch.zeros_like(u)
    axis = torch.nn.functional.one_hot(u.abs().argmin(dim=-1), u.shape[-1]).to(u.dtype)
    return axis - u * (u * axis).sum(dim=-1, keepdim=True)


def truncate(f: Tensor, f_avg: Tensor, psi: float) -> Tensor:
    """The truncation trick: `f_avg + psi (f - f_avg)`. psi 1 is exactly `f`, psi 0 exactly `f_avg`."""
    return lerp(f_avg.expand_as(f), f, psi)


def blend_embeddings(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Between two text embeddings, on the unit sphere they live on: slerp, then normalised. Last dimension is the
    vector.
    """
    if t == 0.0:
        return a
    if t == 1.0:
        return b
    return torch.nn.functional.normalize(slerp(a, b, t), dim=-1)
