"""Augmentation and blur: repeatable, differentiable, and doing what they say."""

import pytest
import torch

from training.augment import POLICIES, augment, blur


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("policy", POLICIES)
def test_same_generator_state_same_pictures_and_another_state_others(policy: str) -> None:
    x = torch.randn(4, 3, 16, 16, generator=rng(9))
    once, again, other = (augment(x, (policy,), rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert not torch.equal(once, x)


@pytest.mark.parametrize("policy", POLICIES)
def test_gradients_reach_the_pictures(policy: str) -> None:
    x = torch.randn(2, 3, 16, 16, requires_grad=True)
    augment(x, (policy,), rng()).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_translation_moves_whole_pixels_by_at_most_an_eighth() -> None:
    x = torch.zeros(64, 1, 16, 16)
    x[:, :, 8, 8] = 1
    moved = augment(x, ("translation",), rng())
    places = moved.flatten(1).argmax(dim=1)
    rows, columns = places // 16 - 8, places % 16 - 8
    assert moved.sum() == 64
    assert rows.abs().max() == 2
    assert columns.abs().max() == 2


def test_cutout_blanks_one_square() -> None:
    x = torch.ones(8, 3, 20, 20)
    assert torch.equal((augment(x, ("cutout",), rng()) == 0).sum(dim=(1, 2, 3)), torch.full((8,), 3 * 16))


def test_unknown_policy_is_named() -> None:
    with pytest.raises(ValueError, match="color, translation, cutout.*'flip'"):
        augment(torch.zeros(1, 3, 8, 8), ("flip",), rng())


def test_blur_is_a_gaussian_of_the_given_width() -> None:
    x = torch.zeros(1, 1, 33, 33, dtype=torch.float64)
    x[0, 0, 16, 16] = 1
    y = blur(x, 2.0)[0, 0]
    at = torch.arange(33, dtype=torch.float64) - 16
    assert y.sum().item() == pytest.approx(1)
    assert (y.sum(0) * at.square()).sum().item() == pytest.approx(4.0, rel=0.05)
    assert torch.equal(blur(x, 0.0), x)
