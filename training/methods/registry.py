"""The training methods, by the names of `glissando train gan --method`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.methods.protocol import MethodSpec
from training.methods.stylegan_t.old_states import from_version_4
from training.methods.stylegan_t.spec import STYLEGAN_T

__all__ = ["METHODS", "from_version_4", "method_spec"]

METHODS: Mapping[str, MethodSpec[Any]] = {spec.name: spec for spec in (STYLEGAN_T,)}


def method_spec(name: str) -> MethodSpec[Any]:
    """A method by name; raises `ValueError` that lists the names."""
    if name not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {name!r}")
    return METHODS[name]
