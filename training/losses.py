"""The losses: StyleGAN-T's (section 3), hinge per token and guidance by the squared spherical distance to the text,
and those of the pixel head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def hinge(real_NT: Tensor, fake_NT: Tensor) -> Tensor:
    """A token head's loss: max(0, 1 - real) + max(0, 1 + fake), each a mean over pictures and tokens."""
    return F.relu(1 - real_NT).mean() + F.relu(1 + fake_NT).mean()


def relativistic(ahead_NT: Tensor, behind_NT: Tensor) -> Tensor:
    """softplus(behind - ahead), a mean over pictures and tokens: a picture against the one it is paired with.

    The discriminator puts reals ahead, the generator fakes (Huang et al. 2024, arXiv 2501.05441).
    """
    return F.softplus(behind_NT - ahead_NT).mean()


def matching(logits_NM: Tensor, own_N: Tensor) -> Tensor:
    """Cross-entropy of telling picture n's caption, number own_N[n], from all M (InfoNCE, as XMC-GAN, section 4.2)."""
    return F.cross_entropy(logits_NM, own_N)


def over_heads(values: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The mean of the heads' losses by their weights."""
    total = torch.stack([value * weight for value, weight in zip(values, weights, strict=True)]).sum()
    return total / sum(weights)


def layout_distance(a_N3HW: Tensor, b_N3HW: Tensor) -> Tensor:
    """How differently two sets of pictures are laid out, a mean over pairs.

    L1 at an eighth of the size (8 x 8 or more), each picture's mean colour aside, so that a tint makes no difference.
    """
    side = max(8, a_N3HW.shape[-1] // 8)
    a, b = (F.adaptive_avg_pool2d(x - x.mean(dim=(2, 3), keepdim=True), side) for x in (a_N3HW, b_N3HW))
    return (a - b).abs().mean()


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
