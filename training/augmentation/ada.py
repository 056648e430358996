"""The augmentation pipeline of ADA (Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data",
arXiv 2006.06676, appendix B).

Reals and fakes go through it in front of the discriminator. Each transform acts on each picture with probability
p times its multiplier; p says how often, never how much, so what it does does not leak into what is generated. All
choices come from the generator of random numbers that is given. Differentiable twice, for R1 behind it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from training.augmentation.ada_geometry import resample, rotate, scale, translate

_BLIT = ("xflip", "rotate90", "xint")
_GEOMETRY = ("scale", "rotate", "aniso", "xfrac")
_COLOUR = ("brightness", "contrast", "lumaflip", "hue", "saturation")

# Low-pass decomposition filter of the symlet with two vanishing moments.
SYM2 = (-0.12940952, 0.22414387, 0.83651630, 0.48296291)
BANDS = 4
"""Octaves that the image-space filter amplifies each by its own gain."""
# Expected power of each band in natural pictures, which fall off as 1 / f.
_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)


@dataclass(frozen=True, kw_only=True)
class AdaPolicy:
    """How often each transform acts, times p. Raises `ValueError` for what is no number from 0 to 1."""

    xflip: float = 0.0
    """Mirrored by a coin."""
    rotate90: float = 0.0
    """By 0, 90, 180 or 270 degrees."""
    xint: float = 0.0
    """Moved by whole pixels, up to an eighth."""
    scale: float = 0.0
    """By 2^(0.2 n), n from N(0, 1)."""
    rotate: float = 0.0
    """By any angle, before or after `aniso` or both."""
    aniso: float = 0.0
    """Stretched by 2^(0.2 n) one way and squeezed as much the other."""
    xfrac: float = 0.0
    """Moved by N(0, 1/8) of the size."""
    brightness: float = 0.0
    """N(0, 0.2) added."""
    contrast: float = 0.0
    """Times 2^(0.5 n)."""
    lumaflip: float = 0.0
    """Light and dark exchanged, hues kept, by a coin."""
    hue: float = 0.0
    """Turned by any angle."""
    saturation: float = 0.0
    """Times 2^n."""
    imgfilter: float = 0.0
    """Each of four octaves times 2^n, the whole at equal power."""
    noise: float = 0.0
    """White noise of a strength from |N(0, 0.1)|."""
    cutout: float = 0.0
    """A box of half the side blanked."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ValueError(f"{field.name}: expected a number from 0 to 1, got {value!r}")


def _policy(*groups: tuple[str, ...]) -> AdaPolicy:
    return AdaPolicy(**{name: 1.0 for group in groups for name in group})


POLICIES: Mapping[str, AdaPolicy] = {
    "blit": _policy(_BLIT),
    "geom": _policy(_GEOMETRY),
    "color": _policy(_COLOUR),
    "filter": _policy(("imgfilter",)),
    "noise": _policy(("noise",)),
    "cutout": _policy(("cutout",)),
    "bg": _policy(_BLIT, _GEOMETRY),
    "bgc": _policy(_BLIT, _GEOMETRY, _COLOUR),
    "bgcf": _policy(_BLIT, _GEOMETRY, _COLOUR, ("imgfilter",)),
    "bgcfn": _policy(_BLIT, _GEOMETRY, _COLOUR, ("imgfilter", "noise")),
    "bgcfnc": _policy(_BLIT, _GEOMETRY, _COLOUR, ("imgfilter", "noise", "cutout")),
}
"""The paper's sets of transforms by name."""


class _Draws:
    """Random numbers for N pictures, of the type and on the device of these."""

    def __init__(self, x_NCHW: Tensor, p: float, rng: torch.Generator) -> None:
        self._like, self._p, self._rng, self._n = x_NCHW, p, rng, len(x_NCHW)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        """[N]."""
        return low + (high - low) * torch.rand(self._n, generator=self._rng, device=self._rng.device).to(self._like)

    def normal(self, *shape: int) -> Tensor:
        """[N, ...] from N(0, 1)."""
        return torch.randn(self._n, *shape, generator=self._rng, device=self._rng.device).to(self._like)

    def often(self, values_N: Tensor, neutral: float, multiplier: float) -> Tensor:
        """[N]: each value with probability p times the multiplier, else the neutral one."""
        return torch.where(self.uniform() < self._p * multiplier, values_N, torch.full_like(values_N, neutral))


