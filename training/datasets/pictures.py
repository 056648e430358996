"""From a file's bytes to a square of pixels: what is opened, which square is cut, and how it is resized.

Pillow's own table says which formats there are. Files are only read by its decoders of pixels: those that run other
programs (EPS) or only tell a format by name are never asked.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from training.datasets.config import Crop, Resize

MAX_FILE_BYTES = 512 << 20
"""No picture's file is larger; what claims to be is not read."""

EXTRAS = {".heic": "pillow-heif", ".heif": "pillow-heif", ".hif": "pillow-heif", ".jxl": "pillow-jxl-plugin"}
"""Endings of pictures that Pillow reads with another package, which the extra `formats` installs."""

_NOT_READ = frozenset({"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"})
_MANY_IN_ONE = frozenset({"MPO"})
"""Photographs that hold a preview or a depth map beside the picture: not animated."""
_BITS_PER_SAMPLE, _PHOTOMETRIC, _MAX_SAMPLE_VALUE = 258, 262, 281
_WHITE_IS_ZERO = 0
_UNKNOWN_WHITE = "whose white is not known; save it with 8 or 16 bits"


class PixelError(ValueError):
    """Pixels that no rule says how to turn into 8 bits; the message names them and says what to do."""


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


@lru_cache(maxsize=1)
def picture_formats() -> Mapping[str, str]:
    """The ending of a file's name -> Pillow's name of the format, for all formats that are read here."""
    for module, register in (("pillow_heif", "register_heif_opener"), ("pillow_jxl", "")):
        with contextlib.suppress(ImportError):
            plugin = importlib.import_module(module)
            if register:
                getattr(plugin, register)()
    extensions = Image.registered_extensions()  # loads all of Pillow's plugins
    return {suffix: name for suffix, name in extensions.items() if name in Image.OPEN and name not in _NOT_READ}


def is_picture(name: str) -> bool:
    """Whether a file's name says that it is a picture that can be read."""
    return os.path.splitext(name)[1].lower() in picture_formats()


def missing_extra(name: str) -> str:
    """The package that a file's name asks for and that is not installed; empty when there is none."""
    suffix = os.path.splitext(name)[1].lower()
    return EXTRAS.get(suffix, "") if suffix not in picture_formats() else ""


def open_rgb(file: str | os.PathLike[str] | io.BytesIO, *, side: int = 0) -> Image.Image:
    """A whole picture as RGB, upright; transparency becomes white, of an animation the first frame is taken.

    More than 8 bits are scaled down by their bit depth. With `side`, a JPEG may come smaller by a power of two, at
    least twice `side` either way: its decoder averages blocks, which is much cheaper than all pixels. Raises
    `PixelError`, what Pillow raises for a broken file, and what it raises for one of more pixels than its limit.
    """
    with warnings.catch_warnings():
        # Pillow warns about very large or slightly odd files that it reads all the same.
        warnings.simplefilter("ignore")
        with _open(file) as opened:
            if side:
                opened.draft("RGB", (2 * side, 2 * side))
            picture = _to_eight_bits(ImageOps.exif_transpose(opened), opened)
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            return picture.convert("RGB")


def picture_kind(data: bytes) -> tuple[str, bool]:
    """(how a picture's pixels are stored, whether it is animated or has several pages).

    Raises what Pillow raises for a broken file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _open(io.BytesIO(data)) as opened:
            several = bool(getattr(opened, "is_animated", False)) and opened.format not in _MANY_IN_ONE
            return opened.mode, several


def _open(file: str | os.PathLike[str] | io.BytesIO) -> Image.Image:
    return Image.open(file, formats=sorted(set(picture_formats().values())))


def _to_eight_bits(picture: Image.Image, opened: Image.Image) -> Image.Image:
    """A picture of at most 8 bits a channel. Raises `PixelError` where the range of its values is not known."""
    if picture.mode.startswith("I;16") or (picture.mode == "I" and opened.format in ("PNG", "PPM")):
        white = _white(opened)
        values = np.asarray(picture).astype(np.int64)
        scaled = values >> 8 if white == 65535 else (values * 255 + white // 2) // white
        if opened.format == "TIFF" and _tag(opened, _PHOTOMETRIC) == _WHITE_IS_ZERO:
            scaled = 255 - scaled  # Pillow does so for 8 bits only
        return Image.fromarray(scaled.clip(0, 255).astype(np.uint8))
    if picture.mode == "I":
        raise PixelError(f"its pixels are signed or 32-bit integers, {_UNKNOWN_WHITE}")
    if picture.mode == "F":
        values_F = np.asarray(picture)
        if not (np.isfinite(values_F).all() and values_F.min() >= 0 and values_F.max() <= 1):
            raise PixelError(f"its pixels are floating-point numbers beyond 0 to 1, {_UNKNOWN_WHITE}")
        return Image.fromarray((values_F * 255).round().astype(np.uint8))
    if picture.mode == "LAB":
        raise PixelError("its colours are Lab; save it as RGB")
    return picture


def _white(opened: Image.Image) -> int:
    """The value of white: by a TIFF's own words, else by its bits, else of 16 bits."""
    if opened.format != "TIFF":
        return 65535
    said = _tag(opened, _MAX_SAMPLE_VALUE)
    if said is not None and 255 < said < 65535:
        return said
    bits = _tag(opened, _BITS_PER_SAMPLE) or 16
    return (1 << bits) - 1 if 8 < bits < 16 else 65535


def _tag(opened: Image.Image, tag: int) -> int | None:
    """A TIFF's tag, of several numbers the first; None when it is no whole number."""
    value = getattr(opened, "tag_v2", {}).get(tag)
    if isinstance(value, tuple) and value:
        value = value[0]
    return value if isinstance(value, int) else None


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
