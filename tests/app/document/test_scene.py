import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest

from app.document.playback import path_offset, request_at
from app.document.scene import PATH_SHAPES, SCHEMA_VERSION, Scene, SceneError
from core.request import Mix, Push, RenderRequest


def test_a_scene_at_time_zero_is_its_request() -> None:
    scene = Scene(
        prompt="a", prompt_b="b", blend=0.25, seed_x=3.0, seed_y=-2.5, psi=0.7, noise="random", noise_seed=9, zoom=4
    )
    expected = RenderRequest(
        prompt="a", prompt_b="b", blend=0.25, seed_x=3.0, seed_y=-2.5, psi=0.7, noise="random", noise_seed=9
    )
    assert scene.request() == expected


@pytest.mark.parametrize("path", [path for path in PATH_SHAPES if path != "still"])
def test_every_path_closes_exactly_and_moves_between(path: str) -> None:
    scene = Scene(seed_x=5.0, seed_y=7.0, path=path, path_size=2.0, loop_seconds=3.0)  # type: ignore[arg-type]
    assert request_at(scene, 0.0) == request_at(scene, 3.0) == request_at(scene, 300.0)
    places = {(r.seed_x, r.seed_y, r.blend) for r in (request_at(scene, t / 10) for t in range(30))}
    assert len(places) > 15
    # No jumps: a step of a hundredth of the way moves a little.
    fine = [path_offset(scene, 3.0 * i / 100) for i in range(101)]
    assert max(math.dist(a, b) for a, b in pairwise(fine)) < 0.3


def test_from_a_to_b_and_back() -> None:
    scene = Scene(label=3, label_b=4, blend=0.2, path="blend", loop_seconds=2.0)
    halfway = request_at(scene, 1.0)
    assert (halfway.label, halfway.label_b, halfway.blend) == (3, 4, pytest.approx(1.0))
    assert (halfway.seed_x, halfway.seed_y) == (0.0, 0.0)
    assert request_at(scene, 0.5).blend == pytest.approx(request_at(scene, 1.5).blend) == pytest.approx(0.6)
    # From B, where there is no way on, it goes to A.
    assert request_at(replace(scene, blend=1.0), 1.0).blend == pytest.approx(0.0)


def test_the_circle_has_the_radius_it_says() -> None:
    scene = Scene(path="circle", path_size=2.0, loop_seconds=1.0)
    for turn in (0.1, 0.25, 0.5, 0.8):
        x, y = path_offset(scene, turn)
        assert math.hypot(x, y - 2.0) == pytest.approx(2.0)


def test_json_round_trip_and_defaults() -> None:
    scene = Scene(
        prompt='emoji 🏔 and 山 and "quotes"', psi=-0.5, seed_x=1e6, checkpoint="/x/y.safetensors", smooth=True
    )
    data = json.loads(json.dumps(scene.to_json()))
    assert data["scene"] == SCHEMA_VERSION
    assert Scene.from_json(data) == scene
    assert Scene.from_json({"scene": 1}) == Scene()
    assert Scene.from_json({"scene": 1, "psi": 1}).psi == 1.0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "JSON object"),
        ({}, "schema version"),
        ({"scene": True}, "schema version"),
        ({"scene": SCHEMA_VERSION + 1}, "update Glissando"),
        ({"scene": 1, "psy": 1.0}, "psy"),
        ({"scene": 1, "psi": "1"}, "psi: expected float"),
        ({"scene": 1, "psi": float("nan")}, "psi"),
        ({"scene": 1, "psi": 1e9}, "psi"),
        ({"scene": 1, "noise_seed": -1}, "noise_seed"),
        ({"scene": 1, "noise": "loud"}, "noise"),
        ({"scene": 1, "zoom": 1.5}, "zoom: expected int"),
        ({"scene": 1, "zoom": True}, "zoom: expected int"),
        ({"scene": 2, "mixes": {}}, "mixes: expected a list"),
        ({"scene": 2, "mixes": [{}, {"amount": 2}]}, "mixes: 1: amount: expected a number from 0 to 1"),
        ({"scene": 2, "pushes": [{"amount": 1}]}, "pushes: 0: "),
        ({"scene": 2, "origin": {"origin": {"hue": 1}}}, "origin: origin: unknown field 'hue'"),
        ({"scene": 2, "layer_psi": [0.5, "x"]}, "layer_psi: 1: expected float"),
        ({"scene": 1, "smooth": 1}, "smooth: expected bool"),
        ({"scene": 1, "path": "spiral"}, "path"),
        ({"scene": 1, "loop_seconds": 0.0}, "loop_seconds"),
        ({"scene": 1, "loop_seconds": float("nan")}, "loop_seconds"),
    ],
)
def test_bad_json_says_what_is_wrong(data: object, message: str) -> None:
    with pytest.raises(SceneError, match=message):
        Scene.from_json(data)


def test_whole_requests_survive_json_and_come_back_as_controls() -> None:
    other = RenderRequest(prompt="far", seed_x=900.0)
    request = RenderRequest(
        prompt="a",
        prompt_d="d",
        blend=0.25,
        blend_y=0.5,
        cutoff=4,
        layer_psi=(0.5, None, 1.25),
        mixes=(Mix(first=2, stop=5, prompt="b", seed_x=4.0), Mix(latent="face@12")),
        pushes=(Push(direction="snow@ab", amount=-2.0, first=1),),
        noise_strength=0.5,
        origin=other,
        arrived=0.75,
    )
    scene = Scene(zoom=3, prompt="old", psi=0.2).with_request(request)
    assert scene.request() == request
    assert scene.zoom == 3
    assert Scene.from_json(json.loads(json.dumps(scene.to_json()))) == scene


def test_a_scene_of_the_first_version_is_read() -> None:
    data = {"scene": 1, "prompt": "sea", "psi": 0.7, "path": "eight", "checkpoint": "/x.safetensors", "zoom": 4}
    assert Scene.from_json(data) == Scene(prompt="sea", psi=0.7, path="eight", checkpoint="/x.safetensors", zoom=4)


def test_an_origin_cannot_be_endless() -> None:
    data: dict[str, object] = {}
    for _ in range(3000):
        data = {"origin": data}
    with pytest.raises(SceneError, match="origin"):
        Scene.from_json({"scene": 2, **data})


def test_values_out_of_range_are_refused() -> None:
    for change in ({"psi": math.inf}, {"blend": 1.5}, {"seed_x": math.nan}, {"zoom": 99}, {"path_size": -1.0}):
        with pytest.raises(SceneError):
            replace(Scene(), **change)


def test_a_path_at_the_end_of_the_seed_plane_stays_on_it() -> None:
    scene = Scene(seed_x=float(2**32), path="line", path_size=10.0)
    for i in range(20):
        assert request_at(scene, i * 0.37).seed_x == float(2**32)
