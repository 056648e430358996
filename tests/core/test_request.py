"""A request refuses what no picture can be drawn of."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from core import values
from core.request import (
    CLASS_LIMIT,
    DEFAULT_OPTIONS,
    IDENTITY_TRANSFORM,
    ORIGIN_DEPTH,
    SEED_LIMIT,
    Mix,
    Push,
    RenderRequest,
    SynthesisOptions,
)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"psi": math.nan}, "psi: expected a number from -10 to 10, got nan"),
        ({"psi": 1e9}, "psi: expected"),
        ({"seed_x": SEED_LIMIT * 2.0}, "seed_x: expected"),
        ({"seed_y": math.inf}, "seed_y: expected"),
        ({"blend": 1.5}, "blend: expected a number from 0 to 1"),
        ({"noise": "loud"}, "noise: expected one of const"),
        ({"noise_seed": -1}, "noise_seed: expected an integer from 0"),
        ({"transform": (1.0,) * 8}, "transform: expected 9 finite numbers"),
        ({"label": -1}, "label: expected a class number from 0 to 1048575, got -1"),
        ({"label": CLASS_LIMIT}, "label: expected a class number"),
        ({"label": True}, "label: expected a class number"),
        ({"label_b": 2.0}, "label_b: expected a class number"),
    ],
)
def test_bad_values_are_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RenderRequest(**fields)  # type: ignore[arg-type]


def test_requests_compare_by_value() -> None:
    assert RenderRequest(prompt="sea", label=3) == RenderRequest(prompt="sea", label=3)
    assert len({RenderRequest(), RenderRequest(), RenderRequest(label=1)}) == 2


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RenderRequest(cutoff=-1), "cutoff: expected an integer from 0"),
        (lambda: RenderRequest(layer_psi=(0.5, 99.0)), "layer_psi: expected a number from -10"),
        (lambda: RenderRequest(layer_psi=(None,) * 65), "layer_psi: expected at most 64 numbers, got 65"),
        (lambda: RenderRequest(noise_strength=-1.0), "noise_strength: expected a number from 0"),
        (lambda: RenderRequest(arrived=2.0), "arrived: expected a number from 0 to 1"),
        (lambda: Mix(first=3, stop=2), "layers: expected 0 <= first <= stop <= 64, got 3 to 2"),
        (lambda: Mix(amount=-0.5), "amount: expected a number from 0 to 1"),
        (lambda: Mix(label=-1), "label: expected a class number"),
        (lambda: Mix(seed_y=math.inf), "seed_y: expected"),
        (lambda: Push(direction="x", amount=math.nan), "amount: expected a number from -100"),
        (lambda: Push(direction="x", stop=65), "layers: expected"),
    ],
)
def test_bad_parts_are_named(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_origins_have_an_end() -> None:
    request = RenderRequest()
    for _ in range(ORIGIN_DEPTH):
        request = RenderRequest(origin=request, arrived=0.5)
    assert request.depth == ORIGIN_DEPTH
    with pytest.raises(ValueError, match="origin: expected at most 8 pictures one behind the other, got 9"):
        RenderRequest(origin=request)


def test_options_are_a_part_of_the_request_and_of_its_flat_json() -> None:
    turned = (2.0, *IDENTITY_TRANSFORM[1:])
    options = SynthesisOptions(noise="random", noise_seed=5, noise_strength=2.5, transform=turned)
    request = RenderRequest(prompt="sea", psi=0.5).with_options(options)
    assert request == RenderRequest(prompt="sea", psi=0.5, **vars(options))
    assert type(request.options) is SynthesisOptions
    assert request.options == options
    assert hash(request.options) == hash(options)
    assert RenderRequest().options == DEFAULT_OPTIONS
    data = values.to_json(request)
    assert values.to_json(options).items() <= data.items()
    assert values.from_json(RenderRequest, data, "request") == request


def test_options_between_two() -> None:
    a = SynthesisOptions(noise="random", noise_seed=5, noise_strength=2.0)
    b = SynthesisOptions(noise="none", noise_seed=9, noise_strength=1.0, transform=(0.0,) * 9)
    assert a.towards(b, 0.0) == a
    assert a.towards(a, 0.3) == a
    between = a.towards(b, 0.25)
    assert (between.noise, between.noise_seed, between.noise_strength) == ("random", 5, 1.75)
    assert between.transform == tuple(0.75 * x for x in IDENTITY_TRANSFORM)
