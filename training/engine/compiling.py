"""torch.compile for a training step."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

SHAPES = 64
"""Random noise comes from a generator that torch.compile cannot see into, so each layer becomes a piece of its own, and
a network has more kinds of layers than the 8 that it would compile."""


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function, made faster when it is first called, which takes minutes."""
    fast = torch.compile(function)

    def call(*arguments: Any, **named: Any) -> Tensor:
        with torch._dynamo.config.patch(recompile_limit=SHAPES), warnings.catch_warnings():
            # It looks at the gradients of what the function is given, which warns where that is no weight.
            warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")
            result: Tensor = fast(*arguments, **named)
        return result

    return call
