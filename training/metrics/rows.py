"""Which pictures stand for data that are too many to be read, or that are mixed: laid down from sizes and a seed.

- Of a list every picture is a row. Of shards every picture is one while there are few shards; of more, the pictures of
  some, at least `SHARDS` drawn at random and together as many as are wanted: nobody reads thousands of shards for a
  sample. That is fair where shards have been shuffled, as `glissando data build` and most other tools leave them.
- Of several sources each has the share of the rows that it has of what the trainer is shown: its weight times its
  pictures. No picture is taken twice, because measures of distance between pictures would take that for a mode. So
  there are as many rows as the source allows that runs out first: one with few pictures and a large weight makes the
  set small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.datasets.loader import Pool
from training.datasets.shards import ShardSource

SHARDS = 32
"""Of a source with more shards at least so many are read."""
# What a random number is for, next to the seed.
_WHICH_SHARDS, _WHICH_ROWS = 74, 75


@dataclass(frozen=True, kw_only=True, eq=False)
class RowRange:
    """Rows that follow each other: of one list, or of one shard."""

    source: int
    shard: int | None
    """Which of the source's; None in a list."""
    rows: range | NDArray[np.int64]
    """Which of the list's pictures or of the shard's samples, rising."""


def choose_ranges(pools: Sequence[Pool], most: int, seed: int) -> list[RowRange]:
    """The rows of all sources, one source after another. At least `most` where the sources have and allow so many."""
    laid = [_of_source(number, pool, most, seed) for number, pool in enumerate(pools)]
    available = [sum(len(one.rows) for one in ranges) for ranges in laid]
    shares = np.array([pool.weight * len(pool.source) for pool in pools])
    size = min(np.array(available) * shares.sum() / shares)
    wanted = [
        min(have, round(float(size * share / shares.sum()))) for have, share in zip(available, shares, strict=True)
    ]
    return [
        one
        for number, ranges in enumerate(laid)
        for one in _thinned(ranges, wanted[number], np.random.default_rng((seed, _WHICH_ROWS, number)))
    ]


def _of_source(number: int, pool: Pool, most: int, seed: int) -> list[RowRange]:
    source = pool.source
    if not isinstance(source, ShardSource):
        return [RowRange(source=number, shard=None, rows=range(len(source)))]
    shards = np.arange(len(source.counts))
    if len(shards) > SHARDS:
        order = np.random.default_rng((seed, _WHICH_SHARDS, number)).permutation(len(shards))
        enough = int(np.searchsorted(np.cumsum(np.array(source.counts)[order]), most)) + 1
        shards = np.sort(order[: max(SHARDS, enough)])
    return [RowRange(source=number, shard=shard, rows=range(source.counts[shard])) for shard in shards.tolist()]


def _thinned(ranges: Sequence[RowRange], count: int, rng: np.random.Generator) -> Iterator[RowRange]:
    """`count` of their rows, drawn at random."""
    ends = np.cumsum([len(one.rows) for one in ranges])
    if count == ends[-1]:
        yield from ranges
        return
    kept = np.sort(rng.choice(int(ends[-1]), count, replace=False))
    parts = np.split(kept, np.searchsorted(kept, ends[:-1]))
    for one, end, rows in zip(ranges, ends, parts, strict=True):
        if len(rows):
            yield replace(one, rows=rows - (end - len(one.rows)))
