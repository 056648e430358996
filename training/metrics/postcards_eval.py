"""`glissando evaluate postcards`: does a generator draw what the caption says, only that, and anew for every seed?

Four questions, answered by a classifier trained on real Postcards (see classifier.py):

- accuracy: is an attribute that the caption names in the picture? For captions of triples (terrain, time, style) seen
  in training and for held-out ones, whose captions name the whole triple, so that no seen picture fits them. The
  classifier's own accuracy on real pictures stands beside.
- swaps: two captions that differ in one attribute's words, one seed. The named attribute must change and all others
  stay.
- variety: for one caption, the mean distance between pictures of different seeds, divided by that of real pictures of
  the caption.
- Frechet distance to real pictures of the same captions, and between two disjoint sets of such real pictures.

Everything is drawn from one seed, from streams that no training uses. psi is 1; the noise is the constant one, as the
explorer opens with, so that two pictures of a swap differ by their caption alone.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core import checkpoints
from training.metrics.classifier import LoadedClassifier, check_fits
from training.metrics.frechet import fid, frechet_warnings
from training.metrics.judging import Judge, Progress, Render, generate_pictures, latents, renderer, take
from training.metrics.postcards_sets import (
    CaptionSet,
    captions_for_variety,
    label_indices,
    labels_for,
    render_pictures,
    sample_captions,
    sample_swaps,
)
from training.metrics.scores import named_accuracy, swap_consistency, variety

DEFAULT_CAPTIONS = 2048
VARIETY_CAPTIONS, VARIETY_SEEDS = 32, 16

# Streams of random numbers, apart from one another and from the classifier's (101, 102).
_SEEN, _HELD_OUT, _SWAP, _VARIETY, _QUICK = 1, 2, 3, 4, 5
_LATENTS, _PICTURES, _OTHER_PICTURES = 11, 12, 13


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What the bundled checkpoint is meant to reach; fractions."""

    seen: float
    held_out: float | None = None


AIMS: Mapping[str, Aim] = {
    "terrain": Aim(seen=0.95, held_out=0.85),
    "time": Aim(seen=0.95, held_out=0.85),
    "style": Aim(seen=0.95, held_out=0.85),
    "season": Aim(seen=0.85),
    "weather": Aim(seen=0.85),
    "sky": Aim(seen=0.75),
    "object": Aim(seen=0.75),
}
SWAP_AIM = 0.90
VARIETY_AIM = 0.70
REAL_AIM = 0.95


