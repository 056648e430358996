"""Perceptual path length: how much a picture changes for a small step in latent space (Karras et al. 2019, arXiv
1812.04948, appendix C; in W at the end points, as StyleGAN2 reports it).

    E[ d(G(w(0)), G(w(epsilon))) / epsilon^2 ],  w(t) on the straight line between the styles of two latents

with one caption or class for both ends, without the lowest and the highest hundredth of the values. d is LPIPS with
VGG16 (Zhang et al. 2018, arXiv 1801.03924), or a distance in any feature network's space, which gives other figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from core.latents import lerp
from training.metrics.exact import exact
from training.metrics.networks import FeatureExtractor
from training.metrics.sampler import Sampler

EPSILON = 1e-4

Distance = Callable[[Tensor, Tensor], Tensor]
"""Two batches of pictures [N, 3, H, W] in [-1, 1] -> [N]."""


def feature_distance(extractor: FeatureExtractor) -> Distance:
    """The squared distance of two pictures' features, scaled to length one."""

    def distance(a_N3HW: Tensor, b_N3HW: Tensor) -> Tensor:
        features = extractor.embed((torch.cat([a_N3HW, b_N3HW]).float() + 1) * 127.5)
        a_ND, b_ND = F.normalize(features.double(), dim=1).chunk(2)
        return (a_ND - b_ND).square().sum(dim=1)

    return distance


def path_lengths(
    sampler: Sampler,
    distance: Distance,
    numbers: range,
    prompts: Sequence[str] | None = None,
    *,
    epsilon: float = EPSILON,
) -> NDArray[np.float64]:
    """[n]: d / epsilon^2 for a step from the styles of each of these numbers."""
    with exact(sampler.device):
        ws = sampler.styles(numbers, prompts)
        towards = lerp(ws, sampler.styles(numbers, prompts, stream=1), epsilon)
        # Both ends with the same noise, or it would be measured too. Not clamped: neither does the paper.
        ends = (sampler.synthesise(ws, numbers), sampler.synthesise(towards, numbers))
        lengths: NDArray[np.float64] = (distance(*ends).double() / epsilon**2).cpu().numpy()
        return lengths


def trimmed_mean(lengths_N: NDArray[np.floating], *, percent: float = 1.0) -> float:
    """The mean without the lowest and the highest `percent`."""
    low = np.percentile(lengths_N, percent, method="lower")
    high = np.percentile(lengths_N, 100 - percent, method="higher")
    return float(lengths_N[(lengths_N >= low) & (lengths_N <= high)].mean())
