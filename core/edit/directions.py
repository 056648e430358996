"""Directions in the space of styles along which pictures change in a way that has a name.

- `sefa`: closed-form factorisation of what w does to the styles (Shen & Zhou 2021, "Closed-Form Factorization of Latent
  Semantics in GANs").
- `ganspace`: principal components of sampled w (Härkönen et al. 2020, "GANSpace"), and `ganspace_styles`: those of the
  sampled styles of some layers, brought back to w by regression (their section 2.2).
- `text_direction`: what a text adds to w that another does not, for models that take text.

Each direction comes as a `core.vectors.Vector` whose length makes amounts mean the same for all: one standard deviation
of w along it, or for SeFa, which does not look for variance, one of a mean number of w; a text direction is as long as
the way from one text to the other. Everything is deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.checkpoints.importing import Progress, load_any
from core.engine import load_generator, text_encoder
from core.models.family import Generator
from core.request import LAYER_LIMIT, SEED_LIMIT
from core.vectors import NOTE_LENGTH, Vector, check_name

BATCH = 256
MOST_SAMPLES = 100_000
# The samples of `ganspace_styles` make a square matrix.
MOST_STYLE_SAMPLES = 8000
# Its steps are not those in which w varies most; as in the authors' own tool, one takes larger ones.
SEFA_SCALE = 2.0


class DirectionError(ValueError):
    """This model has no such directions, or the question makes no sense; the message says what would."""


@dataclass(frozen=True, kw_only=True)
class DirectionModel:
    """A model as far as directions need it: on the CPU, in float32."""

    generator: Generator
    encode: Callable[[Sequence[str]], Tensor] | None = None
    """Texts to what the generator takes [N, T], for models that take text."""
    name: str = "this model"
    sha256: str = ""
    """Of the checkpoint file."""

    @classmethod
    def open(cls, path: Path, progress: Progress | None = None) -> DirectionModel:
        """The model of a checkpoint or a published file. Raises what `Engine.open` raises for a file."""
        checkpoint = load_any(path, progress)
        generator = load_generator(checkpoint)
        encoder = text_encoder(checkpoint, generator, torch.device("cpu"))
        return cls(
            generator=generator,
            encode=None if encoder is None else encoder.conditions,
            name=checkpoint.header.name,
            sha256=checkpoint.sha256,
        )


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Which pictures to look at. Raises `DirectionError` for values out of range."""

    samples: int
    seed: int = 0
    prompt: str = ""
    """Of all of them, for models that take text."""
    label: int | None = None
    """Of all of them, for models that have classes; None draws a class for each."""

    def __post_init__(self) -> None:
        if not 2 <= self.samples <= MOST_SAMPLES:
            raise DirectionError(f"samples: expected 2 to {MOST_SAMPLES}, got {self.samples}")
        if not 0 <= self.seed < SEED_LIMIT:
            raise DirectionError(f"seed: expected 0 to 2**32 - 1, got {self.seed}")


@dataclass(frozen=True, kw_only=True)
class FoundDirection:
    """A direction, and how much of the whole it accounts for."""

    vector: Vector
    share: float
    """Of the variance (GANSpace) or of the styles' response (SeFa), 0 to 1; 1 for a text direction."""