def augment_ada(x_NCHW: Tensor, policy: AdaPolicy, p: float, rng: torch.Generator) -> Tensor:
    """Pictures [N, C, H, W] in [-1, 1], each transform on a share `p` times its multiplier of them.

    C is 1 or 3. At p = 0 the geometric transforms still resample (error below 1e-4), as in the paper.
    """
    draws = _Draws(x_NCHW, p, rng)
    if any(getattr(policy, name) for name in (*_BLIT, *_GEOMETRY)):
        x_NCHW = resample(x_NCHW, _inverse(x_NCHW, policy, p, draws))
    if any(getattr(policy, name) for name in _COLOUR):
        x_NCHW = _recolour(x_NCHW, policy, draws)
    if policy.imgfilter:
        x_NCHW = _filter(x_NCHW, policy, draws)
    if policy.noise:
        sigma_N = draws.often(draws.normal().abs() * 0.1, 0.0, policy.noise)
        x_NCHW = x_NCHW + draws.normal(*x_NCHW.shape[1:]) * sigma_N[:, None, None, None]
    if policy.cutout:
        x_NCHW = _cutout(x_NCHW, policy, draws)
    return x_NCHW


def _inverse(x: Tensor, policy: AdaPolicy, p: float, draws: _Draws) -> Tensor:
    """The inverse of all geometric transforms together, [N, 3, 3]."""
    n, _, height, width = x.shape
    inverse = torch.eye(3, dtype=x.dtype, device=x.device).expand(n, 3, 3)
    ones = torch.ones(n, dtype=x.dtype, device=x.device)
    if policy.xflip:
        side = draws.often((draws.uniform() * 2).floor(), 0.0, policy.xflip)
        inverse = inverse @ scale(1 - 2 * side, ones)
    if policy.rotate90:
        quarter = draws.often((draws.uniform() * 4).floor(), 0.0, policy.rotate90)
        inverse = inverse @ rotate(quarter * (-math.pi / 2))
    if policy.xint:
        moves = [draws.uniform(-1 / 8, 1 / 8), draws.uniform(-1 / 8, 1 / 8)]
        kept = draws.often(ones, 0.0, policy.xint)
        x_N, y_N = ((move * length * kept).round() for move, length in zip(moves, (width, height), strict=True))
        inverse = inverse @ translate(-x_N, -y_N)
    if policy.scale:
        size = draws.often(torch.exp2(draws.normal() * 0.2), 1.0, policy.scale)
        inverse = inverse @ scale(1 / size, 1 / size)
    # Twice, so that together they act with probability p.
    turned = 1 - math.sqrt(max(1 - p * policy.rotate, 0.0))
    if policy.rotate:
        inverse = inverse @ rotate(-_sometimes(draws.uniform(-math.pi, math.pi), turned, draws))
    if policy.aniso:
        stretch = draws.often(torch.exp2(draws.normal() * 0.2), 1.0, policy.aniso)
        inverse = inverse @ scale(1 / stretch, stretch)
    if policy.rotate:
        inverse = inverse @ rotate(-_sometimes(draws.uniform(-math.pi, math.pi), turned, draws))
    if policy.xfrac:
        kept = draws.often(ones, 0.0, policy.xfrac)
        x_N, y_N = (draws.normal() * (length / 8) * kept for length in (width, height))
        inverse = inverse @ translate(-x_N, -y_N)
    return inverse


def _sometimes(values_N: Tensor, probability: float, draws: _Draws) -> Tensor:
    return torch.where(draws.uniform() < probability, values_N, torch.zeros_like(values_N))


def _recolour(x: Tensor, policy: AdaPolicy, draws: _Draws) -> Tensor:
    """All colour transforms as one affine map of (r, g, b, 1)."""
    n, channels, height, width = x.shape
    matrix = torch.eye(4, dtype=x.dtype, device=x.device).expand(n, 4, 4)
    grey = x.new_tensor([1.0, 1.0, 1.0, 0.0]) / math.sqrt(3)
    along, whole = torch.outer(grey, grey), torch.eye(4, dtype=x.dtype, device=x.device)
    last = x.new_tensor([0.0, 0.0, 0.0, 1.0]).diag()
    if policy.brightness:
        added = draws.often(draws.normal() * 0.2, 0.0, policy.brightness)
        shift = torch.zeros_like(matrix)
        shift[:, :3, 3] = added[:, None]
        matrix = (whole + shift) @ matrix
    if policy.contrast:
        factor = draws.often(torch.exp2(draws.normal() * 0.5), 1.0, policy.contrast)[:, None, None]
        matrix = ((whole - last) * factor + last) @ matrix
    if policy.lumaflip:
        side = draws.often((draws.uniform() * 2).floor(), 0.0, policy.lumaflip)[:, None, None]
        matrix = (whole - 2 * along * side) @ matrix
    if policy.hue and channels > 1:
        angle = draws.often(draws.uniform(-math.pi, math.pi), 0.0, policy.hue)[:, None, None]
        matrix = _about_grey(angle, along, whole, last) @ matrix
    if policy.saturation and channels > 1:
        factor = draws.often(torch.exp2(draws.normal()), 1.0, policy.saturation)[:, None, None]
        matrix = (along + last + (whole - last - along) * factor) @ matrix
    pixels = x.reshape(n, channels, height * width)
    if channels == 3:
        pixels = matrix[:, :3, :3] @ pixels + matrix[:, :3, 3:]
    else:
        mean = matrix[:, :3].mean(dim=1, keepdim=True)
        pixels = pixels * mean[:, :, :3].sum(dim=2, keepdim=True) + mean[:, :, 3:]
    return pixels.reshape(n, channels, height, width)


