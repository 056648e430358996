"""JSON to dataclasses: strict, and errors that name the place."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pytest

from core.values import from_json, to_json


@dataclass(frozen=True, kw_only=True)
class Leaf:
    size: float = 1.0

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"size: expected a number from 0, got {self.size!r}")


@dataclass(frozen=True, kw_only=True)
class Tree:
    name: str = ""
    count: int = 1
    tall: bool = False
    kind: Literal["oak", "fir"] = "oak"
    rings: tuple[float | None, ...] = ()
    leaves: tuple[Leaf, ...] = ()
    parent: Tree | None = None
    nests: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def test_everything_comes_back() -> None:
    tree = Tree(
        name="a 山",
        count=3,
        tall=True,
        kind="fir",
        rings=(1.0, None),
        leaves=(Leaf(size=2.0),),
        parent=Tree(count=9),
        nests={"crow": ("left", "top")},
    )
    assert from_json(Tree, json.loads(json.dumps(to_json(tree))), "tree") == tree
    assert from_json(Tree, {}, "tree") == Tree()
    assert from_json(Tree, {"rings": [1]}, "tree").rings == (1.0,)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "tree: expected a JSON object, got list"),
        ({"colour": 1, "age": 2}, "tree: unknown field 'age', 'colour'"),
        ({"name": 3}, "tree: name: expected str, got 3"),
        ({"count": True}, "tree: count: expected int, got True"),
        ({"count": 1.0}, "tree: count: expected int, got 1.0"),
        ({"tall": 1}, "tree: tall: expected bool, got 1"),
        ({"kind": "elm"}, "tree: kind: expected one of oak, fir, got 'elm'"),
        ({"rings": "12"}, "tree: rings: expected a list, got str"),
        ({"rings": [0, "x"]}, "tree: rings: 1: expected float"),
        ({"leaves": [{}, {"size": math.nan}]}, r"tree: leaves: 1: size: expected float \(a finite number\), got nan"),
        ({"leaves": [{"size": -1}]}, "tree: leaves: 0: size: expected a number from 0, got -1"),
        ({"parent": {"parent": {"count": None}}}, "tree: parent: parent: count: expected int, got None"),
        ({"nests": []}, "tree: nests: expected a JSON object, got list"),
        ({"nests": {"crow": [3]}}, "tree: nests: crow: 0: expected str, got 3"),
        ({"parent": 3}, "tree: parent: expected a JSON object, got int"),
    ],
)
def test_what_is_wrong_is_named(data: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        from_json(Tree, data, "tree")
