"""The arithmetic between a knob and a control."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from app.live.mapping import ControlMapping, InputSource, KnobFollower, Modulator, approach
from app.live.settings import AudioSettings, LiveSettings, MidiSettings, OscSettings, Trigger
from core import values

KNOB = InputSource(kind="midi", name="cc 1/74", device="Launch")
MAPPING = ControlMapping(source=KNOB, control="psi", low=-1.0, high=2.0)


def test_the_range_is_covered_from_end_to_end() -> None:
    assert [MAPPING.value(x) for x in (0.0, 0.5, 1.0)] == [-1.0, 0.5, 2.0]
    assert replace(MAPPING, invert=True).value(0.0) == 2.0
    assert replace(MAPPING, low=2.0, high=-1.0).value(0.0) == 2.0


def test_gain_comes_first_and_is_cut() -> None:
    loud = replace(MAPPING, gain=4.0)
    assert loud.value(0.125) == 0.5
    assert loud.value(0.25) == loud.value(0.9) == 2.0
    assert replace(MAPPING, gain=0.5).value(1.0) == 0.5
    assert MAPPING.value(-3.0) == -1.0


def test_exp_begins_slowly_and_meets_the_ends() -> None:
    curved = replace(MAPPING, low=0.0, high=1.0, curve="exp")
    assert curved.value(0.0) == 0.0
    assert curved.value(1.0) == pytest.approx(1.0)
    assert curved.value(0.5) == pytest.approx(0.1192, abs=1e-3)
    assert all(curved.value(x / 20) < curved.value((x + 1) / 20) for x in range(20))


def test_smoothing_does_not_depend_on_the_frame_rate() -> None:
    ends = []
    for fps in (15, 60, 240):
        value = 0.0
        for _ in range(fps):
            value = approach(value, 1.0, 0.5, 1.0 / fps)
        ends.append(value)
    assert ends == pytest.approx([1.0 - math.exp(-2.0)] * 3)
    assert approach(0.0, 1.0, 0.0, 0.01) == 1.0


def test_a_follower_glides_and_arrives() -> None:
    follower = KnobFollower(replace(MAPPING, smoothing=0.1))
    assert follower.step(0.0, 0.02) is None
    follower.receive(1.0)
    way = [0.0]
    while follower.moving:
        value = follower.step(way[-1], 0.02)
        assert value is not None
        follower.wrote(value)
        way.append(value)
        assert len(way) < 200
    assert way[1] == pytest.approx(2.0 * (1.0 - math.exp(-0.2)))
    assert way == sorted(way)
    assert way[-1] == 2.0
    assert follower.step(2.0, 0.02) is None


def test_whoever_moves_the_control_meanwhile_wins() -> None:
    follower = KnobFollower(replace(MAPPING, smoothing=1.0))
    follower.receive(1.0)
    value = follower.step(0.0, 0.1)
    assert value is not None
    follower.wrote(value)
    assert follower.step(-0.5, 0.1) is None  # a slider was dragged
    assert not follower.moving
    follower.receive(0.9)
    assert follower.step(-0.5, 0.1) is not None


def test_pickup_waits_until_the_knob_comes_by() -> None:
    follower = KnobFollower(replace(MAPPING, pickup=True))
    psi = 0.5
    for x in (0.9, 0.8, 0.6):
        follower.receive(x)
        assert follower.step(psi, 0.02) is None
        assert follower.waiting
    follower.receive(0.4)  # past 0.5
    assert follower.step(psi, 0.02) == pytest.approx(0.2)
    follower.wrote(0.2)
    assert not follower.waiting
    follower.receive(0.7)
    assert follower.step(0.2, 0.02) == pytest.approx(1.1)
    follower.wrote(1.1)
    # The slider goes elsewhere: wait again.
    follower.receive(0.8)
    assert follower.step(-1.0, 0.02) is None
    assert follower.waiting
    follower.receive(0.01)  # near is enough
    assert follower.step(-1.0, 0.02) == pytest.approx(-0.97)


def test_a_modulator_begins_in_silence() -> None:
    modulator = Modulator(
        ControlMapping(source=InputSource(kind="audio", name="level"), control="psi", high=1.0, smoothing=0.1)
    )
    first = modulator.step(1.0, 0.1)
    assert first == pytest.approx(1.0 - math.exp(-1.0))
    assert modulator.step(0.0, 0.1) == pytest.approx(first * math.exp(-1.0))


def test_settings_are_json_and_back() -> None:
    settings = LiveSettings(
        osc=OscSettings(on=True, port=9002, out=True),
        midi=MidiSettings(on=True, ignored=("Through",)),
        audio=AudioSettings(device="Line in"),
        mappings=(MAPPING, replace(MAPPING, curve="exp", pickup=True, smoothing=0.25)),
        triggers=(Trigger(source=InputSource(kind="audio", name="beat"), action="surprise"),),
    )
    assert values.from_json(LiveSettings, values.to_json(settings), "live") == settings
    assert values.from_json(LiveSettings, {}, "live") == LiveSettings()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mappings": [{"source": {"kind": "shell", "name": "x"}, "control": "psi"}]}, "one of osc, midi, audio"),
        ({"mappings": [{"source": {"kind": "osc", "name": "/x"}, "control": "psi", "gain": 1e9}]}, "gain: expected"),
        ({"mappings": [{"source": {"kind": "osc", "name": "/x"}, "control": "psi", "expression": "1"}]}, "expression"),
        ({"mappings": [{"source": {"kind": "osc", "name": ""}, "control": "psi"}]}, "name of 1 to 200"),
        ({"osc": {"port": 80}}, "from 1024 to 65535"),
        ({"osc": {"host": "example.com"}}, "such as 127.0.0.1"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        values.from_json(LiveSettings, change, "live")
