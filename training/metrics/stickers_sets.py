"""The pictures and captions that the Stickers classifier and evaluation work on, drawn by seed. No torch in here.

Seeds of data sets are below 2**40; those of the streams here are above, so that nothing here was trained on.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets import stickers
from training.datasets.stickers import ATTRIBUTES, COLOURS, Composition, Drawings, Sample, Split
from training.datasets.stickers.attributes import GROUNDS, MANNERS, clashes, colour_held_out, manner_held_out
from training.datasets.stickers.drawings import drawings_of
from training.metrics.scores import UNKNOWN

Stream = tuple[int, ...]
Count = Callable[[int, int], None]
"""Called with (done, total)."""

_CHUNK = 64
# Below this, starting processes costs more than it gives.
_WORTH_PROCESSES = 512


def seed_of(stream: Stream) -> int:
    """A seed for `draw_sample`, apart from those of data sets."""
    return int(np.random.default_rng(stream).integers(2**40, 2**62))


def draw_samples(count: int, split: Split, stream: Stream, drawings: Drawings, *, pair: bool = False) -> list[Sample]:
    """`count` pictures of a split with their captions; with `pair` only such whose captions name the held-out pair."""
    found: list[Sample] = []
    index = 0
    while len(found) < count:
        sample = stickers.draw_sample(index, seed_of(stream), split, drawings)
        index += 1
        if not pair or _names_pair(sample.named):
            found.append(sample)
    return found


def _names_pair(named: dict[str, str]) -> bool:
    concept = named["concept"]
    return ("manner" in named and manner_held_out(concept, named["manner"])) or (
        "colour" in named and colour_held_out(concept, named["colour"])
    )


def stickers_targets(samples: Sequence[Sample]) -> dict[str, NDArray[np.int64]]:
    """Attribute -> [N] index of its value for the classifier.

    UNKNOWN for a drawing's own colour, which no word need fit, and for the place and size of a drawing where the
    caption left them open, since these may lie between two words.
    """

    def target(sample: Sample, name: str) -> int:
        value = sample.composition.attributes.as_dict()[name]
        if name == "colour":
            return COLOURS.index(value) if value in COLOURS else UNKNOWN
        if name in ("place", "size") and name not in sample.named:
            return UNKNOWN
        return ATTRIBUTES[name].index(value)

    return {name: np.array([target(sample, name) for sample in samples], dtype=np.int64) for name in ATTRIBUTES}


def _compose_chunk(job: tuple[Path, Sequence[Composition], int]) -> NDArray[np.uint8]:
    art, compositions, resolution = job
    drawings = drawings_of(art)
    return np.stack([stickers.render(composition, drawings, resolution) for composition in compositions])


def compose_pictures(
    compositions: Sequence[Composition],
    art: Path,
    resolution: int,
    *,
    workers: int = 2,
    progress: Count | None = None,
) -> NDArray[np.uint8]:
    """Real pictures [N, resolution, resolution, 3]."""
    if not compositions:
        raise ValueError("compositions: expected at least one picture to compose, got none")
    jobs = [(art, compositions[i : i + _CHUNK], resolution) for i in range(0, len(compositions), _CHUNK)]
    pictures = np.empty((len(compositions), resolution, resolution, 3), dtype=np.uint8)

    def collect(chunks: Iterator[NDArray[np.uint8]]) -> None:
        at = 0
        for chunk in chunks:
            pictures[at : at + len(chunk)] = chunk
            at += len(chunk)
            if progress:
                progress(at, len(compositions))

    if workers > 1 and len(compositions) >= _WORTH_PROCESSES:
        # Not fork: a child of a process that runs torch's threads can hang.
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            collect(pool.map(_compose_chunk, jobs))
    else:
        collect(map(_compose_chunk, jobs))
    return pictures


@dataclass(frozen=True, kw_only=True)
class Swap:
    """Two captions of one plan that differ in the words of one attribute."""

    attribute: str
    before: str
    after: str
    old_value: str
    new_value: str
    comparable: frozenset[str]
    """The attributes that must not change: what both captions name, and what z or the caption's grammar decides."""


def allowed(named: dict[str, str], drawings: Drawings) -> bool:
    """Whether a training picture could have such a caption."""
    concept, manner, colour = named["concept"], named.get("manner"), named.get("colour")
    if manner is not None and manner_held_out(concept, manner):
        return False
    if named.get("count") == "two" and "place" in named:
        return False
    if named.get("place") in ("left", "right") and named.get("size") == "large":
        return False
    if colour is None:
        return manner is None or "ground" not in named or not drawings.drowns(concept, manner, named["ground"])
    if colour_held_out(concept, colour) or clashes(colour, named.get("ground", "")):
        return False
    if manner == "neon" and colour == "black":
        return False
    return drawings.recolourable(concept, manner) if manner is not None else True


def sample_swaps(
    per_attribute: int, stream: Stream, drawings: Drawings, attributes: Sequence[str] = tuple(ATTRIBUTES)
) -> list[Swap]:
    """`per_attribute` swaps of each attribute; both captions could be of the training split."""
    rng = np.random.default_rng(stream)
    values = {**ATTRIBUTES, "colour": COLOURS, "manner": MANNERS, "ground": GROUNDS}
    swaps: list[Swap] = []
    index = 0
    for name in attributes:
        found = 0
        while found < per_attribute:
            sample = stickers.draw_sample(index, seed_of(stream), "train", drawings)
            index += 1
            named = dict(sample.named)
            if name == "colour" and "manner" not in named:
                named["manner"] = sample.composition.attributes.manner  # else z might choose one that takes no colour
            old = values[name][int(rng.integers(len(values[name])))]
            new = values[name][int(rng.integers(len(values[name])))]
            if old == new:
                continue
            first, second = _with(named, name, old), _with(named, name, new)
            if not (allowed(first, drawings) and allowed(second, drawings)):
                continue
            plan = int(rng.integers(2**40))
            before, after = (
                stickers.caption(words, np.random.default_rng(plan), (words["concept"],)).text
                for words in (first, second)
            )
            comparable = (set(first) & set(second)) | {"manner", "ground", "count"}
            swaps.append(
                Swap(
                    attribute=name,
                    before=before,
                    after=after,
                    old_value=old,
                    new_value=new,
                    comparable=frozenset(comparable),
                )
            )
            found += 1
    return swaps


def _with(named: dict[str, str], name: str, value: str) -> dict[str, str]:
    """A caption's attributes with another value; one drawing is what a caption says that names no count."""
    changed = {**named, name: value}
    if changed.get("count") == "one":
        del changed["count"]
    return changed


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """Captions and what they name."""

    texts: list[str]
    named: list[dict[str, str]]


def synonym_prompts(count: int, stream: Stream, drawings: Drawings) -> tuple[Prompts, Prompts]:
    """`count` captions that call their concept by a name no training caption uses, and the same by its own name."""
    pairs = sorted(stickers.held_out_synonyms())
    rng = np.random.default_rng(stream)
    texts: tuple[list[str], list[str]] = ([], [])
    named: list[dict[str, str]] = []
    index = 0
    while len(named) < count:
        concept, synonym = pairs[len(named) % len(pairs)]
        words = {**stickers.draw_sample(index, seed_of(stream), "train", drawings).named, "concept": concept}
        index += 1
        if not allowed(words, drawings):
            continue
        plan = int(rng.integers(2**40))
        for into, name in zip(texts, (synonym, concept), strict=True):
            into.append(stickers.caption(words, np.random.default_rng(plan), (name,)).text)
        named.append(words)
    return Prompts(texts=texts[0], named=named), Prompts(texts=texts[1], named=named)
