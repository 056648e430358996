"""StyleGAN2's discriminator: its published size, its parts against formulas written out, its two derivatives."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.discriminators.stylegan2 import Config, Convolution, Discriminator, halved, minibatch_stddev

SMALL: dict[str, Any] = {"resolution": 16, "base_channels": 64, "max_channels": 8}


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ({"resolution": 256, "base_channels": 16384}, 24001089),
        ({"resolution": 256, "base_channels": 32768}, 28864129),
        ({"resolution": 32, "base_channels": 16384}, 21507073),
        ({"resolution": 32, "base_channels": 32768}, 21507073),
        ({"resolution": 512, "base_channels": 32768}, 28982849),
        ({"resolution": 1024, "base_channels": 32768}, 29012513),
        ({"resolution": 256, "base_channels": 32768, "architecture": "orig"}, 27651713),
        ({"resolution": 256, "base_channels": 32768, "architecture": "skip"}, 27662977),
        ({"resolution": 256, "base_channels": 16384, "c_dim": 10}, 26370112),
    ],
)
def test_as_many_parameters_as_published(values: dict[str, Any], count: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in Discriminator(Config(**values)).parameters()) == count


def test_down_convolutions_are_a_filter_and_every_second_place() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
    kernel = torch.outer(row, row)
    layer = Convolution(3, 5, 3, down=True).double()

    def filtered(padding: int) -> Tensor:
        padded = F.pad(x, (padding,) * 4).flatten(0, 1)[:, None]
        return F.conv2d(padded, kernel[None, None])[:, 0].unflatten(0, (2, 3))

    y = F.conv2d(filtered(2), layer.weight / math.sqrt(27))[:, :, ::2, ::2]
    torch.testing.assert_close(layer(x), F.leaky_relu(y, 0.2) * math.sqrt(2))
    skip = Convolution(3, 5, 1, down=True, linear=True, gain=math.sqrt(0.5)).double()
    small = filtered(1)[..., ::2, ::2]
    torch.testing.assert_close(halved(x), small)
    torch.testing.assert_close(skip(x), F.conv2d(small, skip.weight / math.sqrt(3)) * math.sqrt(0.5))


def test_the_clamp_goes_with_the_branchs_gain() -> None:
    layer = Convolution(1, 1, 1, gain=0.5, clamp=3.0)
    layer.weight.data.fill_(1.0)
    out = layer(torch.tensor([-1e4, 1.0, 1e4]).view(3, 1, 1, 1)).flatten()
    torch.testing.assert_close(out, torch.tensor([-1.5, 0.5 * math.sqrt(2), 1.5]))


def test_minibatch_standard_deviation() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 2, 3, 3, dtype=torch.float64)
    y = minibatch_stddev(x, 3)
    assert y.shape == (6, 3, 3, 3)
    assert torch.equal(y[:, :2], x)
    for index in range(6):
        group = x[index % 2 :: 2]
        wanted = (group.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
        torch.testing.assert_close(y[index, 2], wanted.expand(3, 3))
    same = minibatch_stddev(torch.ones(4, 2, 2, 2), 4)
    torch.testing.assert_close(same[:, 2], torch.full((4, 2, 2), 1e-4))
    assert minibatch_stddev(torch.ones(2, 1, 1, 1), 4).shape == (2, 2, 1, 1)
    with pytest.raises(ValueError, match="expected a multiple of 4 pictures, got 6"):
        minibatch_stddev(x, 4)


@pytest.mark.parametrize("architecture", ["resnet", "skip", "orig"])
@pytest.mark.parametrize("classes", [0, 3])
def test_both_derivatives_are_right(architecture: str, classes: int) -> None:
    torch.manual_seed(0)
    net = Discriminator(Config(**SMALL, architecture=architecture, c_dim=classes, stddev_group=2)).double()
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    c = torch.eye(3, dtype=torch.float64)[:2] if classes else None
    assert torch.autograd.gradcheck(lambda x: net(x, c), (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: net(x, c), (x,), fast_mode=True)
    assert all(p.grad is None for p in net.parameters())
    net(x, c).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_fresh_features_keep_their_scale() -> None:
    torch.manual_seed(0)
    net = Discriminator(Config(resolution=32, base_channels=2048, max_channels=128))
    x = torch.randn(16, 3, 32, 32)
    first, _ = net.get_submodule("b32")(None, x)
    # Smoothing white noise takes most of its power away.
    assert 0.1 < first.square().mean().sqrt().item() < 1.5


def test_a_label_is_projected() -> None:
    torch.manual_seed(0)
    net = Discriminator(Config(**SMALL, c_dim=3))
    x, c = torch.randn(4, 3, 16, 16), torch.eye(3)[[0, 1, 2, 0]]
    assert not torch.allclose(net(x, c), net(x, c.roll(1, dims=0)))
    with pytest.raises(ValueError, match=r"label: expected \[N, 3\], got none"):
        net(x)
    with pytest.raises(ValueError, match="label: expected none, got"):
        Discriminator(Config(**SMALL))(x, c)


def test_layers_to_freeze_come_block_after_block() -> None:
    net = Discriminator(Config(**SMALL))
    names = {module: name for name, module in net.named_modules()}
    assert [names[layer] for layer in net.freezable_layers()] == [
        *("b16.fromrgb", "b16.conv0", "b16.conv1", "b16.skip"),
        *("b8.conv0", "b8.conv1", "b8.skip"),
    ]


def test_half_precision_of_the_higher_sizes_is_close() -> None:
    torch.manual_seed(0)
    net = Discriminator(Config(**SMALL, conv_clamp=256.0))
    x = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(net(x, dtype=torch.bfloat16), net(x), rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"architecture": "unet"}, "architecture: expected one of resnet, skip, orig, got 'unet'"),
        ({"stddev_group": 0}, "stddev_group: expected an integer from 1"),
        ({"resolution": 48}, "resolution: expected a power of two"),
    ],
)
def test_shapes_that_cannot_be_built(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**{**SMALL, **values})
