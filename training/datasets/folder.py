"""A folder of captioned pictures as arrays: every picture has a .txt of captions beside it, one caption a line.

Pictures are decoded once, by a few worker processes, cropped and resized, and kept as one uint8 array [N, 3, R, R] in
the user's cache folder, keyed by the names, sizes and times of the files; the next start only maps that file.
`BatchStream` deals out the rows in an order that depends on a seed alone and can be resumed at any batch.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets.captions import read_captions
from training.datasets.decoded import FolderDataset, cache_folder, load_decoded
from training.datasets.errors import DataError
from training.datasets.paired import read_latents
from training.datasets.pictures import PICTURE_SUFFIXES, Look, read_picture
from training.datasets.trees import FolderTree, walk

__all__ = [
    "BatchStream",
    "FolderDataset",
    "FolderError",
    "cache_folder",
    "load_folder",
    "order",
    "read_captions",
    "read_picture",
]

# Raise when what is cached for a given folder would differ: it is part of the fingerprint.
CACHE_VERSION = 1


class FolderError(DataError):
    """A folder that cannot be trained on; the message says what was expected, what was found and what to do."""


def load_folder(
    folder: str | os.PathLike[str],
    resolution: int,
    *,
    workers: int | None = None,
    cache: Path | None = None,
    progress: bool = True,
) -> FolderDataset:
    """Read every captioned picture below `folder` as uint8 [3, resolution, resolution].

    Pictures that are not square lose their longer side's ends; larger ones are averaged down (area), smaller ones
    enlarged bicubically. Broken and captionless pictures are left out and counted. `cache` is the folder for the
    decoded array (default: the user's cache folder, or `GLISSANDO_CACHE`); when it cannot be written the array stays
    in memory. `workers` is the number of decoding processes.

    Raises `FolderError` when the folder is missing or has no usable picture.
    """
    root = Path(folder)
    if not root.exists():
        raise FolderError(f"{root}: no such folder; expected pictures with a .txt of captions beside each")
    if not root.is_dir():
        raise FolderError(f"{root}: expected a folder of pictures with a .txt of captions beside each, got a file")
    if resolution < 1:
        raise FolderError(f"expected a resolution of 1 or more, got {resolution}")
    names, captionless, fingerprint = _scan(root, resolution)
    if not names and not captionless:
        raise FolderError(
            f"{root}: no pictures found (looked for {', '.join(sorted(PICTURE_SUFFIXES))}, in subfolders too)"
        )
    if not names:
        raise FolderError(
            f"{root}: none of its {captionless} pictures has captions; put NAME.txt beside NAME.png, one caption a line"
        )

    cache = cache if cache is not None else cache_folder()
    stem = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16] + f"-{resolution}"
    dataset = load_decoded(
        FolderTree(root),
        [(name, None) for name in names],
        Look(resolution=resolution),
        cache=cache,
        stem=stem,
        fingerprint=fingerprint,
        workers=workers,
        progress=progress,
    )
    dataset = replace(dataset, captionless=dataset.captionless + captionless)
    if not len(dataset):
        raise FolderError(
            f"{root}: no usable picture: {dataset.broken} broken, "
            f"{dataset.captionless} without a caption; check that the files are whole"
        )
    latents = read_latents(root, len(names))
    if latents is not None and dataset.names != names:
        places = {name: row for row, name in enumerate(names)}
        latents = replace(latents, rows=latents.rows[[places[name] for name in dataset.names]])
    return replace(dataset, latents=latents)


def order(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The rows of epoch `epoch` in the order they are seen: a permutation of range(n) that depends on the three
    numbers alone."""
    return np.random.default_rng([seed, epoch]).permutation(n).astype(np.int64)


class BatchStream:
    """Endless batches of row numbers, each epoch in its own order; a batch may reach over the end of an epoch.

    The state is two numbers, so a resumed run sees exactly the batches an uninterrupted one would have. Raises
    `ValueError` for numbers below 1 and for the state of another data set.
    """

    def __init__(self, n: int, batch: int, seed: int) -> None:
        if n < 1 or batch < 1:
            raise ValueError(
                f"expected at least one row and a batch of at least 1, got {n} rows and a batch of {batch}"
            )
        self.n, self.batch, self.seed = n, batch, seed
        self.epoch = 0
        self.position = 0
        self._order = order(n, seed, 0)

    def next(self) -> NDArray[np.int64]:
        """The next batch: int64 [batch], in [0, n)."""
        parts: list[NDArray[np.int64]] = []
        missing = self.batch
        while missing > 0:
            if self.position == self.n:
                self.epoch, self.position = self.epoch + 1, 0
                self._order = order(self.n, self.seed, self.epoch)
            part = self._order[self.position : self.position + missing]
            parts.append(part)
            self.position += len(part)
            missing -= len(part)
        return np.concatenate(parts)

    def state_dict(self) -> dict[str, int]:
        return {"n": self.n, "seed": self.seed, "epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        if state["n"] != self.n:
            raise ValueError(
                f"the data has changed: the saved state is of {state['n']} pictures, "
                f"now there are {self.n}; start a new run"
            )
        if state["seed"] != self.seed:
            raise ValueError(f"the saved state is of seed {state['seed']}, this run's is {self.seed}")
        self.epoch, self.position = state["epoch"], state["position"]
        self._order = order(self.n, self.seed, self.epoch)


# --- finding the files ----------------------------------------------------------------------------------------------


def _scan(root: Path, resolution: int) -> tuple[list[str], int, str]:
    """(relative paths of the pictures that have a .txt, how many have none, fingerprint of all of it)."""
    pictures: list[tuple[str, os.stat_result]] = []
    texts: dict[str, os.stat_result] = {}
    for relative, stat in walk(root):
        stem, suffix = os.path.splitext(relative)
        if suffix.lower() in PICTURE_SUFFIXES:
            pictures.append((relative, stat))
        elif suffix.lower() == ".txt":
            texts[stem] = stat
    pictures.sort(key=lambda item: item[0])
    digest = hashlib.sha256(f"{CACHE_VERSION} {resolution}\n".encode())
    captioned: list[str] = []
    for relative, stat in pictures:
        text = texts.get(os.path.splitext(relative)[0])
        if text is not None:
            captioned.append(relative)
        marks = (stat.st_size, stat.st_mtime_ns, text.st_size if text else -1, text.st_mtime_ns if text else -1)
        digest.update(f"{relative}\0{marks}\n".encode("utf-8", "surrogateescape"))
    return captioned, len(pictures) - len(captioned), digest.hexdigest()
