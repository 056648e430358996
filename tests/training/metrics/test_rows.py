"""Which pictures stand for many: all of a list, whole shards of very many, each source by its weight."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from training.datasets.listing import Row
from training.datasets.loader import Pool
from training.datasets.shards import ShardSource
from training.datasets.sources import ListedSource
from training.datasets.trees import FolderTree
from training.metrics.rows import SHARDS, RowRange, choose_ranges


def listed(count: int, weight: float = 1.0) -> Pool:
    source = ListedSource(
        label="list",
        tree=FolderTree(Path("list")),
        rows=tuple(Row(str(number)) for number in range(count)),
        fingerprint="f",
    )
    return Pool(source=source, weight=weight)


def sharded(counts: list[int], weight: float = 1.0) -> Pool:
    source = ShardSource(
        label="shards",
        places=tuple(f"{number}.tar" for number in range(len(counts))),
        counts=tuple(counts),
        fingerprint="f",
        order_key="o",
        empty=0,
        captionless=0,
        vocabulary=(),
    )
    return Pool(source=source, weight=weight)


def rows_of(ranges: list[RowRange]) -> list[tuple[int, int | None, int]]:
    return [(one.source, one.shard, int(row)) for one in ranges for row in one.rows]


def sizes(ranges: list[RowRange]) -> dict[int, int]:
    return dict(Counter(source for source, _, _ in rows_of(ranges)))


def test_of_a_list_and_of_few_shards_every_picture_is_a_row() -> None:
    assert rows_of(choose_ranges([listed(5)], 2, 0)) == [(0, None, row) for row in range(5)]
    counts = [3, 1, 4] * 10
    expected = [(0, shard, row) for shard, count in enumerate(counts) for row in range(count)]
    assert rows_of(choose_ranges([sharded(counts)], 2, 0)) == expected


@pytest.mark.parametrize(("most", "shards"), [(16, SHARDS), (10 * SHARDS, SHARDS), (1000, 100), (10_000, 400)])
def test_of_many_shards_as_many_are_drawn_as_are_needed(most: int, shards: int) -> None:
    pool = sharded([10] * 400)
    found = choose_ranges([pool], most, 0)
    numbers = [one.shard for one in found]
    assert len(numbers) == shards
    assert numbers == sorted(set(numbers))
    assert rows_of(found) == rows_of(choose_ranges([pool], most, 0))
    if shards < 400:
        assert numbers != list(range(shards))
        assert numbers != [one.shard for one in choose_ranges([pool], most, 1)]


def test_sources_have_the_shares_that_they_are_shown_with() -> None:
    assert sizes(choose_ranges([listed(30), listed(10)], 1000, 0)) == {0: 30, 1: 10}
    # Each picture of the second comes twice as often: all of them, and half of the first.
    assert sizes(choose_ranges([listed(30), listed(10, 2.0)], 1000, 0)) == {0: 15, 1: 10}
    assert sizes(choose_ranges([listed(30, 0.5), sharded([5, 5])], 1000, 0)) == {0: 15, 1: 10}
    # Of many shards some are read, which changes no share.
    assert sizes(choose_ranges([sharded([10] * 400), sharded([10] * 100, 4.0)], 500, 0)) == {0: 500, 1: 500}
    # One that is hardly ever shown may have no row.
    assert sizes(choose_ranges([listed(1000), listed(3, 0.1)], 1000, 0)) == {0: 1000}


def test_what_is_thinned_is_drawn_at_random_and_nothing_twice() -> None:
    pools = [sharded([40] * 20), listed(100, 4.0)]
    found = rows_of(choose_ranges(pools, 1000, 0))
    assert len(set(found)) == len(found) == 300
    assert found == sorted(found, key=lambda row: (row[0], row[1] or 0, row[2]))
    first = [row for row in found if row[0] == 0]
    assert len(first) == 200
    assert all(0 <= row < 40 for _, _, row in first)
    assert np.mean([row for _, _, row in first]) == pytest.approx(19.5, abs=3)
    assert len({shard for _, shard, _ in first}) == 20
    assert found != rows_of(choose_ranges(pools, 1000, 1))
