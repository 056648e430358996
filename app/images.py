"""Pictures on disk: PNGs that carry how they were made, and contact sheets.

A PNG holds two text entries. `parameters` is the form that AUTOMATIC1111's web UI writes and many viewers read: the
prompt, then one line of "Steps: 1, Seed: 7, Size: 64x64, ..." (`app.parameters` reads it back). `glissando` is JSON
with the whole request and the checkpoint's hash, enough to render the same pixels again; see `app.provenance`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from app.classes import class_title
from app.errors import UserError, reason
from app.provenance import DOCUMENT_KEY, Picture, document, read_document, version
from core.files import replacing
from core.model_info import ModelInfo
from core.request import SEED_LIMIT, SEEDS_PER_ROW, Frame, RenderRequest

PARAMETERS_KEY = "parameters"

# The web UI names a model by the first ten digits of its file's SHA-256.
SHORT_HASH_DIGITS = 10

_GAP = 2
_PAPER = 24


def seed_number(request: RenderRequest) -> int | None:
    """The seed of an integer point on the seed plane, 0 to 2**32 - 1; None between seeds."""
    if not (request.seed_x.is_integer() if isinstance(request.seed_x, float) else True):
        return None
    if not (request.seed_y.is_integer() if isinstance(request.seed_y, float) else True):
        return None
    return (int(request.seed_x) + SEEDS_PER_ROW * int(request.seed_y)) % SEED_LIMIT


def parameters_text(request: RenderRequest, info: ModelInfo, *, width: int, height: int) -> str:
    """The web UI's form: the prompt, if the model takes one, a line break, then "Key: value" pairs."""
    pairs: list[tuple[str, object]] = [("Steps", 1)]
    seed = seed_number(request)
    if seed is not None:
        pairs.append(("Seed", seed))
    else:
        # Between seeds no one number is true; the nearest serves tools that want one, the place itself follows.
        nearest = RenderRequest(seed_x=float(round(request.seed_x)), seed_y=float(round(request.seed_y)))
        pairs += [("Seed", seed_number(nearest)), ("Seed X", request.seed_x), ("Seed Y", request.seed_y)]
    pairs += [
        ("Size", f"{width}x{height}"),
        ("Model hash", info.sha256[:SHORT_HASH_DIGITS]),
        ("Model", info.name),
        ("Psi", _number(request.psi)),
        ("Noise", request.noise),
    ]
    if request.noise == "random":
        pairs.append(("Noise seed", request.noise_seed))
    if info.conditioning == "class":
        pairs.append(("Class", class_title(request.label, info.class_names)))
    if request.blend and info.conditioning == "class":
        pairs += [("Class B", class_title(request.label_b, info.class_names)), ("Blend", _number(request.blend))]
    elif request.blend:
        pairs += [("Prompt B", request.prompt_b), ("Blend", _number(request.blend))]
    pairs.append(("Version", f"Glissando {version()}"))
    prompt = request.prompt if info.conditioning == "text" else ""
    return prompt + "\n" + ", ".join(f"{key}: {_quoted(value)}" for key, value in pairs)


def save_png(
    path: Path, frame: Frame, info: ModelInfo, scene: Mapping[str, Any] | None = None, time: float | None = None
) -> None:
    """Write a frame with its metadata, whole or not at all; `scene` is the window's document as JSON, at `time`.

    Raises `UserError` when the file cannot be written.
    """
    write_png(path, frame.pixels, entries_of(frame.request, info, frame.pixels, scene=scene, time=time))


def entries_of(
    request: RenderRequest,
    info: ModelInfo,
    pixels: NDArray[np.uint8],
    *,
    scene: Mapping[str, Any] | None = None,
    time: float | None = None,
) -> dict[str, str]:
    """The text entries of a PNG with these pixels."""
    height, width = pixels.shape[:2]
    return {
        PARAMETERS_KEY: parameters_text(request, info, width=width, height=height),
        DOCUMENT_KEY: json.dumps(document(request, info, scene=scene, time=time), ensure_ascii=False),
    }


def write_png(path: Path, pixels: NDArray[np.uint8], entries: dict[str, str] | None = None) -> None:
    """Write [H, W, 3] pixels with text entries; see `save_png`."""
    text = PngInfo()
    for key, value in (entries or {}).items():
        text.add_text(key, value)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(None, "is a directory", str(path))
        with replacing(path) as part:
            Image.fromarray(pixels).save(part, format="PNG", pnginfo=text)
    except OSError as error:
        raise UserError(f"{path}: cannot write the picture: {reason(error)}; choose another place") from error


def read_png(path: Path) -> Picture:
    """What a PNG says about itself. Raises `UserError` for what is no picture and for damaged metadata of ours."""
    try:
        with Image.open(path) as image:
            image.load()
            width, height = image.size
            entries = {key: value for key, value in image.info.items() if isinstance(value, str)}
    except UnidentifiedImageError:
        raise UserError(f"{path}: expected a picture, got something else") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"{path}: cannot read the picture: {why}") from error
    parameters = entries.get(PARAMETERS_KEY, "")
    if DOCUMENT_KEY not in entries:
        return Picture(width=width, height=height, parameters=parameters)
    return read_document(path, entries[DOCUMENT_KEY], width=width, height=height, parameters=parameters)


def contact_sheet(
    pictures: Sequence[NDArray[np.uint8]],
    *,
    columns: int | None = None,
    labels: Sequence[str] | None = None,
    captions: Sequence[str] | None = None,
    tile: int = 128,
) -> NDArray[np.uint8]:
    """Pictures of one size on one page, row by row: [H, W, 3].

    Small pictures are enlarged by a whole number to about `tile` pixels. `labels` gives each row a line of text,
    `captions` each picture one of its own under that.
    """
    if not pictures:
        raise ValueError("contact sheet: expected at least one picture, got none")
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    scale = max(1, tile // max(pictures[0].shape[:2]))
    height, width = (side * scale for side in pictures[0].shape[:2])
    line = 22
    strip = line * (bool(labels) + bool(captions))
    page = np.full((rows * (height + strip + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3), _PAPER, dtype=np.uint8)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        top = row * (height + strip + _GAP) + strip + _GAP
        left = column * (width + _GAP) + _GAP
        page[top : top + height, left : left + width] = picture.repeat(scale, axis=0).repeat(scale, axis=1)
    if not strip:
        return page
    image = Image.fromarray(page)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=14)
    for row, label in enumerate((labels or ())[:rows]):
        draw.text((_GAP + 4, row * (height + strip + _GAP) + 3), label, font=font, fill=(230, 230, 230))
    for index, caption in enumerate((captions or ())[: len(pictures)]):
        row, column = divmod(index, columns)
        place = (column * (width + _GAP) + _GAP + 4, row * (height + strip + _GAP) + strip - line + 3)
        draw.text(place, _fitted(caption, width - 8, font), font=font, fill=(230, 230, 230))
    return np.asarray(image)


def _fitted(text: str, width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """`text` on one line, cut to `width` pixels."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."


def _number(value: float) -> str:
    return f"{value:.6g}"


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r'[,:\n"]', text) or text != text.strip() else text
