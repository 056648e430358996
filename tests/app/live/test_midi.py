"""MIDI: what messages mean, devices that come and go, and a virtual port where the machine has them."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from app.live.extras import MIDI_MODULES, missing
from app.live.inbox import SOURCES_LIMIT, Inbox
from app.live.mapping import InputSource
from app.live.midi import Decoder, Device, MidiInput, RtMidi, stable_name
from tests.app.explorer.fakes import wait_until
from tests.app.live.fakes import FakeMidi


def source(name: str, device: str = "Keys") -> InputSource:
    return InputSource(kind="midi", name=name, device=device)


def test_controllers_notes_and_bends() -> None:
    decode = Decoder().decode
    assert decode((0xB0, 74, 127)) == [("cc 1/74", 1.0, None)]
    assert decode((0xBF, 7, 0)) == [("cc 16/7", 0.0, None)]
    assert decode((0x99, 36, 127)) == [("note 10/36", 1.0, True)]
    assert decode((0x99, 36, 0)) == [("note 10/36", 0.0, False)]
    assert decode((0x89, 36, 64)) == [("note 10/36", 0.0, False)]
    assert decode((0xE1, 127, 127)) == [("bend 2", 1.0, None)]
    assert decode((0xE1, 0, 64)) == [("bend 2", 8192 / 16383, None)]
    for other in ((0xC0, 5), (0xF8,), (0xA0, 60, 5), (), (0xF0, 1, 2, 3, 0xF7)):
        assert decode(other) == []


def test_a_pair_of_controllers_is_one_of_14_bits() -> None:
    decoder = Decoder()
    assert decoder.decode((0xB0, 33, 5)) == [("cc 1/33", 5 / 127, None)]  # no first half yet
    decoder.decode((0xB0, 1, 64))
    assert decoder.decode((0xB0, 33, 1))[1] == ("cc14 1/1", (64 * 128 + 1) / 16383, None)
    assert len(decoder.decode((0xB1, 33, 1))) == 1  # another channel
    decoder.decode((0xB0, 1, 127))
    assert decoder.decode((0xB0, 33, 127))[1][1] == 1.0


def test_alsa_s_numbers_are_no_part_of_a_name() -> None:
    assert stable_name("Launchkey:Launchkey MIDI 1 24:0") == "Launchkey:Launchkey MIDI 1"
    assert stable_name("IAC Driver Bus 1") == "IAC Driver Bus 1"


def test_the_newest_value_wins_and_a_quick_press_is_not_lost() -> None:
    woken: list[int] = []
    inbox = Inbox(lambda: woken.append(1))
    for value in (0.1, 0.2, 0.3):
        inbox.put(source("cc 1/1"), value)
    inbox.put(source("note 1/60"), 0.2, press=True)
    inbox.put(source("note 1/60"), 0.0, press=False)
    assert inbox.take() == ({source("cc 1/1"): 0.3, source("note 1/60"): 0.0}, [source("note 1/60")])
    assert inbox.take() == ({}, [])
    assert len(woken) == 1
    # A controller is a button, too: pressed when it goes up.
    for value in (1.0, 0.9, 0.0, 1.0):
        inbox.put(source("cc 1/1"), value)
    assert inbox.take()[1] == [source("cc 1/1")] * 2
    for index in range(1000):
        inbox.put(source(f"cc 1/{index}"), 0.5)
    assert len(inbox.take()[0]) == SOURCES_LIMIT


def test_devices_come_and_go() -> None:
    midi = FakeMidi("Keys 20:0", "Pads", "Through")
    midi.broken.add("Pads")
    inbox = Inbox(lambda: None)
    listening = MidiInput(lambda: midi, inbox, ["Through"], pause=0.01)
    try:
        wait_until(lambda: len(listening.devices) == 3)
        assert listening.devices == (
            Device("Keys", True),
            Device("Pads", False, "Pads is busy"),
            Device("Through", False),
        )
        midi.play("Keys 20:0", 0xB0, 74, 127)
        assert inbox.take()[0] == {source("cc 1/74"): 1.0}
        midi.plugged.remove("Keys 20:0")
        wait_until(lambda: len(listening.devices) == 2)
        assert not midi.receivers
        midi.plugged.append("Keys 24:0")  # plugged in again: another number, the same device
        wait_until(lambda: "Keys 24:0" in midi.receivers)
        midi.play("Keys 24:0", 0xB0, 74, 0)
        assert inbox.take()[0] == {source("cc 1/74"): 0.0}
        midi.broken.clear()
        listening.rescan()
        wait_until(lambda: "Pads" in midi.receivers)
    finally:
        listening.close()
    assert not midi.receivers


def test_without_midi_there_is_a_message_and_no_asking_again() -> None:
    asked: list[int] = []

    def refuse() -> FakeMidi:
        asked.append(1)
        raise OSError("no sequencer")

    listening = MidiInput(refuse, Inbox(lambda: None), (), pause=0.001)
    try:
        wait_until(lambda: bool(listening.problem))
        assert listening.problem == "No MIDI devices can be had: no sequencer"
        listening.rescan()
        wait_until(lambda: len(asked) == 2)
    finally:
        listening.close()
    assert len(asked) == 2


def test_mido_s_messages_come_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    mido = pytest.importorskip("mido", reason="mido is not installed")
    monkeypatch.setitem(sys.modules, "rtmidi", ModuleType("rtmidi"))
    callbacks = {}
    monkeypatch.setattr(mido, "get_input_names", lambda: ["Keys", "Keys"], raising=False)
    monkeypatch.setattr(mido, "open_input", lambda name, callback: callbacks.setdefault(name, callback), raising=False)
    backend = RtMidi()
    assert backend.names() == ["Keys"]
    heard: list[tuple[int, ...]] = []
    backend.open("Keys", lambda message: heard.append(tuple(message)))
    callbacks["Keys"](mido.Message("control_change", channel=1, control=7, value=9))
    callbacks["Keys"](mido.Message("pitchwheel", pitch=8191))
    callbacks["Keys"](mido.Message("clock"))
    assert heard == [(0xB1, 7, 9), (0xE0, 127, 127), (0xF8,)]


def test_a_virtual_port_is_heard() -> None:
    if absent := missing(MIDI_MODULES):
        pytest.skip(absent)
    import mido

    try:
        port = mido.open_output("glissando test", virtual=True)
    except (OSError, NotImplementedError) as error:
        pytest.skip(f"no virtual MIDI ports on this machine: {error}")
    inbox = Inbox(lambda: None)
    with port:
        listening = MidiInput(RtMidi, inbox, (), pause=0.05)
        try:
            wait_until(lambda: any("glissando test" in d.name and d.open for d in listening.devices))
            port.send(mido.Message("control_change", channel=0, control=74, value=127))
            heard: dict[InputSource, float] = {}

            def came() -> bool:
                heard.update(inbox.take()[0])
                return bool(heard)

            wait_until(came)
            assert [(each.name, x) for each, x in heard.items()] == [("cc 1/74", 1.0)]
        finally:
            listening.close()
