"""The losses of StyleGAN-T (section 3): hinge per token, and guidance by the squared spherical distance to the text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def hinge_real(logits: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """max(0, 1 - logit), a mean over tokens, then over heads by their weights; without weights each counts the same."""
    return _over_heads([F.relu(1 - head).mean() for head in logits], weights)


def hinge_fake(logits: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """max(0, 1 + logit), a mean over tokens, then over heads."""
    return _over_heads([F.relu(1 + head).mean() for head in logits], weights)


def generator_hinge(logits: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """-logit, a mean over tokens, then over heads."""
    return -_over_heads([head.mean() for head in logits], weights)


def matching(logits_NM: Sequence[Tensor], own_N: Tensor, weights: Sequence[float] | None = None) -> Tensor:
    """Cross-entropy of telling picture n's caption, number own_N[n], from all M (InfoNCE, as XMC-GAN, section 4.2)."""
    return _over_heads([F.cross_entropy(head, own_N) for head in logits_NM], weights)


def layout_distance(a_N3HW: Tensor, b_N3HW: Tensor) -> Tensor:
    """How differently two sets of pictures are laid out, a mean over pairs.

    L1 at an eighth of the size (8 x 8 or more), each picture's mean colour aside, so that a tint makes no difference.
    """
    side = max(8, a_N3HW.shape[-1] // 8)
    a, b = (F.adaptive_avg_pool2d(x - x.mean(dim=(2, 3), keepdim=True), side) for x in (a_N3HW, b_N3HW))
    return (a - b).abs().mean()


def _over_heads(values: Sequence[Tensor], weights: Sequence[float] | None) -> Tensor:
    if weights is None:
        weights = [1.0] * len(values)
    total = torch.stack([value * weight for value, weight in zip(values, weights, strict=True)]).sum()
    return total / sum(weights)


def spherical_distance(a_ND: Tensor, b_ND: Tensor) -> Tensor:
    """Squared angle between unit vectors, [N].

    Written through the chord, 2 asin(|a - b| / 2), whose gradient stays finite where that of arccos does not.
    """
    chord = (a_ND - b_ND).square().sum(dim=1).clamp(1e-12, 4 - 1e-6).sqrt()
    return (2 * torch.asin(chord / 2)).square()


def r1_penalty(logits_N: Tensor, x_N3HW: Tensor) -> Tensor:
    """Half the squared gradient of each real picture's logit, averaged (Mescheder et al. 2018, equation 9).

    `x_N3HW` must require gradients and `logits_N` come from it.
    """
    (gradient,) = torch.autograd.grad(logits_N.sum(), x_N3HW, create_graph=True)
    return 0.5 * gradient.square().sum(dim=(1, 2, 3)).mean()
