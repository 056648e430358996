"""The discriminator's layers against plain formulas, and what each head can see."""

import pytest
import torch

from training.discriminators.layers import LocalBatchNorm, TextProjection, virtual_batches
from training.discriminators.projected import Discriminator, PixelHead, TokenHead


def test_token_head_has_the_published_size() -> None:
    head = TokenHead(384)
    projection = TextProjection(768)
    parameters = sum(p.numel() for module in (head, projection) for p in module.parameters())
    assert parameters == pytest.approx(1.55e6, rel=0.01)


@pytest.mark.parametrize(("batch", "sizes"), [(1, [1]), (8, [8]), (9, [5, 4]), (16, [8, 8]), (17, [6, 6, 5])])
def test_virtual_batches_take_any_batch_size(batch: int, sizes: list[int]) -> None:
    assert [len(group) for group in virtual_batches(torch.zeros(batch, 2))] == sizes


def test_local_batch_norm_matches_the_plain_formula() -> None:
    norm = LocalBatchNorm(5).double()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(16, 5, 7, dtype=torch.float64)
    expected = []
    for group in (x[:8], x[8:]):
        mean = group.mean(dim=(0, 2), keepdim=True)
        variance = (group - mean).square().mean(dim=(0, 2), keepdim=True)
        expected.append((group - mean) / (variance + 1e-5).sqrt() * norm.weight[:, None] + norm.bias[:, None])
    torch.testing.assert_close(norm(x), torch.cat(expected))


def test_one_virtual_batch_cannot_see_another() -> None:
    norm = LocalBatchNorm(3)
    x = torch.randn(16, 3, 4)
    changed = x.clone()
    changed[8:] *= 5
    assert torch.equal(norm(x)[:8], norm(changed)[:8])


def test_logits_are_the_inner_product_with_the_mapped_text() -> None:
    projection = TextProjection(4, 64)
    out, c = torch.randn(2, 64, 5), torch.randn(2, 4)
    expected = torch.stack([out[n].T @ projection.map(c[n]) / 8 for n in range(2)])
    torch.testing.assert_close(projection(out, c), expected)


def test_pixel_head_sees_how_much_the_batch_varies() -> None:
    head = PixelHead(32, 8).eval()
    same = torch.randn(1, 3, 32, 32).expand(8, 3, 32, 32)
    mixed = torch.cat([same[:1], torch.randn(7, 3, 32, 32)])
    assert not torch.allclose(head(same)[0], head(mixed)[0])


def test_discriminator_scores_one_pass_against_two_captions() -> None:
    discriminator = Discriminator([12, 12], 6, resolution=32, pixel_channels=8)
    outs = discriminator([torch.randn(3, 12, 16), torch.randn(3, 12, 16)], torch.randn(3, 3, 32, 32))
    c = torch.randn(3, 6)
    right, wrong = discriminator.logits(outs, c), discriminator.logits(outs, c.roll(1, dims=0))
    assert [tuple(head.shape) for head in right] == [(3, 16), (3, 16), (3, 64)]
    assert all(not torch.allclose(a, b) for a, b in zip(right, wrong, strict=True))
