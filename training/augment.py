"""Differentiable augmentation (Zhao et al. 2020) and the blur that fades out as training starts.

Reals and fakes go through the same functions; every choice comes from the generator given, so that a resumed run
repeats it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

POLICIES = ("color", "translation", "cutout")


def augment(x_NCHW: Tensor, policies: tuple[str, ...], rng: torch.Generator) -> Tensor:
    """Apply each policy in turn to pictures in [-1, 1]. Raises `ValueError` for an unknown policy."""
    for policy in policies:
        if policy == "color":
            x_NCHW = _color(x_NCHW, rng)
        elif policy == "translation":
            x_NCHW = _translation(x_NCHW, rng)
        elif policy == "cutout":
            x_NCHW = _cutout(x_NCHW, rng)
        else:
            raise ValueError(f"augmentation: expected one of {', '.join(POLICIES)}, got {policy!r}")
    return x_NCHW


def _uniform(n: int, rng: torch.Generator, like: Tensor) -> Tensor:
    return torch.rand(n, 1, 1, 1, generator=rng, device=rng.device).to(like.device)


def _color(x: Tensor, rng: torch.Generator) -> Tensor:
    """Brightness +-0.5, saturation x 0..2, contrast x 0.5..1.5."""
    x = x + (_uniform(len(x), rng, x) - 0.5)
    mean = x.mean(dim=1, keepdim=True)
    x = (x - mean) * (_uniform(len(x), rng, x) * 2) + mean
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return (x - mean) * (_uniform(len(x), rng, x) + 0.5) + mean


def _translation(x: Tensor, rng: torch.Generator, ratio: float = 1 / 8) -> Tensor:
    """Move by up to an eighth of the side, whole pixels; mid-grey comes in."""
    n, _, h, w = x.shape
    reach = max(1, round(h * ratio))
    shift = torch.randint(-reach, reach + 1, (n, 2), generator=rng, device=rng.device).tolist()
    padded = F.pad(x, (reach, reach, reach, reach))
    return torch.stack(
        [padded[i, :, reach + dy : reach + dy + h, reach + dx : reach + dx + w] for i, (dy, dx) in enumerate(shift)]
    )


def _cutout(x: Tensor, rng: torch.Generator, ratio: float = 0.2) -> Tensor:
    """Blank a square with a side of `ratio` of the picture's."""
    n, _, h, w = x.shape
    side = max(1, round(h * ratio))
    corner = torch.randint(0, h - side + 1, (n, 2), generator=rng, device=rng.device).to(x.device)
    rows, columns = torch.arange(h, device=x.device), torch.arange(w, device=x.device)
    inside_y = (rows >= corner[:, :1]) & (rows < corner[:, :1] + side)
    inside_x = (columns >= corner[:, 1:]) & (columns < corner[:, 1:] + side)
    return x * ~(inside_y[:, None, :, None] & inside_x[:, None, None, :])


def blur(x_NCHW: Tensor, sigma: float) -> Tensor:
    """Gaussian blur with a standard deviation of `sigma` pixels; below 0.1 px it does nothing."""
    if sigma < 0.1:
        return x_NCHW
    channels = x_NCHW.shape[1]
    radius = min(math.ceil(3 * sigma), x_NCHW.shape[-1] - 1)
    taps = torch.arange(-radius, radius + 1, device=x_NCHW.device, dtype=x_NCHW.dtype)
    kernel = torch.exp(-0.5 * (taps / sigma).square())
    kernel = (kernel / kernel.sum()).expand(channels, 1, -1)
    x = F.pad(x_NCHW, (radius, radius, radius, radius), mode="reflect")
    x = F.conv2d(x, kernel[:, :, None, :], groups=channels)
    return F.conv2d(x, kernel[:, :, :, None], groups=channels)
