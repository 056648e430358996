"""Snapshots, what leads the picture, and editing the timeline: all without a window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from app.document.parts import SceneKeyframe
from app.document.playback import request_at
from app.document.scene import Scene
from app.explorer.playback.crossfade import Crossfade
from app.explorer.playback.timeline_editor import Selection
from app.explorer.session import Session
from core.engine import Engine
from core.request import RenderRequest
from tests.app.explorer.fakes import make_session, settle, wait_until

SEA = RenderRequest(prompt="sea", psi=0.5)
FAR = RenderRequest(prompt="hills", seed_x=4000.0, transform=(1.0, 0.0, 0.3, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(tmp_path: Path, clock: Clock) -> Iterator[Session]:
    session = make_session(tmp_path, clock=clock)
    session.history.step("start", lambda scene: replace(scene, prompt="sea", psi=0.5, path="still", crossfade=0.0))
    settle(session)
    yield session
    session.close()


def set_controls(session: Session, **values: object) -> None:
    session.history.step("edit", lambda scene: replace(scene, **values))  # type: ignore[arg-type]


def names(session: Session) -> list[str]:
    return [snapshot.name for snapshot in session.history.scene.snapshots]


# Snapshots


def test_taking_renaming_replacing_moving_and_deleting(session: Session) -> None:
    for psi in (0.1, 0.2, 0.3):
        set_controls(session, psi=psi)
        session.snapshots.take()
    scene = session.history.scene
    assert [(s.name, s.mark, s.request.psi) for s in scene.snapshots] == [
        ("1", "A", 0.1),
        ("2", "B", 0.2),
        ("3", "", 0.3),
    ]
    assert session.history.undo_name == "snapshot"


def test_a_snapshot_is_of_what_is_shown_also_on_the_way(session: Session) -> None:
    set_controls(session, path="line", path_size=2.0, loop_seconds=8.0)
    session.playback.transport.time = 2.0
    session.tick()
    session.snapshots.take()
    shown = session.rendering.wanted
    assert shown.seed_x == pytest.approx(2.0)
    set_controls(session, psi=1.5)
    session.snapshots.go(0)
    session.history.step("no time", lambda scene: replace(scene, morph_seconds=0.0))
    settle(session)
    assert session.rendering.frame is not None
    assert session.rendering.frame.request == shown


def test_going_there_takes_the_morph_s_time_and_easing(session: Session, clock: Clock) -> None:
    session.snapshots.take()
    set_controls(session, psi=1.5, seed_x=6.0, morph_seconds=4.0, morph_easing="linear")
    session.tick()
    session.snapshots.go(0)
    seen = []
    for _ in range(5):
        session.tick()
        assert session.rendering.submitted is not None
        seen.append((session.rendering.submitted.seed_x, session.rendering.submitted.psi))
        clock.now += 1.0
    assert seen == [(6.0, 1.5), (4.5, 1.25), (3.0, 1.0), (1.5, 0.75), (0.0, 0.5)]
    assert not session.playback.crossfade.running
    assert session.history.undo_name == "go to snapshot"
    session.history.undo()
    assert session.history.scene.psi == 1.5


def test_a_morph_is_for_the_next_change_only_and_far_ones_go_straight() -> None:
    fader = Crossfade()
    fader.follow(SEA, 0.0, 0.0)
    fader.morph(2.0, "linear")
    assert fader.follow(SEA, 0.0, 0.0) == SEA
    assert fader.follow(replace(SEA, psi=1.0), 0.0, 0.1) == replace(SEA, psi=1.0)
    fader.morph(2.0, "linear")
    fader.follow(FAR, 0.0, 1.0)
    halfway = fader.follow(FAR, 0.0, 2.0)
    assert (halfway.origin, halfway.arrived) == (replace(SEA, psi=1.0), 0.5)
    assert halfway.transform[2] == pytest.approx(0.15)
    assert fader.follow(FAR, 0.0, 3.0) == FAR


def test_a_and_b_are_a_key_apart_and_leave_one_step(session: Session) -> None:
    assert not session.snapshots.can_toggle
    session.snapshots.take()
    set_controls(session, psi=1.5)
    session.snapshots.take()
    steps = len(session.history)
    shown = []
    for _ in range(3):
        session.snapshots.toggle()
        session.tick()
        assert not session.playback.crossfade.running
        shown.append(session.rendering.wanted.psi)
    assert shown == [0.5, 1.5, 0.5]
    assert len(session.history) == steps + 1
    session.history.undo()
    assert session.rendering.wanted.psi == 1.5


def test_pictures_of_others_are_rendered_between_frames_and_kept(session: Session) -> None:
    requests = [replace(SEA, psi=value / 10) for value in range(3)]

    def all_there() -> bool:
        there = [session.rendering.thumbnails.get(request) is not None for request in requests]
        session.tick()
        return all(there)

    wait_until(all_there)
    rendered = session.rendering.thumbnails.get(requests[0])
    assert rendered is not None
    assert rendered.shape == (8, 8, 3)
    assert session.rendering.settled
    bad = replace(SEA, prompt="fail")

    def failed() -> bool:
        assert session.rendering.thumbnails.get(bad) is None
        session.tick()
        return session.rendering.thumbnails.problem(bad) is not None

    wait_until(failed)
    assert session.rendering.thumbnails.problem(bad) == "the engine failed"
    session.models.open(Path("/other.safetensors"))
    settle(session)
    assert session.rendering.thumbnails.get(requests[0]) is None


def test_a_morph_between_far_seeds_is_smooth(tiny_checkpoint: Path) -> None:
    engine = Engine.open(tiny_checkpoint, device="cpu", precision="float32")
    far = replace(FAR, transform=SEA.transform)
    fader = Crossfade()
    fader.follow(SEA, 0.25, 0.0)
    fader.morph(2.0, "smooth")
    fader.follow(far, 0.25, 0.0)
    pictures = [engine.render(fader.follow(far, 0.25, 2.0 * step / 60)).pixels.astype(float) for step in range(61)]
    whole = np.abs(pictures[-1] - pictures[0]).mean()
    assert whole > 4.0  # they are different pictures
    steps = [np.abs(b - a).mean() for a, b in pairwise(pictures)]
    # The steepest step of "smooth" is 1.5 / 60 of the way; walking through 4,000 seeds every step would be a cut.
    assert max(steps) < 0.1 * whole
    np.testing.assert_array_equal(pictures[0], engine.render(SEA).pixels)
    np.testing.assert_array_equal(pictures[-1], engine.render(far).pixels)


# What leads


def test_time_shows_the_timeline_and_the_hand_the_controls(session: Session) -> None:
    session.playback.timeline.add_keyframe(0.0)
    session.tick()
    set_controls(session, psi=1.5)
    session.tick()
    assert session.rendering.wanted.psi == 1.5
    session.playback.timeline.add_keyframe(4.0)
    session.playback.timeline.ease("linear")
    session.tick()
    session.playback.timeline.scrub(2.0)
    session.tick()
    assert session.rendering.wanted == request_at(session.history.scene, 2.0)
    set_controls(session, psi=-0.5)
    session.tick()
    assert session.rendering.wanted.psi == -0.5
    session.playback.transport.toggle()
    session.tick()
    assert session.rendering.wanted == request_at(session.history.scene, session.playback.transport.time)
    set_controls(session, psi=-0.7)
    session.tick()
    assert session.rendering.wanted.psi > 0.0


def test_playing_submits_what_export_gives_although_prompts_change(session: Session, clock: Clock) -> None:
    def start(scene: Scene) -> Scene:
        stops = ((0.0, SEA), (1.0, FAR), (2.0, replace(SEA, prompt="dunes")))
        return replace(
            scene,
            crossfade=1.0,
            duration=3.0,
            keyframes=tuple(SceneKeyframe(time=time, request=request) for time, request in stops),
        )

    session.history.step("timeline", start)
    session.tick()
    session.playback.transport.rewind()
    session.playback.transport.toggle()
    session.tick()
    submitted = []
    for _ in range(60):
        submitted.append((session.playback.transport.time, session.rendering.submitted))
        clock.now += 1 / 16
        session.tick()
    scene = session.history.scene
    assert submitted == [(k / 16, request_at(scene, k / 16)) for k in range(60)]
    assert not session.playback.crossfade.running


def test_without_a_loop_play_stops_at_the_end_and_begins_anew(session: Session, clock: Clock) -> None:
    session.playback.timeline.add_keyframe(0.0)
    set_controls(session, loop=False, duration=1.0)
    session.playback.transport.toggle()
    for _ in range(8):
        session.tick()
        clock.now += 0.2
    assert (session.playback.transport.playing, session.playback.transport.time) == (False, 1.0)
    session.playback.transport.toggle()
    session.tick()
    assert session.playback.transport.playing
    assert session.playback.transport.time < 0.3


def test_going_to_a_snapshot_shows_it_although_there_are_keyframes(session: Session) -> None:
    session.snapshots.take()
    session.playback.timeline.add_keyframe(0.0)
    set_controls(session, psi=2.0)
    session.playback.transport.toggle()
    session.tick()
    session.snapshots.go(0)
    session.tick()
    assert not session.playback.transport.playing
    assert session.rendering.wanted == SEA


# Editing the timeline


def test_keyframes_are_added_updated_moved_and_deleted(session: Session) -> None:
    editor, history = session.playback.timeline, session.history
    editor.scrub(1.0)
    editor.add_keyframe()
    editor.add_keyframe(3.0)
    set_controls(session, psi=1.25)
    assert editor.differs
    assert history.scene.keyframes[1].request.psi == 0.5  # not changed by the controls
    editor.update_keyframe()
    assert history.scene.keyframes[1].request.psi == 1.25
    assert not editor.differs
    editor.go_to_keyframe(0)
    assert (editor.position, history.scene.psi) == (1.0, 0.5)
    steps = len(history)
    index = 0
    for time in (1.5, 3.0, 3.5, 4.0):
        index = editor.move_keyframe(index, time)
    history.end_gesture()
    assert len(history) == steps + 1
    assert index == 1
    assert [keyframe.time for keyframe in history.scene.keyframes] == [3.0, 4.0]
    assert [keyframe.request.psi for keyframe in history.scene.keyframes] == [1.25, 0.5]
    editor.ease("hold")
    assert history.scene.keyframes[1].easing == "hold"
    editor.delete()
    assert [keyframe.time for keyframe in history.scene.keyframes] == [3.0]
    assert editor.selection is None
    editor.select(0)
    history.undo()
    history.undo()
    assert editor.selection == Selection(0)
    while history.undo():
        pass
    assert editor.selection is None


def test_steps_from_keyframe_to_keyframe_go_round(session: Session) -> None:
    for time in (1.0, 3.0, 5.0):
        session.playback.timeline.add_keyframe(time)
    session.playback.timeline.scrub(2.0)
    seen = []
    for direction in (1, 1, 1, -1, -1):
        session.playback.timeline.step(direction)
        seen.append(session.playback.timeline.position)
    assert seen == [3.0, 5.0, 1.0, 5.0, 3.0]


def test_snapping_holds_for_adding_and_moving(session: Session) -> None:
    set_controls(session, snap=True, bpm=120.0)
    session.playback.timeline.add_keyframe(1.1)
    assert session.playback.timeline.move_keyframe(0, 2.2) == 0
    assert session.history.scene.keyframes[0].time == 2.0


def test_tracks_and_their_points(session: Session) -> None:
    from app.document.controls import CONTROLS

    editor, history = session.playback.timeline, session.history
    psi = next(control for control in CONTROLS if control.id == "psi")
    editor.add_track(psi)
    editor.add_point("psi", 4.0, 1.5)
    assert [(p.time, p.value) for p in history.scene.tracks[0].points] == [(0.0, 0.5), (4.0, 1.5)]
    editor.add_point("psi", 2.0)
    assert history.scene.tracks[0].points[1].value == 1.0
    index = editor.move_point("psi", 1, 5.0, 0.75)
    assert (index, editor.move_point("psi", index, 0.0, 0.25)) == (2, 2)
    history.end_gesture()
    assert [(p.time, p.value) for p in history.scene.tracks[0].points] == [(0.0, 0.5), (4.0, 1.5), (5.0, 0.25)]
    editor.ease("hold")
    assert history.scene.tracks[0].points[2].easing == "hold"
    editor.delete()
    editor.select(0, "psi")
    editor.delete()
    editor.select(0, "psi")
    editor.delete()
    assert history.scene.tracks == ()


def test_tempo_by_hand_and_by_tapping(session: Session) -> None:
    editor, history = session.playback.timeline, session.history
    set_controls(session, unit="beats", bpm=120.0)
    session.playback.transport.time = 2.0
    editor.set_bpm(60.0)
    assert (history.scene.duration, session.playback.transport.time) == (16.0, 4.0)
    editor.set_bars(2)
    assert history.scene.duration == 8.0
    set_controls(session, unit="seconds")
    for beat in range(5):
        editor.tap(50.0 + 0.4 * beat)
    assert history.scene.bpm == 150.0
    editor.tap(60.0)
    assert history.scene.bpm == 150.0
    editor.tap(61.0)
    assert history.scene.bpm == 60.0