def sefa(
    source: DirectionModel,
    sampling: Sampling,
    *,
    first: int = 0,
    stop: int = LAYER_LIMIT,
    count: int = 10,
    name: str = "sefa",
    progress: Progress | None = None,
) -> tuple[FoundDirection, ...]:
    """The steps of w to which the styles of layers `first` to `stop` - 1 respond most: eigenvectors of A^T A, where A
    is the weight of their affine layers. Where styles are not affine in w (StyleGAN-T's are of second order) A is their
    derivative at the mean of the sampled w.

    Only what varies with the seed is searched: of StyleGAN-T's w = [f, c] the mapped latent f, and the text c stays.
    Raises `DirectionError` for a model without styles and layers that it does not have.
    """
    generator = source.generator
    stop = _checked(source, first, stop, count)
    w_NW = _sampled(source, sampling, progress)
    mean_W = w_NW.mean(dim=0)
    varies_W = _varying(w_NW)
    layers = [layer for layer in generator.layers if first <= layer.style < stop]
    response_VV = torch.zeros(int(varies_W.sum()), int(varies_W.sum()), dtype=torch.float64)
    steps_WW = torch.eye(len(mean_W))
    responding = 0
    for done, layer in enumerate(layers):
        _tell(progress, "layers", done, len(layers))
        if (up_WS := generator.style(layer, mean_W + steps_WW)) is None:
            continue
        responding += 1
        down_WS = generator.style(layer, mean_W - steps_WW)
        assert down_WS is not None
        # The derivative, with no error but rounding: styles are at most of second order in w.
        a_SW = (up_WS - down_WS).T / 2
        a_SV = a_SW[:, varies_W].double()
        response_VV += a_SV.T @ a_SV
    if not responding:
        raise DirectionError(
            f"layers {first} to {stop - 1} of {source.name} have no styles; its first one may only move the input: "
            "choose others"
        )
    values_V, vectors_VV = torch.linalg.eigh(response_VV)
    deviation = float(w_NW[:, varies_W].double().var(dim=0).mean().sqrt())
    found = []
    for rank in range(min(count, len(values_V))):
        step_V = vectors_VV[:, -1 - rank]
        share = float(values_V[-1 - rank] / values_V.sum())
        step_W = torch.zeros(len(mean_W), dtype=torch.float64)
        step_W[varies_W] = step_V * deviation
        note = (
            f"SeFa, component {rank + 1} of layers {first} to {stop - 1}, {share:.1%} of the styles' response"
            f"{_about(source, sampling)}"
        )
        found.append(_found(step_W, share, f"{name} {rank + 1}", note, first, stop, generator.num_ws, SEFA_SCALE))
    return tuple(found)


def ganspace(
    source: DirectionModel,
    sampling: Sampling,
    *,
    first: int = 0,
    stop: int = LAYER_LIMIT,
    count: int = 10,
    name: str = "pca",
    progress: Progress | None = None,
) -> tuple[FoundDirection, ...]:
    """Principal components of sampled w. The layers are only those that the directions are made for.

    Raises `DirectionError` as `sefa` does.
    """
    stop = _checked(source, first, stop, count)
    w_NW = _sampled(source, sampling, progress)
    centred_NW = (w_NW - w_NW.mean(dim=0)).double()
    centred_NW[:, ~_varying(w_NW)] = 0.0
    _tell(progress, "components", 0, 1)
    _, singular_K, rows_KW = torch.linalg.svd(centred_NW, full_matrices=False)
    variance_K = singular_K.square() / (len(w_NW) - 1)
    total = float(variance_K.sum())
    found = []
    for rank in range(_rank(variance_K, count)):
        share = float(variance_K[rank]) / total
        note = f"GANSpace, component {rank + 1} of w, {share:.1%} of the variance{_about(source, sampling)}"
        step_W = rows_KW[rank] * variance_K[rank].sqrt()
        found.append(_found(step_W, share, f"{name} {rank + 1}", note, first, stop, source.generator.num_ws))
    return tuple(found)


