from __future__ import annotations

import math
from dataclasses import replace

import pytest

from app.document.controls import CONTROLS, controls_of
from app.document.placement import Placement
from app.document.scene import Scene
from core.request import Push

SCENE = Scene(pushes=(Push(direction="snow@12", amount=1.0), Push(direction="age@34", first=2)))


@pytest.mark.parametrize("control", controls_of(SCENE), ids=lambda control: control.id)
def test_each_control_moves_its_own_number_and_no_other(control) -> None:
    for value in (control.low, control.high, (control.low + control.high) / 2):
        moved = control.set(SCENE, value)
        assert control.read(moved) == pytest.approx(round(value) if control.whole else value)
        for other in controls_of(SCENE):
            if other.id != control.id and not (control.id.startswith("input_") and other.id.startswith("input_")):
                assert other.read(moved) == pytest.approx(other.read(SCENE))
    low, high = control.limit or (control.low, control.high)
    assert control.read(control.set(SCENE, high * 4 + 1)) == pytest.approx(high)
    assert control.read(control.set(SCENE, low - abs(low) - 1)) == pytest.approx(low)
    with pytest.raises(ValueError, match="expected a finite number"):
        control.set(SCENE, math.nan)


def test_ids_are_unique() -> None:
    ids = [control.id for control in controls_of(SCENE)]
    assert len(set(ids)) == len(ids) == len(CONTROLS) + 2


def test_a_placement_comes_back_from_its_matrix() -> None:
    placement = Placement(x=0.25, y=-0.5, turn=30.0, scale=1.5)
    scene = placement.applied(Scene())
    back = Placement.of(scene)
    assert (back.x, back.y) == (pytest.approx(0.25), pytest.approx(-0.5))
    assert (back.turn, back.scale) == (pytest.approx(30.0), pytest.approx(1.5))
    assert Placement().applied(scene).transform == Scene().transform
    assert Placement.of(Scene()) == Placement()


def test_a_direction_taken_off_moves_nothing() -> None:
    control = controls_of(SCENE)[-1]
    without = replace(SCENE, pushes=SCENE.pushes[:1])
    assert control.set(without, 3.0) == without
    assert control.read(without) == 0.0
