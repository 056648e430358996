"""Changing a field that is named at run time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")


def with_field(record: Record, name: str, value: object) -> Record:
    """A copy of a dataclass with `value` in the field `name`. Raises what the dataclass raises for a bad value."""
    changes: dict[str, Any] = {name: value}
    return replace(record, **changes)
