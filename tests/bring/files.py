"""Small files as people bring them, made by code."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

Files = Mapping[str, bytes | str]
"""Path in the folder -> contents; text is written as UTF-8."""

SIDE = 16
RED = (200, 40, 30)
"""A colour that no mistake turns into itself."""


def write(root: Path, files: Files) -> Path:
    """The files in a folder, which is made."""
    root.mkdir(parents=True, exist_ok=True)
    for name, contents in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    return root


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file's bytes."""
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    return file.getvalue()


def plain(mode: str = "RGB", colour: Any = RED, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    """One colour everywhere."""
    return Image.new(mode, size, colour)


def png(number: int = 0) -> bytes:
    """A picture that differs from those of other numbers."""
    return saved(plain(colour=(number * 7 % 256, 90, 200 - number)), "PNG")


def ramp(white: int, dtype: Any) -> np.ndarray[Any, Any]:
    """Grey from 0 at the left to `white` at the right: [SIDE, SIDE]."""
    return np.tile(np.linspace(0, white, SIDE).round(), (SIDE, 1)).astype(dtype)


def tiff_of_12_bits() -> bytes:
    """A grey ramp, its values packed by twos in three bytes: Pillow reads such files, but does not write them."""
    values = ramp(4095, np.uint16)
    packed = bytearray()
    for row in values:
        for first, second in row.reshape(-1, 2):
            packed += bytes([first >> 4, (first & 15) << 4 | second >> 8, second & 255])
    tags = [
        (256, 3, 1, SIDE), (257, 3, 1, SIDE), (258, 3, 1, 12), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, 1, 8), (277, 3, 1, 1), (278, 3, 1, SIDE), (279, 4, 1, len(packed)),
    ]  # fmt: skip
    head = b"II*\0" + (8 + len(packed)).to_bytes(4, "little")
    entries = b"".join(
        b"".join(number.to_bytes(size, "little") for number, size in zip(tag, (2, 2, 4, 4), strict=True))
        for tag in tags
    )
    return head + bytes(packed) + len(tags).to_bytes(2, "little") + entries + bytes(4)


def tiff(values: np.ndarray[Any, Any], **tags: int) -> bytes:
    """A TIFF of an array with further tags by their Pillow names."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for name, value in tags.items():
        info[{"max_sample_value": 281, "photometric": 262}[name]] = value
    return saved(Image.fromarray(values), "TIFF", tiffinfo=info)


def rotated_jpeg() -> bytes:
    """Lying on its side, with EXIF's word that it has to be turned: upright its top half is red."""
    upright = plain(colour=(0, 0, 255), size=(16, 32))
    upright.paste(RED, (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(upright.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95, subsampling=0)


def animated(kind: str) -> bytes:
    """Two frames, the first red."""
    return saved(plain(), kind, save_all=True, append_images=[plain(colour=(0, 0, 255))], duration=100, lossless=True)


Maker = Callable[[], bytes]
