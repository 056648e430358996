"""Which picture comes at which place of a run: from the seed and a few counters alone, for any number of ranks.

Every place draws a source by weight. A list is gone through in an order that is new each time round. Shards are read in
lanes, a few side by side: lane l gets shards l, l + L, l + 2 L and so on of an endless row of shuffles of all shards,
and shuffles what each holds. A place within the batch belongs to a lane, so that a rank, which has a part of the batch,
reads few of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.datasets.errors import DataError

# What a random number is for, next to the seed.
_SOURCE, _ROWS, _SHARDS, _INSIDE, _LOOK = range(1, 6)


class Draw(NamedTuple):
    """One picture to come."""

    position: int
    """Its place in the run, from 0."""
    source: int
    item: int
    """Which row of a list, which shard."""
    turn: int = 0
    """Which of the endless row of shards; it decides how the shard is shuffled."""
    offset: int = 0
    """The how many-th sample of the shuffled shard."""
    lane: int = 0


@dataclass(frozen=True, kw_only=True)
class ListShape:
    """The shape of a source whose rows are known."""

    rows: int


@dataclass(frozen=True, kw_only=True)
class ShardShape:
    """The shape of a source in shards."""

    counts: tuple[int, ...]
    """Samples taken to be in each; 1 or more."""


SourceShape = ListShape | ShardShape


def look_rng(seed: int, position: int) -> np.random.Generator:
    """What decides about crop, mirror and caption of the picture at a place of the run."""
    return np.random.default_rng([seed, _LOOK, position])


def shard_order(seed: int, source: int, turn: int, samples: int) -> NDArray[np.int64]:
    """The order of a shard's samples when it is the `turn`-th to be read."""
    return np.random.default_rng([seed, _INSIDE, source, turn]).permutation(samples).astype(np.int64)


class Mixing:
    """The endless order of draws, a batch at a time. The state is a few numbers."""

    def __init__(
        self, shapes: Sequence[SourceShape], weights: Sequence[float], *, batch: int, seed: int, lanes: int, key: str
    ) -> None:
        """`weights` is how often a source is drawn, in any unit. `key` stands for what the order hangs on besides."""
        if not shapes or batch < 1 or lanes < 1:
            raise ValueError(f"expected sources, a batch and lanes, got {len(shapes)}, {batch} and {lanes}")
        self.shapes, self.batch, self.seed, self.key = tuple(shapes), batch, seed, key
        shares = np.asarray(weights, np.float64)
        self._cumulative = np.cumsum(shares / shares.sum())
        self.lanes = [min(lanes, len(shape.counts)) if isinstance(shape, ShardShape) else 1 for shape in shapes]
        self.position = 0
        self._taken: list[list[list[int]]] = [
            [[lane, 0] if isinstance(shape, ShardShape) else [0] for lane in range(count)]
            for shape, count in zip(shapes, self.lanes, strict=True)
        ]
        self._orders: dict[tuple[int, int], NDArray[np.int64]] = {}

    def next(self) -> list[Draw]:
        """The next batch for all ranks together."""
        picks = np.zeros(self.batch, np.int64)
        if len(self.shapes) > 1:
            draws = np.random.default_rng([self.seed, _SOURCE, self.position]).random(self.batch)
            picks = np.minimum(np.searchsorted(self._cumulative, draws, side="right"), len(self.shapes) - 1)
        drawn = [self._draw(place, int(source)) for place, source in enumerate(picks)]
        self.position += self.batch
        return drawn

    def _draw(self, place: int, source: int) -> Draw:
        shape, position = self.shapes[source], self.position + place
        if isinstance(shape, ListShape):
            counter = self._taken[source][0]
            round_, at = divmod(counter[0], shape.rows)
            counter[0] += 1
            return Draw(position, source, int(self._order(source, round_, shape.rows)[at]))
        lanes = self.lanes[source]
        lane = place * lanes // self.batch
        counter = self._taken[source][lane]
        turn, offset = counter
        shard = self.shard_at(source, turn)
        counter[1] += 1
        if counter[1] >= shape.counts[shard]:
            counter[:] = [turn + lanes, 0]
        return Draw(position, source, shard, turn, offset, lane)

    def shard_at(self, source: int, turn: int) -> int:
        """Which shard is the `turn`-th of the endless row."""
        shape = self.shapes[source]
        assert isinstance(shape, ShardShape)
        round_, at = divmod(turn, len(shape.counts))
        return int(self._order(source, round_, len(shape.counts))[at])

    def _order(self, source: int, round_: int, n: int) -> NDArray[np.int64]:
        key = (source, round_)
        if key not in self._orders:
            kind = _ROWS if isinstance(self.shapes[source], ListShape) else _SHARDS
            # Lanes are at most a round apart, or ahead by one for the shard to come.
            for old in [k for k in self._orders if k[0] == source and not -2 <= round_ - k[1] <= 2]:
                del self._orders[old]
            if kind == _ROWS:
                for old in [k for k in self._orders if k[0] == source]:
                    del self._orders[old]
            rng = np.random.default_rng([self.seed, kind, source, round_])
            self._orders[key] = rng.permutation(n).astype(np.int64)
        return self._orders[key]

    def state_dict(self) -> dict[str, Any]:
        """Where the order stands: the same in every rank."""
        taken = [[list(counter) for counter in lanes] for lanes in self._taken]
        return {"key": self.key, "seed": self.seed, "position": self.position, "taken": taken}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken. Raises `DataError` when it is of other data."""
        if state.get("key") != self.key or state.get("seed") != self.seed:
            raise DataError(
                "the data have changed since the run was saved (pictures, shards, weights, lanes or seed), so that it "
                "cannot go on exactly; put them back as they were, or start a new run"
            )
        self.position = int(state["position"])
        self._taken = [[[int(number) for number in counter] for counter in lanes] for lanes in state["taken"]]
