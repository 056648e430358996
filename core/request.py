"""What to render, and what came back: plain values, so that any thread, file or socket can carry them.

A `RenderRequest` says everything that decides the pixels of a frame apart from the checkpoint, the device and the
precision. Requests are hashable and compare by value; equal requests give bit-equal frames on one engine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

NoiseMode = Literal["const", "random", "none"]
NOISE_MODES: tuple[NoiseMode, ...] = get_args(NoiseMode)

IDENTITY_TRANSFORM = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

# The seed plane: one step in y is this many seeds, so that every integer point is a seed people can share (the
# StyleGAN3 visualizer's habit).
SEEDS_PER_ROW = 100
SEED_LIMIT = 2**32

CLASS_LIMIT = 2**20

# Beyond this the truncation trick only saturates the picture; the bound also keeps half precision finite.
PSI_LIMIT = 10.0

# More styles than any generator takes; a range of layers that ends here means "to the last".
LAYER_LIMIT = 64
AMOUNT_LIMIT = 100.0
# A picture on its way from another that is itself on its way, and so on.
ORIGIN_DEPTH = 8


Number = TypeVar("Number", int, float)


def bounded(default: Number, low: float, high: float) -> Number:
    """A dataclass field of a number with its bounds (`check_bounds`, `bounds_of`); of an integer where they are."""
    return field(default=default, metadata={"bounds": (low, high)})


def bounds_of(kind: Any, name: str) -> tuple[float, float]:
    """The bounds of a field of a dataclass. Raises `KeyError` for a field without."""
    bounds: tuple[float, float] = {item.name: item.metadata for item in fields(kind)}[name]["bounds"]
    return bounds


def check_bounds(value: Any) -> None:
    """Raises `ValueError` for a field of a dataclass that is beyond its bounds, or no number."""
    for item in fields(value):
        if "bounds" not in item.metadata:
            continue
        (low, high), number = item.metadata["bounds"], getattr(value, item.name)
        if isinstance(low, int):
            _check_integer(item.name, number, low, high)
        else:
            _check_number(item.name, number, low, high)


def _check_number(name: str, value: float, low: float, high: float) -> None:
    if not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{name}: expected a number from {low:g} to {high:g}, got {value!r}")


def _check_integer(name: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name}: expected an integer from {low} to {high}, got {value!r}")


def _check_label(name: str, value: object) -> None:
    if type(value) is not int or not 0 <= value < CLASS_LIMIT:
        raise ValueError(f"{name}: expected a class number from 0 to {CLASS_LIMIT - 1}, got {value!r}")


def _check_layers(first: int, stop: int) -> None:
    if type(first) is not int or type(stop) is not int or not 0 <= first <= stop <= LAYER_LIMIT:
        raise ValueError(f"layers: expected 0 <= first <= stop <= {LAYER_LIMIT}, got {first!r} to {stop!r}")


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Style mixing: the styles of some layers come from another prompt, class or seed, or from a saved latent.

    What is None stays as the request has it. Raises `ValueError` for values out of range.
    """

    first: int = 0
    stop: int = LAYER_LIMIT
    """Layers `first` to `stop` - 1, counted as the generator's styles are."""
    amount: float = 1.0
    """How far towards the other styles: 0 not at all, 1 all the way."""
    prompt: str | None = None
    label: int | None = None
    seed_x: float | None = None
    seed_y: float | None = None
    latent: str = ""
    """Id of a saved latent (`core.vectors`); if given, prompt, label and seed do not count."""

    def __post_init__(self) -> None:
        _check_layers(self.first, self.stop)
        _check_number("amount", self.amount, 0.0, 1.0)
        for name in ("seed_x", "seed_y"):
            if getattr(self, name) is not None:
                _check_number(name, getattr(self, name), -float(SEED_LIMIT), float(SEED_LIMIT))
        if self.label is not None:
            _check_label("label", self.label)


@dataclass(frozen=True, kw_only=True)
class Push:
    """A step along a direction in the space of styles, in some layers. Raises `ValueError` for values out of range."""

    direction: str
    """Id of a saved direction (`core.vectors`)."""
    amount: float = 0.0
    first: int = 0
    stop: int = LAYER_LIMIT

    def __post_init__(self) -> None:
        _check_layers(self.first, self.stop)
        _check_number("amount", self.amount, -AMOUNT_LIMIT, AMOUNT_LIMIT)


