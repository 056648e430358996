"""The losses against plain formulas in float64."""

import math

import pytest
import torch

from training.losses import generator_hinge, hinge_fake, hinge_real, r1_penalty, spherical_distance


def test_hinge_is_a_mean_over_tokens_then_heads() -> None:
    heads = [torch.tensor([[2.0, -1.0]]), torch.tensor([[0.5]])]
    assert hinge_real(heads).item() == pytest.approx(((0 + 2) / 2 + 0.5) / 2)
    assert hinge_fake(heads).item() == pytest.approx(((3 + 0) / 2 + 1.5) / 2)
    assert generator_hinge(heads).item() == pytest.approx(-((0.5) + 0.5) / 2)


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
    logits = (x * weight).sum(dim=(1, 2, 3))[:, None].expand(5, 7)
    torch.testing.assert_close(r1_penalty(logits, x), 0.5 * weight.square().sum())
