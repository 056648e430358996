from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest

from app.document import paths
from app.document.playback import path_offset, request_at
from app.document.scene import Scene, SceneError

WALK = (0.9834287740830882, -0.10060318893091572)
NOISE = (0.45641810237212377, -0.06374194966731034)
ROAM = (-2.2767248897406667, -2.626339472470914)

CLOSED = {
    "walk": paths.random_walk,
    "noise": paths.noise_loop,
}


@pytest.mark.parametrize("name", CLOSED)
def test_seeded_loops_are_smooth_and_stay_near(name: str) -> None:
    count = 2000
    for seed in range(20):
        points = [CLOSED[name](2 * math.pi * i / count, seed) for i in range(count)]
        assert points[0] == (0.0, 0.0)
        steps = [math.dist(a, b) for a, b in itertools.pairwise([*points, points[0]])]
        # Over the seam as everywhere: no jump, and no kink either.
        assert max(steps) < 24 / count
        turns = [math.dist(a, b) for a, b in itertools.pairwise(_differences(points))]
        assert max(turns) < 0.5 / count
        assert all(math.hypot(x, y) < 1.6 for x, y in points)
        assert max(math.hypot(x, y) for x, y in points) > 0.15


def _differences(points: list[paths.Point]) -> list[paths.Point]:
    ring = [*points, points[0], points[1]]
    return [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(ring)]


@pytest.mark.parametrize("path", ["walk", "noise"])
def test_another_seed_is_another_way_and_the_same_one_the_same(path: str) -> None:
    scene = Scene(path=path, path_seed=3, loop_seconds=4.0)  # type: ignore[arg-type]
    assert path_offset(scene, 1.0) == path_offset(replace(scene), 1.0)
    assert path_offset(scene, 1.0) != path_offset(replace(scene, path_seed=4), 1.0)
    assert path_offset(scene, 1.0) != (0.0, 0.0)
    assert path_offset(replace(scene, path_size=2.0), 1.0)[0] == pytest.approx(2 * path_offset(scene, 1.0)[0])


def test_ways_stay_the_same_from_version_to_version() -> None:
    """Scenes are kept in files: these numbers must never change."""
    assert paths.random_walk(1.0, 7) == pytest.approx(WALK)
    assert paths.noise_loop(1.0, 7) == pytest.approx(NOISE)
    assert paths.roam(12.3, 7) == pytest.approx(ROAM)


def test_an_open_walk_goes_on() -> None:
    scene = Scene(path="walk", path_loops=False, path_seed=1, loop_seconds=2.0)
    assert not scene.closed
    assert path_offset(scene, 0.0) == (0.0, 0.0)
    assert request_at(scene, 0.0) == request_at(Scene(), 0.0)
    rounds = [path_offset(scene, 2.0 * turn) for turn in range(1, 50)]
    assert len(set(rounds)) == len(rounds)
    assert request_at(scene, 2.0).seed_x == rounds[0][0]
    far = max(math.hypot(*path_offset(scene, 2.0 * turn)) for turn in range(2000))
    near = max(math.hypot(*point) for point in rounds[:5])
    assert far > 4 * near
    fine = [path_offset(scene, 1000.0 + i / 500) for i in range(1000)]
    assert max(math.dist(a, b) for a, b in itertools.pairwise(fine)) < 0.05
    assert max(math.dist(a, b) for a, b in itertools.pairwise(fine)) > 0.0


@pytest.mark.parametrize("path", ["circle", "noise", "blend"])
def test_only_the_random_walk_can_be_open(path: str) -> None:
    scene = Scene(path=path, path_loops=False, prompt="a", prompt_b="b")  # type: ignore[arg-type]
    assert scene.closed
    assert request_at(scene, scene.loop_seconds) == request_at(scene, 0.0)


def test_a_path_seed_out_of_range_is_refused() -> None:
    for seed in (-1, 2**32):
        with pytest.raises(SceneError, match="path_seed"):
            Scene(path_seed=seed)
