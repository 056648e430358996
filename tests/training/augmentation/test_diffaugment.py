"""Augmentation and blur: repeatable, differentiable, and doing what they say."""

import pytest
import torch

from training.augmentation.diffaugment import POLICIES, AdaptiveStrength, augment, blur, crop_window, cut


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


def test_strength_is_how_many_pictures_a_policy_meets() -> None:
    x = torch.randn(400, 3, 8, 8, generator=rng(9))
    assert torch.equal(augment(x, POLICIES, rng(), strength=0.0), x)
    changed = (augment(x, ("cutout",), rng(), strength=0.3) != x).flatten(1).any(dim=1)
    assert 0.2 < changed.float().mean() < 0.4
    x.requires_grad_()
    augment(x, POLICIES, rng(), strength=0.5).square().sum().backward()
    assert x.grad is not None
    assert (x.grad != 0).flatten(1).any(dim=1).all()


def test_strength_rises_while_the_discriminator_is_sure_of_reals_and_falls_again() -> None:
    adaptive = AdaptiveStrength(target=0.6, kimg=1.0)
    sure, unsure = torch.tensor(0.9), torch.tensor(0.1)
    seen = []
    for sign in [sure] * 12 + [unsure] * 4:
        adaptive.observe(sign, 50)
        seen.append(adaptive.strength)
    # Every fourth step, by the share of 1000 images that was shown.
    assert seen[2] == 0
    assert seen[3::4] == pytest.approx([0.2, 0.4, 0.6, 0.4])
    for _ in range(100):
        adaptive.observe(sure, 50)
    assert adaptive.strength == 1
    for _ in range(100):
        adaptive.observe(unsure, 50)
    assert adaptive.strength == 0


def test_adaptive_strength_goes_on_where_it_was() -> None:
    signs = torch.rand(30, generator=rng(3)) * 2 - 1
    whole, first, second = (AdaptiveStrength(target=0.0, kimg=0.1) for _ in range(3))
    for sign in signs:
        whole.observe(sign, 8)
    for sign in signs[:14]:
        first.observe(sign, 8)
    second.load_state_dict(first.state_dict())
    for sign in signs[14:]:
        second.observe(sign, 8)
    assert second.strength == whole.strength


def test_a_window_is_a_square_anywhere_in_its_share_of_the_batches() -> None:
    stream = rng()
    windows = [crop_window(20, 8, stream, share=0.5) for _ in range(400)]
    cropped = [window for window in windows if window is not None]
    assert 160 < len(cropped) < 240
    assert {window[0].start for window in cropped} == {window[1].start for window in cropped} == set(range(13))
    assert any(window[0].start != window[1].start for window in cropped)
    x = torch.randn(2, 3, 20, 20)
    assert cut(x, cropped[0]).shape == (2, 3, 8, 8)
    assert cut(x, None) is x
    before = stream.get_state()
    assert crop_window(8, 8, stream) is None
    assert torch.equal(stream.get_state(), before)  # pictures that fit draw nothing
