"""What a run asks of a training method, beside what the engine steps: pictures, checkpoints, what it starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from core.checkpoints.native import Checkpoint, Header
from training.config import GanConfig
from training.datasets.config import Condition
from training.datasets.opening import Data
from training.engine.costs import Estimate
from training.engine.protocol import Compute, Trainable
from training.metrics.clip_score import Encoder

M = TypeVar("M")
S = TypeVar("S")

SampleCondition = str | int | None
"""What a picture is generated for: a caption, a class number, or nothing."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a new run goes on from."""

    checkpoint: Checkpoint
    state: Mapping[str, Any] | None = None
    """The state of the run that the checkpoint comes from, where that is known: `Trainer.state_dict`."""


class Method(Trainable[M, S], Protocol[M, S]):
    """A training method on its networks. It knows no folder and no log."""

    @property
    def config(self) -> GanConfig:
        """The settings in force."""
        ...

    @property
    def z_dim(self) -> int:
        """Numbers in a latent."""
        ...

    @property
    def sample_conditions(self) -> Sequence[SampleCondition]:
        """Rows of the sample grid."""
        ...

    @property
    def own_clip(self) -> Encoder | None:
        """The CLIP that the method trains with, for the CLIP score; None for a method without one."""
        ...

    def render(self, conditions: Sequence[Any], z_NZ: Tensor, /, *, psi: float = 1.0) -> Tensor:
        """Pictures of the averaged generator, one for each of the `SampleCondition`s, [N, 3, R, R] in [-1, 1]."""
        ...

    def checkpoint(self, start_notes: Mapping[str, Any]) -> tuple[Header, dict[str, Tensor]]:
        """The averaged generator with all that it needs, in half precision: copies that further steps leave alone.

        `start_notes` are those of the checkpoint that the run began with. The run fills in name, images_seen and
        vocabulary, and adds its notes to the header's.
        """
        ...

    def start_from(self, start: Start) -> None:
        """Load a checkpoint's generator, and what the state has beside it, before the first step.

        Raises `RunError` when they do not fit.
        """
        ...

    def prepare(self, data: Data) -> None:
        """Check the data, and take from them what a new run needs, before a checkpoint or a state is loaded.

        Raises `RunError` for data that the method cannot be trained on.
        """
        ...

    def precompute_conditions(self, data: Data, *, progress: bool) -> None:
        """Compute once, or find in the cache, what the data's captions are encoded to; nothing for other methods."""
        ...

    def reconfigure(self, config: Any) -> None:
        """Take over settings that may change between two steps: learning rates."""
        ...


C = TypeVar("C", bound=GanConfig)

Files = Callable[[str], Path]
"""Where a file of this name is that the method keeps beside a run's config.toml."""


@dataclass(frozen=True, kw_only=True)
class Arrangement(Generic[C]):
    """A new run's configuration with nothing left open, and what the method keeps beside it."""

    config: C
    files: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)
    """Writes each file, by name."""


@dataclass(frozen=True, kw_only=True)
class MethodSpec(Generic[C]):
    """What is known of a method before its networks are built."""

    name: str
    """As in `glissando train gan --method NAME`."""
    config: type[C]
    recipes: Mapping[str, Callable[[], C]]
    """The first is the default."""
    condition: Condition
    """What its data must come with."""
    same_discriminator: tuple[str, ...]
    """Settings that must be the same where a run goes on with another run's discriminator."""
    arrange: Callable[[C, Start | None], Arrangement[C]]
    """Fills in what a configuration leaves to what it starts from. Raises `RunError` where they do not fit."""
    build: Callable[[C, Compute, Files], Method[Any, Any]]
    """Opens frozen networks and builds the others; global random numbers begin at the configuration's seed. Raises a
    `ValueError` that says what is missing."""

    estimate: Callable[[C, torch.device, Files], Estimate]
    """What a configuration that leaves nothing open will take. Raises a `ValueError` for one that cannot be."""
    under_way: Callable[[C], C]
    """The same configuration, whose first step already does what most of the run's do."""
    cycle: Callable[[C], int]
    """How many steps it takes until everything has had its turn."""
    bench: Callable[[C, Compute], tuple[Method[Any, Any], Method[Any, Any]]]
    """The method with frozen networks of random weights, and the plain one to compare it with: float32, channels
    first, no compilation, optimisers that are not fused."""
    bench_settings: tuple[str, ...]
    """Settings that a benchmark names."""

    def recipe(self, name: str) -> C:
        """A recipe's configuration; raises `ValueError` that lists the names."""
        if name not in self.recipes:
            raise ValueError(f"recipe: expected one of {', '.join(self.recipes)}, got {name!r}")
        return self.recipes[name]()
