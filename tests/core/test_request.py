"""A request refuses what no picture can be drawn of."""

from __future__ import annotations

import math

import pytest

from core.request import CLASS_LIMIT, SEED_LIMIT, RenderRequest


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
