"""Drawing and measuring pictures, shared out among the processes of a run.

Pictures are numbered; number i is the same whoever draws it. They are drawn in blocks of a fixed size, whoever does it,
so that the figures are the same, to the bit, at any number of ranks. A rank has blocks that follow each other: pictures
that are read from files of many lie side by side, and few ranks read the same file. Pictures are measured as they are
drawn and not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from training.datasets.errors import DataError

BLOCK = 32


class Drawn(NamedTuple):
    """A block of pictures."""

    pictures: NDArray[np.uint8]
    """[n, H, W, 3]; fewer than were asked for when some could not be read."""
    broken: int
    """How many could not be read, or came out with values that are not finite."""


Draw = Callable[[range], Drawn | None]
"""The pictures of these numbers; None when there is no more use in them. May raise `DataError`."""
Measure = Callable[[NDArray[np.uint8], range], NDArray[np.float32]]
"""(Pictures, their numbers) -> one row each, [n, D]. Where some are broken only measures that need no numbers fit."""
Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how many are done, of how many)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shard:
    """What one rank, or all of them, have measured."""

    blocks: Mapping[int, Mapping[str, NDArray[np.float32]]]
    """Block number -> name of the measure -> [n, D]."""
    broken: int
    whole: bool = True
    """Whether all of it was done; not when the run was asked to stop."""
    problem: str = ""
    """Why it could not be done, if so."""

    def rows(self, name: str) -> NDArray[np.float32]:
        """[N, D]: one measure of every picture, in the order of their numbers."""
        return np.concatenate([self.blocks[number][name] for number in sorted(self.blocks)])


def evaluate_shard(
    rank: int,
    world: int,
    *,
    draw: Draw,
    measures: Mapping[str, Measure],
    count: int,
    block: int = BLOCK,
    progress: Callable[[int, int], None] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Shard:
    """Draw and measure this rank's share of `count` pictures. Nothing is sent anywhere; see `gather`.

    When `stopped` says so it gives up between two blocks, and the shard is not whole; nor is it when pictures cannot be
    had, which is not raised here because the other ranks wait at `gather`.
    """
    if not 0 <= rank < world:
        raise ValueError(f"rank: expected 0 to {world - 1}, got {rank}")
    blocks = -(-count // block)
    numbers = range(rank * blocks // world, (rank + 1) * blocks // world)
    measured: dict[int, dict[str, NDArray[np.float32]]] = {}
    broken = 0
    for done, number in enumerate(numbers, start=1):
        if stopped is not None and stopped():
            return Shard(blocks=measured, broken=broken, whole=False)
        wanted = range(number * block, min(count, (number + 1) * block))
        try:
            drawn = draw(wanted)
        except DataError as error:
            return Shard(blocks=measured, broken=broken, whole=False, problem=str(error))
        if drawn is None:
            return Shard(blocks=measured, broken=broken, whole=False)
        broken += drawn.broken
        if len(drawn.pictures):
            measured[number] = {name: measure(drawn.pictures, wanted) for name, measure in measures.items()}
        if progress:
            progress(min(count, done * block * world), count)
    return Shard(blocks=measured, broken=broken)


def merge(shards: list[Shard]) -> Shard:
    """The shards of all ranks as one."""
    blocks = {number: rows for shard in shards for number, rows in shard.blocks.items()}
    return Shard(
        blocks=blocks,
        broken=sum(shard.broken for shard in shards),
        whole=all(shard.whole for shard in shards),
        problem=next((shard.problem for shard in shards if shard.problem), ""),
    )


def gather(shard: Shard) -> Shard | None:
    """Everything on rank 0, None elsewhere. The shard itself where torch.distributed is not initialised."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return shard
    shards: list[Shard | None] | None = [None] * dist.get_world_size() if dist.get_rank() == 0 else None
    dist.gather_object(shard, shards, dst=0)
    return merge([part for part in shards if part is not None]) if shards is not None else None


def share() -> tuple[int, int]:
    """(rank, world) of this process: (0, 1) where torch.distributed is not initialised."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def to_drawn(x_N3HW: Tensor) -> Drawn:
    """Pictures in about [-1, 1] as a saved picture has them. What is not finite becomes black, and is counted."""
    x_N3HW = x_N3HW.detach().float()
    broken = int((~torch.isfinite(x_N3HW).flatten(1).all(dim=1)).sum())
    if broken:
        x_N3HW = torch.nan_to_num(x_N3HW, nan=-1.0)
    bytes_N3HW = x_N3HW.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    return Drawn(bytes_N3HW.permute(0, 2, 3, 1).contiguous().cpu().numpy(), broken)
