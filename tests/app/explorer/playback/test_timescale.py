from __future__ import annotations

from itertools import pairwise

import pytest

from app.document.scene import Scene
from app.explorer.playback.timescale import LABEL_GAP, TimeScale


def test_zooming_keeps_what_is_under_the_mouse_and_ends_at_the_whole() -> None:
    scale = TimeScale(width=800.0, seconds=8.0)
    nearer = scale.zoomed(4.0, 300.0, 8.0)
    assert nearer.seconds == 2.0
    assert nearer.time(300.0) == pytest.approx(scale.time(300.0))
    assert nearer.x(nearer.time(123.0)) == pytest.approx(123.0)
    assert nearer.zoomed(0.001, 10.0, 8.0) == scale
    assert scale.zoomed(1e9, 0.0, 8.0).seconds == 0.05


def test_scrolling_stays_within_the_timeline() -> None:
    scale = TimeScale(width=800.0, seconds=2.0)
    assert scale.panned(400.0, 8.0).start == 1.0
    assert scale.panned(99999.0, 8.0).start == 6.0
    assert scale.panned(-5.0, 8.0).start == 0.0
    assert scale.following(5.0, 8.0).start == 5.0
    assert scale.following(1.0, 8.0) == scale
    assert scale.within(1.0).seconds == 1.0


@pytest.mark.parametrize("unit", ["seconds", "beats"])
@pytest.mark.parametrize("seconds", [0.1, 1.0, 7.0, 90.0, 3600.0])
def test_labels_never_run_into_each_other(unit: str, seconds: float) -> None:
    scene = Scene(duration=3600.0, unit=unit)  # type: ignore[arg-type]
    scale = TimeScale(width=640.0, start=min(10.0, 3600.0 - seconds), seconds=seconds)
    ticks = list(scale.ticks(scene))
    labelled = [scale.x(tick.time) for tick in ticks if tick.label]
    assert len(ticks) < 640 / 4
    assert labelled
    assert all(b - a >= LABEL_GAP - 1e-6 for a, b in pairwise(labelled))


def test_beats_are_counted_in_bars_from_one() -> None:
    scene = Scene(duration=8.0, unit="beats", bpm=120.0, beats_per_bar=4)
    ticks = [tick for tick in TimeScale(width=2000.0, seconds=8.0).ticks(scene) if tick.label]
    assert [tick.label for tick in ticks[:6]] == ["1", "1.2", "1.3", "1.4", "2", "2.2"]
    assert ticks[4].time == 2.0
    ticks = [tick for tick in TimeScale(width=400.0, seconds=8.0).ticks(scene) if tick.label]
    assert [tick.label for tick in ticks] == ["1", "2", "3", "4", "5"]
