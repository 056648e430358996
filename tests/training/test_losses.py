"""The losses against plain formulas in float64."""

import math

import pytest
import torch

from training.losses import (
    hinge,
    layout_distance,
    matching,
    over_heads,
    r1_penalty,
    relativistic,
    spherical_distance,
)


def test_hinge_is_a_mean_over_tokens() -> None:
    real, fake = torch.tensor([[2.0, -1.0]]), torch.tensor([[0.5, -3.0]])
    assert hinge(real, fake).item() == pytest.approx((0 + 2) / 2 + (1.5 + 0) / 2)


def test_relativistic_counts_how_far_each_picture_is_behind_its_own_pair() -> None:
    ahead, behind = torch.tensor([[1.0], [5.0]]), torch.tensor([[2.0], [1.0]])
    expected = (math.log(1 + math.exp(1.0)) + math.log(1 + math.exp(-4.0))) / 2
    assert relativistic(ahead, behind).item() == pytest.approx(expected)


def test_matching_is_the_cross_entropy_of_each_pictures_own_caption() -> None:
    logits = torch.randn(2, 5, dtype=torch.float64)
    own = torch.tensor([3, 0])
    plain = -sum(float(logits[n, own[n]] - logits[n].exp().sum().log()) for n in range(2)) / 2
    assert matching(logits, own).item() == pytest.approx(plain)


def test_heads_count_by_their_weights() -> None:
    assert over_heads([torch.tensor(1.0), torch.tensor(5.0)], [1.0, 3.0]).item() == pytest.approx(4.0)


def test_layout_distance_sees_where_things_are_and_no_tint() -> None:
    left = torch.zeros(2, 3, 64, 64, dtype=torch.float64)
    left[:, :, :, :32] = 1.0
    assert layout_distance(left, left.flip(3)).item() == pytest.approx(1.0)
    tint = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)[:, None, None]
    assert layout_distance(left, left + tint).item() == pytest.approx(0.0, abs=1e-12)
    fine = torch.zeros(1, 3, 64, 64)
    fine[:, :, ::2] = 1.0
    assert layout_distance(fine, fine.roll(1, dims=2)).item() == pytest.approx(0.0, abs=1e-6)


def test_spherical_distance_is_the_squared_angle() -> None:
    angles = torch.tensor([0.1, 1.0, 2.0, 3.0], dtype=torch.float64)
    a = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(4, 2)
    b = torch.stack([angles.cos(), angles.sin()], dim=1)
    torch.testing.assert_close(spherical_distance(a, b), torch.arccos((a * b).sum(1)).square())


@pytest.mark.parametrize("angle", [0.0, math.pi])
def test_spherical_distance_has_finite_gradients_at_both_poles(angle: float) -> None:
    a = torch.tensor([[1.0, 0.0]], requires_grad=True)
    b = torch.tensor([[math.cos(angle), math.sin(angle)]])
    spherical_distance(a, b).sum().backward()
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()


def test_r1_of_a_linear_discriminator_is_half_its_squared_weight() -> None:
    weight = torch.randn(3, 4, 4, dtype=torch.float64)
    x = torch.randn(5, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    logits = (x * weight).sum(dim=(1, 2, 3))
    torch.testing.assert_close(r1_penalty(logits, x), 0.5 * weight.square().sum())
