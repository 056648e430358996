"""A step's figures, read once the device has them: the log comes one interval later, and the step does not wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was put aside at one step."""

    images: int
    speed: float
    """Images a second since the row before."""
    names: list[str]
    values: Tensor
    arrived: torch.cuda.Event | None

    def read(self) -> dict[str, float]:
        """The figures; waits for the device when they are not there yet."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return dict(zip(self.names, self.values.tolist(), strict=True))


class PendingFigures:
    """Rows on their way from the device; on a CPU they are there at once."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def put(self, images: int, speed: float, figures: Mapping[str, Tensor]) -> None:
        """Start to fetch the figures of a step."""
        values = torch.stack([value.detach().float() for value in figures.values()])
        arrived = None
        if values.is_cuda:
            values = values.to("cpu", non_blocking=True)
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record()
        self._rows.append(Row(images=images, speed=speed, names=list(figures), values=values, arrived=arrived))

    def take(self, *, last: bool = False) -> list[Row]:
        """The rows that are a step old or older, or on the CPU, oldest first; `last` takes all."""
        keep = 0 if last or not self._rows or self._rows[-1].arrived is None else 1
        count = len(self._rows) - keep
        taken, self._rows = self._rows[:count], self._rows[count:]
        return taken
