"""What the engine asks of a training method: see `Trainable`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from training.engine.phases import Phase
from training.engine.prefetch import Batch
from training.engine.step_timer import NullTimer

M = TypeVar("M")
"""What the method keeps of one micro-batch through a step."""
S = TypeVar("S")
"""What a step depends on beside its pictures: how far the run is, which phases take part."""


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Where and in which type a method computes."""

    device: torch.device
    dtype: torch.dtype
    """Of convolutions; weights are float64 for float64, else float32."""
    timer: NullTimer = field(default_factory=NullTimer)


class Trainable(Protocol[M, S]):
    """Networks and how a step trains them.

    A step: `schedule` says what it depends on; `begin` is called for each micro-batch of this rank; then each of
    `phases` sums its loss's gradients over the micro-batches and steps its optimisers; last comes `after_step`.
    """

    @property
    def compute(self) -> Compute: ...

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Everything with weights or buffers that a run saves, by name; averages too."""
        ...

    @property
    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        """By name; fused where an update may be skipped without asking the device."""
        ...

    def batches(self, images: int) -> int:
        """How many batches of data the step after so many images takes."""
        ...

    def schedule(self, images: int, step: int) -> S:
        """What holds for the step after so many images and steps."""
        ...

    def full_schedule(self) -> S:
        """A schedule in which every phase takes part and does all it ever does."""
        ...

    def phases(self, schedule: S) -> Sequence[Phase[M]]:
        """The phases of a step, in order; the engine leaves lazy ones out in between."""
        ...

    def begin(self, batches: Sequence[Batch], rng: torch.Generator, schedule: S, *, keep: bool) -> M:
        """One micro-batch of each of the step's batches, with the fakes that phases share.

        `rng` is the micro-batch's own. With `keep`, a graph or features made here may stay until the phase that needs
        them; else there are more micro-batches to come, and what a phase needs is computed once more in it.
        """
        ...

    def after_step(self, schedule: S, images: int) -> Mapping[str, Tensor]:
        """Move averages and the like, `images` seen by now; returns further figures for the log."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What the next step depends on beside the modules and optimisers."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken; what an older state lacks stays as it is."""
        ...
