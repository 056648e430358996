"""The art of Stickers: drawings of unpacked npm packages, read and rasterised. Nothing of it is in this repository."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.datasets.errors import DataError
from training.datasets.stickers.concepts import Concept


@dataclass(frozen=True)
class ArtSet:
    """One hand's drawings."""

    package: str
    """On npm."""
    version: str
    licence: str
    credit: str


SETS: dict[str, ArtSet] = {
    "fluent 3D": ArtSet("@lobehub/fluent-emoji-3d", "1.1.0", "MIT", "Fluent Emoji, Microsoft; packed by LobeHub"),
    "fluent flat": ArtSet("@iconify-json/fluent-emoji-flat", "1.2.6", "MIT", "Fluent Emoji, Microsoft"),
    "noto": ArtSet("@iconify-json/noto", "1.2.9", "Apache-2.0", "Noto Emoji, Google"),
    "noto v1": ArtSet("@iconify-json/noto-v1", "1.2.5", "Apache-2.0", "Noto Emoji (2013 to 2017), Google"),
    "twemoji": ArtSet("@iconify-json/twemoji", "1.2.5", "CC-BY-4.0", "Twemoji, Twitter and other contributors"),
}
"""Name -> where it comes from and whom to thank."""

_RASTER = 512  # a vector drawing is rasterised at this size, cut to what is drawn, and made smaller


def install_line() -> str:
    """The command that brings all sets into the folder it is run in."""
    return "npm install --ignore-scripts " + " ".join(f"{s.package}@{s.version}" for s in SETS.values())


class Art:
    """The drawings in a folder of unpacked packages. DataError where a set is missing or is not what it should be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._packages = {name: _find(folder, art.package) for name, art in SETS.items()}
        missing = [SETS[name].package for name, place in self._packages.items() if place is None]
        if missing:
            raise DataError(
                f"--art {folder}: expected the unpacked packages of all art sets; missing: {', '.join(missing)}. "
                f"Run this inside it: {install_line()}"
            )
        self._icons: dict[str, dict[str, Any]] = {}

    def picture(self, art_set: str, concept: Concept) -> Image.Image:
        """The drawing of a concept, RGBA, cut to what is drawn; its longer side is about 512 pixels, or as many as the
        file has."""
        place = self._packages[art_set]
        assert place is not None
        image = self._raster(place, concept) if art_set == "fluent 3D" else self._vector(art_set, place, concept)
        box = image.getchannel("A").point(lambda alpha: 255 if alpha > 8 else 0).getbbox()
        if box is None:
            raise DataError(f"{place}: its drawing of {concept.name!r} is empty")
        return image.crop(box)

    def _raster(self, place: Path, concept: Concept) -> Image.Image:
        for code in (concept.code, f"{concept.code}-fe0f"):
            path = place / "assets" / f"{code}.webp"
            if path.exists():
                try:
                    with Image.open(path) as opened:
                        return opened.convert("RGBA")
                except OSError as error:
                    raise DataError(f"{path}: expected a picture; {error}. Install the package again.") from None
        raise DataError(f"{place}: expected a picture of {concept.name!r}, assets/{concept.code}.webp; there is none")

    def _vector(self, art_set: str, place: Path, concept: Concept) -> Image.Image:
        icons = self._icons.get(art_set)
        if icons is None:
            icons = self._icons[art_set] = _read_icons(place / "icons.json")
        name = concept.icon
        parent = icons.get("aliases", {}).get(name, {}).get("parent", name)
        icon = icons["icons"].get(parent)
        if icon is None:
            raise DataError(f"{place}: expected a drawing {name!r}; there is none")
        width, height = (icon.get(key, icons.get(key, 16)) for key in ("width", "height"))
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}">{icon["body"]}</svg>'
        )
        return _rasterise(svg, f"{place}: {name}")


def _rasterise(svg: str, label: str) -> Image.Image:
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise DataError(
            "drawing vector art needs resvg-py; install it: pip install 'glissando[stickers]' or pip install resvg-py"
        ) from None
    try:
        data = bytes(svg_to_bytes(svg_string=svg, width=_RASTER, skip_system_fonts=True))
    except ValueError as error:
        raise DataError(f"{label}: expected a drawing in SVG; {error}. Install the package again.") from None
    return Image.open(io.BytesIO(data)).convert("RGBA")


def _find(folder: Path, package: str) -> Path | None:
    """Where a package lies: installed (node_modules), or unpacked by its own name; None when it does not."""
    for place in (folder / "node_modules" / package, folder / package, folder / package.split("/")[-1]):
        if (place / "package.json").exists():
            return place
    return None


def _read_icons(path: Path) -> dict[str, Any]:
    try:
        icons = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected the package's drawings; {error}. Install the package again.") from None
    if not isinstance(icons, dict) or not isinstance(icons.get("icons"), dict):
        raise DataError(f"{path}: expected a file of drawings with 'icons'. Install the package again.")
    return icons


def as_array(image: Image.Image) -> npt.NDArray[np.float32]:
    """RGBA in 0..1, [H, W, 4]."""
    return (np.asarray(image) / 255).astype(np.float32)
