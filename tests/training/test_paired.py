"""The regression on pictures with known latents, against plain formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from training.datasets.paired import Latents
from training.errors import RunError
from training.paired import PairedLoss, check_latents, relative_distance, warm_up_rate


class TwoTaps:
    """Stands for the network: a picture's mean square by quarters, and its sum."""

    def maps(self, x_N3HW: Tensor) -> list[Tensor]:
        self.side = x_N3HW.shape[-1]
        return [torch.nn.functional.avg_pool2d(x_N3HW**2, 2), x_N3HW.sum(dim=(2, 3), keepdim=True)]


def pictures() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 8, 8, generator=rng), torch.randn(2, 3, 8, 8, generator=rng)


def plain(fake: Any, real: Any) -> float:
    """2 L1 + 2 L1 at a quarter of the side."""

    def quarter(x: Any) -> Any:
        return x.reshape(2, 3, 2, 4, 2, 4).mean(axis=(3, 5))

    return float(2 * np.abs(fake - real).mean() + 2 * np.abs(quarter(fake) - quarter(real)).mean())


def test_the_pixel_terms_are_the_plain_formula() -> None:
    fake, real = pictures()
    loss, figures = PairedLoss(network=None)(fake, real)
    assert float(loss) == pytest.approx(plain(fake.double().numpy(), real.double().numpy()), rel=1e-5)
    assert float(figures["paired"]) == float(loss)
    assert "paired_features" not in figures


def test_features_count_relative_to_those_of_the_real_picture() -> None:
    fake, real = pictures()
    network: Any = TwoTaps()
    loss, figures = PairedLoss(network=network, side=8, features=0.5)(fake, real)
    a, b = fake.double().numpy(), real.double().numpy()

    def taps(x: Any) -> list[Any]:
        return [(x**2).reshape(2, 3, 4, 2, 4, 2).mean(axis=(3, 5)), x.sum(axis=(2, 3))]

    distances = [np.abs(u - v).mean() / np.abs(v).mean() for u, v in zip(taps(a), taps(b), strict=True)]
    assert float(figures["paired_features"]) == pytest.approx(float(np.mean(distances)), rel=1e-5)
    assert float(loss) == pytest.approx(plain(a, b) + 0.5 * float(np.mean(distances)), rel=1e-5)


def test_pictures_are_resized_for_the_network_and_gradients_reach_the_fake_alone() -> None:
    fake, real = (x.requires_grad_() for x in pictures())
    network: Any = TwoTaps()
    loss, _ = PairedLoss(network=network, side=12)(fake, real.detach())
    loss.backward()
    assert network.side == 12
    assert fake.grad is not None
    assert fake.grad.abs().min() > 0


def test_equal_pictures_are_at_no_distance() -> None:
    fake, _ = pictures()
    assert float(PairedLoss(network=None)(fake, fake)[0]) == 0
    assert float(relative_distance([fake], [fake])) == 0


def test_the_learning_rate_stays_for_three_fifths_and_falls_to_a_twentieth() -> None:
    assert [warm_up_rate(1.0, part) for part in (0.0, 0.3, 0.6)] == [1.0, 1.0, 1.0]
    assert warm_up_rate(1.0, 0.8) == pytest.approx(0.525)
    assert warm_up_rate(2.0, 1.0) == pytest.approx(0.1)


def test_data_without_latents_are_refused_with_what_to_do() -> None:
    with pytest.raises(RunError, match=r"latents\.npy.*set paired=0 and paired_kimg=0"):
        check_latents(None, 64)
    with pytest.raises(RunError, match="z_dim: expected 5"):
        check_latents(Latents(rows=np.zeros((3, 5), np.float32)), 64)
    check_latents(Latents(rows=np.zeros((3, 64), np.float32)), 64)
