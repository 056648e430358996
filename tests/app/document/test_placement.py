from __future__ import annotations

import pytest

from app.document.controls import control
from app.document.placement import Placement
from app.document.scene import Scene
from core.request import DEFAULT_OPTIONS


def test_a_placement_comes_back_from_its_matrix() -> None:
    placement = Placement(x=0.25, y=-0.5, turn=30.0, scale=1.5)
    scene = placement.applied(Scene())
    back = Placement.of(scene)
    assert (back.x, back.y) == (pytest.approx(0.25), pytest.approx(-0.5))
    assert (back.turn, back.scale) == (pytest.approx(30.0), pytest.approx(1.5))
    assert Placement().applied(scene).transform == Scene().transform
    assert Placement.of(Scene()) == Placement()
    assert placement.applied(DEFAULT_OPTIONS) == scene.options


def test_the_mouse_on_the_picture_goes_as_far_as_the_controls_keep() -> None:
    far = Placement().moved(9.0, -9.0).turned(0.0, 1e-3)
    near = Placement().turned(30.0, 1e3)
    for placement in (far, near):
        scene = placement.applied(Scene())
        for name in ("x", "y", "turn", "scale"):
            value = control(f"input_{name}").read(scene)
            assert value == pytest.approx(getattr(placement, name))
            assert control(f"input_{name}").read(control(f"input_{name}").set(scene, value)) == pytest.approx(value)
