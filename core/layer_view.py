"""What goes on inside a generator: the feature maps of one layer, as it makes a picture.

A fast synthesis has no layers to look into, so this runs the plain one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.models import registry
from core.request import DEFAULT_OPTIONS, SynthesisOptions

T = TypeVar("T")


class LayerView:
    """A plain generator with an ear on its layers. `dtype` is that of its convolutions, as in `Synthesis`."""

    def __init__(self, generator: registry.Generator, dtype: torch.dtype) -> None:
        self._generator = generator
        self._dtype = dtype

    @torch.inference_mode()
    def maps(self, name: str, ws: Tensor, options: SynthesisOptions = DEFAULT_OPTIONS) -> NDArray[np.float32]:
        """[C, H, W]: the output of the layer `name` of `Generator.layers` for [1, num_ws, W].

        Raises `ValueError` for a layer that is not there.
        """
        names = [layer.name for layer in self._generator.layers]
        if name not in names:
            raise ValueError(f"layer: expected one of {', '.join(names)}, got {name!r}")
        # A copy, because the next layer may overwrite it.
        heard = self._listen([name], torch.clone, ws, options)[name]
        values: NDArray[np.float32] = heard[0].to(torch.float32).cpu().numpy()
        return values

    @torch.inference_mode()
    def types(self, ws: Tensor) -> dict[str, str]:
        """By layer, the number type of what it puts out: "float32", "bfloat16" or "float16"."""
        names = [layer.name for layer in self._generator.layers]
        heard = self._listen(names, lambda output: output.dtype, ws, DEFAULT_OPTIONS)
        return {name: str(dtype).removeprefix("torch.") for name, dtype in heard.items()}

    def _listen(
        self, names: list[str], take: Callable[[Tensor], T], ws: Tensor, options: SynthesisOptions
    ) -> dict[str, T]:
        """What `take` makes of the output of each of the layers `names`, during one picture."""
        heard: dict[str, T] = {}

        def listener(name: str) -> Callable[[torch.nn.Module, Any, Tensor], None]:
            def listen(module: torch.nn.Module, args: Any, output: Tensor) -> None:
                heard[name] = take(output)

            return listen

        hooks = [self._generator.get_submodule(name).register_forward_hook(listener(name)) for name in names]
        try:
            self._generator.synthesis(ws, options, dtype=self._dtype)
        finally:
            for hook in hooks:
                hook.remove()
        return heard