def ganspace_styles(
    source: DirectionModel,
    sampling: Sampling,
    *,
    first: int = 0,
    stop: int = LAYER_LIMIT,
    count: int = 10,
    name: str = "styles",
    progress: Progress | None = None,
) -> tuple[FoundDirection, ...]:
    """Principal components of the sampled styles of layers `first` to `stop` - 1; each brought to w by least squares on
    the samples' coordinates along it.

    Raises `DirectionError` as `sefa` does.
    """
    if sampling.samples > MOST_STYLE_SAMPLES:
        raise DirectionError(f"samples: expected at most {MOST_STYLE_SAMPLES} of styles, got {sampling.samples}")
    generator = source.generator
    stop = _checked(source, first, stop, count)
    w_NW = _sampled(source, sampling, progress)
    # Of the styles of all layers side by side, [N, S], only the products of its rows are needed.
    gram_NN = torch.zeros(len(w_NW), len(w_NW), dtype=torch.float64)
    layers = [layer for layer in generator.layers if first <= layer.style < stop]
    for done, layer in enumerate(layers):
        _tell(progress, "layers", done, len(layers))
        style_NS = generator.style(layer, w_NW)
        if style_NS is not None:
            style_NS = style_NS.double()
            style_NS -= style_NS.mean(dim=0)
            gram_NN += style_NS @ style_NS.T
    if not bool(gram_NN.diagonal().sum() > 0):
        raise DirectionError(f"layers {first} to {stop - 1} of {source.name} have no styles that vary: choose others")
    _tell(progress, "components", 0, 1)
    values_N, vectors_NN = torch.linalg.eigh(gram_NN)
    values_N, vectors_NN = values_N.flip(0).clamp_min(0), vectors_NN.flip(1)
    centred_NW = (w_NW - w_NW.mean(dim=0)).double()
    centred_NW[:, ~_varying(w_NW)] = 0.0
    found = []
    for rank in range(_rank(values_N, count)):
        # Coordinates x = sqrt(value) v: least squares gives w per x, and x varies by sqrt(value / (N - 1)).
        step_W = centred_NW.T @ vectors_NN[:, rank] / (len(w_NW) - 1) ** 0.5
        share = float(values_N[rank] / values_N.sum())
        note = (
            f"GANSpace, component {rank + 1} of the styles of layers {first} to {stop - 1}, {share:.1%} of their "
            f"variance{_about(source, sampling)}"
        )
        found.append(_found(step_W, share, f"{name} {rank + 1}", note, first, stop, generator.num_ws))
    return tuple(found)


def text_direction(
    source: DirectionModel,
    plus: str,
    minus: str,
    *,
    templates: Sequence[str] = ("{}",),
    samples: int = 16,
    seed: int = 0,
    first: int = 0,
    stop: int = LAYER_LIMIT,
    name: str = "",
    progress: Progress | None = None,
) -> FoundDirection:
    """What `plus` has that `minus` has not: the mean over seeds and templates of map(z, e(plus)) - map(z, e(minus)).

    "{}" in a template stands for the text. Raises `DirectionError` for a model that takes no text, equal texts, and a
    template without "{}".
    """
    if source.encode is None:
        raise DirectionError(f"text directions: expected a model that takes text; {source.name} does not")
    if plus == minus:
        raise DirectionError(f"text directions: expected two different texts, got {plus!r} twice")
    for template in templates:
        if "{}" not in template:
            raise DirectionError(f'template: expected "{{}}" in it, where the text goes, got {template!r}')
    stop = _checked(source, first, stop, 1)
    z_NZ = _latents(source.generator, Sampling(samples=samples, seed=seed))
    total_W = torch.zeros(source.generator.w_dim, dtype=torch.float64)
    for done, template in enumerate(templates):
        _tell(progress, "texts", done, len(templates))
        for text, sign in ((plus, 1.0), (minus, -1.0)):
            c_1T = source.encode([template.replace("{}", text)])[:1]
            for start in range(0, len(z_NZ), BATCH):
                z = z_NZ[start : start + BATCH]
                ws_NLW = source.generator.map(z, c_1T.expand(len(z), -1))
                total_W += sign * ws_NLW[:, 0].double().sum(dim=0)
    step_W = total_W / (len(templates) * len(z_NZ))
    within = "" if tuple(templates) == ("{}",) else f" in {' / '.join(repr(template) for template in templates)}"
    note = f"text, {plus!r} minus {minus!r}{within}; 1 is the way from one to the other"
    name = name or f"{plus or 'any'} - {minus or 'any'}".replace("@", " at ")[:80]
    check_name(name)
    vector = _vector(step_W, name, note, first, stop, source.generator.num_ws)
    return FoundDirection(vector=vector, share=1.0)


def _found(
    step_W: Tensor, share: float, name: str, note: str, first: int, stop: int, num_ws: int, scale: float = 1.0
) -> FoundDirection:
    """The direction whose largest number is positive: which of both ways an eigenvector points is chance."""
    if step_W[step_W.abs().argmax()] < 0:
        step_W = -step_W
    return FoundDirection(vector=_vector(step_W, name, note, first, stop, num_ws, scale), share=share)


