"""Where a run stands: running, silent, stopped or finished; its speed and how long it takes."""

from __future__ import annotations

from typing import Any

import pytest

from app.monitor.log_file import LogRow
from app.monitor.log_reader import LogView
from app.monitor.parsing import Event
from app.monitor.status import Status, duration, in_words, planned_images, setting, settings_in_force, status_of
from app.monitor.summary import empty


def view_of(rows: list[dict[str, Any]]) -> LogView:
    lines = tuple(LogRow(offset=i * 100, row=row) for i, row in enumerate(rows))
    events = tuple(Event(offset=line.offset, row=line.row) for line in lines if line.kind != "train")
    return LogView(curves=empty(), metrics=empty(), tail=lines, events=events)


def start(images: int = 0, at: float = 0.0, **config: Any) -> dict[str, Any]:
    return {"kind": "start", "time": at, "images": images, "config": {"kimg": 10.0} | config}


def train(images: int, at: float) -> dict[str, Any]:
    return {"kind": "train", "time": at, "images": images, "images_per_s": 1e9}


def test_a_run_says_how_far_it_is_and_how_long_it_takes() -> None:
    view = view_of([start(), *(train(100 * i, 10.0 * i) for i in range(1, 21))])
    status = status_of(view, 205.0)
    assert (status.state, status.images, status.total, status.share) == ("running", 2000, 10_000, 0.2)
    assert status.speed == pytest.approx(10.0)  # by the clock, with all pauses, not what the rows claim
    assert status.left_s == pytest.approx(800.0)
    assert status.listens
    assert in_words(status) == "2 of 10 kimg, 13 min left"


def test_speed_is_that_of_late_and_of_this_start() -> None:
    rows = [start(), train(1000, 100.0), start(1000, 90_000.0), train(1200, 90_010.0), train(1400, 90_020.0)]
    assert status_of(view_of(rows), 90_021.0).speed == pytest.approx(20.0)
    slow = [start(), *(train(i, 10.0 * i) for i in range(50)), *(train(49 + 10 * i, 490.0 + i) for i in range(1, 150))]
    assert status_of(view_of(slow), 640.0).speed == pytest.approx(10.0)
    assert status_of(view_of(rows[:-1]), 90_011.0).speed is None


def test_a_run_that_ended_or_says_nothing() -> None:
    rows = [start(), *(train(100 * i, 10.0 * i) for i in range(1, 21))]
    stop = {"kind": "stop", "time": 210.0, "images": 2000, "finished": False}
    assert status_of(view_of([]), 0.0).state == "waiting"
    assert status_of(view_of([*rows, stop]), 1e4).state == "stopped"
    assert not status_of(view_of([*rows, stop]), 1e4).listens
    assert status_of(view_of([*rows, {**stop, "finished": True}]), 1e4).state == "finished"
    assert status_of(view_of([*rows, stop, start(2000, 300.0)]), 310.0).state == "running"
    assert status_of(view_of(rows), 200.0 + 119).state == "running"
    silent = status_of(view_of(rows), 200.0 + 3600)
    assert (silent.state, silent.quiet_s) == ("silent", 3600.0)
    assert in_words(silent) == "2 of 10 kimg, silent for 60 min"
    # A run whose rows are minutes apart is not silent so soon.
    slow = [start(), *(train(100 * i, 600.0 * i) for i in range(1, 5))]
    assert status_of(view_of(slow), 2400.0 + 900).state == "running"


@pytest.mark.parametrize(
    ("config", "images"),
    [
        ({"kimg": 400.0}, 400_000),
        ({"model": {"preset": "nano"}, "trainer": {"kimg": 25}}, 25_000),
        ({"steps": 1000, "batch": 64}, 64_000),
        ({"kimg": "many"}, None),
        ({}, None),
        (None, None),
        ([1], None),
    ],
)
def test_the_plan_of_a_run(config: Any, images: float | None) -> None:
    assert planned_images(config) == images


def test_settings_are_those_of_the_start_and_what_was_changed_since() -> None:
    names = ("learning_rate_g", "learning_rate_d")

    def control(name: str, value: float, **more: Any) -> dict[str, Any]:
        return {"kind": "control", "time": 1.0, "images": 1, "command": "set", "name": name, "value": value, **more}

    rows = [start(learning_rate_g=0.1, learning_rate_d=0.2), control("learning_rate_g", 0.05)]
    assert settings_in_force(view_of(rows), names) == {"learning_rate_g": 0.05, "learning_rate_d": 0.2}
    rows.append(control("learning_rate_d", 9.0, error="too large"))
    assert settings_in_force(view_of(rows), names)["learning_rate_d"] == 0.2
    rows.append(start(optimiser={"learning_rate_g": 0.3}))
    assert settings_in_force(view_of(rows), names)["learning_rate_g"] == 0.3
    assert setting({"learning_rate_g": True}, "learning_rate_g") is None


def test_times_and_sizes_read_well() -> None:
    said = [duration(s) for s in (0.4, 99, 100, 3599, 7200, 11_100, 200_000)]
    assert said == ["0 s", "99 s", "2 min", "60 min", "2 h 00 min", "3 h 05 min", "2 d 8 h"]
    long = Status(state="running", images=12_345_678, total=1e8)
    assert in_words(long) == "12.35 of 100 Mimg"
