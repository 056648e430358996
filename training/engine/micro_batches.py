"""A batch in parts: what gradient accumulation and several ranks have in common.

A step's batch is cut into micro-batches of one size. Everything that looks at several pictures at once (virtual batch
norm, pairs of latents, the choice among captions, layouts) looks at one micro-batch, and each has a random stream of
its own. So a step is the same whether one process takes the parts in turn or several take some each: what is summed
over the parts is the gradients, the figures, the mean of the mapped latents and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.engine.distributed import Ranks
from training.errors import RunError


class MicroBatchError(RunError):
    """A batch that cannot be divided as asked; the message says what would do."""


@dataclass(frozen=True, kw_only=True)
class MicroBatchPlan:
    """How a batch is cut, and which parts are this rank's."""

    batch: int
    micro: int
    """Pictures of one part."""
    mine: range
    """Numbers of this rank's parts."""

    @property
    def count(self) -> int:
        """Parts of the batch, on all ranks."""
        return self.batch // self.micro

    def rows(self, part: int) -> slice:
        """The part's pictures among those of the batch."""
        return slice(part * self.micro, (part + 1) * self.micro)

    def streams(self, rng: torch.Generator) -> list[torch.Generator]:
        """A random stream for each of this rank's parts; `rng` is the run's own, the same on all ranks.

        A batch in one part uses the run's own stream.
        """
        if self.count == 1:
            return [rng]
        seeds = torch.randint(2**62, (self.count,), generator=rng).tolist()
        return [torch.Generator().manual_seed(seeds[part]) for part in self.mine]


def plan_micro_batches(batch: int, micro: int, ranks: Ranks) -> MicroBatchPlan:
    """Parts of `micro` pictures (0: one part a rank), dealt out to the ranks as evenly as they go.

    Raises `MicroBatchError` when the numbers do not go into each other, and when there are more ranks than parts.
    """
    if not micro and batch % ranks.world:
        raise MicroBatchError(f"batch: expected a multiple of the {ranks.world} ranks, got {batch}; or set micro_batch")
    micro = micro or batch // ranks.world
    if batch % micro:
        raise MicroBatchError(f"micro_batch: expected a divisor of the batch of {batch}, got {micro}")
    count = batch // micro
    if count < ranks.world:
        raise MicroBatchError(
            f"micro_batch: {batch} pictures in parts of {micro} are {count} parts, too few for {ranks.world} ranks; "
            f"set micro_batch={max(1, batch // ranks.world)} or start fewer"
        )
    mine = range(ranks.rank * count // ranks.world, (ranks.rank + 1) * count // ranks.world)
    return MicroBatchPlan(batch=batch, micro=micro, mine=mine)
