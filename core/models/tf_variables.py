"""Variables of the TensorFlow StyleGANs, taken strictly: each by its name, once, and none may be left over.

Names are as in the graph, "8x8/Conv1/weight" or "Dense0/bias", with the prefixes of the two networks, "G_mapping/" and
"G_synthesis/", or without. Convolution weights are [kernel, kernel, in, out] there, those of dense layers [in, out].
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_PREFIX = re.compile(r"^(G_mapping|G_synthesis\w*|mapping|synthesis)/")
_BLOCK = re.compile(r"(\d+)x(\d+)/")


class Variables:
    """What a conversion takes from. A missing variable is a `ValueError` that names it."""

    def __init__(self, variables: Mapping[str, Tensor]) -> None:
        self._left: dict[str, Tensor] = {}
        for name, tensor in variables.items():
            short = _PREFIX.sub("", name)
            # `lod` is in a generator and in its synthesis network.
            if short in self._left and not torch.equal(self._left[short], tensor):
                raise ValueError(f"variables: expected one {short}, got another as {name}")
            self._left[short] = tensor

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def resolution(self) -> int:
        """Of the largest block."""
        found = [_BLOCK.match(name) for name in self._left]
        sides = [int(match[1]) for match in found if match]
        if not sides:
            raise ValueError("variables: expected blocks such as 4x4/Const/const, got none")
        return max(sides)

    def count(self, pattern: str) -> int:
        """How many there are named `pattern` with {} = 0, 1, 2, ..., before the first gap."""
        number = 0
        while pattern.format(number) in self._left:
            number += 1
        return number

    def take(self, name: str, ndim: int) -> Tensor:
        """The variable itself."""
        if name not in self._left:
            raise ValueError(f"variables: expected {name}, got none of that name")
        tensor = self._left.pop(name)
        if tensor.ndim != ndim:
            raise ValueError(f"{name}: expected {ndim} dimensions, got {list(tensor.shape)}")
        return tensor

    def kernel(self, name: str, *, flip: bool = False) -> Tensor:
        """A convolution's weight, [K, K, I, O] -> [O, I, K, K], turned by half a turn with `flip`."""
        weight = self.take(name, 4)
        return (weight.flip(0, 1) if flip else weight).permute(3, 2, 0, 1).contiguous()

    def dense(self, name: str) -> Tensor:
        """A dense layer's weight, [I, O] -> [O, I]."""
        return self.take(name, 2).T.contiguous()

    def field(self, name: str) -> Tensor:
        """Constant noise, [1, 1, H, W] -> [H, W]."""
        noise = self.take(name, 4)
        if noise.shape[:2] != (1, 1):
            raise ValueError(f"{name}: expected [1, 1, H, W], got {list(noise.shape)}")
        return noise[0, 0].contiguous()

    def finish(self) -> None:
        """Raises `ValueError` naming what was not taken."""
        if self._left:
            names = sorted(self._left)
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            raise ValueError(f"variables: expected no others, got {', '.join(names[:5])}{more}")


def require_options(given: Mapping[str, Any], understood: Mapping[str, Any]) -> None:
    """A network's options (`static_kwargs`) that change the picture must be as we have them; others are not looked at.

    Raises `ValueError` naming the option.
    """
    for name, value in understood.items():
        if name not in given:
            continue
        came = given[name]
        if (list(came) if isinstance(came, list | tuple | Tensor) else came) != value:
            raise ValueError(f"{name}: expected {value!r}, got {came!r}")


def require_finished(variables: Variables, name: str = "lod") -> None:
    """Progressive growing must be over: its level of detail, if the file has one, is 0. Raises `ValueError`."""
    if name in variables:
        level = variables.take(name, 0)
        if bool(torch.as_tensor(level) != 0):
            raise ValueError(f"{name}: expected 0, a generator that has grown to its full size, got {float(level):g}")
