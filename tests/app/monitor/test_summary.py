"""Curves in bounded memory: extremes and means survive merging, and what a resumed run undid is dropped."""

from __future__ import annotations

import numpy as np
import pytest

from app.monitor.parsing import Rows
from app.monitor.summary import Curves, Summary, chained, each_row, empty


def rows_of(x: np.ndarray, values: np.ndarray, names: tuple[str, ...] = ("loss",), offset: int = 0) -> Rows:
    return Rows(
        names=names,
        offset=np.arange(len(x), dtype=np.int64) * 100 + offset,
        x=x.astype(np.float64),
        time=x / 60,
        values=values.reshape(len(x), len(names)).astype(np.float32),
    )


def test_a_short_run_is_kept_row_by_row() -> None:
    summary = Summary(capacity=64)
    x = np.arange(1, 41) * 10
    summary.add(rows_of(x, np.sin(x)))
    curves = summary.curves()
    assert summary.stride == 1
    np.testing.assert_array_equal(curves.x, x)
    np.testing.assert_allclose(curves.mean[:, 0], np.sin(x), rtol=1e-6)


@pytest.mark.parametrize("batch", [1, 7, 100, 5000])
def test_merging_keeps_extremes_means_and_places(batch: int) -> None:
    rng = np.random.default_rng(0)
    x = np.arange(1, 3001)
    values = rng.normal(size=3000).astype(np.float32)
    values[rng.random(3000) < 0.2] = np.nan
    summary = Summary(capacity=64)
    rows = rows_of(x, values)
    for start in range(0, 3000, batch):
        part = slice(start, start + batch)
        summary.add(rows_of(x[part], values[part], offset=start * 100))
    curves = summary.curves()
    assert summary.stride == 64
    assert len(curves) == -(-3000 // 64)
    assert curves.rows.sum() == 3000
    for index in range(len(curves)):
        part = slice(index * 64, (index + 1) * 64)
        assert curves.low[index, 0] == np.nanmin(values[part])
        assert curves.high[index, 0] == np.nanmax(values[part])
        assert curves.mean[index, 0] == pytest.approx(np.nanmean(values[part]), abs=1e-5)
        assert curves.count[index, 0] == np.isfinite(values[part]).sum()
        assert (curves.x[index], curves.offset[index]) == (x[part][0], rows.offset[part][0])


def test_a_number_that_comes_later_has_nothing_before() -> None:
    summary = Summary(capacity=8)
    summary.add(rows_of(np.arange(10), np.ones(10)))
    summary.add(rows_of(np.arange(10, 20), np.full((10, 2), 2.0), names=("guidance", "loss"), offset=1000))
    curves = summary.curves()
    assert curves.names == ("loss", "guidance")
    assert np.isnan(curves.mean[0, 1])
    assert curves.mean[-1].tolist() == [2.0, 2.0]


def test_going_back_drops_what_was_undone() -> None:
    summary = Summary(capacity=64)
    summary.add(rows_of(np.arange(0, 50), np.zeros(50)))
    again = np.arange(30, 45)
    summary.add(rows_of(again, np.ones(15), offset=5000))
    curves = summary.curves()
    np.testing.assert_array_equal(curves.x, np.arange(45))
    assert curves.mean[:, 0].tolist() == [0.0] * 30 + [1.0] * 15
    # The same within one batch, and over merged buckets.
    summary = Summary(capacity=16)
    summary.add(rows_of(np.array([*range(100), *range(40, 70)]), np.array([0.0] * 100 + [1.0] * 30)))
    curves = summary.curves()
    assert (np.diff(curves.x) > 0).all()
    assert curves.x[-1] >= 60
    assert curves.mean[curves.x >= 48].min() == 1.0
    assert curves.mean[curves.x < 32].max() == 0.0


def test_chaining_takes_the_right_one_where_they_overlap() -> None:
    def curves(x: list[int], value: float, name: str) -> Curves:
        return each_row(rows_of(np.array(x), np.full(len(x), value), names=(name,)))

    both = chained(curves([1, 2, 3, 4], 1.0, "a"), curves([3, 5], 2.0, "b"))
    assert both.x.tolist() == [1, 2, 3, 5]
    assert both.names == ("a", "b")
    np.testing.assert_array_equal(both.mean, [[1, np.nan], [1, np.nan], [np.nan, 2], [np.nan, 2]])
    assert len(chained(empty(), empty())) == 0


def test_what_was_kept_is_gone_on_from() -> None:
    whole, first, second = Summary(capacity=16), Summary(capacity=16), Summary(capacity=16)
    x, values = np.arange(640), np.random.default_rng(0).normal(size=640)
    whole.add(rows_of(x, values))
    first.add(rows_of(x[:512], values[:512]))
    second.add_buckets(first.curves(), first.stride)
    second.add(rows_of(x[512:], values[512:], offset=51200))
    a, b = whole.curves(), second.curves()
    assert a.x.tolist() == b.x.tolist()
    np.testing.assert_array_equal(a.low, b.low)
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-6)
