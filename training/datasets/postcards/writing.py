"""Writes a Postcards data set: pictures, captions beside them, and an index.

OUT/dataset.json            settings, vocabulary, whether it is complete
OUT/postcards.jsonl         one line a picture: file, seed, attributes, captions with what each names
OUT/00000/000000.png, .txt  a thousand pictures a folder; one caption a line
"""

import json
import os
from dataclasses import dataclass
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
from training.datasets.postcards.attributes import SPLITS, Attributes, Split, sample_attributes
from training.datasets.postcards.captions import Caption, caption, vocabulary
from training.datasets.postcards.rendering import GENERATOR_VERSION, MAX_RESOLUTION, MIN_RESOLUTION, render

CAPTIONS_PER_PICTURE = 6


@dataclass(frozen=True, kw_only=True)
class Record:
    """Everything about one picture but its pixels."""

    file: str
    seed: int
    attributes: Attributes
    captions: tuple[Caption, ...]

    def as_json(self) -> str:
        captions = [{"text": c.text, "named": c.named} for c in self.captions]
        return json.dumps(
            {"file": self.file, "seed": self.seed, "attributes": self.attributes.as_dict(), "captions": captions}
        )


def make_record(index: int, seed: int, split: Split) -> Record:
    """What picture `index` of the data set (seed, split) is; depends on nothing else."""
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    attributes = sample_attributes(rng, split)
    picture_seed = int(rng.integers(2**31))
    captions: list[Caption] = []
    while len(captions) < CAPTIONS_PER_PICTURE:
        candidate = caption(attributes, rng)
        if all(candidate.text != other.text for other in captions):
            captions.append(candidate)
    return Record(file=picture_file(index), seed=picture_seed, attributes=attributes, captions=tuple(captions))


def write_dataset(
    out: str | os.PathLike[str], count: int, resolution: int, seed: int = 0, split: Split = "train", workers: int = 2
) -> Path:
    """Writes `count` pictures of resolution x resolution pixels; returns the folder.

    Picture i depends on (seed, split, i) only: an interrupted run goes on where it stopped, a finished one is left as
    it is, and a larger `count` adds to it. DatasetError for settings out of range and for a non-empty folder that holds
    anything but this data set; OSError where the folder cannot be written.
    """
    check_numbers(count, workers, seed)
    if split not in SPLITS:
        raise DatasetError(f"split: expected one of {', '.join(SPLITS)}; got {split!r}")
    if not MIN_RESOLUTION <= resolution <= MAX_RESOLUTION:
        raise DatasetError(f"resolution: expected {MIN_RESOLUTION} to {MAX_RESOLUTION} pixels; got {resolution}")

    folder = Path(out)
    settings: dict[str, Any] = {
        "kind": "postcards",
        "generator_version": GENERATOR_VERSION,
        "resolution": resolution,
        "seed": seed,
        "split": split,
        "captions_per_picture": CAPTIONS_PER_PICTURE,
    }
    if is_finished(folder, "Postcards", settings, count):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    description = {**settings, "count": count, "vocabulary": list(vocabulary())}
    write_description(folder, description, complete=False)
    chunks = draw_all(partial(_draw, folder, resolution, seed, split), count, workers, "Postcards")
    write_text(folder / "postcards.jsonl", "\n".join(line for chunk in chunks for line in chunk) + "\n")
    write_description(folder, description, complete=True)
    return folder


def _draw(folder: Path, resolution: int, seed: int, split: Split, indices: range) -> list[str]:
    """Writes these pictures; returns their lines of the index."""
    lines = []
    for index in indices:
        record = make_record(index, seed, split)
        picture = folder / record.file
        text = picture.with_suffix(".txt")
        if not (picture.exists() and text.exists()):
            picture.parent.mkdir(parents=True, exist_ok=True)
            write_text(text, "".join(c.text + "\n" for c in record.captions))
            unfinished = picture.with_suffix(".partial")
            Image.fromarray(render(record.attributes, record.seed, resolution)).save(unfinished, format="PNG")
            os.replace(unfinished, picture)
        lines.append(record.as_json())
    return lines
