"""Live control: OSC, MIDI and sound, and the controls mapped to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from imgui_bundle import icons_fontawesome_6 as icons
from imgui_bundle import imgui

from app.document.fields import with_field
from app.document.history import History
from app.explorer.gui import theme
from app.explorer.gui.widgets import dim_text, fitted, square_button, tooltip, wrapped_text
from app.explorer.panels.live.mappings import Mappings, meter
from app.explorer.session import Session
from app.live.addresses import TAGS, Address
from app.live.audio import SIGNALS
from app.live.extras import AUDIO_MODULES, INSTALL, MIDI_MODULES, missing
from app.live.settings import AudioSettings, LiveSettings, MidiSettings

LISTEN_HELP = (
    "127.0.0.1 hears programs on this machine only; 0.0.0.0 hears everybody on the network, who can then move "
    "everything that is listed below."
)


class LivePanel:
    """A tab each for OSC, MIDI and sound; hidden until chosen in the View menu."""

    title = "Live"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._mappings = Mappings(session.live)
        self._drafts: dict[str, str] = {}
        self._refused: dict[str, str] = {}

    def draw(self, history: History) -> None:
        if not imgui.begin_tab_bar("##live"):
            return
        for name, draw in (("OSC", self._osc), ("MIDI", self._midi), ("Sound", self._sound)):
            if imgui.begin_tab_item(f"{name}###{name}")[0]:
                imgui.begin_child(f"##{name} page")
                draw(history)
                imgui.end_child()
                imgui.end_tab_item()
        imgui.end_tab_bar()

    # OSC

    def _osc(self, history: History) -> None:
        live = self._session.live
        osc = live.settings.osc
        changed, on = imgui.checkbox("listen###osc on", osc.on)
        tooltip("Take OSC messages from other programs and devices, such as TouchOSC, Max or Ableton Live.")
        if changed:
            self._change(lambda settings: replace(settings, osc=replace(osc, on=on)))
        self._endpoint("osc", "host", "port", LISTEN_HELP)
        changed, out = imgui.checkbox("send###osc out", osc.out)
        tooltip("Send the value of every control that changes, so that faders elsewhere follow.")
        if changed:
            self._change(lambda settings: replace(settings, osc=replace(osc, out=out)))
        self._endpoint("osc", "out_host", "out_port", "Where changes are sent.")
        self._state("osc", f"Listening at {osc.host}:{osc.port}." if osc.on else "Not listening.")
        self._mappings.draw(history, "osc", osc.on)
        self._addresses(history)

    def _endpoint(self, part: str, host: str, port: str, help_text: str) -> None:
        """An address and a port beside a checkbox; taken when the field is left, if they can be."""
        em = imgui.get_font_size()
        osc = self._session.live.settings.osc
        imgui.same_line(imgui.get_style().window_padding.x + em * 5.2)
        right = imgui.get_content_region_avail().x
        for name, width in ((host, right - em * 4.6 - 6), (port, em * 4.6)):
            if name == port:
                imgui.same_line(0, 6)
            imgui.set_next_item_width(width)
            text = self._drafts.get(name, str(getattr(osc, name)))
            changed, text = imgui.input_text(f"###{part} {name}", text)
            tooltip(help_text)
            if changed:
                self._drafts[name] = text
            if imgui.is_item_deactivated():
                text = self._drafts.pop(name, text).strip()
                self._refused.pop(part, None)
                if text != str(getattr(osc, name)):
                    self._take(part, name, text)

    def _take(self, part: str, name: str, text: str) -> None:
        osc = self._session.live.settings.osc
        is_port = name.endswith("port")
        if is_port and not text.isdecimal():
            self._refused[part] = f"port: expected a number from 1024 to 65535, got {text!r:.40}"
            return
        value = int(text) if is_port else text
        self._change(lambda settings: replace(settings, osc=with_field(osc, name, value)), part)

    def _addresses(self, history: History) -> None:
        info = self._session.models.info
        rows = self._session.live.addresses(history.scene, info.classes if info is not None else 0)
        opened = imgui.collapsing_header("Addresses###addresses")
        tooltip("Everything that can be sent to Glissando. The message /glissando/list is answered with the same list.")
        if not opened:
            return
        if imgui.small_button("Copy all###copy addresses"):
            imgui.set_clipboard_text("\n".join(address.line for address in rows))
        imgui.same_line()
        dim_text("A click copies one.")
        flags = imgui.TableFlags_.row_bg | imgui.TableFlags_.sizing_fixed_fit
        if imgui.begin_table("##address table", 2, flags):
            imgui.table_setup_column("address", imgui.TableColumnFlags_.width_stretch)
            imgui.table_setup_column("takes")
            for address in rows:
                _address_row(address)
            imgui.end_table()

    # MIDI

    def _midi(self, history: History) -> None:
        live = self._session.live
        midi = live.settings.midi
        if live.own_midi and _install(missing(MIDI_MODULES), "midi"):
            return
        changed, on = imgui.checkbox("listen###midi on", midi.on)
        tooltip(
            "Take controllers, notes and pitch bend from MIDI devices. New devices are found as they are plugged in."
        )
        if changed:
            self._change(lambda settings: replace(settings, midi=replace(midi, on=on)))
        if live.midi is not None:
            imgui.same_line()
            if square_button(f"{icons.ICON_FA_ROTATE}###rescan"):
                live.midi.rescan()
            tooltip("Look for devices now.")
        devices = live.midi.devices if live.midi is not None else ()
        for device in devices:
            heard = device.name not in midi.ignored
            room = imgui.get_content_region_avail().x - imgui.get_frame_height() - 7
            changed, heard = imgui.checkbox(f"{fitted(device.name, room)}###device {device.name}", heard)
            tooltip(device.name)
            if changed:
                others = tuple(name for name in midi.ignored if name != device.name)
                ignored = others if heard else (*others, device.name)
                self._change_midi(replace(midi, ignored=ignored))
            if device.problem:
                wrapped_text(device.problem, theme.colour.red)
        idle = "No MIDI device is plugged in." if midi.on else "Not listening."
        self._state("midi", "" if devices else idle)
        self._mappings.draw(history, "midi", midi.on)

    # Sound

    def _sound(self, history: History) -> None:
        live = self._session.live
        audio = live.settings.audio
        if live.own_audio and _install(missing(AUDIO_MODULES), "audio"):
            return
        changed, on = imgui.checkbox("listen###audio on", audio.on)
        tooltip("Hear a microphone or a sound card's input: its level, bands and beat can move any control.")
        if changed:
            self._change(lambda settings: replace(settings, audio=replace(audio, on=on)))
        names = live.audio.devices if live.audio is not None else ()
        if names:
            imgui.same_line()
            imgui.set_next_item_width(-1)
            if imgui.begin_combo("###audio device", audio.device or "the system's default"):
                for name in ("", *names):
                    if imgui.selectable(f"{name or 'the system default'}###input {name}", name == audio.device)[0]:
                        self._change_audio(replace(audio, device=name))
                imgui.end_combo()
        self._state("audio", "" if audio.on else "Not listening.")
        if live.audio is not None and live.audio.listening:
            sound = live.sound
            width = (imgui.get_content_region_avail().x - 4 * (len(SIGNALS) - 1)) / len(SIGNALS)
            for index, (name, help_text) in enumerate(SIGNALS.items()):
                if index:
                    imgui.same_line(0, 4)
                meter(name, sound.signal(name), width)
                tooltip(help_text)
            dim_text(f"{sound.bpm:.1f} beats a minute" if sound.bpm else "No tempo to be sound.")
            tooltip("From the last eight seconds.")
        self._mappings.draw(history, "audio", audio.on)

    # All

    def _state(self, part: str, text: str) -> None:
        """A problem, or else the state."""
        problem = self._refused.get(part) or self._session.live.problems.get(part)
        if problem:
            wrapped_text(problem, theme.colour.red)
        elif text:
            wrapped_text(text, theme.colour.dim)

    def _change_midi(self, midi: MidiSettings) -> None:
        self._change(lambda settings: replace(settings, midi=midi))

    def _change_audio(self, audio: AudioSettings) -> None:
        self._change(lambda settings: replace(settings, audio=audio))

    def _change(self, change: Callable[[LiveSettings], LiveSettings], part: str = "osc") -> None:
        live = self._session.live
        try:
            live.change(change(live.settings))
        except ValueError as error:
            self._refused[part] = str(error)


def _address_row(address: Address) -> None:
    imgui.table_next_row()
    imgui.table_next_column()
    if imgui.selectable(f"{address.path}###{address.path}", False, imgui.SelectableFlags_.span_all_columns)[0]:
        imgui.set_clipboard_text(address.path)
    tooltip(f"{address.help}\nTakes {address.expected}.")
    imgui.table_next_column()
    takes = {"text": "text", "action": ""}.get(address.kind, "any")
    if takes == "any" and max(-address.low, address.high) <= 1e5:
        takes = f"{address.low:g} .. {address.high:g}"
    dim_text(f"{TAGS[address.kind]}  {takes}".strip())


def _install(sentence: str, part: str) -> bool:
    """What to install, if anything is missing."""
    if not sentence:
        return False
    wrapped_text(sentence, theme.colour.amber)
    if imgui.button(f"{icons.ICON_FA_COPY}  Copy the command###copy install {part}"):
        imgui.set_clipboard_text(INSTALL)
    tooltip("Run it where Glissando is installed, then start Glissando again.")
    return True
