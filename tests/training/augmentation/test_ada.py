"""The ADA pipeline: its statistics at p = 1, its identity at p = 0, its two derivatives, its repeatable choices."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from training.augmentation.ada import POLICIES, AdaPolicy, augment_ada, filter_bank
from training.augmentation.ada_geometry import resample, rotate, scale, translate

GREY = 0.5


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grey(n: int = 4096, side: int = 2, value: float = GREY) -> Tensor:
    return torch.full((n, 3, side, side), value)


def waves(n: int = 2, side: int = 16) -> Tensor:
    """Smooth pictures, whose edges are not special."""
    x = torch.linspace(-1, 1, side)
    return torch.stack([torch.sin(x[:, None] + x + shift).expand(3, side, side) for shift in range(n)])


@pytest.mark.parametrize(
    ("name", "mean", "mean_square"),
    [
        ("brightness", GREY, GREY**2 + 0.04),
        ("contrast", 1.0619 * GREY, 1.2715 * GREY**2),
        ("lumaflip", 0.0, GREY**2),
        ("hue", GREY, GREY**2),
        ("saturation", GREY, GREY**2),
    ],
)
def test_colour_transforms_of_grey(name: str, mean: float, mean_square: float) -> None:
    y = augment_ada(grey(20000, 1), AdaPolicy(**{name: 1.0}), 1.0, rng())
    assert y.mean().item() == pytest.approx(mean, abs=0.012)
    assert y.square().mean().item() == pytest.approx(mean_square, rel=0.04)


def test_all_of_colour_and_how_often() -> None:
    y = augment_ada(grey(20000, 1), POLICIES["color"], 1.0, rng())
    assert y.mean().item() == pytest.approx(0, abs=0.02)
    assert y.square().mean().item() == pytest.approx(1.2715 * (GREY**2 + 0.04), rel=0.05)
    rare = augment_ada(grey(20000, 1), AdaPolicy(lumaflip=0.5), 0.4, rng())
    assert rare.mean().item() == pytest.approx(GREY * (1 - 0.2), abs=0.012)


def test_hue_and_saturation_keep_brightness_and_move_colours() -> None:
    x = torch.rand(64, 3, 4, 4, generator=rng(1)) * 2 - 1
    for name in ("hue", "saturation"):
        y = augment_ada(x, AdaPolicy(**{name: 1.0}), 1.0, rng())
        torch.testing.assert_close(y.mean(dim=1), x.mean(dim=1), atol=1e-5, rtol=1e-5)
        assert (y - x).abs().mean() > 0.05
    turned = augment_ada(x, AdaPolicy(hue=1.0), 1.0, rng())
    spread = [(part - part.mean(dim=1, keepdim=True)).norm(dim=1) for part in (x, turned)]
    torch.testing.assert_close(spread[0], spread[1], atol=1e-5, rtol=1e-4)


def test_grey_pictures_have_one_channel() -> None:
    y = augment_ada(torch.full((20000, 1, 1, 1), GREY), POLICIES["color"], 1.0, rng())
    assert y.square().mean().item() == pytest.approx(1.2715 * (GREY**2 + 0.04), rel=0.05)


def test_noise_and_cutout() -> None:
    noisy = augment_ada(grey(4000, 4, 0.0), POLICIES["noise"], 1.0, rng())
    assert noisy.square().mean().item() == pytest.approx(0.01, rel=0.1)
    assert noisy.abs().mean().item() == pytest.approx(0.0637, rel=0.05)
    cut = augment_ada(grey(4000, 32, 1.0), POLICIES["cutout"], 1.0, rng())
    assert cut.mean().item() == pytest.approx(1 - 0.4375**2, abs=0.01)
    assert set(cut.unique().tolist()) == {0.0, 1.0}


def test_the_filters_bands_add_up_to_the_identity() -> None:
    bank = filter_bank()
    assert bank.shape == (4, 43)
    identity = torch.zeros(43, dtype=torch.float64)
    identity[21] = 1
    torch.testing.assert_close(bank.sum(dim=0), identity, atol=1e-7, rtol=0)
    torch.testing.assert_close(bank.sum(dim=1), torch.tensor([1.0, 0, 0, 0], dtype=torch.float64), atol=1e-6, rtol=0)


def test_the_filter_keeps_a_constant_constant() -> None:
    y = augment_ada(grey(3000, 24), POLICIES["filter"], 1.0, rng())
    assert (y.amax(dim=(2, 3)) - y.amin(dim=(2, 3))).max() < 1e-4
    assert y.mean().item() == pytest.approx(0.384, abs=0.01)


def test_nothing_at_p_zero() -> None:
    x = waves(side=64)
    for name, policy in POLICIES.items():
        # Geometry resamples even so, through a filter that is not symmetric.
        bound = 1e-3 if name in ("blit", "geom") or name.startswith("bg") else 1e-6
        assert (augment_ada(x, policy, 0.0, rng()) - x).abs().max() <= bound, name


@pytest.mark.parametrize("name", [*("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac"), "blit"])
def test_geometry_of_a_constant(name: str) -> None:
    policy = POLICIES.get(name) or AdaPolicy(**{name: 1.0})
    y = augment_ada(grey(200, 16), policy, 1.0, rng())
    assert (y - GREY).abs().max() < 5e-4


def test_a_transform_goes_where_its_matrix_says() -> None:
    side = 32
    x = waves(1, side)
    one = torch.ones(1)
    resampled = resample(x, torch.eye(3)[None])
    moved = resample(x, translate(3 * one, -2 * one))
    torch.testing.assert_close(moved[..., 8:24, 8:24], resampled[..., 6:22, 11:27], atol=1e-4, rtol=0)
    mirrored = resample(x, scale(-one, one))
    torch.testing.assert_close(mirrored.flip(3), x, atol=0.02, rtol=0)
    turned = resample(x, rotate(math.pi / 2 * one))
    # (x, y) of the output looks at (-y, x) of the input; rows are y.
    torch.testing.assert_close(turned, torch.rot90(x, 1, (2, 3)), atol=0.03, rtol=0)
    larger = resample(x, scale(0.5 * one, 0.5 * one))
    wanted = torch.nn.functional.interpolate(x[..., 8:24, 8:24], scale_factor=2, mode="bilinear")
    assert (larger - wanted)[..., 4:-4, 4:-4].abs().max() < 0.02


def test_both_derivatives_are_right() -> None:
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=rng(3)).requires_grad_()

    def pipeline(x: Tensor) -> Tensor:
        return augment_ada(x, POLICIES["bgcfnc"], 0.8, rng(5)).square()

    assert torch.autograd.gradcheck(pipeline, (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(pipeline, (x,), fast_mode=True)


def test_choices_repeat_and_differ() -> None:
    x = waves(4)
    first = augment_ada(x, POLICIES["bgcfnc"], 0.7, rng(1))
    assert torch.equal(first, augment_ada(x, POLICIES["bgcfnc"], 0.7, rng(1)))
    assert not torch.equal(first, augment_ada(x, POLICIES["bgcfnc"], 0.7, rng(2)))
    assert first.shape == x.shape
    assert bool(torch.isfinite(first).all())


def test_policies() -> None:
    assert {field.name for field in fields(AdaPolicy) if getattr(POLICIES["bgc"], field.name)} == {
        *("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac"),
        *("brightness", "contrast", "lumaflip", "hue", "saturation"),
    }
    with pytest.raises(ValueError, match="hue: expected a number from 0 to 1, got 2"):
        AdaPolicy(hue=2)
