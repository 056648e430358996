"""The discriminator's layers against plain formulas, and what each head can see."""

import pytest
import torch

from training.discriminators.layers import Conv2d, LocalBatchNorm, TextProjection, virtual_batches
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


def test_logits_are_a_plain_term_and_the_inner_product_with_the_mapped_text() -> None:
    projection = TextProjection(4, 64)
    out, c = torch.randn(2, 64, 5), torch.randn(2, 4)
    mapped = 2 * c @ projection.map.weight.T / 2 + projection.map.bias  # to unit variance, then equalised
    plain = [out[n].T @ projection.plain.weight[0] / 8 + projection.plain.bias for n in range(2)]
    expected = torch.stack([plain[n] + out[n].T @ mapped[n] / 8 for n in range(2)])
    torch.testing.assert_close(projection(out, c), expected)


def test_the_papers_logit_is_the_inner_product_alone() -> None:
    projection = TextProjection(4, 64, paper=True)
    out, c = torch.randn(2, 64, 5), torch.randn(2, 4)
    mapped = c @ projection.map.weight.T / 2 + projection.map.bias
    torch.testing.assert_close(projection(out, c), torch.einsum("nct,nc->nt", out, mapped) / 8)
    head = TokenHead(384)
    parameters = sum(p.numel() for module in (head, TextProjection(768, paper=True)) for p in module.parameters())
    assert parameters == 1_550_720


def test_pixel_head_sees_how_much_the_batch_varies() -> None:
    head = PixelHead(32, 8).eval()
    same = torch.randn(1, 3, 32, 32).expand(8, 3, 32, 32)
    mixed = torch.cat([same[:1], torch.randn(7, 3, 32, 32)])
    _, whole_same = head(head.stages(same))
    _, whole_mixed = head(head.stages(mixed))
    assert not torch.allclose(whole_same[0], whole_mixed[0])


@pytest.mark.parametrize("resolution", [16, 32, 64])
def test_pixel_head_judges_patches_and_the_whole(resolution: int) -> None:
    head = PixelHead(resolution, 8).double()
    x = torch.randn(1, 3, resolution, resolution, dtype=torch.float64, requires_grad=True)
    patches, whole = head(head.stages(x))
    assert (patches.shape, whole.shape) == ((1, 64, 64), (1, 256, 1))
    (one_patch,) = torch.autograd.grad(patches[0, :, 0].sum(), x, retain_graph=True)
    (all_of_it,) = torch.autograd.grad(whole.sum(), x)
    assert one_patch[0, :, -1, -1].eq(0).all()  # the upper left patch does not see the lower right corner
    assert all_of_it.ne(0).all()


def test_a_grown_pixel_head_judges_as_the_small_one_until_it_learns() -> None:
    small, large = PixelHead(32, 8), PixelHead(64, 8)
    taken = large.load_state_dict(small.state_dict(), strict=False)
    assert not taken.unexpected_keys
    assert {name.split(".")[0] + name.split(".")[1] for name in taken.missing_keys} == {"stems32", "down16"}
    x = torch.randn(4, 3, 64, 64)
    wanted = small(small.stages(torch.nn.functional.avg_pool2d(x, 2)))
    assert (large(large.stages(x))[0] - wanted[0]).abs().max() > 0.01
    large.mute(32)
    for a, b in zip(large(large.stages(x)), wanted, strict=True):
        torch.testing.assert_close(a, b)
    large(large.stages(x))[0].sum().backward()
    assert large.down["16"].main[-1].weight.grad.abs().max() > 0  # type: ignore[index, union-attr]


def test_equalised_convolution_keeps_unit_variance() -> None:
    torch.manual_seed(0)
    y = Conv2d(64, 256, 3)(torch.randn(4, 64, 16, 16))[:, :, 1:-1, 1:-1]
    assert y.square().mean().item() == pytest.approx(1.04, abs=0.1)  # (1 + 0.2 ** 2) / 2 * 2
    plain = Conv2d(3, 5, 4, stride=2, active=False)
    x = torch.randn(2, 3, 8, 8)
    expected = torch.nn.functional.conv2d(x, plain.weight / 48**0.5, plain.bias, stride=2, padding=1)
    torch.testing.assert_close(plain(x), expected)


def test_discriminator_scores_one_pass_against_every_caption() -> None:
    discriminator = Discriminator([12, 12], 6, resolution=32, pixel_channels=8)
    outs = discriminator(
        [torch.randn(3, 12, 16), torch.randn(3, 12, 16)], discriminator.stages(torch.randn(3, 3, 32, 32))
    )
    c = torch.randn(5, 6)
    own, every = discriminator.logits(outs, c[:3]), discriminator.every_logit(outs, c)
    assert [tuple(head.shape) for head in own] == [(3, 16), (3, 16), (3, 64), (3, 1)]
    assert [tuple(head.shape) for head in every] == [(3, 5)] * 4
    for out, projection, a, b in zip(outs, discriminator.projections, own, every, strict=True):
        plain = projection.plain(out.mean(dim=2)).squeeze(1)  # type: ignore[operator, union-attr]
        torch.testing.assert_close(a.mean(dim=1), plain + b.diagonal())
        assert b.std(dim=1).min() > 0
