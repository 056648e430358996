"""Differentiable augmentation (Zhao et al. 2020) and the blur that fades out as training starts.

Reals and fakes go through the same functions; every choice comes from the generator given, so that a resumed run
repeats it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

POLICIES = ("color", "translation", "cutout")


def augment(x_NCHW: Tensor, policies: tuple[str, ...], rng: torch.Generator, strength: float = 1.0) -> Tensor:
    """Apply each policy in turn to pictures in [-1, 1], each time to about a share `strength` of them.

    Raises `ValueError` for an unknown policy.
    """
    for policy in policies:
        before = x_NCHW
        if policy == "color":
            x_NCHW = _color(x_NCHW, rng)
        elif policy == "translation":
            x_NCHW = _translation(x_NCHW, rng)
        elif policy == "cutout":
            x_NCHW = _cutout(x_NCHW, rng)
        else:
            raise ValueError(f"augmentation: expected one of {', '.join(POLICIES)}, got {policy!r}")
        if strength < 1:
            x_NCHW = torch.where(_uniform(len(before), rng, before) < strength, x_NCHW, before)
    return x_NCHW


class AdaptiveStrength:
    """Augmentation only as strong as overfitting asks for (ADA, Karras et al. 2020, section 3.2).

    The mean sign of the logits at reals says how sure of them the discriminator is: near 1 when it knows its few
    pictures by heart. Where that is above `target` the strength rises, by at most 1 in `kimg` thousand images, where it
    is below the strength falls.
    """

    EVERY = 4
    """Steps between two adjustments."""

    def __init__(self, target: float, kimg: float) -> None:
        self.target, self.kimg = target, kimg
        self.strength = 0.0
        self._signs: list[Tensor] = []
        self._images = 0

    def observe(self, sign: Tensor, images: int) -> None:
        """Take in one step: the mean sign of its logits at reals, and how many reals it showed."""
        self._signs.append(sign.detach())
        self._images += images
        if len(self._signs) == self.EVERY:
            excess = torch.stack(self._signs).mean().item() - self.target
            change = math.copysign(self._images / (self.kimg * 1000), excess)
            self.strength = min(max(self.strength + change, 0.0), 1.0)
            self._signs, self._images = [], 0

    def state_dict(self) -> dict[str, Any]:
        """All that the next adjustment depends on."""
        return {"strength": self.strength, "signs": [sign.item() for sign in self._signs], "images": self._images}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.strength, self._images = state["strength"], state["images"]
        self._signs = [torch.tensor(sign) for sign in state["signs"]]


def crop_window(side: int, crop: int, rng: torch.Generator, share: float = 1.0) -> tuple[slice, slice] | None:
    """A random square of `crop` pixels in pictures of `side`, one for the whole batch, in a share of the cases.

    None stands for the whole picture; nothing is drawn where pictures are no larger than the crop.
    """
    if side <= crop or (share < 1 and torch.rand(1, generator=rng).item() >= share):
        return None
    top, left = torch.randint(0, side - crop + 1, (2,), generator=rng).tolist()
    return slice(top, top + crop), slice(left, left + crop)


def cut(x_NCHW: Tensor, window: tuple[slice, slice] | None) -> Tensor:
    """The part of the pictures in the window."""
    return x_NCHW if window is None else x_NCHW[:, :, window[0], window[1]]


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
