"""R3GAN's generator against numbers of the authors' code and against formulas written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.models import r3gan
from training.discriminators.r3gan import Discriminator

PARITY: dict[str, Any] = {"channels": (8, 8, 4), "groups": (2, 2, 1), "blocks": 1, "z_dim": 4, "embed_dim": 4}


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("values", "generator", "discriminator"),
    [
        ({"c_dim": 10}, 20781952, 21280512),
        ({}, 20732160, 20683776),
        ({"channels": (768,) * 4 + (384,), "groups": (96,) * 4 + (48,)}, 22429824, 22381440),
        (
            {"channels": (768,) * 4 + (384, 192, 96), "groups": (96,) * 4 + (48, 24, 12)},
            23057952,
            23009568,
        ),
        ({"channels": (1536,) * 5, "groups": (96,) * 5, "c_dim": 1000}, 103570432, 107205120),
    ],
)
def test_as_many_parameters_as_published(values: dict[str, Any], generator: int, discriminator: int) -> None:
    config = r3gan.Config(**values)
    with torch.device("meta"):
        assert parameters(r3gan.Generator(config)) == generator
        assert parameters(Discriminator(config)) == discriminator


def ramp(tensors: list[Tensor]) -> None:
    """The k-th tensor's element i is 0.5 cos(0.7 i + k)."""
    for k, tensor in enumerate(tensors):
        values = 0.5 * torch.cos(0.7 * torch.arange(tensor.numel(), dtype=torch.float64) + k)
        tensor.data = values.view(tensor.shape)


def tensors_of(net: Any) -> list[Tensor]:
    """In the order in which the reference numbers were filled in."""

    def block(b: Any) -> list[Tensor]:
        return [b.conv1.weight, b.conv2.weight, b.conv3.weight, b.act1.bias, b.act2.bias]

    def edge(e: Any) -> list[Tensor]:
        if hasattr(e, "basis"):
            return [e.basis, e.dense.weight]
        return [] if e.conv is None else [e.conv.weight]

    judges = isinstance(net, Discriminator)
    found: list[Tensor] = [net.from_rgb.weight] if judges else []
    for stage in net.stages if judges else net.synthesis.stages:
        blocks = [tensor for b in stage.blocks for tensor in block(b)]
        found += blocks + edge(stage.last) if judges else edge(stage.first) + blocks
    if not judges:
        found.append(net.synthesis.to_rgb.weight)
    return found if net.embed is None else [*found, net.embed.weight]


@pytest.mark.parametrize(
    ("classes", "mean", "spread", "logits"),
    [
        (3, 0.2334274835, 1.248313704, (-0.2181835314, 0.6687225542)),
        (0, 0.1918771868, 1.103915918, (-0.1163160238, -0.1156070277)),
    ],
)
def test_the_authors_numbers(classes: int, mean: float, spread: float, logits: tuple[float, float]) -> None:
    config = r3gan.Config(**PARITY, c_dim=classes)
    generator, discriminator = r3gan.Generator(config).double(), Discriminator(config).double()
    assert parameters(generator) == (3784 if classes else 3740)
    ramp(tensors_of(generator))
    ramp(tensors_of(discriminator))
    z = torch.sin(torch.arange(8, dtype=torch.float64)).view(2, 4)
    c = torch.eye(3, dtype=torch.float64)[[0, 2]] if classes else None
    y = generator(z, c)
    assert y.mean().item() == pytest.approx(mean, abs=1e-9)
    assert y.std(unbiased=False).item() == pytest.approx(spread, abs=1e-8)
    if classes:
        wanted = torch.tensor([-1.719969172, -1.156512509, -0.896454929, -0.6914841794], dtype=torch.float64)
        torch.testing.assert_close(y[0, 0, 0, :4], wanted, rtol=0, atol=1e-8)
    x = torch.sin(0.3 * torch.arange(2 * 3 * 16 * 16, dtype=torch.float64)).view(2, 3, 16, 16).requires_grad_()
    scores = discriminator(x, c)
    torch.testing.assert_close(scores, torch.tensor(logits, dtype=torch.float64), rtol=0, atol=1e-9)
    if classes:
        (gradient,) = torch.autograd.grad(scores.sum(), x)
        penalty = gradient.square().sum(dim=(1, 2, 3))
        wanted = torch.tensor([2.581571994e-5, 2.645310204e-4], dtype=torch.float64)
        torch.testing.assert_close(penalty, wanted, rtol=1e-7, atol=0)


def test_the_filters_numbers() -> None:
    up = r3gan.upsample(torch.arange(4.0).view(1, 1, 2, 2))
    torch.testing.assert_close(up[0, 0, 0], torch.tensor([0, 0.1875, 0.5625, 0.5625]))
    down = r3gan.downsample(torch.arange(16.0).view(1, 1, 4, 4))
    torch.testing.assert_close(down[0, 0], torch.tensor([[2.734375, 3.9375], [7.546875, 8.75]]))


def test_a_fresh_block_is_the_identity_and_a_fresh_branch_keeps_its_scale() -> None:
    torch.manual_seed(0)
    block = r3gan.ResidualBlock(32, 4, network_blocks=1)
    x = torch.randn(4, 32, 16, 16)
    assert torch.equal(block(x), x)
    inner = block.act1(block.conv1(x))
    assert inner.square().mean().item() == pytest.approx(1, rel=0.15)


def test_psi_scales_the_latent_and_leaves_the_class() -> None:
    config = r3gan.Config(**PARITY, c_dim=3)
    generator = r3gan.Generator(config)
    z, c = torch.randn(2, 4), torch.eye(3)[:2]
    whole, half = generator.map(z, c), generator.map(z, c, psi=0.5)
    torch.testing.assert_close(half[..., :4], whole[..., :4] / 2)
    assert torch.equal(half[..., 4:], whole[..., 4:])
    assert torch.equal(generator.map(z, c, psi=0.5, cutoff=0), whole)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"channels": (8, 8), "groups": (2,)}, "groups: expected 2 numbers"),
        ({"channels": (8,), "groups": (3,)}, "groups: expected a divisor of 16, got 3"),
        ({"channels": (), "groups": ()}, "channels: expected 1 to 9 numbers"),
        ({"z_dim": 0}, "z_dim: expected an integer from 1"),
    ],
)
def test_shapes_that_cannot_be_built(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        r3gan.Config(**values)


def test_mistakes_in_a_call() -> None:
    generator = r3gan.Generator(r3gan.Config(**PARITY, c_dim=3))
    with pytest.raises(ValueError, match=r"label: expected \[1, 3\], got none"):
        generator.map(torch.zeros(1, 4))
    with pytest.raises(ValueError, match=r"z: expected \[N, 4\]"):
        generator.map(torch.zeros(1, 5))
    discriminator = Discriminator(r3gan.Config(**PARITY))
    with pytest.raises(ValueError, match="label: expected none"):
        discriminator(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3))
