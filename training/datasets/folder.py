"""A folder of captioned pictures as arrays, and the order in which rows of an array are dealt out.

Pictures are decoded once, cropped and resized, and kept as one uint8 array [N, 3, R, R] in the user's cache folder,
keyed by the names, sizes and times of the files; the next start only maps that file.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets.config import SourceSpec
from training.datasets.decoded import FolderDataset, cache_folder, load_decoded
from training.datasets.errors import DataError
from training.datasets.pictures import Look
from training.datasets.sources import ListedSource, open_source


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

    Raises `DataError` when the folder is missing or has no usable picture.
    """
    root = Path(folder)
    if root.exists() and not root.is_dir():
        raise DataError(f"{root}: expected a folder of pictures with a .txt of captions beside each, got a file")
    if resolution < 1:
        raise DataError(f"expected a resolution of 1 or more, got {resolution}")
    cache = cache if cache is not None else cache_folder()
    source = open_source(SourceSpec(place=str(root)), cache=cache, progress=progress)
    if not isinstance(source, ListedSource):
        raise DataError(f"{root}: expected a folder of pictures, got shards")
    look = Look(resolution=resolution)
    return load_decoded(source, look, "captions", cache=cache, workers=workers, progress=progress)


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
