"""What MIDI and sound do to the scene, through the session: mappings, learning, triggers, and what undo sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.explorer.session import Session
from app.explorer.storage.settings import SettingsStore
from app.live.learning import LearnTarget
from app.live.mapping import ControlMapping, InputSource, Trigger
from app.live.settings import AudioSettings, MidiSettings
from core.timeline import Keyframe
from tests.app.explorer.fakes import settle, wait_until
from tests.app.live.fakes import Clock, FakeMidi, FakeSound, live_session
from tests.app.live.test_audio import clicks, sine

KNOB = InputSource(kind="midi", name="cc 1/74", device="Keys")
PSI = ControlMapping(source=KNOB, control="psi", low=-1.0, high=2.0)


class Rig:
    """A session with a keyboard plugged in."""

    def __init__(self, folder: Path, **services: object) -> None:
        self.clock = Clock()
        self.midi = FakeMidi("Keys")
        self.session = live_session(folder, self.clock, midi=lambda: self.midi, **services)
        self.live = self.session.live
        self.live.change(replace(self.live.settings, midi=MidiSettings(on=True)))
        wait_until(lambda: "Keys" in self.midi.receivers)
        settle(self.session)

    def turn(self, controller: int, value: int, frames: int = 1) -> None:
        self.midi.play("Keys", 0xB0, controller, value)
        self.frames(frames)

    def frames(self, count: int = 1) -> None:
        for _ in range(count):
            self.clock.now += 1 / 60
            self.session.tick()

    @property
    def psi(self) -> float:
        return self.session.history.scene.psi


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.session.close()
    assert rig.session.rendering.thread.close(timeout=10.0)


def test_a_knob_moves_its_control_and_is_one_step(rig: Rig) -> None:
    rig.live.add(PSI)
    for value in range(0, 128):
        rig.turn(74, value)
    assert rig.psi == pytest.approx(2.0)
    assert len(rig.session.history) == 1
    assert rig.session.history.undo_name == "live psi"
    rig.clock.now += 2.0
    rig.turn(74, 0)
    assert len(rig.session.history) == 2
    rig.session.history.undo()
    rig.session.history.undo()
    assert rig.psi == 0.7
    rig.frames(3)
    assert rig.psi == 0.7  # the knob does not take it back


def test_a_whole_control_glides_in_whole_steps(rig: Rig) -> None:
    rig.live.add(ControlMapping(source=KNOB, control="cutoff", low=0.0, high=64.0, smoothing=0.1))
    rig.turn(74, 0, frames=120)
    assert rig.session.history.scene.cutoff == 0
    rig.turn(74, 127)
    seen = set()
    for _ in range(120):
        rig.frames()
        seen.add(rig.session.history.scene.cutoff)
    assert rig.session.history.scene.cutoff == 64
    assert len(seen) > 10
    assert rig.live.moving  # something came in not long ago
    rig.frames(30)
    assert not rig.live.moving


def test_two_knobs_of_the_placement_do_not_stop_each_other(rig: Rig) -> None:
    turn = InputSource(kind="midi", name="cc 1/1", device="Keys")
    rig.live.add(ControlMapping(source=KNOB, control="input_scale", low=0.5, high=2.0, smoothing=0.2))
    rig.live.add(ControlMapping(source=turn, control="input_turn", low=-90.0, high=90.0, smoothing=0.2))
    rig.midi.play("Keys", 0xB0, 1, 127)
    rig.turn(74, 127, frames=240)
    scene = rig.session.history.scene
    assert scene.transform[:2] == pytest.approx((0.0, 0.5), abs=1e-6)


def test_learning_takes_what_moves_next(rig: Rig) -> None:
    rig.live.learn(LearnTarget(control="blend"))
    assert rig.live.moving
    rig.turn(74, 10)
    rig.frames(15)
    assert rig.live.learning is None
    assert rig.live.settings.mappings == (ControlMapping(source=KNOB, control="blend"),)
    rig.turn(74, 127)
    assert rig.session.history.scene.blend == 1.0
    assert rig.live.levels[KNOB] == 1.0
    # Again for the same: nothing doubles.
    rig.live.learn(LearnTarget(control="blend"))
    rig.turn(74, 20)
    rig.frames(15)
    assert len(rig.live.settings.mappings) == 1


def test_learning_knows_a_controller_of_14_bits(rig: Rig) -> None:
    rig.live.learn(LearnTarget(control="psi"))
    rig.turn(1, 64)
    assert rig.live.learning is not None  # a second half may come
    rig.turn(33, 5)
    (mapping,) = rig.live.settings.mappings
    assert mapping.source.name == "cc14 1/1"
    rig.midi.play("Keys", 0xB0, 1, 32)
    rig.turn(33, 7)
    assert rig.psi == pytest.approx(-1.0 + 3.0 * (32 * 128 + 7) / 16383)


def test_learning_an_action_waits_for_a_press(rig: Rig) -> None:
    rig.live.learn(LearnTarget(action="surprise"))
    rig.turn(74, 10)
    assert rig.live.learning is not None
    rig.midi.play("Keys", 0x90, 36, 20)
    rig.frames()
    note = InputSource(kind="midi", name="note 1/36", device="Keys")
    assert rig.live.settings.triggers == (Trigger(source=note, action="surprise"),)
    rig.live.take_actions()
    rig.midi.play("Keys", 0x90, 36, 1)
    rig.midi.play("Keys", 0x80, 36, 0)
    rig.frames()
    assert rig.live.take_actions() == ("surprise",)
    assert rig.live.take_actions() == ()


def test_an_unknown_control_or_action_does_nothing(rig: Rig) -> None:
    rig.live.add(ControlMapping(source=KNOB, control="direction_3"))
    rig.live.add_trigger(Trigger(source=KNOB, action="quit"))
    before = rig.session.history.scene
    rig.turn(74, 127, frames=3)
    assert rig.session.history.scene == before
    assert rig.live.take_actions() == ()
    assert not rig.session.messages.lines


def test_pickup_in_the_window(rig: Rig) -> None:
    mapping = replace(PSI, pickup=True)
    rig.live.add(mapping)
    rig.turn(74, 127)
    assert rig.psi == 0.7
    assert rig.live.waiting(mapping)
    for value in range(126, 40, -2):
        rig.turn(74, value)
    assert not rig.live.waiting(mapping)
    assert rig.psi == pytest.approx(-1.0 + 3.0 * 42 / 127)


def test_mappings_are_kept_between_starts(rig: Rig, tmp_path: Path) -> None:
    rig.live.add(PSI)
    store = SettingsStore(tmp_path / "config")
    assert store.load_settings()[0].live.mappings == ()
    rig.frames(60)
    assert store.load_settings()[0].live.mappings == (PSI,)
    rig.live.change(replace(rig.live.settings, mappings=()))
    rig.session.close()  # at once
    settings, problem = store.load_settings()
    assert settings.live.mappings == ()
    assert settings.live.midi.on
    assert problem is None


# Sound


@pytest.fixture
def loud(tmp_path: Path) -> Iterator[tuple[Rig, FakeSound]]:
    tone = sine(440, 30.0)
    sound = FakeSound(lambda start, count: tone[start : start + count])
    rig = Rig(tmp_path, audio=lambda: sound)
    rig.live.change(replace(rig.live.settings, audio=AudioSettings(on=True)))
    wait_until(lambda: bool(sound.opened))
    yield rig, sound
    rig.session.close()
    assert rig.session.rendering.thread.close(timeout=10.0)


def test_sound_moves_the_picture_and_not_the_scene(loud: tuple[Rig, FakeSound]) -> None:
    rig, sound = loud
    session: Session = rig.session
    rig.live.add(ControlMapping(source=InputSource(kind="audio", name="level"), control="psi", high=0.5))
    rig.frames()
    assert session.live.overlay(session.rendering.wanted) == session.rendering.wanted  # silence
    wait_until(sound.play(10))
    wait_until(lambda: rig.live.sound.level > 0.9)
    rig.frames()
    level = rig.live.sound.level
    settle(session)
    assert session.rendering.frame is not None
    assert session.rendering.frame.request.psi == pytest.approx(0.7 + 0.5 * level)
    assert rig.psi == 0.7
    assert session.history.undo_name is None
    assert session.lively
    # The slider still counts: the sound is added to it.
    session.history.step("psi", lambda scene: replace(scene, psi=0.0))
    settle(session)
    assert session.rendering.frame.request.psi == pytest.approx(0.5 * level)
    # At the end of the range it stays.
    session.history.step("psi", lambda scene: replace(scene, psi=1.9))
    settle(session)
    assert session.rendering.frame.request.psi == 2.0
    rig.live.change(replace(rig.live.settings, audio=AudioSettings(on=False)))
    settle(session)
    assert session.rendering.frame.request.psi == 1.9


def test_sound_is_added_to_the_timeline_too_and_does_not_take_it_over(loud: tuple[Rig, FakeSound]) -> None:
    rig, sound = loud
    session = rig.session
    start = session.history.scene.request()
    keyframes = tuple(Keyframe(time=time, request=replace(start, psi=psi)) for time, psi in ((0.0, 0.2), (4.0, 0.6)))
    session.history.step("keyframes", lambda scene: replace(scene, keyframes=keyframes, duration=4.0))
    rig.live.add(ControlMapping(source=InputSource(kind="audio", name="level"), control="psi", high=0.5))
    rig.frames()
    session.playback.transport.time = 2.0
    rig.frames()
    wait_until(sound.play(10))
    wait_until(lambda: rig.live.sound.level > 0.9)
    rig.frames(3)
    assert session.playback.follower.follows_timeline(session.history.scene)
    settle(session)
    assert session.rendering.frame is not None
    assert session.rendering.wanted.psi == pytest.approx(0.4)
    assert session.rendering.frame.request.psi == pytest.approx(0.4 + 0.5 * rig.live.sound.level)


def test_an_unplugged_device_is_a_message_and_the_picture_is_the_scene_s(loud: tuple[Rig, FakeSound]) -> None:
    rig, sound = loud
    rig.live.add(ControlMapping(source=InputSource(kind="audio", name="level"), control="psi", high=0.5))
    wait_until(sound.play(10))
    wait_until(lambda: rig.live.sound.level > 0.9)
    sound.gone = True

    def noticed() -> bool:
        rig.frames()
        return bool(rig.live.problems["audio"])

    wait_until(noticed)
    settle(rig.session)
    assert rig.session.rendering.frame is not None
    assert rig.session.rendering.frame.request.psi == 0.7
    assert [message.text for message in rig.session.messages.lines] == [
        "The sound has stopped: the device was unplugged"
    ]


def test_a_beat_does_an_action_each_time(tmp_path: Path) -> None:
    track, count = clicks(120.0, seconds=4.0)
    sound = FakeSound(lambda start, n: np.asarray(track[start : start + n]))
    rig = Rig(tmp_path, audio=lambda: sound)
    try:
        rig.live.change(replace(rig.live.settings, audio=AudioSettings(on=True)))
        rig.live.add_trigger(Trigger(source=InputSource(kind="audio", name="beat"), action="surprise"))
        done = 0
        for _ in range(len(track) // 512):
            wait_until(sound.play(1))
            rig.frames()
            done += len(rig.live.take_actions())
        wait_until(lambda: rig.live.sound.beats == count)
        rig.frames()
        done += len(rig.live.take_actions())
        assert done == count
    finally:
        rig.session.close()
        assert rig.session.rendering.thread.close(timeout=10.0)
