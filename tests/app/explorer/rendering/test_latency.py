import pytest

from app.explorer.rendering.latency import KEPT_S, LatencyMeter, median
from core.request import RenderRequest


def request(seed: float) -> RenderRequest:
    return RenderRequest(seed_x=seed)


def test_latency_is_from_the_change_to_the_picture_that_answers_it() -> None:
    meter = LatencyMeter()
    meter.changed(request(1), 10.0)
    meter.arrived(30.0, 10.05)
    meter.shown(request(1), 10.06)
    assert list(meter.render_ms) == [(10.05, 30.0)]
    assert list(meter.latency_ms) == [(10.06, pytest.approx(60.0))]


def test_changes_that_were_replaced_do_not_count() -> None:
    meter = LatencyMeter()
    for step in range(5):
        meter.changed(request(step), float(step))
    meter.shown(request(3), 4.5)
    assert [value for _, value in meter.latency_ms] == [pytest.approx(1500.0)]
    # The older ones are gone, the newer one still waits.
    meter.shown(request(1), 5.0)
    meter.shown(request(3), 5.0)
    assert len(meter.latency_ms) == 1
    meter.shown(request(4), 5.0)
    assert [value for _, value in meter.latency_ms] == [pytest.approx(1500.0), pytest.approx(1000.0)]


def test_going_back_and_forth_counts_from_the_last_change() -> None:
    meter = LatencyMeter()
    meter.changed(request(1), 1.0)
    meter.changed(request(2), 2.0)
    meter.changed(request(1), 3.0)
    meter.shown(request(1), 3.5)
    assert [value for _, value in meter.latency_ms] == [pytest.approx(500.0)]
    meter.shown(request(2), 4.0)
    assert len(meter.latency_ms) == 1


def test_what_nobody_asked_for_is_not_measured() -> None:
    meter = LatencyMeter()
    meter.shown(request(1), 1.0)
    assert not meter.latency_ms


def test_the_rate_is_that_of_the_last_second() -> None:
    meter = LatencyMeter()
    for i in range(30):
        meter.arrived(1.0, i / 30)
    meter.tick(1.0)
    assert meter.frames_per_second == 30
    meter.tick(1.5)
    assert 13 <= meter.frames_per_second <= 15
    meter.changed(request(1), 1.5)
    meter.begin_again()
    meter.shown(request(1), 9.0)
    assert not meter.latency_ms
    assert meter.frames_per_second == 0
    meter.tick(1.6)
    assert [at for at, _ in meter.rate] == [1.0, 1.5]  # a few times a second is enough


def test_old_samples_go_and_memory_stays_bounded() -> None:
    meter = LatencyMeter()
    for i in range(20_000):
        meter.changed(request(i), i * 0.001)
        meter.arrived(1.0, i * 0.001)
    assert len(meter._changed) <= 1000
    assert len(meter.render_ms) <= 6000
    meter.tick(20.0 + KEPT_S + 1.0)
    assert not meter.render_ms
    assert len(meter._arrivals) == 0


def test_the_middle_of_some_samples() -> None:
    meter = LatencyMeter()
    assert median(meter.render_ms) is None
    for value in (5.0, 1.0, 100.0):
        meter.arrived(value, 0.0)
    assert median(meter.render_ms) == 5.0
