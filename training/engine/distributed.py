"""The processes that train one model together, started by torchrun: who this one is, and what they tell each other.

Every rank holds the whole model and its state, which stay the same on all of them; a step's work is divided. What
passes between them is one message of gradients a phase, and before each step a few flags, by way of the CPU.
"""

from __future__ import annotations

import datetime
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from training.errors import RunError

PATIENCE = datetime.timedelta(minutes=30)
"""How long a rank waits for the others; one may be decoding a folder of pictures for all."""
_PAUSE_S, _ASKS = 0.02, 50
"""While ranks meet: between two looks, and how many looks until the name is asked for again."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among those of the run. A run of one process is rank 0 of 1 and sends nothing."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    """Among those of this machine."""
    restarts: int = 0
    """How often torchrun has started the processes again."""

    @property
    def first(self) -> bool:
        """Whether this is the one that writes the run's folder."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """The GPU that belongs to this process, or the CPU."""
        return torch.device("cuda", self.local_rank) if torch.cuda.is_available() else torch.device("cpu")

    def all_reduce_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the ranks; all of one type. One message, whatever their number."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
        dist.all_reduce(flat)
        pieces = torch.split(flat, [tensor.numel() for tensor in tensors])
        # A view of each piece would keep the flat copy alive beside the gradients of the next step.
        torch._foreach_copy_(list(tensors), [p.view(t.shape) for p, t in zip(pieces, tensors, strict=True)])

    def agree(self, *flags: bool) -> tuple[bool, ...]:
        """Each flag as all ranks see it: set where any of them has set it."""
        if self.world == 1:
            return flags
        votes = torch.tensor([int(flag) for flag in flags])
        dist.all_reduce(votes, dist.ReduceOp.MAX)
        return tuple(bool(vote) for vote in votes.tolist())

    def broadcast(self, text: str) -> str:
        """The text that rank 0 gives; what the others give does not matter."""
        if self.world == 1:
            return text
        data = torch.frombuffer(bytearray(text.encode()) or bytearray(1), dtype=torch.uint8)
        size = torch.tensor([len(text.encode())])
        dist.broadcast(size, 0)
        length = int(size.item())
        if self.rank:
            data = torch.zeros(max(1, length), dtype=torch.uint8)
        dist.broadcast(data, 0)
        return bytes(data[:length].tolist()).decode()

    def barrier(self) -> None:
        """Until all ranks are here."""
        if self.world > 1:
            self.agree(False)

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """The first process of each machine goes ahead, then its others: for what the first leaves in a cache."""
        if self.local_rank:
            self.barrier()
        yield
        if not self.local_rank:
            self.barrier()


@contextmanager
def open_ranks() -> Iterator[Ranks]:
    """This process's place among those that torchrun has started, or alone."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    ranks = Ranks(
        rank=int(os.environ.get("RANK", "0")),
        world=world,
        local_rank=int(os.environ.get("LOCAL_RANK", "0")),
        restarts=int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")),
    )
    if ranks.device.type == "cuda":
        torch.cuda.set_device(ranks.device)
    if world == 1:
        yield ranks
        return
    # Gradients go from GPU to GPU; flags and texts do not wait for them.
    backend = "cpu:gloo,cuda:nccl" if ranks.device.type == "cuda" else "gloo"
    store, _, _ = next(rendezvous("env://", timeout=PATIENCE))
    own = PrefixStore(_meet(store, ranks), store)
    dist.init_process_group(backend, store=own, rank=ranks.rank, world_size=world, timeout=PATIENCE)
    yield ranks
    # Not after an error: the others may be waiting for this rank in another place, and torchrun ends them.
    dist.destroy_process_group()


def _meet(store: Store, ranks: Ranks) -> str:
    """A name for this start of the processes, on which all of them agree.

    torchrun keeps one store when it starts processes again, and where the dead ones could be reached is still in it.
    The count of restarts is no such name: machines count differently. So rank 0 makes a name up, and each rank asks,
    with a word that nobody has used before, whether the name that it sees is of the living.
    """
    if ranks.first:
        name = uuid.uuid4().hex
        store.set("round", name)
        for rank in range(1, ranks.world):
            store.wait([f"{name}/{rank}"], PATIENCE)
            store.set(store.get(f"{name}/{rank}").decode(), "yes")
        return name
    word = uuid.uuid4().hex
    begin = time.monotonic()
    while time.monotonic() - begin < PATIENCE.total_seconds():
        if store.check(["round"]):
            name = store.get("round").decode()
            store.set(f"{name}/{ranks.rank}", word)
            for _ in range(_ASKS):
                if store.check([word]):
                    return name
                time.sleep(_PAUSE_S)
        else:
            time.sleep(_PAUSE_S)
    raise RunError("the first process of the run did not come: see what torchrun says of it")
