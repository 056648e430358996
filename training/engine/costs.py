"""What training will take, counted and not measured: parameters, arithmetic and memory of networks without numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True, kw_only=True)
class NetworkCost:
    """One network: its size and its work for one picture."""

    name: str
    parameters: int
    learning: int
    flops: float
    """Of one forward pass, two for a multiplication with an addition."""
    kept: float
    """Bytes that a forward pass keeps for the backward one."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The figures of a run."""

    networks: tuple[NetworkCost, ...]
    flops: float
    """Of all the work for one picture shown."""
    fixed_bytes: float
    """Weights, gradients, optimisers' state and averages."""
    kept_bytes: float
    """What the passes of one picture keep, while it is in the networks."""
    held_bytes: float
    """What one picture of a batch takes all the while, also when it waits for others to be through."""
    snapshot_bytes: float
    state_bytes: float
    batches: int = 1
    """Batches of data a step."""
    cycle: int = 1
    """Steps in which everything has had its turn."""

    def memory(self, at_once: int, batch: int) -> float:
        """Bytes, with so many pictures in the networks at once, of a batch of so many."""
        return self.fixed_bytes + self.kept_bytes * at_once + self.held_bytes * batch


def count_network(name: str, network: nn.Module, run: Callable[[], Any], *, half: bool = False) -> NetworkCost:
    """Count one pass of one picture, made by `run` in float32; `half` for a run in half precision.

    Networks may be on the meta device, which holds no numbers.
    """
    weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    kept: dict[int, Any] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage  # held, so that its number is not given to another one
        return tensor

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        run()
    return NetworkCost(
        name=name,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        learning=sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad),
        flops=float(counter.get_total_flops()),
        kept=sum(storage.nbytes() for storage in kept.values()) * (0.5 if half else 1.0),
    )