def _vector(step_W: Tensor, name: str, note: str, first: int, stop: int, num_ws: int, scale: float = 1.0) -> Vector:
    return Vector(
        name=name,
        kind="direction",
        values=step_W.float().numpy(),
        note=note[:NOTE_LENGTH],
        first=first,
        # "To the last" stays so for whoever reads it.
        stop=LAYER_LIMIT if stop == num_ws else stop,
        scale=scale,
    )


def _about(source: DirectionModel, sampling: Sampling) -> str:
    """The end of a note: what was sampled."""
    subject = ""
    if source.generator.conditioning == "text":
        subject = f" of {sampling.prompt!r}, text part zero"
    elif sampling.label is not None and source.generator.conditioning == "class":
        subject = f" of class {sampling.label}"
    return f"; {sampling.samples} samples{subject}, seed {sampling.seed}; 1 is one standard deviation"


def _checked(source: DirectionModel, first: int, stop: int, count: int) -> int:
    """Where the range ends in this model. Raises `DirectionError` for a range or a count that makes no sense."""
    generator = source.generator
    if all(generator.style(layer, torch.zeros(1, generator.w_dim)) is None for layer in generator.layers):
        raise DirectionError(
            f"{source.name} has no styles made from w, so it has no such directions; StyleGAN 1, 2, 3, XL and T do"
        )
    if not 0 <= first < min(stop, generator.num_ws):
        raise DirectionError(
            f"layers: {source.name} has the layers 0 to {generator.num_ws - 1}, got {first} to {stop - 1}"
        )
    if not 1 <= count <= 512:
        raise DirectionError(f"count: expected 1 to 512, got {count}")
    return min(stop, generator.num_ws)


def _latents(generator: Generator, sampling: Sampling) -> Tensor:
    """[N, Z], standard normal."""
    state = np.random.RandomState(sampling.seed)
    return torch.from_numpy(state.randn(sampling.samples, generator.z_dim).astype(np.float32))


def _sampled(source: DirectionModel, sampling: Sampling, progress: Progress | None) -> Tensor:
    """[N, W]: w of samples, untruncated."""
    generator = source.generator
    z_NZ = _latents(generator, sampling)
    condition = _condition(source, sampling)
    batches = []
    for start in range(0, sampling.samples, BATCH):
        _tell(progress, "samples", start, sampling.samples)
        z = z_NZ[start : start + BATCH]
        batches.append(generator.map(z, condition(start, len(z)))[:, 0])
    return torch.cat(batches)


def _condition(source: DirectionModel, sampling: Sampling) -> Callable[[int, int], Tensor | None]:
    """(first sample, how many) -> their condition [N, C]."""
    generator = source.generator
    if generator.conditioning == "none":
        return lambda start, count: None
    if generator.conditioning == "text":
        if source.encode is None:
            raise DirectionError(f"{source.name}: expected its text encoder, got none")
        c_1T = source.encode([sampling.prompt])[:1]
        return lambda start, count: c_1T.expand(count, -1)
    classes = generator.c_dim
    if sampling.label is not None and not 0 <= sampling.label < classes:
        raise DirectionError(f"class: {source.name} has the classes 0 to {classes - 1}, got {sampling.label}")
    labels = torch.from_numpy(np.random.RandomState(sampling.seed).randint(classes, size=sampling.samples))
    if sampling.label is not None:
        labels = torch.full_like(labels, sampling.label)
    return lambda start, count: torch.nn.functional.one_hot(labels[start : start + count], classes).float()


def _varying(w_NW: Tensor) -> Tensor:
    """[W]: which numbers change with the seed at all; a text in w does not."""
    return (w_NW != w_NW[:1]).any(dim=0)


def _rank(values_K: Tensor, count: int) -> int:
    """How many of these variances, largest first, are more than rounding, at most `count`."""
    return min(count, int((values_K > 1e-10 * values_K[0]).sum()))


def _tell(progress: Progress | None, stage: str, done: int, total: int) -> None:
    if progress is not None:
        progress(stage, done, total)
