"""The Live panel, clicked without a display; devices are fakes, OSC goes over real sockets."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("imgui_bundle")

from imgui_bundle import imgui

from app.explorer.panels.live.live import LivePanel
from app.explorer.session import Session
from app.explorer.window import Explorer
from app.live.devices import LiveServices
from app.live.mapping import ControlMapping, InputSource, Trigger
from tests.app.explorer.fakes import errors
from tests.app.explorer.nullwindow import Context, drive, settle, until
from tests.app.live.fakes import FakeMidi, FakeSound
from tests.app.live.test_audio import sine
from tests.app.live.test_osc import Remote, free_port

LIVE = "//Live/**"
KNOB = InputSource(kind="midi", name="cc 1/74", device="Keys")


def show(ctx: Context, session: Session, tab: str = "OSC") -> None:
    settle(ctx, session)
    if not ctx.item_exists("//Live"):
        ctx.menu_click("//##MainMenuBar/View/Panels/###panel Live")
        ctx.yield_(3)
    ctx.item_click(f"{LIVE}/{tab}")
    ctx.yield_(2)
    # Names without // are of this tab's page from here on.
    ctx.set_ref(ctx.window_info(f"//Live/##live/{tab}/##{tab} page").id_)


def type_into(ctx: Context, item: str, text: str) -> None:
    ctx.item_click(item)
    ctx.key_chars_replace_enter(text)
    ctx.yield_(2)


def test_osc_is_switched_on_learnt_and_switched_off(tmp_path: Path) -> None:
    port = free_port()

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        show(ctx, session)
        live = session.live
        type_into(ctx, "###osc port", str(port))
        assert live.settings.osc.port == port
        ctx.item_click("###osc on")
        ctx.yield_(2)
        assert live.settings.osc.on
        assert live.problems["osc"] == ""
        remote = Remote(session, port)
        remote.send("/glissando/psi", 0.25)
        until(ctx, lambda: session.history.scene.psi == 0.25)
        remote.send("/glissando/action/surprise")
        until(ctx, lambda: session.history.undo_name == "random seed")

        ctx.item_click("###learn")
        ctx.yield_(2)
        remote.send("/1/fader1", 0.5)
        until(ctx, lambda: bool(live.settings.mappings))
        fader = InputSource(kind="osc", name="/1/fader1")
        assert live.settings.mappings == (ControlMapping(source=fader, control="psi", low=-1.0, high=2.0),)
        remote.send("/1/fader1", 1.0)
        until(ctx, lambda: session.history.scene.psi == 2.0)

        ctx.item_click("###addresses")
        ctx.yield_(2)
        ctx.item_click("###copy addresses")
        ctx.yield_(2)
        copied = imgui.get_clipboard_text()
        assert "/glissando/psi " in copied
        assert "/glissando/action/surprise" in copied

        ctx.item_click("mapping 0/###remove")
        ctx.yield_(2)
        assert live.settings.mappings == ()
        ctx.item_click("###osc on")
        ctx.yield_(2)
        remote.socket.close()
        assert not live.settings.osc.on
        assert not errors(session)

    drive(tmp_path, script)


def test_what_cannot_be_an_address_or_a_port_stays_as_it_was(tmp_path: Path) -> None:
    taken = free_port()

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        show(ctx, session)
        before = session.live.settings
        (panel,) = (panel for panel in explorer.panels if isinstance(panel, LivePanel))
        for item, text in (("###osc port", "80"), ("###osc port", "many"), ("###osc host", "example.com")):
            type_into(ctx, item, text)
            assert session.live.settings == before
            assert text in panel._refused["osc"]
        assert not errors(session)
        import socket

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", taken))
            type_into(ctx, "###osc port", str(taken))
            ctx.item_click("###osc on")
            ctx.yield_(2)
            (error,) = errors(session)
            assert error.startswith(f"OSC cannot listen at 127.0.0.1:{taken}: ")
            assert session.live.problems["osc"] == error

    drive(tmp_path, script)


def test_a_knob_is_learnt_shaped_and_removed(tmp_path: Path) -> None:
    midi = FakeMidi("Keys", "Through")

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        show(ctx, session, "MIDI")
        live = session.live
        ctx.item_click("###midi on")
        until(ctx, lambda: "Keys" in midi.receivers)
        ctx.yield_(2)
        ctx.item_click("###device Through")
        until(ctx, lambda: list(midi.receivers) == ["Keys"])
        assert live.settings.midi.ignored == ("Through",)
        ctx.item_click("###rescan")

        ctx.item_click("###what")
        ctx.item_click("//$FOCUSED/###control blend")
        ctx.item_click("###learn")
        ctx.yield_(2)
        midi.play("Keys", 0xB0, 74, 64)
        until(ctx, lambda: bool(live.settings.mappings))
        (mapping,) = live.settings.mappings
        assert (mapping.source, mapping.control) == (KNOB, "blend")

        ctx.item_click("###what")
        ctx.item_click("//$FOCUSED/###action surprise")
        ctx.item_click("###learn")
        ctx.yield_(2)
        midi.play("Keys", 0x90, 36, 100)
        until(ctx, lambda: bool(live.settings.triggers))
        assert live.settings.triggers[0].action == "surprise"
        until(ctx, lambda: session.history.undo_name == "random seed")

        ctx.item_click("mapping 0/###settings")
        ctx.yield_(2)
        ctx.item_click("//$FOCUSED/###curve exp")
        ctx.item_click("//$FOCUSED/###invert")
        ctx.item_click("//$FOCUSED/###pickup")
        ctx.item_input_value("//$FOCUSED/###smoothing", 0.5)
        ctx.yield_(2)
        (mapping,) = live.settings.mappings
        assert (mapping.curve, mapping.invert, mapping.pickup) == ("exp", True, True)
        assert mapping.smoothing == pytest.approx(0.5)
        ctx.popup_close_all()
        midi.play("Keys", 0xB0, 74, 0)
        ctx.yield_(3)
        assert live.waiting(mapping)

        ctx.item_click("trigger 0/###remove")
        ctx.item_click("mapping 0/###remove")
        ctx.yield_(2)
        assert live.settings.mappings == live.settings.triggers == ()
        assert not errors(session)

    drive(tmp_path, script, live=LiveServices(midi=lambda: midi))


def test_a_mapping_to_what_this_scene_lacks_is_drawn_and_kept(tmp_path: Path) -> None:
    lost = ControlMapping(source=KNOB, control="direction_4")
    odd = Trigger(source=KNOB, action="from a later version")

    def before(session: Session) -> None:
        session.live.change(replace(session.live.settings, mappings=(lost,), triggers=(odd,)))

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        show(ctx, session, "MIDI")
        ctx.item_click("mapping 0/###settings")
        ctx.yield_(3)
        assert session.live.settings.mappings == (lost,)
        assert session.live.settings.triggers == (odd,)
        assert not errors(session)

    drive(tmp_path, script, before=before, live=LiveServices(midi=FakeMidi))


def test_sound_is_added_to_a_control(tmp_path: Path) -> None:
    tone = sine(440, 30.0)
    sound = FakeSound(lambda start, count: np.asarray(tone[start : start + count]))

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        show(ctx, session, "Sound")
        ctx.item_click("###audio on")
        until(ctx, lambda: bool(sound.opened))
        sound.play(20)
        until(ctx, lambda: session.live.sound.level > 0.9, frames=6000)
        ctx.yield_(2)
        ctx.item_click("###add")
        ctx.yield_(2)
        (mapping,) = session.live.settings.mappings
        assert (mapping.source.name, mapping.control, mapping.low, mapping.high) == ("level", "psi", 0.0, 1.5)
        until(
            ctx, lambda: session.rendering.frame is not None and session.rendering.frame.request.psi > 1.5, frames=6000
        )
        assert session.history.scene.psi == 0.7
        ctx.item_click("###audio device")
        ctx.item_click("//$FOCUSED/###input Line in")
        until(ctx, lambda: bool(session.live.problems["audio"]))
        assert errors(session) == ["No sound can be heard: Line in is busy"]

    drive(tmp_path, script, live=LiveServices(audio=lambda: sound))


def test_without_the_libraries_the_tabs_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("mido", "rtmidi", "sounddevice"):
        monkeypatch.setitem(sys.modules, module, None)

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        show(ctx, session)
        ctx.item_click("###osc out")  # OSC needs none of them
        ctx.yield_(2)
        for tab, part in (("MIDI", "midi"), ("Sound", "audio")):
            show(ctx, session, tab)
            assert not ctx.item_exists(f"###{part} on")
            ctx.item_click(f"###copy install {part}")
            ctx.yield_(2)
            assert imgui.get_clipboard_text() == "pip install 'glissando[live]'"
        assert not errors(session)
        # Settings from another machine, where they were there.
        live = session.live
        live.change(
            replace(
                live.settings, midi=replace(live.settings.midi, on=True), audio=replace(live.settings.audio, on=True)
            )
        )
        ctx.yield_(2)
        assert errors(session) == [
            "This needs mido and python-rtmidi: pip install 'glissando[live]'",
            "This needs sounddevice: pip install 'glissando[live]'",
        ]

    drive(tmp_path, script)
