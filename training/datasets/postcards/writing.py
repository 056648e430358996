"""Writes a Postcards data set: pictures, captions beside them, and an index.

OUT/dataset.json            settings, vocabulary, whether it is complete
OUT/postcards.jsonl         one line a picture: file, seed, attributes, captions with what each names
OUT/00000/000000.png, .txt  a thousand pictures a folder; one caption a line
"""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from training.datasets.postcards.attributes import SPLITS, Attributes, Split, sample_attributes
from training.datasets.postcards.captions import Caption, caption, vocabulary
from training.datasets.postcards.rendering import GENERATOR_VERSION, MAX_RESOLUTION, MIN_RESOLUTION, render

CAPTIONS_PER_PICTURE = 6
PICTURES_PER_FOLDER = 1000


class DatasetError(ValueError):
    """A data set cannot be written where or as asked."""


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
    file = f"{index // PICTURES_PER_FOLDER:05d}/{index:06d}.png"
    return Record(file=file, seed=picture_seed, attributes=attributes, captions=tuple(captions))


def write_dataset(
    out: str | os.PathLike[str], count: int, resolution: int, seed: int = 0, split: Split = "train", workers: int = 2
) -> Path:
    """Writes `count` pictures of resolution x resolution pixels; returns the folder.

    Picture i depends on (seed, split, i) only: an interrupted run goes on where it stopped, a finished one is left as
    it is, and a larger `count` adds to it. DatasetError for settings out of range and for a non-empty folder that holds
    anything but this data set; OSError where the folder cannot be written.
    """
    if count < 1:
        raise DatasetError(f"count: expected at least 1 picture; got {count}")
    if workers < 1:
        raise DatasetError(f"workers: expected at least 1 process; got {workers}")
    if seed < 0:
        raise DatasetError(f"seed: expected a number from 0 up; got {seed}")
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
    if _is_finished(folder, settings, count):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    description = {**settings, "count": count, "vocabulary": list(vocabulary()), "complete": False}
    _write_text(folder / "dataset.json", json.dumps(description, indent=1) + "\n")

    jobs = [(folder, first, min(first + 50, count), resolution, seed, split) for first in range(0, count, 50)]
    lines: list[str] = []
    with _mapped(jobs, workers) as results, tqdm(total=count, unit="picture", desc="Postcards") as bar:
        for chunk in results:
            lines += chunk
            bar.update(len(chunk))
    _write_text(folder / "postcards.jsonl", "\n".join(lines) + "\n")
    _write_text(folder / "dataset.json", json.dumps({**description, "complete": True}, indent=1) + "\n")
    return folder


def _is_finished(folder: Path, settings: dict[str, Any], count: int) -> bool:
    """Whether the folder holds all of it already. DatasetError where it holds something else."""
    if folder.exists() and not folder.is_dir():
        raise DatasetError(
            f"{folder}: expected a folder to write the data set into; it is a file. Choose another name."
        )
    if not folder.exists() or not any(folder.iterdir()):
        return False
    advice = "Choose an empty folder, or remove this one."
    try:
        found = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict) or found.get("kind") != "postcards":
        raise DatasetError(
            f"{folder}: expected an empty folder or a Postcards data set; it holds other files. {advice}"
        )
    for key, value in settings.items():
        if found.get(key) != value:
            raise DatasetError(
                f"{folder}: holds a Postcards data set with {key} {found.get(key)!r}; expected {value!r}. {advice}"
            )
    have = found.get("count")
    if not isinstance(have, int) or have > count:
        raise DatasetError(
            f"{folder}: holds a Postcards data set of {have} pictures; expected at most {count}. {advice}"
        )
    return bool(found.get("complete")) and have == count


def _write_chunk(job: tuple[Path, int, int, int, int, Split]) -> list[str]:
    folder, first, last, resolution, seed, split = job
    lines = []
    for index in range(first, last):
        record = make_record(index, seed, split)
        picture = folder / record.file
        text = picture.with_suffix(".txt")
        if not (picture.exists() and text.exists()):
            picture.parent.mkdir(parents=True, exist_ok=True)
            _write_text(text, "".join(c.text + "\n" for c in record.captions))
            partial = picture.with_suffix(".partial")
            Image.fromarray(render(record.attributes, record.seed, resolution)).save(partial, format="PNG")
            os.replace(partial, picture)
        lines.append(record.as_json())
    return lines


def _write_text(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


@contextmanager
def _mapped(jobs: list[tuple[Path, int, int, int, int, Split]], workers: int) -> Iterator[Iterator[list[str]]]:
    """The chunks' index lines in order, from this process or from a pool of them."""
    if workers == 1 or len(jobs) == 1:
        yield map(_write_chunk, jobs)
        return
    # One thread each: the arrays are small, and threads of several processes would get in each other's way.
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        pool = get_context("spawn").Pool(min(workers, len(jobs)), initializer=_ignore_interrupt)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    with pool:
        yield pool.imap(_write_chunk, jobs)


def _ignore_interrupt() -> None:
    # Ctrl-C is for the parent, which ends the pool.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