def evaluate(
    checkpoint: Path,
    *,
    captions: int = DEFAULT_CAPTIONS,
    classifier: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Evaluates a checkpoint file; the result is what `--json` writes.

    `captions` are half of seen and half of held-out triples; `classifier` is a file, or None for the bundled one.
    Raises `ValueError` subclasses for a checkpoint, classifier or number that cannot be used.
    """
    if captions < 16:
        raise ValueError(f"captions: expected at least 16, got {captions!r}")
    loaded = LoadedClassifier.open(classifier)
    check_fits(loaded, classifier)
    file = checkpoints.load(checkpoint)
    render, z_dim = renderer(file)
    result = evaluate_generator(
        render,
        loaded.model,
        z_dim=z_dim,
        resolution=int(file.header.config["resolution"]),
        captions=captions,
        seed=seed,
        progress=progress,
    )
    return result | {"checkpoint": str(checkpoint), "sha256": file.sha256, "captions": captions, "seed": seed}


def evaluate_generator(
    render: Render,
    judge: Judge,
    *,
    z_dim: int,
    resolution: int,
    captions: int = DEFAULT_CAPTIONS,
    seed: int = 0,
    workers: int = 2,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Evaluates anything that turns prompts and latents into pictures of `resolution`."""
    report = progress or (lambda stage, done, total: None)
    seen = sample_captions((captions + 1) // 2, split="train", seed=(_SEEN, seed))
    held_out = sample_captions(captions // 2, split="heldout", seed=(_HELD_OUT, seed), name_triple=True)
    both = seen + held_out

    def real(labels: Sequence[Any], stage: str, *stream: int) -> NDArray[np.uint8]:
        return render_pictures(
            labels,
            resolution,
            seed=(*stream, seed),
            workers=workers,
            progress=lambda done, total: report(stage, done, total),
        )

    def generate(prompts: Sequence[str], z_NZ: Tensor, stage: str) -> NDArray[np.uint8]:
        return generate_pictures(render, prompts, z_NZ, progress=lambda done, total: report(stage, done, total))

    # Accuracy, and the features of generated and real pictures.
    z_NZ = latents(captions, z_dim, (_LATENTS, _SEEN, seed))
    predictions, features = judge.judge(generate(both.prompts, z_NZ, "pictures"))
    n_seen = len(seen.prompts)
    accuracy_seen = named_accuracy(take(predictions, slice(0, n_seen)), seen.named, judge.attributes)
    accuracy_held_out = named_accuracy(take(predictions, slice(n_seen, None)), held_out.named, judge.attributes)

    real_predictions, real_features = judge.judge(real(both.labels, "real pictures", _PICTURES))
    truth = label_indices(both.labels)
    accuracy_real = {name: float(np.mean(real_predictions[name] == truth[name])) for name in judge.attributes}
    # What a perfect generator would draw for these captions: what is named is fixed, everything else drawn anew.
    rng = np.random.default_rng((_OTHER_PICTURES, seed))
    other = [labels_for(named, rng, split="train") for named in seen.named]
    other += [labels_for(named, rng, split="heldout") for named in held_out.named]
    _, other_features = judge.judge(real(other, "more real pictures", _OTHER_PICTURES))

    # Swaps, at one z a pair.
    pairs = sample_swaps(max(4, captions // 16), seed=(_SWAP, seed))
    swap_z_NZ = latents(len(pairs), z_dim, (_LATENTS, _SWAP, seed))
    before, _ = judge.judge(generate([pair.before for pair in pairs], swap_z_NZ, "swaps, before"))
    after, _ = judge.judge(generate([pair.after for pair in pairs], swap_z_NZ, "swaps, after"))
    changed, kept = swap_consistency(
        before, after, [p.attribute for p in pairs], [p.new_value for p in pairs], judge.attributes
    )

    # Variety.
    variety_captions = max(2, captions * VARIETY_CAPTIONS // DEFAULT_CAPTIONS)
    some = captions_for_variety(variety_captions, VARIETY_SEEDS, seed=(_VARIETY, seed))
    variety_z_NZ = latents(len(some.prompts), z_dim, (_LATENTS, _VARIETY, seed))
    _, generated_ND = judge.judge(generate(some.prompts, variety_z_NZ, "variety"))
    _, real_ND = judge.judge(real(some.labels, "real variety", _PICTURES, _VARIETY))
    grouped = (variety_captions, VARIETY_SEEDS, -1)

    return {
        "attributes": {
            name: {"real": accuracy_real[name], "seen": accuracy_seen[name], "heldout": accuracy_held_out[name]}
            for name in judge.attributes
        },
        "swap": {"changed": changed, "kept": kept},
        "variety": variety(generated_ND.reshape(grouped), real_ND.reshape(grouped)),
        "fid": fid(features, real_features),
        "fid_real": fid(other_features, real_features),
        "warnings": frechet_warnings(features.shape[1], len(features), len(real_features)),
    }


def quick_eval(
    render: Render, judge: Judge, *, z_dim: int, resolution: int = 64, n: int = 256, seed: int = 0
) -> dict[str, Any]:
    """A few seconds' worth of it for the trainer's log, on seen triples: {"accuracy": {NAME: x}, "variety": x}.

    The captions, latents and real pictures are the same at every call of one process, so that the numbers of a run can
    be compared.
    """
    captions = sample_captions(n, split="train", seed=(_QUICK, seed))
    predictions, _ = judge.judge(
        generate_pictures(render, captions.prompts, latents(n, z_dim, (_LATENTS, _QUICK, seed)))
    )
    count, seeds = 8, 8
    some, pictures = _quick_variety(count, seeds, resolution, seed)
    z_NZ = latents(count * seeds, z_dim, (_LATENTS, _QUICK, _VARIETY, seed))
    _, generated_ND = judge.judge(generate_pictures(render, some.prompts, z_NZ))
    _, real_ND = judge.judge(pictures)
    return {
        "accuracy": named_accuracy(predictions, captions.named, judge.attributes),
        "variety": variety(generated_ND.reshape(count, seeds, -1), real_ND.reshape(count, seeds, -1)),
    }


@functools.lru_cache(maxsize=2)
def _quick_variety(count: int, seeds: int, resolution: int, seed: int) -> tuple[CaptionSet, NDArray[np.uint8]]:
    some = captions_for_variety(count, seeds, seed=(_QUICK, _VARIETY, seed))
    return some, render_pictures(some.labels, resolution, seed=(_PICTURES, _QUICK, seed), workers=1)


def format_table(result: Mapping[str, Any]) -> str:
    """The result of `evaluate` as a table for a terminal, percentages with the aims beside them."""

    def percent(value: float | None, aim: float | None = None) -> str:
        shown = "       -" if value is None else f"{100 * value:8.1f}"
        if aim is None:
            return f"{shown}      "
        return f"{shown} {'>=' if value is not None and value >= aim else '< '}{100 * aim:3.0f}"

    rows = [
        "Accuracy where the caption names it, and swaps at a fixed seed, in %; beside it the aim (< is not reached).",
        "",
        f"{'':10}" + "".join(f"{title:>8}      " for title in ("real", "seen", "held-out", "changed", "kept")).rstrip(),
    ]
    for name, accuracy in result["attributes"].items():
        aim = AIMS.get(name)
        cells = (
            percent(accuracy["real"], REAL_AIM),
            percent(accuracy["seen"], aim.seen if aim else None),
            percent(accuracy["heldout"], aim.held_out if aim else None),
            percent(result["swap"]["changed"][name], SWAP_AIM),
            percent(result["swap"]["kept"][name], SWAP_AIM),
        )
        rows.append(f"{name:10}" + "".join(cells).rstrip())
    reached = ">=" if result["variety"] >= VARIETY_AIM else "< "
    rows += [
        "",
        f"variety   {result['variety']:8.3f} {reached} {VARIETY_AIM}   (1: as among real pictures of one caption)",
        f"FID       {result['fid']:8.3f}          (real against real: {result['fid_real']:.3f})",
        *(f"Warning: {warning}." for warning in result["warnings"]),
    ]
    return "\n".join(rows)
