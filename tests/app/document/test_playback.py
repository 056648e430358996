"""The request of a scene at a time of playback."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from app.document.controls import CONTROLS
from app.document.parts import SceneKeyframe, Snapshot, Track, TrackPoint
from app.document.playback import request_at, snapped, trackable, with_bpm, with_duration
from app.document.scene import Scene, SceneError
from core.request import Mix, Push, RenderRequest
from core.timeline import EASINGS, EasingName, interpolate

SEA = RenderRequest(prompt="sea", psi=0.5)
HILLS = RenderRequest(prompt="hills", psi=1.0, seed_x=2.0)
FAR = RenderRequest(prompt="hills", psi=1.0, seed_x=900.0, mixes=(Mix(seed_x=1.0),))


def keyframes(*stops: tuple[float, RenderRequest], easing: EasingName = "smooth") -> tuple[SceneKeyframe, ...]:
    return tuple(SceneKeyframe(time=time, request=request, easing=easing) for time, request in stops)


def track(control: str, *points: tuple[float, float], easing: EasingName = "linear") -> Track:
    return Track(
        control=control, points=tuple(TrackPoint(time=time, value=value, easing=easing) for time, value in points)
    )


def test_without_a_time_a_scene_asks_for_its_controls() -> None:
    scene = Scene(prompt="now", keyframes=keyframes((0.0, SEA)), tracks=(track("psi", (0.0, 2.0)),))
    assert scene.request() == RenderRequest(prompt="now")
    assert request_at(scene, 0.0) == replace(SEA, psi=2.0)


@pytest.mark.parametrize("loop", [False, True])
def test_at_a_keyframe_s_time_it_is_the_keyframe_and_between_them_what_lies_there(loop: bool) -> None:
    scene = Scene(keyframes=keyframes((0.5, SEA), (2.5, HILLS), (5.1, FAR)), duration=8.0, loop=loop)
    for keyframe in scene.keyframes:
        assert request_at(scene, keyframe.time) == keyframe.request
    assert request_at(scene, 1.0) == interpolate(SEA, HILLS, EASINGS["smooth"](0.25))
    assert request_at(scene, 4.0).origin == HILLS


def test_a_loop_closes_and_goes_from_the_last_keyframe_to_the_first() -> None:
    scene = Scene(keyframes=keyframes((1.0, SEA), (3.0, HILLS), easing="linear"), duration=8.0)
    assert request_at(scene, 0.0) == request_at(scene, 8.0) == request_at(scene, 80.0)
    assert request_at(scene, 2.5) == request_at(scene, 10.5)
    # Six seconds from 3 over the end to 1: at the seam five of them have gone.
    assert request_at(scene, 0.0).psi == pytest.approx(1.0 - 0.5 * 5 / 6)
    assert request_at(scene, 7.999).psi == pytest.approx(request_at(scene, 0.0).psi, abs=1e-3)


def test_without_a_loop_the_ends_hold() -> None:
    scene = Scene(keyframes=keyframes((1.0, SEA), (3.0, HILLS)), duration=8.0, loop=False)
    assert request_at(scene, 0.0) == SEA
    assert request_at(scene, 3.5) == request_at(scene, 8.0) == request_at(scene, 99.0) == HILLS


def test_a_keyframe_at_the_end_of_a_loop_is_reached() -> None:
    scene = Scene(keyframes=keyframes((0.0, SEA), (8.0, HILLS)), duration=8.0)
    assert request_at(scene, 7.9999).psi == pytest.approx(1.0, abs=1e-3)
    assert request_at(scene, 8.0) == SEA


def test_easing_is_each_stretch_s_own() -> None:
    stops = keyframes((0.0, SEA), (2.0, replace(SEA, psi=1.5)), (4.0, SEA), easing="linear")
    scene = Scene(keyframes=(stops[0], replace(stops[1], easing="hold"), stops[2]), duration=8.0, loop=False)
    assert request_at(scene, 0.5).psi == pytest.approx(0.75)
    assert request_at(scene, 3.999).psi == 1.5
    assert request_at(scene, 4.0).psi == 0.5


def test_what_lies_after_the_end_rests() -> None:
    scene = Scene(keyframes=keyframes((0.0, SEA), (6.0, HILLS)), duration=4.0)
    assert {request_at(scene, t / 10) for t in range(60)} == {SEA}
    late = Scene(prompt="now", path="still", keyframes=keyframes((6.0, SEA)), duration=4.0)
    assert request_at(late, 1.0).prompt == "now"


def test_a_track_overrides_one_control_of_every_keyframe() -> None:
    scene = Scene(
        keyframes=keyframes((0.0, SEA), (4.0, HILLS)), tracks=(track("psi", (1.0, -1.0), (3.0, 2.0)),), duration=8.0,
        loop=False,
    )  # fmt: skip
    assert request_at(scene, 0.5) == replace(interpolate(SEA, HILLS, EASINGS["smooth"](0.125)), psi=-1.0)
    assert request_at(scene, 2.0).psi == pytest.approx(0.5)
    assert request_at(scene, 4.0) == replace(HILLS, psi=2.0)


def test_a_track_of_the_blend_has_both_prompts_to_blend() -> None:
    both = RenderRequest(prompt="sea", prompt_b="hills")
    scene = Scene(keyframes=keyframes((0.0, both), (4.0, both)), tracks=(track("blend", (0.0, 0.0), (4.0, 1.0)),))
    halfway = request_at(scene, 2.0)
    assert (halfway.prompt, halfway.prompt_b, halfway.blend) == ("sea", "hills", 0.5)


def test_tracks_loop_clamp_and_round() -> None:
    scene = Scene(
        path="still",
        tracks=(
            track("psi", (0.0, 0.0), (4.0, 99.0)),
            track("cutoff", (0.0, 1.0), (4.0, 2.0)),
            track("nothing", (0, 1)),
        ),
        duration=8.0,
    )
    assert request_at(scene, 4.0).psi == 10.0
    assert request_at(scene, 6.0).psi == request_at(scene, 2.0).psi
    assert request_at(scene, 7.9).psi < 3.0
    assert request_at(scene, 1.9).cutoff == 1
    assert request_at(scene, 2.1).cutoff == 2


def test_a_track_moves_a_step_along_a_direction() -> None:
    scene = Scene(path="still", pushes=(Push(direction="snow@ab"),))
    control = trackable(scene)[-1]
    scene = replace(scene, tracks=(track(control.id, (0.0, 0.0), (4.0, 3.0)),))
    assert request_at(scene, 4.0).pushes[0].amount == 3.0


def test_without_keyframes_the_path_goes_on_beneath_the_tracks_in_whole_rounds() -> None:
    scene = Scene(seed_x=5.0, tracks=(track("psi", (0.0, 0.5)),), path="circle", loop_seconds=3.0, duration=8.0)
    assert request_at(scene, 0.0) == request_at(scene, 8.0) == replace(scene.request(), psi=0.5)
    # 8 s hold 2.67 rounds of 3 s: three of them.
    assert request_at(scene, 8.0 / 3) == replace(scene.request(), psi=0.5)
    assert request_at(scene, 4.0 / 3).seed_y == pytest.approx(2.0)


def test_time_itself_has_no_track() -> None:
    names = {control.id for control in CONTROLS} - {control.id for control in trackable(Scene())}
    assert names == {"crossfade", "loop_seconds"}
    scene = Scene(seed_x=1.0, tracks=(track("loop_seconds", (0.0, 1.0)), track("crossfade", (0.0, 1.0))))
    assert request_at(scene, 0.0) == scene.request()


def test_every_control_can_have_a_track() -> None:
    for control in trackable(Scene()):
        low, high = control.low + 0.25 * (control.high - control.low), control.low + 0.75 * (control.high - control.low)
        scene = Scene(path="line", prompt="a", prompt_b="b", tracks=(track(control.id, (0.0, low), (4.0, high)),))
        assert request_at(scene, 1.0) != request_at(scene, 3.9), control.id


def test_all_of_it_survives_json() -> None:
    scene = Scene(
        snapshots=(Snapshot(name="one", request=SEA, mark="A"), Snapshot(name="two", request=FAR)),
        morph_easing="ease-in",
        keyframes=keyframes((0.0, SEA), (2.5, FAR), easing="hold"),
        tracks=(track("psi", (0.0, 1.0), (2.0, 0.5)),),
        bpm=97.5,
        unit="beats",
        compare="wipe",
    )
    assert Scene.from_json(json.loads(json.dumps(scene.to_json()))) == scene


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"keyframes": [{"time": -1, "request": {}}]}, "keyframes: 0: time: expected seconds from 0"),
        (
            {"keyframes": [{"time": 1, "request": {}}, {"time": 1, "request": {}}]},
            "keyframes: expected times that rise",
        ),
        ({"keyframes": [{"time": 1, "request": {}, "easing": "bounce"}]}, "keyframes: 0: easing"),
        ({"keyframes": [{"time": 1, "request": {"psi": 99}}]}, "keyframes: 0: request: psi"),
        ({"tracks": [{"control": "psi", "points": []}]}, "tracks: 0: points: expected at least one"),
        ({"tracks": [{"control": "psi", "points": [{"time": 0, "value": 1}]}] * 2}, "one for each control"),
        ({"snapshots": [{"name": "1", "request": {}, "mark": "B"}] * 2}, "one marked B at most"),
        ({"bpm": 0}, "bpm: expected a number from 20 to 400"),
        ({"duration": 1e9}, "duration"),
        ({"compare": "blink"}, "compare"),
        ({"morph_easing": "bounce"}, "morph_easing"),
    ],
)
def test_what_cannot_be_is_refused(data: dict[str, object], message: str) -> None:
    with pytest.raises(SceneError, match=message):
        Scene.from_json({"scene": 2, **data})


def test_snapping_keeps_to_beats_within_the_timeline() -> None:
    scene = Scene(bpm=120.0, duration=3.3, snap=True)
    assert snapped(scene, 1.2) == 1.0
    assert snapped(scene, 1.3) == 1.5
    assert snapped(scene, 3.29) == 3.29  # the nearest beat, 3.5, is outside
    assert snapped(scene, -1.0) == 0.0
    assert snapped(replace(scene, snap=False), 1.2) == 1.2


def test_another_tempo_keeps_everything_on_its_beat() -> None:
    scene = Scene(
        bpm=120.0, unit="beats", duration=8.0, keyframes=keyframes((0.0, SEA), (2.0, HILLS)),
        tracks=(track("psi", (0.5, 1.0)),),
    )  # fmt: skip
    slower = with_bpm(scene, 60.0)
    assert (slower.duration, slower.keyframes[1].time, slower.tracks[0].points[0].time) == (16.0, 4.0, 1.0)
    assert request_at(slower, 3.0) == request_at(scene, 1.5)
    for bpm in (61.3, 144.7, 99.9, 60.0, 120.0):
        slower = with_bpm(slower, bpm)
    assert slower.keyframes[1].time == pytest.approx(2.0, abs=1e-9)
    assert with_bpm(replace(scene, unit="seconds"), 60.0).keyframes == scene.keyframes


def test_another_length_cuts_or_stretches() -> None:
    scene = Scene(duration=8.0, keyframes=keyframes((0.0, SEA), (6.0, HILLS)))
    assert with_duration(scene, 4.0).keyframes == scene.keyframes
    assert with_duration(scene, 4.0, stretched=True).keyframes[1].time == 3.0
