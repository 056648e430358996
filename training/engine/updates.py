"""One update of a network: gradients added up over micro-batches, summed over the ranks, checked and applied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.engine.distributed import Ranks
from training.engine.precision import HALF

_TOTAL = "total"
_SKIP = "found_inf"


class Updater:
    """Applies one network's gradients. In a step: `zero_grad`, `accumulate` for each of this rank's
    micro-batches, `step`.

    An update whose loss is not finite is skipped on all ranks: the weights and the optimiser stay as they were. What of
    a gradient is not finite although the loss is, is set to 0 or +-1e5; in float16 it means that the scale of the loss
    was too large, so the update is skipped and the scale halved. All of it is decided where the tensors are, so that
    nobody waits for a GPU.
    """

    def __init__(
        self, optimisers: Sequence[torch.optim.Optimizer], ranks: Ranks, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Only fused optimisers can skip an update without asking the device."""
        self.optimisers, self.ranks = list(optimisers), ranks
        self.mends = dtype != torch.float16
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self.skipped = torch.zeros((), device=device)
        """How many updates were skipped because their loss was not finite ..."""
        self.in_a_row = torch.zeros((), device=device)
        """... and how many since one that was not."""
        self._sums: dict[str, Tensor] = {}

    def zero_grad(self) -> None:
        """Forget the gradients of the update before."""
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        self._sums = {}

    def accumulate(self, loss: Tensor, figures: Mapping[str, Tensor], count: int) -> None:
        """Add the gradients of one of `count` micro-batches. Loss and figures are means over its pictures."""
        if count > 1:
            loss = loss / count
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        for name, value in {_TOTAL: loss * count if count > 1 else loss, **figures}.items():
            value = value.detach().float() if value.dtype in HALF else value.detach()
            if count > 1:
                value = value / count
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def step(self, shared: Sequence[Tensor] = ()) -> dict[str, Tensor]:
        """Apply the gradients; returns the figures as means over the batch, and the gradients' norm as "gradient".

        `shared` are further tensors to sum over the ranks, in the same message.
        """
        gradients = [
            p.grad
            for optimiser in self.optimisers
            for group in optimiser.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        names = list(self._sums)
        values = torch.stack([self._sums[name].to(gradients[0].dtype) for name in names])
        self.ranks.all_reduce_([*gradients, values, *shared])
        figures = dict(zip(names, values.unbind(), strict=True))
        bad = (~torch.isfinite(figures.pop(_TOTAL))).float()
        self.skipped = self.skipped + bad
        self.in_a_row = (self.in_a_row + 1) * bad
        for optimiser in self.optimisers:
            self.scaler.unscale_(optimiser)
        norms = torch.stack(torch._foreach_norm(gradients))
        # On a CPU one sum tells whether anything is not finite; mending each gradient would cost more than the update.
        if self.mends and (norms.device.type != "cpu" or not torch.isfinite(norms.sum())):
            for gradient in gradients:
                gradient.nan_to_num_(nan=0.0, posinf=1e5, neginf=-1e5)
        for optimiser in self.optimisers:
            self._apply(optimiser, bad)
        if self.scaler.is_enabled():
            self.scaler.update()
        return figures | {"gradient": norms.square().sum().sqrt()}

    def _apply(self, optimiser: torch.optim.Optimizer, bad: Tensor) -> None:
        if self.scaler.is_enabled():
            # Not finite here is what `unscale_` has found in the gradients, and a loss that is not finite gives such.
            self.scaler.step(optimiser)
            return
        if optimiser.defaults.get("fused"):
            setattr(optimiser, _SKIP, bad)  # what a GradScaler tells a fused optimiser
            optimiser.step()
        elif not bad:
            optimiser.step()

    def state_dict(self) -> dict[str, Any]:
        """The loss scale; empty but for float16."""
        return self.scaler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with a loss scale; a run that was not in float16 before starts with a fresh one."""
        if state and self.scaler.is_enabled():
            self.scaler.load_state_dict(dict(state))


class SpectralNormState:
    """The vectors of the networks' spectral norms, which every forward pass moves on, whatever it is shown.

    A micro-batch must not see how many came before it, so each begins where the first began.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self.vectors = [
            vector
            for module in modules
            for name, vector in module.named_buffers()
            if name.rpartition(".")[2] in ("_u", "_v")
        ]
        self._start: list[Tensor] = []

    def save(self) -> None:
        """Remember the vectors as they are before the first micro-batch."""
        self._start = [vector.clone() for vector in self.vectors]

    def restore(self) -> None:
        """Bring the remembered vectors back before a micro-batch."""
        if self._start:
            torch._foreach_copy_(self.vectors, self._start)
