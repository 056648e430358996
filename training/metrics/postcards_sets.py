"""The pictures and captions that the Postcards classifier and evaluation work on, drawn by seed. No torch in here.

Every stream of random numbers is named by a tuple of integers (numpy's SeedSequence keeps different tuples apart), and
render seeds are drawn from 2**40 upwards, where no data set written by `glissando data postcards` has any: nothing
here was trained on.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.datasets import postcards
from training.datasets.postcards import ATTRIBUTES, Attributes, Split

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
    """Real pictures [N, resolution, resolution, 3] of `labels`, each with its own seed, for any number of workers."""
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


def labels_for(named: Mapping[str, str], rng: np.random.Generator, *, split: Split) -> Attributes:
    """A draw of the attributes given what a caption names: named ones fixed, the others as the sampler has them.

    Raises `ValueError` when no picture of the split fits, for instance a held-out triple in the split "train".
    """
    # The sampler draws attributes independently but for the sky, which depends on the time. So draw from all triples
    # until these two agree with the caption, set the other named ones, and keep the draw if it is in the split: exact,
    # and quick.
    for _ in range(10_000):
        drawn = postcards.sample_attributes(rng, split="all")
        if any(getattr(drawn, name) != named[name] for name in ("time", "sky") if name in named):
            continue
        candidate = replace(drawn, **named)
        if split == "all" or postcards.is_held_out(candidate) == (split == "heldout"):
            return candidate
    raise ValueError(
        f"attributes: expected some picture of the split {split!r} that fits {dict(named)}, found none in 10,000 draws"
    )


@dataclass(frozen=True, kw_only=True)
class CaptionSet:
    """N captions, what each names, and the attributes of a picture each was written for."""

    prompts: list[str]
    named: list[dict[str, str]]
    labels: list[Attributes]

    def __add__(self, other: CaptionSet) -> CaptionSet:
        return CaptionSet(
            prompts=self.prompts + other.prompts, named=self.named + other.named, labels=self.labels + other.labels
        )


TRIPLE = ("terrain", "time", "style")
"""The attributes whose combinations are held out."""


def sample_captions(count: int, *, split: Split, seed: Stream, name_triple: bool = False) -> CaptionSet:
    """`count` captions of pictures of a split; with `name_triple` only such as name terrain, time and style."""
    rng = np.random.default_rng(seed)
    found = CaptionSet(prompts=[], named=[], labels=[])
    while len(found.prompts) < count:
        label = postcards.sample_attributes(rng, split=split)
        caption = postcards.caption(label, rng)
        if name_triple and not all(name in caption.named for name in TRIPLE):
            continue
        found.prompts.append(caption.text)
        found.named.append(dict(caption.named))
        found.labels.append(label)
    return found


def captions_for_variety(count: int, pictures: int, *, seed: Stream) -> CaptionSet:
    """`count` captions of seen triples, each `pictures` times in a row, each time for other attributes that fit it."""
    captions = sample_captions(count, split="train", seed=seed)
    rng = np.random.default_rng((*seed, 8))
    return CaptionSet(
        prompts=[text for text in captions.prompts for _ in range(pictures)],
        named=[named for named in captions.named for _ in range(pictures)],
        labels=[labels_for(named, rng, split="train") for named in captions.named for _ in range(pictures)],
    )


@dataclass(frozen=True, kw_only=True)
class Swap:
    """Two captions that differ in the words of one attribute."""

    attribute: str
    before: str
    after: str
    new_value: str


def sample_swaps(per_attribute: int, *, seed: Stream) -> list[Swap]:
    """`per_attribute` swaps of each attribute; both captions' pictures are of the training split."""
    rng = np.random.default_rng(seed)
    swaps: list[Swap] = []
    for name, values in ATTRIBUTES.items():
        found = 0
        while found < per_attribute:
            label = postcards.sample_attributes(rng, split="train")
            new_value = values[int(rng.integers(len(values)))]
            other = replace(label, **{name: new_value})
            if other == label or not postcards.is_plausible(other) or postcards.is_held_out(other):
                continue
            before, after, _ = postcards.swap_pair(label, name, new_value, rng)
            swaps.append(Swap(attribute=name, before=before, after=after, new_value=new_value))
            found += 1
    return swaps
