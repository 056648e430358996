"""What a plot draws: grouping, smoothing over images, decimation that loses no spike, and fitting."""

from __future__ import annotations

import numpy as np
import pytest

from app.monitor.lines import Line, decimated, fitting, line_of, plots_of, smoothed, value_at, with_detail
from app.monitor.summary import Summary, each_row, empty
from tests.app.monitor.test_summary import rows_of


def line(x: np.ndarray, values: np.ndarray) -> Line:
    return line_of(each_row(rows_of(x, values)), "loss")


def test_numbers_that_belong_together_share_a_plot() -> None:
    names = "images_per_s loss_d logit_real logit_fake match_real loss_g diversity match_fake gradient_d accuracy.sky"
    plots = plots_of(names.split())
    assert [(plot.title, plot.names, plot.labels) for plot in plots] == [
        ("Loss", ("loss_g", "loss_d"), ("G", "D")),
        ("Logits", ("logit_real", "logit_fake"), ("real", "fake")),
        ("Gradient norm D", ("gradient_d",), ("",)),
        ("Images a second", ("images_per_s",), ("",)),
        ("Captions matched", ("match_real", "match_fake"), ("real", "fake")),
        ("Diversity", ("diversity",), ("",)),
        ("Accuracy, sky", ("accuracy.sky",), ("",)),
    ]
    assert plots_of([]) == []


def plain_average(line: Line, half_life: float) -> np.ndarray:
    result = []
    for i in range(len(line)):
        weight = line.weight[: i + 1] * 0.5 ** ((line.x[i] - line.x[: i + 1]) / half_life)
        result.append((weight * line.mean[: i + 1]).sum() / weight.sum())
    return np.array(result)


@pytest.mark.parametrize("half_life", [0.01, 3.0, 40.0, 1e5])
def test_smoothing_is_the_weighted_average_of_what_came_before(half_life: float) -> None:
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.integers(1, 9, 400)).astype(float)
    x[200:] += 5000  # a gap of many half-lives
    raw = line(x, rng.normal(size=400))
    np.testing.assert_allclose(smoothed(raw, half_life), plain_average(raw, half_life), rtol=1e-6, atol=1e-9)


def test_smoothing_hardly_depends_on_how_the_run_was_logged() -> None:
    x = np.arange(10, 80_001, 10)
    values = np.sin(x / 9000) + np.random.default_rng(0).normal(size=len(x)) * 0.1
    often, merged = line(x, values), Summary(capacity=512)
    merged.add(rows_of(x, values))
    buckets = line_of(merged.curves(), "loss")
    assert len(buckets) == 500
    a, b = smoothed(often, 2000.0), smoothed(buckets, 2000.0)
    at = [value_at(often, a, x) for x in (20_000, 40_000, 79_000)]
    assert [value_at(buckets, b, x) for x in (20_000, 40_000, 79_000)] == pytest.approx(at, abs=0.03)
    assert smoothed(often, 0) is often.mean


def test_decimation_keeps_every_spike_and_few_points() -> None:
    x = np.arange(100_000.0)
    values = np.zeros(100_000)
    values[[31_234, 55_555]] = 50.0, -20.0
    raw = line(x, values)
    xs, ys = decimated(raw.x, raw.low, raw.high, (0.0, 1e5), 400)
    assert len(xs) <= 2 * 400 + 20
    assert (np.diff(xs) >= 0).all()
    assert ys.max() == 50.0
    assert ys.min() == -20.0
    assert abs(xs[ys.argmax()] - 31_234) < 250
    # Zoomed in, each row is a point, with something to either side.
    xs, ys = decimated(raw.x, raw.low, raw.high, (31_200.0, 31_300.0), 400)
    inside = (xs >= 31_200) & (xs <= 31_300)
    assert xs[inside].tolist() == list(range(31_200, 31_301))
    assert xs[0] == 0.0
    assert xs[-1] > 99_000
    # Beyond the data, and none at all.
    assert len(decimated(raw.x, raw.low, raw.high, (2e5, 3e5), 400)[0]) <= 2 * 400 + 20
    nothing = line_of(empty(), "loss")
    assert len(decimated(nothing.x, nothing.low, nothing.high, (0.0, 1.0), 100)[0]) == 0


def test_fitting_passes_over_outliers_and_looks_at_the_view_alone() -> None:
    rng = np.random.default_rng(0)
    raw = line(np.arange(10_000.0), rng.normal(size=10_000))
    raw.low[5000] = raw.high[5000] = 1e6
    low, high = fitting([(raw, smoothed(raw, 100.0))], (0.0, 1e4)) or (0, 0)
    assert -5 < low < -2
    assert 2 < high < 5
    rising = line(np.arange(100.0), np.arange(100.0))
    low, high = fitting([(rising, rising.mean)], (50.0, 60.0)) or (0, 0)
    assert 49 < low < 51
    assert 59 < high < 61
    flat = line(np.arange(3.0), np.full(3, 2.0))
    assert fitting([(flat, flat.mean)], (0.0, 3.0)) == pytest.approx((1.9, 2.1))
    assert fitting([(rising, rising.mean)], (500.0, 600.0)) is None


def test_detail_takes_the_place_of_its_buckets() -> None:
    summary = Summary(capacity=16)
    x = np.arange(320.0)
    summary.add(rows_of(x, x))
    detail = each_row(rows_of(x[100:140], x[100:140]))
    both = with_detail(summary.curves(), detail)
    assert (np.diff(both.x) > 0).all()
    assert set(range(100, 140)) <= set(both.x.tolist())
    assert both.x[-1] == summary.curves().x[-1]
    assert with_detail(summary.curves(), None).x.tolist() == summary.curves().x.tolist()


def test_the_value_under_the_pointer_is_the_last_one_before_it() -> None:
    raw = line(np.array([10.0, 20.0]), np.array([1.0, 2.0]))
    assert [value_at(raw, raw.mean, x) for x in (5, 10, 19, 99)] == [None, 1.0, 1.0, 2.0]
