"""Where a training step's time goes, for `glissando bench train`."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

SECTIONS = ("data", "generator", "discriminator", "features", "guidance", "optimiser", "other")


class NullTimer:
    """Says nothing and costs nothing: what a trainer has unless it is being measured."""

    def mark(self, section: str) -> None:
        """From here on the time belongs to `section`."""

    def on_gradient(self, tensors: Sequence[Tensor | None], section: str) -> None:
        """In the backward pass, from where the gradients of all these tensors are known, it belongs to `section`."""


class StepTimer(NullTimer):
    """Adds up seconds by section. On a GPU its own clock is asked, after `stop`."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._marks: list[tuple[str, float | torch.cuda.Event]] = []

    def mark(self, section: str) -> None:
        if self._cuda:
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
            self._marks.append((section, event))
        else:
            self._marks.append((section, time.perf_counter()))

    def on_gradient(self, tensors: Sequence[Tensor | None], section: str) -> None:
        waited = [tensor for tensor in tensors if tensor is not None and tensor.requires_grad]
        missing = len(waited)

        def arrived(gradient: Tensor) -> None:
            nonlocal missing
            missing -= 1
            if not missing:
                self.mark(section)

        for tensor in waited:
            tensor.register_hook(arrived)  # type: ignore[no-untyped-call]

    def stop(self) -> dict[str, float]:
        """Seconds by section since the first mark, which are forgotten."""
        self.mark("")
        if self._cuda:
            torch.cuda.synchronize()
        seconds = dict.fromkeys(SECTIONS, 0.0)
        for (section, begin), (_, end) in zip(self._marks, self._marks[1:], strict=False):
            if isinstance(begin, torch.cuda.Event):
                assert isinstance(end, torch.cuda.Event)
                seconds[section] += begin.elapsed_time(end) / 1000
            else:
                assert isinstance(end, float)
                seconds[section] += end - begin
        self._marks = []
        return seconds
