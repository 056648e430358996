"""What a training step consists of: phases, one after another, each of which steps some of the optimisers once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from torch import Tensor

M = TypeVar("M")
"""What a method keeps of one micro-batch through a step."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseLoss:
    """What a phase computes of one micro-batch."""

    loss: Tensor
    """A mean over the micro-batch's pictures; its gradients are added up over the micro-batches and ranks."""
    figures: Mapping[str, Tensor] = field(default_factory=dict)
    """For the log: scalars, means over the pictures, without gradients."""
    means: Mapping[str, Tensor] = field(default_factory=dict)
    """For `Phase.after`: means over the pictures, of any shape."""
    rows: Mapping[str, Tensor] = field(default_factory=dict)
    """For `Phase.after`: tensors [N, ...] with one row a picture."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseResult:
    """What a phase computed of the whole batch, the same on all ranks, once its optimisers have stepped."""

    means: Mapping[str, Tensor]
    rows: Mapping[str, Tensor]
    """[batch, ...], in the order of the batch."""
    figures: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Phase(Generic[M]):
    """One update within a step, such as "g", "g_path_length", "d" or "d_r1"."""

    name: str
    optimisers: tuple[str, ...]
    """Which of the method's optimisers it steps, by name. Phases that step the same ones name the same ones; the loss
    scale of float16 is kept under the first name."""
    loss: Callable[[M], PhaseLoss]
    every: int = 1
    """Lazy regularisation: the phase takes part in every so many-th step, the first included, and its loss is
    multiplied by this (Karras et al. 2020, StyleGAN2, appendix B)."""
    frozen: tuple[str, ...] = ()
    """Modules of the method, by name, whose parameters get no gradients meanwhile."""
    logged: bool = True
    """Whether its figures, and the norm of its gradients as "gradient_NAME", go into the log."""
    after: Callable[[PhaseResult], Mapping[str, Tensor]] | None = None
    """Called when the optimisers have stepped; returns further figures for the log."""
