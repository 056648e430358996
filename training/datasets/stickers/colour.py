"""Colours in OKLab (Ottosson 2020, "A perceptual color space for image processing"): recolouring that keeps shading."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

TARGETS: dict[str, tuple[float, float, float]] = {  # lightness, chroma, hue in degrees
    "red": (0.60, 0.225, 26.0),
    "orange": (0.74, 0.175, 58.0),
    "yellow": (0.88, 0.175, 97.0),
    "green": (0.68, 0.190, 143.0),
    "turquoise": (0.79, 0.120, 192.0),
    "blue": (0.56, 0.190, 258.0),
    "purple": (0.53, 0.200, 305.0),
    "pink": (0.77, 0.150, 352.0),
    "brown": (0.46, 0.075, 52.0),
    "black": (0.29, 0.008, 280.0),
}
"""Colour word -> the colour that the middle of a recoloured drawing gets."""

CONCENTRATION = 0.6
"""Least share of a drawing's colour (its chroma, summed) that must lie about its main hue, so that it may be
recoloured."""
COVER = 0.36
"""Least share of its pixels that must do so."""
NEAR = float(np.deg2rad(60))
"""How far from the main hue a colour still counts as a shade of it, radians."""
_CHROMA = 0.045  # below it a pixel counts as grey

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    np.float32,
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    np.float32,
)
_FROM_LMS = np.linalg.inv(_TO_LMS).astype(np.float32)
_FROM_LAB = np.linalg.inv(_TO_LAB).astype(np.float32)


def to_oklab(rgb: Array) -> Array:
    """sRGB in 0..1, [..., 3], to OKLab [..., 3]."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4).astype(np.float32)
    lab: Array = np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T
    return lab


def from_oklab(lab: Array) -> Array:
    """OKLab [..., 3] to sRGB clipped to 0..1."""
    linear = (lab @ _FROM_LAB.T) ** 3 @ _FROM_LMS.T
    linear = np.clip(linear, 0, 1)
    rgb: Array = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)
    return rgb


def swatch(name: str) -> tuple[float, float, float]:
    """The sRGB colour of a colour word, 0..1."""
    lightness, chroma, hue = TARGETS[name]
    angle = np.deg2rad(hue)
    rgb = from_oklab(np.array([lightness, chroma * np.cos(angle), chroma * np.sin(angle)], np.float32))
    return (float(rgb[0]), float(rgb[1]), float(rgb[2]))


@dataclass(frozen=True, kw_only=True)
class Hues:
    """What is known of a drawing's colours."""

    hue: float
    """The main one, radians: the mean about the fullest part of the hue circle, weighted by chroma."""
    concentration: float
    """Share of the chroma that lies near it."""
    cover: float
    """Share of the pixels that do, greys not counted."""
    lightness: float
    """Mean, of these pixels."""
    chroma: float

    @property
    def recolourable(self) -> bool:
        """Whether another colour word would be true of the whole drawing."""
        return self.concentration > CONCENTRATION and self.cover > COVER


def measure(rgba: Array) -> Hues:
    """The hues of a drawing, RGBA in 0..1 [H, W, 4]."""
    seen = rgba[..., 3] > 0.5
    lab = to_oklab(rgba[seen][:, :3])
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    weight = np.where(chroma > _CHROMA, chroma, 0)
    total = float(weight.sum())
    if total == 0:
        return Hues(hue=0.0, concentration=0.0, cover=0.0, lightness=0.5, chroma=0.0)
    angle = np.arctan2(lab[:, 2], lab[:, 1])
    directions = np.linspace(-np.pi, np.pi, 36, endpoint=False)
    fullest = max(directions, key=lambda direction: float(weight[_away(angle, direction) < NEAR / 2].sum()))
    near = weight * (_away(angle, fullest) < NEAR)
    hue = float(np.angle((near * np.exp(1j * angle)).sum()))
    near = weight * (_away(angle, hue) < NEAR)
    share = float(near.sum())
    return Hues(
        hue=hue,
        concentration=share / total,
        cover=float((near > 0).mean()),
        lightness=float((near * lab[:, 0]).sum()) / share,
        chroma=float((near * chroma).sum()) / share,
    )


def _away(angle: Array, direction: float) -> Array:
    """How far angles are from one, radians."""
    away: Array = np.abs(np.angle(np.exp(1j * (angle - direction)))).astype(np.float32)
    return away


def recolour(rgba: Array, hues: Hues, name: str) -> Array:
    """A drawing in another colour: pixels near its hue get that of `name`, with their shading; greys and other hues
    stay as they are. RGBA in 0..1 [H, W, 4]."""
    lightness, chroma, hue = TARGETS[name]
    lab = to_oklab(rgba[..., :3])
    own = np.hypot(lab[..., 1], lab[..., 2])
    away = np.angle(np.exp(1j * (np.arctan2(lab[..., 2], lab[..., 1]) - hues.hue))).astype(np.float32)
    # How far a pixel takes part: whole near the hue, not at all beyond half as far again; greys by their chroma.
    part = _smooth(np.abs(away), 1.5 * NEAR, NEAR) * _smooth(own, 0.015, 0.06)
    turned = np.deg2rad(hue) + 0.3 * away
    strength = own * (chroma / max(hues.chroma, 0.02))
    # Shading: the mean lightness moves to the target, black and white stay.
    level = np.where(
        lab[..., 0] < hues.lightness,
        lab[..., 0] * (lightness / hues.lightness),
        1 - (1 - lab[..., 0]) * ((1 - lightness) / max(1 - hues.lightness, 0.02)),
    )
    limit = 1.35 * chroma
    strength = np.minimum(strength, limit)
    new = np.stack([level, strength * np.cos(turned), strength * np.sin(turned)], axis=-1).astype(np.float32)
    mixed = lab + part[..., None] * (new - lab)
    return np.concatenate([from_oklab(mixed), rgba[..., 3:]], axis=-1)


def _smooth(value: Array, low: float, high: float) -> Array:
    """0 at `low`, 1 at `high`, smooth between; `low` may be the greater."""
    t = np.clip((value - low) / (high - low), 0, 1)
    result: Array = (t * t * (3 - 2 * t)).astype(np.float32)
    return result
