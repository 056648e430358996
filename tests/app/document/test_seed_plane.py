from __future__ import annotations

import pytest

from app.document import seed_plane
from app.document.scene import Scene
from core.request import SEED_LIMIT


@pytest.mark.parametrize(
    ("place", "step", "goal"),
    [
        ((0.0, 0.0), (1, 0), (1.0, 0.0)),
        ((2.6, 0.4), (1, 0), (3.0, 0.0)),
        ((2.6, 0.6), (-1, 0), (2.0, 1.0)),
        ((2.0, 0.0), (-1, 0), (1.0, 0.0)),
        ((2.4, -1.5), (0, 1), (2.0, -1.0)),
        ((2.5, -1.5), (0, -1), (3.0, -2.0)),
    ],
)
def test_steps_land_on_whole_seeds(
    place: tuple[float, float], step: tuple[int, int], goal: tuple[float, float]
) -> None:
    scene = seed_plane.stepped(Scene(seed_x=place[0], seed_y=place[1]), *step)
    assert (scene.seed_x, scene.seed_y) == goal


def test_a_snapped_walk_adds_up_what_it_rounds() -> None:
    walk, scene = seed_plane.Walk(0.25, 0.0), Scene(seed_x=0.25)
    seen = []
    for _ in range(20):
        scene = walk.move(scene, 0.1, 0.0, snap=True)
        seen.append(scene.seed_x)
    assert sorted(set(seen)) == [0.0, 1.0, 2.0]
    assert walk.move(scene, 0.1, 0.0, snap=False).seed_x == pytest.approx(2.35)


def test_nothing_leaves_the_plane() -> None:
    end = float(SEED_LIMIT)
    assert seed_plane.stepped(Scene(seed_x=end), 1, 0).seed_x == end
    assert seed_plane.at(Scene(), -2 * end, 2 * end) == Scene(seed_x=-end, seed_y=end)


def test_the_wheel_zooms_within_limits_and_back() -> None:
    step = seed_plane.STEP
    assert seed_plane.zoomed(step, 4.0) < step < seed_plane.zoomed(step, -4.0)
    assert seed_plane.zoomed(seed_plane.zoomed(step, 4.0), -4.0) == pytest.approx(step)
    assert seed_plane.zoomed(step, 1000.0) == seed_plane.FINEST_STEP
    assert seed_plane.zoomed(step, -1000.0) == seed_plane.COARSEST_STEP
    assert seed_plane.step_text(step) == "180 px a seed"
    assert seed_plane.step_text(0.4) == "2.5 px a seed"
