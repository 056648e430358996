"""`glissando evaluate stickers`: does a generator draw what the caption says, only that, and anew for every seed?

Questions, answered by a classifier trained on real Stickers (see classifier.py):

- accuracy: is an attribute that the caption names in the picture? For captions seen in training and for held-out ones,
  which name a (concept, manner) or (concept, colour) pair that no training picture shows. The classifier's own accuracy
  on real pictures of the same captions stands beside.
- swaps: two captions that differ in one attribute's words, one seed. The named attribute must change; what both
  captions name must stay, and the manner and ground that z chooses.
- synonyms: is the concept right when a caption calls it by a name that no training caption used?
- midpoints: halfway between two prompts, at one seed, does the classifier call either concept, as surely as it usually
  calls a real picture's?
- variety: for one caption, the mean distance between pictures of different seeds, divided by that of real pictures of
  the caption.
- Frechet and kernel distance to real pictures, and between two disjoint sets of real pictures.
- nearest: generated pictures beside the training pictures nearest to them, by features: what was learnt by heart would
  show.

Everything is drawn from one seed, from streams that no training uses. psi is 1; the noise is the constant one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from core import checkpoints
from training.datasets.opening import load_pictures
from training.datasets.stickers import Composition, Sample, compose
from training.datasets.stickers.drawings import drawings_of
from training.datasets.stickers.latents import DIMENSIONS
from training.metrics.classifier import STICKERS, AttributeClassifier, LoadedClassifier, check_fits
from training.metrics.frechet import fid, frechet_warnings, kid_over_subsets
from training.metrics.judging import Progress, Render, RenderBetween, generate_pictures, latents, renderers, take
from training.metrics.scores import accuracy_where_known, named_accuracy, swap_consistency, variety
from training.metrics.stickers_sets import (
    compose_pictures,
    draw_samples,
    sample_swaps,
    stickers_targets,
    synonym_prompts,
)

DEFAULT_CAPTIONS = 2048
VARIETY_SEEDS = 16
NEAREST = 64
USUAL = 0.25
"""The share of real pictures of which the classifier is less sure than what counts as its usual confidence."""

# Streams of random numbers, apart from one another and from the classifier's (101, 102).
_SEEN, _HELD_OUT, _SWAP, _VARIETY, _SYNONYM, _OTHER, _MIDDLE = 1, 2, 3, 4, 5, 6, 7
_LATENTS = 11

SEEN_AIM, HELD_OUT_AIM = 0.95, 0.85
"""Of what the classifier reaches on real pictures."""
CHANGED_AIM, KEPT_AIM, SYNONYM_AIM, FID_AIM = 0.95, 0.90, 0.80, 2.0


@dataclass(frozen=True, kw_only=True)
class Generator:
    """What is evaluated."""

    render: Render
    between: RenderBetween
    z_dim: int
    resolution: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Nearest:
    """Generated pictures and the training pictures nearest to them."""

    generated: NDArray[np.uint8]
    """[N, R, R, 3]"""
    training: NDArray[np.uint8]
    """[N, S, S, 3]"""
    prompts: list[str]

    def side_by_side(self) -> list[NDArray[np.uint8]]:
        """Pairs: generated on the left, its nearest on the right, both of the size of the generated one."""
        size = (self.generated.shape[2], self.generated.shape[1])
        resized = [np.asarray(Image.fromarray(np.ascontiguousarray(one)).resize(size)) for one in self.training]
        return [np.concatenate(pair, axis=1) for pair in zip(self.generated, resized, strict=True)]


def evaluate(
    checkpoint: Path,
    art: Path,
    *,
    captions: int = DEFAULT_CAPTIONS,
    classifier: Path | None = None,
    data: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[dict[str, Any], Nearest | None]:
    """Evaluates a checkpoint file: what `--json` writes, and the nearest pictures of the training set `data`.

    `captions` are half seen, half held out; `classifier` is a file, or None for the bundled one. Raises `ValueError`
    subclasses for a checkpoint, classifier, data set or number that cannot be used.
    """
    if captions < 16:
        raise ValueError(f"captions: expected at least 16, got {captions!r}")
    loaded = LoadedClassifier.open(classifier, STICKERS)
    check_fits(loaded, classifier, STICKERS)
    drawings_of(art)
    file = checkpoints.load(checkpoint)
    render, between, z_dim = renderers(file)
    generator = Generator(render=render, between=between, z_dim=z_dim, resolution=int(file.header.config["resolution"]))
    result = evaluate_generator(generator, loaded.model, art, captions=captions, seed=seed, progress=progress)
    nearest = None
    if data is not None:
        nearest = nearest_training_pictures(generator, loaded.model, art, data, seed=seed, progress=progress)
    made = {"checkpoint": str(checkpoint), "sha256": file.sha256, "captions": captions, "seed": seed}
    return result | made, nearest


def evaluate_generator(
    generator: Generator,
    judge: AttributeClassifier,
    art: Path,
    *,
    captions: int = DEFAULT_CAPTIONS,
    seed: int = 0,
    workers: int = 2,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Evaluates anything that turns prompts and latents into pictures."""
    setting = _Setting(
        generator=generator,
        judge=judge,
        art=art,
        seed=seed,
        workers=workers,
        report=progress or (lambda stage, done, total: None),
    )
    drawings = drawings_of(art)
    seen = draw_samples((captions + 1) // 2, "train", (_SEEN, seed), drawings)
    held_out = draw_samples(captions // 2, "heldout", (_HELD_OUT, seed), drawings, pair=True)
    both, count = seen + held_out, len(seen)

    predictions, features = judge.judge(setting.generate(_texts(both), _SEEN, "pictures"))
    real_predictions, real_features = judge.judge(setting.real([one.composition for one in both], "real pictures"))
    others = draw_samples(count, "train", (_OTHER, seed), drawings)
    _, other_features = judge.judge(setting.real([one.composition for one in others], "more real pictures"))
    truth, names = stickers_targets(both), [sample.named for sample in both]
    accuracy: dict[str, dict[str, Any]] = {
        "real": {name: accuracy_where_known(real_predictions[name], truth[name]) for name in judge.attributes},
        "seen": named_accuracy(take(predictions, slice(0, count)), names[:count], judge.attributes),
        "heldout": named_accuracy(take(predictions, slice(count, None)), names[count:], judge.attributes),
    }
    usual = float(np.quantile(_concept_probabilities(judge, real_features).max(axis=1), USUAL))
    return {
        "attributes": {name: {kind: accuracy[kind][name] for kind in accuracy} for name in judge.attributes},
        "concept_top5": {
            "real": _top5(judge, real_features, truth["concept"]),
            "seen": _top5(judge, features[:count], truth["concept"][:count]),
            "heldout": _top5(judge, features[count:], truth["concept"][count:]),
        },
        "swap": _swaps(setting, max(4, captions // 32)),
        "synonyms": _synonyms(setting, max(16, captions // 4)),
        "midpoints": _midpoints(setting, max(8, captions // 16), usual),
        "variety": _variety(setting, max(2, captions // 64)),
        "fid": fid(features[:count], real_features[:count]),
        "fid_real": fid(other_features, real_features[:count]),
        "kid": kid_over_subsets(features[:count], real_features[:count])[0],
        "kid_real": kid_over_subsets(other_features, real_features[:count])[0],
        "warnings": frechet_warnings(features.shape[1], count, count),
    }


def nearest_training_pictures(
    generator: Generator,
    judge: AttributeClassifier,
    art: Path,
    data: Path,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Nearest:
    """For 64 captions the generated picture, and that of the data set which is nearest by features."""
    report = progress or (lambda stage, done, total: None)
    samples = draw_samples(NEAREST, "train", (_OTHER, _LATENTS, seed), drawings_of(art))
    z_NZ = latents(NEAREST, generator.z_dim, (_LATENTS, _OTHER, seed))
    generated = generate_pictures(generator.render, _texts(samples), z_NZ)
    images = load_pictures(data, judge.config.resolution).images
    _, mine = judge.judge(generated)
    best = np.full(NEAREST, np.inf)
    rows = np.zeros(NEAREST, np.int64)
    for start in range(0, len(images), 1024):
        _, theirs = judge.judge(np.ascontiguousarray(images[start : start + 1024].transpose(0, 2, 3, 1)))
        distances = torch.cdist(torch.from_numpy(mine), torch.from_numpy(theirs)).numpy()
        closest = distances.argmin(axis=1)
        near = distances[np.arange(NEAREST), closest]
        rows = np.where(near < best, start + closest, rows)
        best = np.minimum(near, best)
        report("training pictures", min(start + 1024, len(images)), len(images))
    return Nearest(generated=generated, training=images[rows].transpose(0, 2, 3, 1), prompts=_texts(samples))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Setting:
    """What every part of an evaluation needs."""

    generator: Generator
    judge: AttributeClassifier
    art: Path
    seed: int
    workers: int
    report: Progress

    def generate(
        self, prompts: Sequence[str], stream: int, stage: str, render: Render | None = None
    ) -> NDArray[np.uint8]:
        """Pictures of the prompts; z is the same at every call for as many of a stream."""
        z_NZ = latents(len(prompts), self.generator.z_dim, (_LATENTS, stream, self.seed))
        return generate_pictures(
            render or self.generator.render, prompts, z_NZ, progress=lambda done, total: self.report(stage, done, total)
        )

    def real(self, compositions: Sequence[Composition], stage: str) -> NDArray[np.uint8]:
        return compose_pictures(
            compositions,
            self.art,
            self.generator.resolution,
            workers=self.workers,
            progress=lambda done, total: self.report(stage, done, total),
        )


def _texts(samples: Sequence[Sample]) -> list[str]:
    return [sample.captions[0].text for sample in samples]


def _swaps(setting: _Setting, per_attribute: int) -> dict[str, dict[str, float | None]]:
    pairs = sample_swaps(per_attribute, (_SWAP, setting.seed), drawings_of(setting.art))
    before, _ = setting.judge.judge(setting.generate([pair.before for pair in pairs], _SWAP, "swaps, before"))
    after, _ = setting.judge.judge(setting.generate([pair.after for pair in pairs], _SWAP, "swaps, after"))
    changed, kept = swap_consistency(
        before,
        after,
        [pair.attribute for pair in pairs],
        [pair.new_value for pair in pairs],
        setting.judge.attributes,
        comparable=[pair.comparable for pair in pairs],
    )
    return {"changed": changed, "kept": kept}


def _synonyms(setting: _Setting, count: int) -> dict[str, float | None]:
    """Accuracy of the concept by names that were held out, and of the same captions with the concept's own name."""
    held_out, own = synonym_prompts(count, (_SYNONYM, setting.seed), drawings_of(setting.art))
    result = {}
    for name, prompts in (("heldout", held_out), ("own", own)):
        predictions, _ = setting.judge.judge(setting.generate(prompts.texts, _SYNONYM, f"synonyms, {name}"))
        result[name] = named_accuracy(predictions, prompts.named, setting.judge.attributes)["concept"]
    return result


def _midpoints(setting: _Setting, count: int, usual: float) -> dict[str, float]:
    """Shares of pictures halfway between two prompts of different concepts that are called either concept, and called
    so with the classifier's usual confidence."""
    pairs = sample_swaps(count, (_MIDDLE, setting.seed), drawings_of(setting.art), attributes=("concept",))
    others = iter([pair.after for pair in pairs])

    def middle(prompts: list[str], z_NZ: Tensor) -> Tensor:
        return setting.generator.between(prompts, [next(others) for _ in prompts], z_NZ)

    pictures = setting.generate([pair.before for pair in pairs], _MIDDLE, "midpoints", middle)
    _, features = setting.judge.judge(pictures)
    probabilities = _concept_probabilities(setting.judge, features)
    values = setting.judge.attributes["concept"]
    called = [values[int(place)] for place in probabilities.argmax(axis=1)]
    either = np.array([name in (pair.old_value, pair.new_value) for name, pair in zip(called, pairs, strict=True)])
    return {
        "either": float(either.mean()),
        "confident": float((either & (probabilities.max(axis=1) >= usual)).mean()),
        "usual_confidence": usual,
    }


def _variety(setting: _Setting, captions: int) -> float:
    samples = draw_samples(captions, "train", (_VARIETY, setting.seed), drawings_of(setting.art))
    prompts = [text for text in _texts(samples) for _ in range(VARIETY_SEEDS)]
    z_ND = np.random.default_rng((_VARIETY, _LATENTS, setting.seed)).standard_normal((len(prompts), DIMENSIONS))
    rows = iter(z_ND.astype(np.float32))
    compositions = [compose(next(rows), sample.named) for sample in samples for _ in range(VARIETY_SEEDS)]
    _, generated_ND = setting.judge.judge(setting.generate(prompts, _VARIETY, "variety"))
    _, real_ND = setting.judge.judge(setting.real(compositions, "real variety"))
    grouped = (captions, VARIETY_SEEDS, -1)
    return variety(generated_ND.reshape(grouped), real_ND.reshape(grouped))


def _concept_probabilities(judge: AttributeClassifier, features_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, K]: how sure the classifier is of each concept."""
    with torch.inference_mode():
        logits_NK = judge.heads["concept"](torch.from_numpy(features_ND).to(next(judge.parameters()).device))
        probabilities: NDArray[np.float32] = logits_NK.softmax(dim=1).cpu().numpy()
    return probabilities


def _top5(judge: AttributeClassifier, features_ND: NDArray[np.float32], truth_N: NDArray[np.int64]) -> float:
    """The share of pictures whose concept is among the five most likely."""
    best_N5 = np.argsort(-_concept_probabilities(judge, features_ND), axis=1)[:, :5]
    return float((best_N5 == truth_N[:, None]).any(axis=1).mean())


def format_table(result: Mapping[str, Any]) -> str:
    """The result of `evaluate` as a table for a terminal, percentages with the aims beside them."""

    def percent(value: float | None, aim: float | None = None) -> str:
        shown = "       -" if value is None or np.isnan(value) else f"{100 * value:8.1f}"
        if aim is None:
            return f"{shown}      "
        return f"{shown} {'>=' if value is not None and value >= aim else '< '}{100 * aim:3.0f}"

    def below(name: str) -> str:
        value, real = result[name], result[f"{name}_real"]
        return f"{name.upper():10}{value:8.3f}          (real against real: {real:.3f})"

    titles = ("real", "seen", "held-out", "changed", "kept")
    rows = [
        "Accuracy where the caption names it, and swaps at a fixed seed, in %; beside it the aim (< is not reached).",
        "",
        f"{'':10}" + "".join(f"{title:>8}      " for title in titles).rstrip(),
    ]
    lines = {**result["attributes"], "top 5": result["concept_top5"]}
    for name, accuracy in lines.items():
        cells = [
            percent(accuracy["real"]),
            percent(accuracy["seen"], SEEN_AIM * accuracy["real"]),
            percent(accuracy["heldout"], HELD_OUT_AIM * accuracy["real"]),
        ]
        if name in result["swap"]["changed"]:
            cells.append(percent(result["swap"]["changed"][name], CHANGED_AIM))
            cells.append(percent(result["swap"]["kept"][name], KEPT_AIM))
        rows.append(f"{name:10}" + "".join(cells).rstrip())
    synonyms, midpoints = result["synonyms"], result["midpoints"]
    reached = "<=" if result["fid"] <= FID_AIM * result["fid_real"] else "> "
    rows += [
        "",
        f"synonyms  {percent(synonyms['heldout'], SYNONYM_AIM)}   (the same by their own names:"
        f"{percent(synonyms['own']).rstrip()})",
        f"midpoints {percent(midpoints['either'])}          (and with usual confidence:"
        f"{percent(midpoints['confident']).rstrip()})",
        f"variety   {result['variety']:8.3f}          (1: as among real pictures of one caption)",
        f"{below('fid')} {reached} {FID_AIM:g} times that",
        below("kid"),
        *(f"Warning: {warning}." for warning in result["warnings"]),
    ]
    return "\n".join(rows)
