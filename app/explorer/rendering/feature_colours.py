"""Feature maps as pictures: colours, a sheet of the strongest channels, the spectrum. numpy only, no GUI."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.float32]
"""[C, H, W]"""
Pixels = NDArray[np.uint8]

# Viridis (van der Walt and Smith, CC0), which gets evenly lighter, so that colours compare; every eighth of the way.
_ANCHORS = np.array(
    [
        (68, 1, 84),
        (71, 44, 122),
        (59, 81, 139),
        (44, 113, 142),
        (33, 144, 141),
        (39, 173, 129),
        (92, 200, 99),
        (170, 220, 50),
        (253, 231, 37),
    ],
    dtype=np.float64,
)
_TABLE = np.stack(
    [np.interp(np.linspace(0, 8, 256), np.arange(9), _ANCHORS[:, part]) for part in range(3)], axis=1
).astype(np.uint8)

# A few bright pixels must not leave the rest dark.
_CUT = 0.5
# Larger maps are made smaller for a sheet: what is on screen has no more pixels.
_SHEET = 768
_BEHIND = 22


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerPicture:
    """Feature maps of a layer as pictures."""

    picture: Pixels
    """A sheet of channels, or one."""
    channels: tuple[int, ...]
    """Those on the sheet, row by row; one alone is the picture."""
    columns: int
    tile: tuple[int, int]
    """(height, width) of one channel on the sheet with the gap after it, in pixels of the picture."""
    low: float
    high: float
    """The smallest and the largest value of what is shown."""
    mean: float
    deviation: float
    spectrum: Pixels
    """Log magnitude, the middle is the mean; averaged over what is shown."""
    profile: NDArray[np.float32]
    """Log10 of the magnitude by distance from the middle, from 0 to half the sampling rate."""


def coloured(values: NDArray[np.floating], low: float, high: float) -> Pixels:
    """[..., H, W] -> [..., H, W, 3]: `low` is dark blue, `high` is yellow."""
    span = high - low
    shares = (values - low) / span if span > 0 else np.zeros_like(values)
    pixels: Pixels = _TABLE[np.clip(shares * 255, 0, 255).astype(np.uint8)]
    return pixels


def strongest(maps: Maps, count: int) -> tuple[int, ...]:
    """The channels that vary most over the picture, the most first."""
    spread = maps.reshape(len(maps), -1).std(axis=1)
    return tuple(int(index) for index in np.argsort(-spread, kind="stable")[:count])


def look(maps: Maps, *, channel: int | None = None, count: int = 25) -> LayerPicture:
    """Of [C, H, W]: one channel, or a sheet of the `count` strongest, each in its own range of values."""
    if channel is not None and not 0 <= channel < len(maps):
        raise ValueError(f"channel: expected a number from 0 to {len(maps) - 1}, got {channel}")
    chosen = (channel,) if channel is not None else strongest(maps, count)
    shown = maps[list(chosen)]
    columns = math.ceil(math.sqrt(len(chosen)))
    rows = math.ceil(len(chosen) / columns)
    tiles = shown
    if channel is None:
        # Every so manieth pixel: a sheet is for seeing which channel is which.
        step = max(math.ceil(columns * shown.shape[2] / _SHEET), math.ceil(rows * shown.shape[1] / _SHEET), 1)
        tiles = shown[:, ::step, ::step]
    gap = 0 if channel is not None else max(round(max(tiles.shape[1:]) / 24), 1)
    height, width = tiles.shape[1] + gap, tiles.shape[2] + gap
    sheet = np.full((rows * height - gap, columns * width - gap, 3), _BEHIND, dtype=np.uint8)
    for place, tile in enumerate(tiles):
        low, high = np.percentile(tile, (_CUT, 100 - _CUT))
        top, left = place // columns * height, place % columns * width
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = coloured(tile, float(low), float(high))
    magnitude = spectrum(shown if channel is not None else maps)
    log = np.log10(np.maximum(magnitude, magnitude.max(initial=0.0) * 1e-6 + 1e-12))
    return LayerPicture(
        picture=sheet,
        channels=chosen,
        columns=columns,
        tile=(height, width),
        low=float(shown.min()),
        high=float(shown.max()),
        mean=float(shown.mean()),
        deviation=float(shown.std()),
        spectrum=coloured(log, float(log.min()), float(log.max())),
        profile=radial(log),
    )


def spectrum(maps: Maps) -> NDArray[np.float64]:
    """[H, W]: magnitudes of the two-dimensional Fourier transform, averaged over channels, frequency 0 in the middle.

    Each map without its mean, which says nothing about shapes and would outshine the rest.
    """
    total = np.zeros(maps.shape[1:], dtype=np.float64)
    for plane in maps:
        centred = plane.astype(np.float64) - plane.mean(dtype=np.float64)
        total += np.abs(np.fft.fft2(centred)) / centred.size
    return np.fft.fftshift(total / len(maps))


def radial(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The mean of [H, W] over rings around the middle, from frequency 0 to half the sampling rate of the shorter side.

    Frequency 0 itself is left out where there is another.
    """
    height, width = values.shape
    y = (np.arange(height) - height // 2)[:, None] / height
    x = (np.arange(width) - width // 2)[None] / width
    bins = max(min(height, width) // 2, 1)
    ring = np.minimum(np.hypot(y, x) * 2 * bins, bins).round().astype(int)
    sums = np.bincount(ring.ravel(), weights=values.ravel(), minlength=bins + 1)
    counts = np.bincount(ring.ravel(), minlength=bins + 1)
    profile = sums / np.maximum(counts, 1)
    return (profile[1:] if bins > 1 else profile).astype(np.float32)