def _about_grey(angle_N11: Tensor, along: Tensor, whole: Tensor, last: Tensor) -> Tensor:
    """Rotations of colours about the axis of greys by Rodrigues' formula, [N, 4, 4]."""
    cross = torch.zeros_like(whole)
    a = 1 / math.sqrt(3)
    cross[0, 1], cross[0, 2], cross[1, 0], cross[1, 2], cross[2, 0], cross[2, 1] = -a, a, a, -a, -a, a
    across = whole - last - along
    return along + last + across * angle_N11.cos() + cross * angle_N11.sin()


def filter_bank() -> Tensor:
    """Band-pass filters of `BANDS` octaves, lowest first, that add up to the identity: [BANDS, 43] in float64."""
    low = torch.tensor(SYM2, dtype=torch.float64)
    low = _convolved(low, low.flip(0)) / 2
    high = low * torch.tensor([(-1.0) ** (i - len(low) // 2) for i in range(len(low))], dtype=torch.float64)
    rows = [torch.ones(1, dtype=torch.float64), *(torch.zeros(1, dtype=torch.float64) for _ in range(BANDS - 1))]
    for band in range(1, BANDS):
        rows = [_convolved(torch.stack([row, torch.zeros_like(row)], dim=1).reshape(-1)[:-1], low) for row in rows]
        middle = (len(rows[band]) - len(high)) // 2
        rows[band][middle : middle + len(high)] += high
    return torch.stack(rows)


def _convolved(a: Tensor, b: Tensor) -> Tensor:
    """The full convolution of two rows of numbers."""
    return F.conv1d(a[None, None], b.flip(0)[None, None], padding=len(b) - 1)[0, 0]


def _filter(x: Tensor, policy: AdaPolicy, draws: _Draws) -> Tensor:
    """Octaves amplified or damped, each picture at the power that a natural one would have."""
    n, channels, height, width = x.shape
    power = x.new_tensor(_POWER)
    gains = torch.ones(n, BANDS, dtype=x.dtype, device=x.device)
    for band in range(BANDS):
        factor = draws.often(torch.exp2(draws.normal()), 1.0, policy.imgfilter)
        one = torch.ones_like(gains)
        one[:, band] = factor
        gains = gains * one / (power * one.square()).sum(dim=1, keepdim=True).sqrt()
    taps = gains @ filter_bank().to(x)  # [N, 43]
    size = taps.shape[1]
    reach = size // 2
    # Pictures smaller than the filter are mirrored more than once.
    x = _mirrored(x, reach)
    kernel = taps.repeat_interleave(channels, dim=0)[:, None]
    x = x.reshape(1, n * channels, *x.shape[2:])
    x = F.conv2d(x, kernel[:, :, None, :], groups=n * channels)
    x = F.conv2d(x, kernel[:, :, :, None], groups=n * channels)
    return x.reshape(n, channels, height, width)


def _mirrored(x: Tensor, reach: int) -> Tensor:
    """Reflected at its edges by so many pixels, again and again where it has fewer."""
    height, width = x.shape[2:]

    def places(length: int) -> Tensor:
        period = max(2 * (length - 1), 1)
        index = torch.arange(-reach, length + reach, device=x.device) % period
        return torch.where(index < length, index, period - index)

    return x[:, :, places(height)][:, :, :, places(width)]


def _cutout(x: Tensor, policy: AdaPolicy, draws: _Draws) -> Tensor:
    height, width = x.shape[2:]
    side = draws.often(torch.full_like(draws.uniform(), 0.5), 0.0, policy.cutout)
    centre_x, centre_y = draws.uniform(), draws.uniform()

    def outside(length: int, centre: Tensor) -> Tensor:
        place = (torch.arange(length, device=x.device, dtype=x.dtype) + 0.5) / length
        return (place - centre[:, None]).abs() >= side[:, None] / 2

    keep = outside(height, centre_y)[:, :, None] | outside(width, centre_x)[:, None, :]
    return x * keep[:, None].to(x.dtype)
