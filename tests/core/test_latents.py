from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from core.latents import blend_embeddings, lerp, seed_corners, seed_to_z, slerp, truncate


def unit(*values: float) -> torch.Tensor:
    v = torch.tensor(values, dtype=torch.float64)
    return v / v.norm()


@pytest.mark.parametrize("seed", [0, 1, 85, 2**32 - 1])
def test_a_seed_is_numpys(seed: int) -> None:
    expected = np.random.RandomState(seed).randn(64).astype(np.float32)
    assert np.array_equal(seed_to_z(seed, 64).numpy(), expected)


@pytest.mark.parametrize(("seed", "same_as"), [(2**32, 0), (2**32 + 7, 7), (-1, 2**32 - 1), (-(2**33) + 3, 3)])
def test_any_integer_is_a_seed(seed: int, same_as: int) -> None:
    assert torch.equal(seed_to_z(seed, 8), seed_to_z(same_as, 8))


def test_corners_at_integers_are_the_seed_itself() -> None:
    assert seed_corners(3, 2) == [(203, 1.0)]
    assert seed_corners(-1, 0) == [(2**32 - 1, 1.0)]
    assert seed_corners(float(2**32), 0) == [(0, 1.0)]
    assert seed_corners(0, -1) == [(2**32 - 100, 1.0)]


def test_corners_between_integers_are_bilinear() -> None:
    corners = dict(seed_corners(1.25, 2.5))
    assert corners == pytest.approx({201: 0.375, 202: 0.125, 301: 0.375, 302: 0.125})
    assert dict(seed_corners(1.5, 0)) == pytest.approx({1: 0.5, 2: 0.5})
    assert dict(seed_corners(-0.25, 0)) == pytest.approx({2**32 - 1: 0.25, 0: 0.75})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_corners_need_finite_numbers(value: float) -> None:
    with pytest.raises(ValueError, match="two finite numbers"):
        seed_corners(value, 0)


def test_lerp() -> None:
    a, b = torch.tensor([0.0, 2.0]), torch.tensor([4.0, -2.0])
    assert torch.equal(lerp(a, b, 0.25), torch.tensor([1.0, 1.0]))
    assert lerp(a, b, 0.0) is a
    assert lerp(a, b, 1.0) is b


def test_slerp_moves_at_constant_speed_and_its_length_goes_linearly() -> None:
    a, b = unit(1, 2, 3) * 2, unit(-2, 1, 0.5) * 4
    angle = math.acos(float(a @ b) / 8)
    for t in (0.1, 0.5, 0.9):
        v = slerp(a, b, t)
        assert float(v.norm()) == pytest.approx(2 + 2 * t)
        assert math.acos(float(v @ a / v.norm() / 2)) == pytest.approx(t * angle)
        assert float(torch.linalg.matrix_rank(torch.stack([a, b, v]), tol=1e-9)) == 2  # stays in their plane


def test_slerp_in_batches_equals_slerp_one_by_one() -> None:
    a, b = torch.randn(5, 16), torch.randn(5, 16)
    rows = torch.stack([slerp(a[i], b[i], 0.3) for i in range(5)])
    assert torch.allclose(slerp(a, b, 0.3), rows)


@pytest.mark.parametrize("t", [0.0, 1e-6, 0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("offset", [0.0, 1e-9, 1e-6, 1e-3])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_slerp_is_safe_for_equal_and_opposite_vectors(t: float, offset: float, sign: float) -> None:
    a = unit(1, 1, 0)
    b = sign * unit(1, 1, offset)
    v = slerp(a, b, t)
    assert torch.isfinite(v).all()
    assert float(v.norm()) == pytest.approx(1.0, abs=1e-6)
    # Neighbouring points stay neighbours, so that nothing jumps on the screen.
    assert float((slerp(a, b, min(1.0, t + 1e-4)) - v).norm()) < 2e-3


def test_slerp_of_zero_vectors_is_a_straight_line() -> None:
    a = torch.zeros(3)
    b = torch.tensor([0.0, 2.0, 0.0])
    assert torch.equal(slerp(a, b, 0.5), torch.tensor([0.0, 1.0, 0.0]))
    assert torch.equal(slerp(a, a, 0.5), a)


def test_truncation_is_exact_at_its_ends() -> None:
    f, f_avg = torch.randn(2, 64), torch.randn(64)
    assert torch.equal(truncate(f, f_avg, 1.0), f)
    assert torch.equal(truncate(f, f_avg, 0.0), f_avg.expand(2, 64))
    expected = f_avg.double().numpy() + 0.7 * (f.double().numpy() - f_avg.double().numpy())
    assert np.allclose(truncate(f, f_avg, 0.7).numpy(), expected, atol=1e-6)
    assert np.allclose(truncate(f, f_avg, -1.0).numpy(), 2 * f_avg.numpy() - f.numpy(), atol=1e-5)


@pytest.mark.parametrize("t", [0.0, 0.2, 0.5, 0.999, 1.0])
def test_embeddings_are_blended_on_the_sphere(t: float) -> None:
    a = torch.nn.functional.normalize(torch.randn(128), dim=0)
    b = torch.nn.functional.normalize(torch.randn(128), dim=0)
    for other in (b, a, -a, a + 1e-7 * b):
        other = torch.nn.functional.normalize(other, dim=0)
        v = blend_embeddings(a, other, t)
        assert v.dtype == torch.float32
        assert float(v.norm()) == pytest.approx(1.0, abs=1e-6)
    assert torch.equal(blend_embeddings(a, b, 0.0), a)
    assert torch.equal(blend_embeddings(a, b, 1.0), b)
