from __future__ import annotations

import math
from dataclasses import replace

import pytest

from app.document.controls import CONTROLS, control, controls_of
from app.document.playback import request_at, trackable
from app.document.scene import Scene
from core.request import Push, bounds_of

SCENE = Scene(pushes=(Push(direction="snow@12", amount=1.0), Push(direction="age@34", first=2)))


@pytest.mark.parametrize("control", controls_of(SCENE), ids=lambda control: control.id)
def test_each_control_moves_its_own_number_and_no_other(control) -> None:
    for value in (control.low, control.high, (control.low + control.high) / 2):
        moved = control.set(SCENE, value)
        assert control.read(moved) == pytest.approx(round(value) if control.whole else value)
        for other in controls_of(SCENE):
            if other.id != control.id and not (control.id.startswith("input_") and other.id.startswith("input_")):
                assert other.read(moved) == pytest.approx(other.read(SCENE))
    with pytest.raises(ValueError, match="expected a finite number"):
        control.set(SCENE, math.nan)


@pytest.mark.parametrize("control", controls_of(SCENE), ids=lambda control: control.id)
def test_what_may_be_typed_is_what_the_document_keeps(control) -> None:
    low, high = control.limit
    assert low <= control.low < control.high <= high
    assert low <= control.default <= high
    for value in (low, high, (low + high) / 2):
        kept = control.read(control.set(SCENE, value))
        assert kept == pytest.approx(round(value) if control.whole else value)
    assert control.read(control.set(SCENE, high * 4 + 1)) == pytest.approx(high)
    assert control.read(control.set(SCENE, low - abs(low) - 1)) == pytest.approx(low)


@pytest.mark.parametrize("control", [c for c in CONTROLS if hasattr(Scene(), c.id)], ids=lambda control: control.id)
def test_the_document_refuses_what_lies_beyond(control) -> None:
    low, high = bounds_of(Scene, control.id)
    step = 1 if control.whole else 0.1 + abs(high) * 1e-3
    assert control.limit == (low, min(high, 2**31 - 1) if control.whole else high)
    for value in (low - step, high + step):
        with pytest.raises(ValueError, match=f"{control.id}: expected"):
            replace(Scene(), **{control.id: value})


def test_noise_strength_goes_as_far_by_knob_and_track_as_by_hand() -> None:
    assert control("noise_strength").set(Scene(), 10.0).noise_strength == 10.0


def test_ids_are_unique() -> None:
    ids = [control.id for control in controls_of(SCENE)]
    assert len(set(ids)) == len(ids) == len(CONTROLS) + 2


def test_sound_adds_to_what_a_request_holds_and_to_nothing_else() -> None:
    for each in controls_of(SCENE):
        moved = each.set(SCENE, each.high if each.read(SCENE) != each.high else each.low)
        assert (moved.request() != SCENE.request()) == each.modulated, each.id


def test_what_has_no_track_is_what_says_how_time_passes() -> None:
    assert {c.id for c in CONTROLS} - {c.id for c in trackable(Scene())} == {"crossfade", "loop_seconds"}
    assert request_at(Scene(), 0.0) == Scene().request()


def test_a_direction_taken_off_moves_nothing() -> None:
    control = controls_of(SCENE)[-1]
    without = replace(SCENE, pushes=SCENE.pushes[:1])
    assert control.set(without, 3.0) == without
    assert control.read(without) == 0.0
