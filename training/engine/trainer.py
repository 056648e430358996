"""The training step, whatever the method: micro-batches, ranks, phases, optimisers, and all of it saved and loaded.

A step's batch may be cut into micro-batches, see `training.engine.micro_batches`: each goes through the networks by
itself, one after another or on several ranks. All randomness comes from one generator whose state is saved, so a
resumed run repeats the uninterrupted one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from training.datasets.opening import Data
from training.engine.distributed import Ranks
from training.engine.micro_batches import plan_micro_batches
from training.engine.phases import Phase, PhaseResult
from training.engine.prefetch import Batch, Prefetcher
from training.engine.protocol import Trainable
from training.engine.updates import SpectralNormState, Updater

M = TypeVar("M")
S = TypeVar("S")


class Trainer(Generic[M, S]):
    """A method on its data; `step` is one step of all its phases."""

    def __init__(
        self,
        method: Trainable[M, S],
        data: Data,
        *,
        batch: int,
        micro_batch: int = 0,
        seed: int,
        ranks: Ranks | None = None,
    ) -> None:
        """Raises `MicroBatchError` for a batch that cannot be divided as asked."""
        self.method, self.ranks = method, ranks or Ranks()
        self.device, self.dtype, self.timer = method.compute.device, method.compute.dtype, method.compute.timer
        self.plan = plan_micro_batches(batch, micro_batch, self.ranks)
        self.images_seen = 0
        self.steps = 0
        self.updaters: dict[tuple[str, ...], Updater] = {}
        """One for each set of optimisers that phases step together."""
        for phase in method.phases(method.full_schedule()):
            if phase.optimisers not in self.updaters:
                optimisers = [method.optimisers[name] for name in phase.optimisers]
                self.updaters[phase.optimisers] = Updater(optimisers, self.ranks, self.device, self.dtype)
        self.spectral_norms = SpectralNormState(method.modules.values())
        self.prefetcher = Prefetcher(data, self.plan, seed, self.device)
        self.rng = torch.Generator().manual_seed(seed)

    @property
    def batches_per_step(self) -> int:
        """How many batches of data the next step takes."""
        return self.method.batches(self.images_seen)

    def step(self) -> dict[str, Tensor]:
        """All phases whose turn it is, on the next batches. Returns losses and other figures."""
        self.timer.mark("data")
        schedule = self.method.schedule(self.images_seen, self.steps)
        batches = self.prefetcher.take(self.batches_per_step)
        streams = self.plan.streams(self.rng)
        micro_batches = []
        self.spectral_norms.save()
        for number, rng in enumerate(streams):
            self.spectral_norms.restore()
            own = [batch[number] for batch in batches]
            micro_batches.append(self.method.begin(own, rng, schedule, keep=len(streams) == 1))
        figures: dict[str, Tensor] = {}
        for phase in self.method.phases(schedule):
            if self.steps % phase.every == 0:
                found = self._run(phase, micro_batches)
                if phase.logged:
                    figures |= found
        self.images_seen += self.plan.batch * len(batches)
        self.steps += 1
        figures |= self.method.after_step(schedule, self.images_seen)
        self.timer.mark("other")
        return figures | self._skips()

    def _run(self, phase: Phase[M], micro_batches: Sequence[M]) -> dict[str, Tensor]:
        """Step a phase's optimisers by the gradients of all micro-batches, on all ranks."""
        updater = self.updaters[phase.optimisers]
        updater.zero_grad()
        means: list[Mapping[str, Tensor]] = []
        rows: list[Mapping[str, Tensor]] = []
        self.spectral_norms.save()
        with _frozen([self.method.modules[name] for name in phase.frozen]):
            for micro_batch in micro_batches:
                self.spectral_norms.restore()
                computed = phase.loss(micro_batch)
                loss = computed.loss * phase.every if phase.every > 1 else computed.loss
                updater.accumulate(loss, computed.figures, self.plan.count)
                means.append(computed.means)
                rows.append(computed.rows)
                del loss, computed  # nothing of a micro-batch's graph stays for the next
        self.timer.mark("optimiser")
        result = PhaseResult(means=self._mean(means), rows=self._gather(rows))
        figures = updater.step([*result.means.values(), *result.rows.values()])
        figures[f"gradient_{phase.name}"] = figures.pop("gradient")
        if phase.after is not None:
            figures |= phase.after(replace(result, figures=figures))
        return figures

    def _mean(self, found: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """This rank's share of the means over the batch, to be summed over the ranks."""
        sums = {name: torch.stack([one[name] for one in found]).sum(dim=0) for name in found[0]}
        return {name: value / self.plan.count for name, value in sums.items()} if self.plan.count > 1 else sums

    def _gather(self, found: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The batch's rows, zeros where another rank has them: the sum over the ranks is all of them."""
        rows = {name: torch.cat([one[name] for one in found]) for name in found[0]}
        if self.ranks.world == 1:
            return rows
        start = self.plan.rows(self.plan.mine[0]).start
        whole = {}
        for name, own in rows.items():
            whole[name] = own.new_zeros(self.plan.batch, *own.shape[1:])
            whole[name][start:][: len(own)] = own
        return whole

    def _skips(self) -> dict[str, Tensor]:
        """How many updates were skipped since the start of the process, and now in a row, by any updater."""
        updaters = self.updaters.values()
        return {
            "skipped": torch.stack([updater.skipped for updater in updaters]).sum(),
            "skipped_in_a_row": torch.stack([updater.in_a_row for updater in updaters]).max(),
        }

    def in_trouble(self) -> bool:
        """Whether the latest update was skipped; waits for the device."""
        return bool(self._skips()["skipped_in_a_row"] > 0)

    def rehearse(self, micro: int, resolution: int) -> None:
        """All passes of a step for a micro-batch of `micro` pictures of noise, beside the memory that the optimisers
        need: to see whether it fits. The networks' weights stay, the random state does not."""
        optimisers = self.method.optimisers.values()
        weights = [p for optimiser in optimisers for group in optimiser.param_groups for p in group["params"]]
        held = [
            torch.empty_like(p)
            for p in weights
            if not any(p in optimiser.state for optimiser in optimisers)
            for _ in range(2)
        ]
        images = torch.randint(0, 256, (micro, 3, resolution, resolution), dtype=torch.uint8, device=self.device)
        classes = torch.zeros(micro, dtype=torch.int64, device=self.device)
        batch = Batch(images=images, captions=[["a"]] * micro, classes=classes)
        schedule = self.method.full_schedule()
        micro_batch = self.method.begin([batch] * self.batches_per_step, self.rng, schedule, keep=True)
        for phase in self.method.phases(schedule):
            updater = self.updaters[phase.optimisers]
            updater.zero_grad()
            with _frozen([self.method.modules[name] for name in phase.frozen]):
                computed = phase.loss(micro_batch)
                updater.accumulate(computed.loss, computed.figures, 1)
        for updater in self.updaters.values():
            updater.zero_grad()
        del held

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "images_seen": self.images_seen,
            "steps": self.steps,
            "modules": {name: module.state_dict() for name, module in self.method.modules.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.method.optimisers.items()},
            "loss_scales": {names[0]: updater.state_dict() for names, updater in self.updaters.items()},
            "method": self.method.state_dict(),
            "stream": self.prefetcher.state_dict(),
            "rng": self.rng.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken. What is new since then, by a setting, begins fresh."""
        self.images_seen, self.steps = state["images_seen"], state["steps"]
        for name, module in self.method.modules.items():
            if name in state["modules"]:
                module.load_state_dict(state["modules"][name])
        for name, optimiser in self.method.optimisers.items():
            if name in state["optimisers"]:
                _load_moments(optimiser, state["optimisers"][name])
        for names, updater in self.updaters.items():
            updater.load_state_dict(state["loss_scales"].get(names[0], {}))
        self.method.load_state_dict(state["method"])
        self.prefetcher.load_state_dict(state["stream"])
        self.rng.set_state(state["rng"])


@contextlib.contextmanager
def _frozen(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Those of the modules' parameters that learn get no gradients meanwhile."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def _load_moments(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load all but the settings, which may have changed since the state was saved."""
    settings = [{name: group[name] for name in ("lr", "betas")} for group in optimiser.param_groups]
    optimiser.load_state_dict(state)
    for group, kept in zip(optimiser.param_groups, settings, strict=True):
        group.update(kept)
