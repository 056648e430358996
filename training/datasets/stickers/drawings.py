"""Drawings as they are pasted: of one concept in one manner and colour, at one size, kept once they are made."""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageFilter, ImageOps

from training.datasets.stickers.art import Art, as_array
from training.datasets.stickers.colour import Array, Hues, from_oklab, measure, recolour, swatch, to_oklab
from training.datasets.stickers.concepts import MANY_HUES, NAMES
from training.datasets.stickers.grounds import PLAIN

HANDS = {
    "3D": "fluent 3D",
    "flat": "fluent flat",
    "detailed": "noto",
    "sticker": "twemoji",
    "comic": "noto v1",
    "pixel art": "noto",
    "line drawing": "twemoji",
    "neon": "twemoji",
}
"""Manner -> the art set it is made of."""
LINES = ("line drawing", "neon")
"""Manners whose lines take any colour, whatever the drawing's hues are."""
RIMMED = ("sticker", "comic", *LINES)
"""Manners with a rim that sets the drawing off from any ground."""
MARGIN = 0.12
"""Around a drawing, of its side: room for outlines, shadows and glow."""
_ALIKE = 0.09  # distance in OKLab below which colours are hard to tell apart in small pictures
_KEPT_BYTES = 500 << 20


class Drawings:
    """Makes and keeps drawings."""

    def __init__(self, art: Art) -> None:
        self._art = art
        self._hues: dict[tuple[str, str], Hues] = {}
        self._borders: dict[tuple[str, str], Array] = {}
        self._sources: dict[tuple[str, str], Image.Image] = {}
        self._kept: OrderedDict[tuple[str, str, str, int], Image.Image] = OrderedDict()
        self._bytes = 0

    def recolourable(self, concept: str, manner: str) -> bool:
        """Whether every colour word can be made true of it."""
        if manner in LINES:
            return True
        return concept not in MANY_HUES and self.hues(concept, manner).recolourable

    def drowns(self, concept: str, manner: str, ground: str) -> bool:
        """Whether it can hardly be told from a plain ground, in its own colours: more than half of its border."""
        if manner in RIMMED or ground not in PLAIN:
            return False
        key = (concept, HANDS[manner])
        if key not in self._borders:
            self._borders[key] = _border(as_array(self._source(*key).resize((64, 64), Image.Resampling.BOX)))
        away = self._borders[key] - to_oklab(np.array(PLAIN[ground], np.float32))
        return bool((np.sqrt((away**2).sum(axis=-1)) < _ALIKE).mean() > 0.5)

    def extent(self, concept: str, manner: str) -> tuple[float, float]:
        """Width and height of the drawing, of its longer side."""
        size = self._source(concept, HANDS[manner]).size
        return (size[0] / max(size), size[1] / max(size))

    def hues(self, concept: str, manner: str) -> Hues:
        """The colours of the drawing that stands for a concept in a manner."""
        key = (concept, HANDS[manner])
        if key not in self._hues:
            self._hues[key] = measure(as_array(self._source(*key).resize((96, 96), Image.Resampling.BOX)))
        return self._hues[key]

    def get(self, concept: str, manner: str, colour: str, side: int) -> Image.Image:
        """RGBA, a square of side * (1 + 2 MARGIN) pixels, the drawing in the middle, its longer side `side`."""
        key = (concept, manner, colour, side)
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        made = self._make(concept, manner, colour, side)
        self._kept[key] = made
        self._bytes += 4 * made.width * made.height
        while self._bytes > _KEPT_BYTES and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            self._bytes -= 4 * old.width * old.height
        return made

    def _source(self, concept: str, hand: str) -> Image.Image:
        key = (concept, hand)
        if key not in self._sources:
            self._sources[key] = self._art.picture(hand, NAMES[concept])
        return self._sources[key]

    def _make(self, concept: str, manner: str, colour: str, side: int) -> Image.Image:
        source = self._source(concept, HANDS[manner])
        scale = side / max(source.size)
        size = (max(1, round(source.width * scale)), max(1, round(source.height * scale)))
        whole = side + 2 * round(MARGIN * side)
        picture = Image.new("RGBA", (whole, whole))
        # RGBa is premultiplied: no dark seam at transparent edges.
        small = source.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
        picture.paste(small, ((whole - size[0]) // 2, (whole - size[1]) // 2))
        rgba = as_array(picture)
        if colour != "own" and manner not in LINES:
            rgba = recolour(rgba, self.hues(concept, manner), colour)
        if manner == "sticker":
            rgba = _die_cut(rgba, side)
        elif manner == "comic":
            rgba = _outlined(rgba, side)
        elif manner == "line drawing":
            rgba = _lines(rgba, side, colour)
        elif manner == "neon":
            rgba = _neon(rgba, side, colour)
        return Image.fromarray(np.rint(rgba * 255).clip(0, 255).astype(np.uint8), "RGBA")


@lru_cache(maxsize=1)
def drawings_of(art: Path) -> Drawings:
    """The drawings that this process makes of the art in a folder, all kept together. Raises `DataError`."""
    return Drawings(Art(art))


def _border(rgba: Array) -> Array:
    """The colours along a drawing's outline, OKLab [N, 3]."""
    alpha = Image.fromarray(np.rint(rgba[..., 3] * 255).astype(np.uint8), "L")
    inside = np.asarray(ImageOps.expand(alpha, 3).filter(ImageFilter.MinFilter(7)))[3:-3, 3:-3]
    return to_oklab(rgba[(rgba[..., 3] > 0.9) & (inside < 128)][:, :3])


def over(front: Array, back: Array) -> Array:
    """One RGBA picture over another, both [H, W, 4]."""
    alpha = front[..., 3:] + back[..., 3:] * (1 - front[..., 3:])
    colour = front[..., :3] * front[..., 3:] + back[..., :3] * back[..., 3:] * (1 - front[..., 3:])
    return np.concatenate([colour / np.maximum(alpha, 1e-4), alpha], axis=-1).astype(np.float32)


def _die_cut(rgba: Array, side: int) -> Array:
    """With a white rim, as cut out of paper, and a soft shadow."""
    rim = _grown(rgba[..., 3], 0.045 * side)
    shadow = _blurred(np.roll(rim, (round(0.02 * side), round(0.012 * side)), (0, 1)), 0.02 * side) * 0.4
    back = over(_filled(rim, (1, 1, 1)), _filled(shadow, (0.1, 0.1, 0.2)))
    return over(rgba, back)


def _outlined(rgba: Array, side: int) -> Array:
    """In strong colours with a thick dark outline, and dark lines where its colours meet."""
    lab = to_oklab(rgba[..., :3])
    lab[..., 1:] *= 1.2
    strong = np.concatenate([from_oklab(lab), rgba[..., 3:]], axis=-1)
    ink = (0.10, 0.07, 0.14)
    inner = _edges(rgba, side, 0.008, whole=False) * rgba[..., 3] * 0.85
    drawn = over(_filled(inner, ink), strong)
    return over(drawn, _filled(_grown(rgba[..., 3], 0.032 * side), ink))


def _lines(rgba: Array, side: int, colour: str) -> Array:
    """Lines of one ink on white paper cut to its outline."""
    ink = (0.13, 0.13, 0.20) if colour == "own" else swatch(colour)
    edges = _edges(rgba, side, 0.011)
    return over(_filled(edges, ink), _filled(rgba[..., 3], (0.99, 0.99, 0.98)))


def _neon(rgba: Array, side: int, colour: str) -> Array:
    """Glowing tubes along its lines, on a dark board of its shape."""
    edges = _edges(rgba, side, 0.010)
    if colour == "own":
        lab = to_oklab(_spread(rgba, 0.02 * side))
        chroma = np.hypot(lab[..., 1], lab[..., 2])
        boost = np.where(chroma > 0.03, np.maximum(0.17 / np.maximum(chroma, 1e-3), 1), 1)
        lab[..., 0] = 0.55 + 0.35 * lab[..., 0]
        lab[..., 1:] *= boost[..., None]
        tube = from_oklab(lab)
    else:
        tube = np.broadcast_to(np.array(_bright(colour), np.float32), (*rgba.shape[:2], 3))
    glow = np.clip(1.6 * _blurred(edges, 0.035 * side), 0, 1)
    board = _filled(_grown(rgba[..., 3], 0.012 * side), (0.07, 0.04, 0.13))
    halo = np.concatenate([tube, 0.8 * glow[..., None]], axis=-1).astype(np.float32)
    core = 0.6 * tube + 0.4 * np.clip(tube + 0.35, 0, 1)
    lines = np.concatenate([core, edges[..., None]], axis=-1).astype(np.float32)
    return over(lines, over(halo, board))


def _bright(colour: str) -> tuple[float, float, float]:
    """The light of a tube of this colour."""
    if colour == "black":
        return (0.42, 0.42, 0.46)
    return swatch(colour)


def _edges(rgba: Array, side: int, width: float, *, whole: bool = True) -> Array:
    """Where colours meet, 0..1 [H, W]; with the outline if `whole`. `width` of the lines, of the side."""
    flat = rgba[..., :3] * rgba[..., 3:] + (1 - rgba[..., 3:]) * (1.0 if whole else _spread(rgba, 0.03 * side))
    found: Array = np.zeros(rgba.shape[:2], np.float32)
    steps = max(1, round(width * side))
    for channel in (*np.moveaxis(flat, -1, 0), *((rgba[..., 3],) if whole else ())):
        image = Image.fromarray(np.rint(channel.clip(0, 1) * 255).astype(np.uint8), "L")
        high, low = image, image
        for _ in range(steps):
            high, low = high.filter(ImageFilter.MaxFilter(3)), low.filter(ImageFilter.MinFilter(3))
        found = np.maximum(found, np.asarray(ImageChops.subtract(high, low), np.float32) / 255)
    line: Array = np.clip((found - 0.16) / 0.16, 0, 1)
    return _blurred(line, 0.004 * side)


def _spread(rgba: Array, radius: float) -> Array:
    """Its colours averaged over a neighbourhood, transparent ones left out; [H, W, 3]."""
    weight = np.maximum(_blurred(rgba[..., 3], radius), 1e-3)
    channels = [_blurred(rgba[..., c] * rgba[..., 3], radius) / weight for c in range(3)]
    return np.stack(channels, axis=-1).clip(0, 1).astype(np.float32)


def _grown(alpha: Array, radius: float) -> Array:
    """A shape made wider by about `radius` pixels, with round corners."""
    spread = _blurred(alpha, radius)
    grown: Array = np.clip((spread - 0.10) * max(2.0, 1.6 * radius), 0, 1).astype(np.float32)
    return grown


def _blurred(values: Array, radius: float) -> Array:
    image = Image.fromarray(np.rint(values.clip(0, 1) * 255).astype(np.uint8), "L")
    return (np.asarray(image.filter(ImageFilter.GaussianBlur(radius))) / 255).astype(np.float32)


def _filled(alpha: Array, colour: tuple[float, float, float]) -> Array:
    """One colour with an alpha [H, W]."""
    result: npt.NDArray[np.float32] = np.empty((*alpha.shape, 4), np.float32)
    result[..., :3] = colour
    result[..., 3] = alpha
    return result
