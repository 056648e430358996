"""A sheet of small pictures: along its rows and its columns one thing changes each. Values only, no GUI here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from core.request import CLASS_LIMIT, PSI_LIMIT, SEED_LIMIT, RenderRequest

Kind = Literal["seeds", "prompts", "classes", "psi", "blend"]

MOST = 12
"""Rows and columns."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The field that varies along rows or columns. Raises `ValueError` for values out of range."""

    kind: Kind
    count: int = 5
    first_seed: int = 0
    first_class: int = 0
    low: float = 0.0
    """Of psi or blend, at the first row or column."""
    high: float = 1.0
    prompts: tuple[str, ...] = ()
    """For "prompts"; each is a row or column."""

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST:
            raise ValueError(f"count: expected 1 to {MOST}, got {self.count}")
        limit = 1.0 if self.kind == "blend" else PSI_LIMIT
        least = 0.0 if self.kind == "blend" else -PSI_LIMIT
        for name in ("low", "high"):
            if not least <= getattr(self, name) <= limit:
                raise ValueError(f"{name}: expected {least:g} to {limit:g}, got {getattr(self, name)!r}")
        if not -SEED_LIMIT <= self.first_seed <= SEED_LIMIT - MOST:
            raise ValueError(f"first_seed: expected a seed, got {self.first_seed}")
        if not 0 <= self.first_class < CLASS_LIMIT - MOST:
            raise ValueError(f"first_class: expected a class, got {self.first_class}")

    def changes(self, classes: int) -> tuple[dict[str, Any], ...]:
        """For each row or column, the fields of the request that it sets. A model has `classes` of them."""
        if self.kind == "seeds":
            return tuple({"seed_x": float(self.first_seed + i), "seed_y": 0.0} for i in range(self.count))
        if self.kind == "prompts":
            return tuple({"prompt": prompt} for prompt in self.prompts[:MOST])
        if self.kind == "classes":
            last = max(classes, 1)
            return tuple({"label": (self.first_class + i) % last} for i in range(min(self.count, last)))
        steps = max(self.count - 1, 1)
        # Rounded: 0.7 is to be 0.7, also when it was reached in steps.
        values = (round(self.low + (self.high - self.low) * i / steps, 6) for i in range(self.count))
        return tuple({self.kind: value} for value in values)


def sheet(base: RenderRequest, rows: Axis, columns: Axis, classes: int) -> list[list[RenderRequest]]:
    """The requests of a sheet, row by row; where both axes set one field, the columns' value counts."""
    return [
        [replace(base, **{**row, **column}) for column in columns.changes(classes)] for row in rows.changes(classes)
    ]
