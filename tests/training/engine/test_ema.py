"""The weight average against its closed form."""

import torch
from torch import nn

from training.engine.ema import Ema


def test_half_life_halves_the_distance() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    ema = Ema(module, half_life=100, rampup=1e9)
    nn.init.ones_(module.weight)
    for step in range(10):
        ema.update(module, batch=10, images_seen=10 * (step + 1))
    assert torch.allclose(ema.module.weight, torch.tensor([[0.5]]))


def test_rampup_follows_quickly_at_the_start_and_buffers_are_copied() -> None:
    module = nn.BatchNorm1d(2)
    ema = Ema(module, half_life=1e9, rampup=0.05)
    nn.init.constant_(module.weight, 3.0)
    module.running_mean.fill_(7.0)
    ema.update(module, batch=100, images_seen=100)
    # The half-life is 5 images, so 100 images leave 2 ** -20 of the way.
    assert torch.allclose(ema.module.weight, torch.full((2,), 3.0), atol=1e-4)
    assert torch.equal(ema.module.running_mean, torch.full((2,), 7.0))
