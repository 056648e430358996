"""From a file's bytes to a square of pixels: what is opened, which square is cut, and how it is resized.

Files are only read by Pillow's decoders of pixel formats: the ones that run other programs (EPS) are never asked.
"""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin, WebPImagePlugin

from training.datasets.config import Crop, Resize

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
FORMATS = ("PNG", "JPEG", "BMP", "GIF", TiffImagePlugin.TiffImageFile.format, WebPImagePlugin.WebPImageFile.format)
MAX_FILE_BYTES = 512 << 20
"""No picture's file is larger; what claims to be is not read."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What becomes of a picture."""

    resolution: int
    crop: Crop = "centre"
    mirror: bool = False
    resize: Resize = "area"

    def __post_init__(self) -> None:
        if self.resolution < 1:
            raise ValueError(f"expected a resolution of 1 or more, got {self.resolution}")


def is_picture(name: str) -> bool:
    """Whether a file's name says that it is a picture."""
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


def open_rgb(file: str | os.PathLike[str] | io.BytesIO, *, side: int = 0) -> Image.Image:
    """A whole picture as RGB, upright; transparency becomes white.

    With `side`, a JPEG may come smaller by a power of two, at least twice `side` either way: its decoder averages
    blocks, which is much cheaper than all pixels. Raises what Pillow raises for a broken file, and for one of more
    pixels than Pillow's limit.
    """
    with warnings.catch_warnings():
        # Pillow warns about very large or slightly odd files that it reads all the same.
        warnings.simplefilter("ignore")
        with Image.open(file, formats=FORMATS) as opened:
            if side:
                opened.draft("RGB", (2 * side, 2 * side))
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith("I"):  # 16 bits of grey, which convert() would clip
                picture = Image.fromarray((np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            return picture.convert("RGB")


def square(picture: Image.Image, look: Look, rng: np.random.Generator | None = None) -> NDArray[np.uint8]:
    """The square of an RGB picture: uint8 [3, R, R]. `rng` places a random crop and decides about the mirror."""
    width, height = picture.size
    side, resolution = min(width, height), look.resolution
    left, top = (width - side) // 2, (height - side) // 2
    mirrored = False
    if rng is not None:
        # Both are drawn whatever the picture, so that one depends on neither its size nor the other.
        place, mirrored = rng.random(), bool(rng.random() < 0.5)
        if look.crop == "random":
            left, top = int(place * (width - side + 1)), int(place * (height - side + 1))
    if (width, height) != (resolution, resolution):
        if look.resize == "lanczos":
            method = Image.Resampling.LANCZOS
        else:
            method = Image.Resampling.BOX if side >= resolution else Image.Resampling.BICUBIC
        picture = picture.resize((resolution, resolution), method, box=(left, top, left + side, top + side))
    pixels = np.asarray(picture, dtype=np.uint8)
    if look.mirror and mirrored:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def decode(data: bytes, look: Look, rng: np.random.Generator | None = None) -> NDArray[np.uint8]:
    """A file's bytes as uint8 [3, R, R]. Raises what Pillow raises for a broken file."""
    return square(open_rgb(io.BytesIO(data), side=look.resolution), look, rng)


def read_picture(path: str | os.PathLike[str], resolution: int) -> NDArray[np.uint8]:
    """One picture, centre-cropped to a square and resized: uint8 [3, resolution, resolution].

    Every pixel counts, also of a large JPEG. Raises what Pillow raises for a broken file.
    """
    return square(open_rgb(path), Look(resolution=resolution))
