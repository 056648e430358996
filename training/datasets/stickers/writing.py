"""Writes a Stickers data set: pictures, captions beside them, the latents that made them, and an index.

OUT/dataset.json            settings, art sets, vocabulary, how latents are read, whether it is complete
OUT/stickers.jsonl          one line a picture: file, attributes, which the captions name, captions
OUT/latents.npy             float32 [N, 64], row i for picture i: with any of its captions it determines the picture
OUT/00000/000000.png, .txt  a thousand pictures a folder; one caption a line, all naming the same attributes
"""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.datasets.generated import (
    DatasetError,
    check_numbers,
    draw_all,
    is_finished,
    picture_file,
    write_description,
    write_text,
)
from training.datasets.paired import LATENTS_NAME
from training.datasets.stickers.art import SETS, Art
from training.datasets.stickers.attributes import SPLITS, Split
from training.datasets.stickers.captions import vocabulary
from training.datasets.stickers.composing import GENERATOR_VERSION, MAX_RESOLUTION, MIN_RESOLUTION, render
from training.datasets.stickers.drawings import drawings_of
from training.datasets.stickers.latents import BLOCKS, MIRROR, Latent
from training.datasets.stickers.sampling import CAPTIONS_PER_PICTURE, draw_sample


def write_dataset(
    out: str | os.PathLike[str],
    art: str | os.PathLike[str],
    count: int,
    resolution: int,
    seed: int = 0,
    split: Split = "train",
    workers: int = 2,
) -> Path:
    """Writes `count` pictures of resolution x resolution pixels; returns the folder.

    Picture i depends on (seed, split, i) and the art only: an interrupted run goes on where it stopped, a finished one
    is left as it is, and a larger `count` adds to it. DatasetError for settings out of range and for a non-empty folder
    that holds anything but this data set; DataError for art that is missing or broken; OSError where the folder cannot
    be written.
    """
    check_numbers(count, workers, seed)
    if split not in SPLITS:
        raise DatasetError(f"split: expected one of {', '.join(SPLITS)}; got {split!r}")
    if not MIN_RESOLUTION <= resolution <= MAX_RESOLUTION:
        raise DatasetError(f"resolution: expected {MIN_RESOLUTION} to {MAX_RESOLUTION} pixels; got {resolution}")
    folder, art = Path(out), Path(art)
    settings: dict[str, Any] = {
        "kind": "stickers",
        "generator_version": GENERATOR_VERSION,
        "resolution": resolution,
        "seed": seed,
        "split": split,
        "captions_per_picture": CAPTIONS_PER_PICTURE,
    }
    if is_finished(folder, "Stickers", settings, count):
        return folder
    Art(art)
    folder.mkdir(parents=True, exist_ok=True)
    description = {
        **settings,
        "count": count,
        "art": [f"{s.package}: {s.credit}, {s.licence}" for s in SETS.values()],
        "latent_signs": [MIRROR],
        "latent_blocks": [[block.start, block.stop] for block in BLOCKS.values()],
        "vocabulary": list(vocabulary()),
    }
    write_description(folder, description, complete=False)
    chunks = draw_all(partial(_draw, folder, art, resolution, seed, split), count, workers, "Stickers")
    write_text(folder / "stickers.jsonl", "\n".join(line for lines, _ in chunks for line in lines) + "\n")
    _write_latents(folder / LATENTS_NAME, [z for _, latents in chunks for z in latents])
    write_description(folder, description, complete=True)
    return folder


def _draw(
    folder: Path, art: Path, resolution: int, seed: int, split: Split, indices: range
) -> tuple[list[str], list[Latent]]:
    """Writes these pictures; returns their lines of the index, and their latents."""
    drawings = drawings_of(art)
    lines, latents = [], []
    for index in indices:
        sample = draw_sample(index, seed, split, drawings)
        file = picture_file(index)
        picture = folder / file
        text = picture.with_suffix(".txt")
        if not (picture.exists() and text.exists()):
            picture.parent.mkdir(parents=True, exist_ok=True)
            write_text(text, "".join(c.text + "\n" for c in sample.captions))
            unfinished = picture.with_suffix(".partial")
            Image.fromarray(render(sample.composition, drawings, resolution)).save(unfinished, format="PNG")
            os.replace(unfinished, picture)
        entry = {
            "file": file,
            "attributes": sample.composition.attributes.as_dict(),
            "named": sample.named,
            "captions": [c.text for c in sample.captions],
        }
        lines.append(json.dumps(entry))
        latents.append(sample.z)
    return lines, latents


def _write_latents(path: Path, latents: list[Latent]) -> None:
    unfinished = path.with_name(path.name + ".partial")
    with open(unfinished, "wb") as file:
        np.save(file, np.stack(latents))
    os.replace(unfinished, path)