@dataclass(frozen=True, kw_only=True)
class SynthesisOptions:
    """What acts on a synthesis beside its styles. Families honour those that they have and ignore the others.

    Raises `ValueError` for values out of range.
    """

    noise: NoiseMode = "const"
    noise_seed: int = bounded(0, 0, SEED_LIMIT - 1)
    """Which noise is drawn when `noise` is "random"."""
    noise_strength: float = bounded(1.0, 0.0, 10.0)
    """Times the strength that the model has learnt."""
    transform: tuple[float, ...] = IDENTITY_TRANSFORM
    """Row-major 3 x 3 matrix that moves and turns the generator's input, for families that have one."""

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.noise not in NOISE_MODES:
            raise ValueError(f"noise: expected one of {', '.join(NOISE_MODES)}, got {self.noise!r}")
        if len(self.transform) != 9 or not all(math.isfinite(v) for v in self.transform):
            raise ValueError(
                f"transform: expected 9 finite numbers (a 3 x 3 matrix, row by row), got {self.transform!r}"
            )

    @property
    def options(self) -> SynthesisOptions:
        """These options alone."""
        return SynthesisOptions(**{name: getattr(self, name) for name in _OPTION_NAMES})

    def with_options(self, options: SynthesisOptions) -> Self:
        """The same with other options."""
        return replace(self, **{name: getattr(options, name) for name in _OPTION_NAMES})

    def towards(self, other: SynthesisOptions, u: float) -> SynthesisOptions:
        """The options at `u` of the way from these (0) to `other` (1); others stay as these have them."""
        return replace(
            self.options,
            noise_strength=_between(self.noise_strength, other.noise_strength, u),
            transform=tuple(_between(a, b, u) for a, b in zip(self.transform, other.transform, strict=True)),
        )


_OPTION_NAMES = tuple(item.name for item in fields(SynthesisOptions))
DEFAULT_OPTIONS = SynthesisOptions()


def _between(a: float, b: float, u: float) -> float:
    # Equal ends give that very value, which (1 - u) a + u b does not.
    return a + u * (b - a)


@dataclass(frozen=True, kw_only=True)
class RenderRequest(SynthesisOptions):
    """One picture, fully described: the styles, and the options of their synthesis.

    Raises `ValueError` with what was expected and what came, for a number that is not finite or out of range.
    """

    prompt: str = ""
    """The text, for models that take one; empty is a valid prompt."""
    prompt_b: str = ""
    """The second text, reached at `blend` 1."""
    label: int = 0
    """The class, for models that have classes, counted from 0."""
    label_b: int = 0
    """The second class, reached at `blend` 1."""
    prompt_c: str = ""
    prompt_d: str = ""
    """The third and fourth, reached at `blend_y` 1 with `blend` 0 and 1: A B above, C D below."""
    label_c: int = 0
    label_d: int = 0
    blend: float = bounded(0.0, 0.0, 1.0)
    """0 is A, 1 is B. Between them a text embedding moves along the sphere; between classes w moves on a straight line.
    """
    blend_y: float = bounded(0.0, 0.0, 1.0)
    """0 is between A and B, 1 is between C and D."""
    seed_x: float = bounded(0.0, -float(SEED_LIMIT), float(SEED_LIMIT))
    """Place on the seed plane; at integers the seed is (x + 100 y) mod 2**32, between them w is blended."""
    seed_y: float = bounded(0.0, -float(SEED_LIMIT), float(SEED_LIMIT))
    psi: float = bounded(1.0, -PSI_LIMIT, PSI_LIMIT)
    """Truncation: 1 is none, 0 the average latent of this prompt."""
    cutoff: int = bounded(LAYER_LIMIT, 0, LAYER_LIMIT)
    """How many layers, coarsest first, truncation acts on."""
    layer_psi: tuple[float | None, ...] = ()
    """A psi of its own for each layer, whatever the cutoff; None, and layers beyond, follow `psi` and `cutoff`."""
    mixes: tuple[Mix, ...] = ()
    """Styles from elsewhere, one after the other."""
    pushes: tuple[Push, ...] = ()
    """Steps along directions, added after the mixes."""
    origin: RenderRequest | None = None
    """Another picture that this one is on its way from: styles move on a straight line, the synthesis options are
    this one's.
    """
    arrived: float = bounded(1.0, 0.0, 1.0)
    """How far it has come from `origin`; counts only with one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("label", "label_b", "label_c", "label_d"):
            _check_label(name, getattr(self, name))
        if len(self.layer_psi) > LAYER_LIMIT:
            raise ValueError(f"layer_psi: expected at most {LAYER_LIMIT} numbers, got {len(self.layer_psi)}")
        for psi in self.layer_psi:
            if psi is not None:
                _check_number("layer_psi", psi, -PSI_LIMIT, PSI_LIMIT)
        if self.depth > ORIGIN_DEPTH:
            raise ValueError(f"origin: expected at most {ORIGIN_DEPTH} pictures one behind the other, got {self.depth}")

    @property
    def depth(self) -> int:
        """How many origins stand one behind the other."""
        return 0 if self.origin is None else 1 + self.origin.depth


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """A rendered picture and the request it answers."""

    request: RenderRequest
    pixels: NDArray[np.uint8]
    """[height, width, 3], RGB."""
    render_ms: float
    """Wall-clock milliseconds the engine spent on it."""

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])
