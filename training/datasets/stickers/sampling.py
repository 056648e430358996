"""The picture of a number: its attributes, captions and latent depend on (seed, split, index) and the art alone."""

from dataclasses import dataclass

import numpy as np

from training.datasets.stickers.attributes import (
    ATTRIBUTES,
    COLOURS,
    GROUNDS,
    MANNERS,
    SPLITS,
    Split,
    clashes,
    colour_held_out,
    is_held_out,
    manner_held_out,
)
from training.datasets.stickers.captions import Caption, caption, synonyms
from training.datasets.stickers.drawings import Drawings
from training.datasets.stickers.latents import DIMENSIONS, Composition, Latent, choose, compose

CAPTIONS_PER_PICTURE = 4
_NAMED = {"manner": 0.6, "colour": 0.35, "ground": 0.55, "place": 0.12, "size": 0.12, "count": 0.08}
"""How often a caption names an attribute."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """All there is to a picture."""

    named: dict[str, str]
    """Attribute -> value, for those that the captions name: the same ones in each."""
    captions: tuple[Caption, ...]
    z: Latent
    composition: Composition


def draw_sample(index: int, seed: int, split: Split, drawings: Drawings) -> Sample:
    """Picture `index` of the data set (seed, split)."""
    rng = np.random.default_rng([seed, SPLITS.index(split), index, 17])
    while True:
        sample = _draw(rng, split, drawings)
        if split == "all" or is_held_out(sample.composition.attributes) == (split == "heldout"):
            return sample


def _draw(rng: np.random.Generator, split: Split, drawings: Drawings) -> Sample:
    concept = _pick(rng, ATTRIBUTES["concept"])
    say = {attribute: bool(rng.random() < share) for attribute, share in _NAMED.items()}
    manner = _pick(rng, [m for m in MANNERS if split != "train" or not manner_held_out(concept, m)])
    named = {"concept": concept}
    if say["colour"] and drawings.recolourable(concept, manner):
        colours = [c for c in COLOURS if split != "train" or not colour_held_out(concept, c)]
        if manner == "neon":
            colours = [c for c in colours if c != "black"]  # no light is
        named["colour"] = _pick(rng, colours)
    if "colour" in named:
        grounds = [g for g in GROUNDS if not clashes(named["colour"], g)]
    else:
        grounds = [g for g in GROUNDS if not drawings.drowns(concept, manner, g)]
    ground = _pick(rng, grounds)
    if say["manner"]:
        named["manner"] = manner
    if say["ground"]:
        named["ground"] = ground
    if say["count"]:
        named["count"] = "two"
    elif say["place"]:
        named["place"] = _pick(rng, ATTRIBUTES["place"])
    if say["size"]:
        aside = named.get("place") in ("left", "right")
        named["size"] = _pick(rng, [s for s in ATTRIBUTES["size"] if s != "large" or not aside])
    z = rng.standard_normal(DIMENSIONS).astype(np.float32)
    # What is named is free in z: only then does a caption at use overrule any z.
    for attribute, value in (("manner", manner), ("ground", ground)):
        if attribute not in named:
            choose(z, attribute, value)
    captions: list[Caption] = []
    for _ in range(20):
        made = caption(named, rng, synonyms(concept, held_out=False))
        if all(made.text != other.text for other in captions):
            captions.append(made)
        if len(captions) == CAPTIONS_PER_PICTURE:
            break
    return Sample(named=named, captions=tuple(captions), z=z, composition=compose(z, named))


def _pick(rng: np.random.Generator, values: "tuple[str, ...] | list[str]") -> str:
    return values[int(rng.integers(len(values)))]
