"""The pictures and captions that the Postcards classifier and evaluation work on, drawn and rendered by seed. No torch in here.

Every stream of random numbers is named by a tuple of integers (numpy's SeedSequence keeps different tuples apart), and render seeds are
drawn from 2**40 upwards, where no data set written by `glissando data postcards` has any: nothing here was trained on.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.datasets import postcards
from training.datasets.postcards import ATTRIBUTES, Attributes

Split = Literal["train", "heldout", "all"]
Stream = tuple[int, ...]
Count = Callable[[int, int], None]
"""Called with (done, total)."""

_CHUNK = 64
# Below this, starting processes costs more than it gives.
_WORTH_PROCESSES = 256


def sample_labels(count: int, *, split: Split, seed: Stream) -> list[Attributes]:
    """`count` draws of all seven attributes."""
    rng = np.random.default_rng(seed)
    return [postcards.sample_attributes(rng, split=split) for _ in range(count)]


def label_indices(labels: Sequence[Attributes]) -> dict[str, NDArray[np.int64]]:
    """Attribute -> [N] index of its value in ATTRIBUTES."""
    return {
        name: np.array([values.index(getattr(label, name)) for label in labels], dtype=np.int64)
        for name, values in ATTRIBUTES.items()
    }


def _render_chunk(job: tuple[Sequence[Attributes], Sequence[int], int]) -> NDArray[np.uint8]:
    labels, seeds, resolution = job
    return np.stack([postcards.render(label, seed, resolution) for label, seed in zip(labels, seeds, strict=True)])


def render_pictures(
    labels: Sequence[Attributes], resolution: int, *, seed: Stream, workers: int = 2, progress: Count | None = None
) -> NDArray[np.uint8]:
    """Real pictures [N, resolution, resolution, 3] of `labels`, each with its own render seed. The same for any number of workers."""
    if not labels:
        raise ValueError("labels: expected at least one picture to render, got none")
    seeds = [int(s) for s in np.random.default_rng((*seed, 7)).integers(2**40, 2**62, size=len(labels))]
    jobs = [(labels[i : i + _CHUNK], seeds[i : i + _CHUNK], resolution) for i in range(0, len(labels), _CHUNK)]
    pictures = np.empty((len(labels), resolution, resolution, 3), dtype=np.uint8)

    def collect(chunks: Iterator[NDArray[np.uint8]]) -> None:
        at = 0
        for chunk in chunks:
            pictures[at : at + len(chunk)] = chunk
            at += len(chunk)
            if progress:
                progress(at, len(labels))

    if workers > 1 and len(labels) >= _WORTH_PROCESSES:
        # Not fork: a child of a process that runs torch's threads can hang.
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            collect(pool.map(_render_chunk, jobs))
    else:
        collect(map(_render_chunk, jobs))
    return pictures
