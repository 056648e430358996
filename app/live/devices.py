"""The inputs of live control, started and stopped as the settings say: OSC, MIDI devices, sound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.live.audio_input import AudioBackend, AudioInput, PortAudio
from app.live.extras import AUDIO_MODULES, MIDI_MODULES, missing
from app.live.inbox import Inbox, RateLimitedLog
from app.live.midi import MidiBackend, MidiInput, RtMidi
from app.live.osc_link import OscLink
from app.live.settings import AudioSettings, LiveSettings, MidiSettings


@dataclass(frozen=True)
class LiveServices:
    """Where devices come from; tests bring their own."""

    midi: Callable[[], MidiBackend] = RtMidi
    audio: Callable[[], AudioBackend] = PortAudio


class Devices:
    """Belongs to the UI thread; `close` it. `report` is called with what does not work."""

    def __init__(
        self,
        services: LiveServices,
        inbox: Inbox,
        log: RateLimitedLog,
        report: Callable[[str], None],
        wake: Callable[[], None],
    ) -> None:
        self.osc = OscLink(inbox, log, wake)
        self.midi: MidiInput | None = None
        self.audio: AudioInput | None = None
        self.problems: dict[str, str] = {}
        """Why "osc", "midi" or "audio" does not work although it is on."""
        self._services = services
        self._inbox = inbox
        self._report = report
        self._wake = wake

    def change(self, before: LiveSettings, settings: LiveSettings) -> None:
        """Begin and end threads where the settings differ from those before."""
        if settings.osc != before.osc:
            self._note("osc", "")
            self._note("osc", self.osc.start(settings.osc))
        if settings.midi != before.midi:
            self._start_midi(settings.midi)
        if settings.audio != before.audio:
            self._start_audio(settings.audio)

    def check(self) -> None:
        """Report what has gone wrong on the threads of MIDI and sound since the last call."""
        if self.midi is not None:
            self._note("midi", self.midi.problem)
        if self.audio is not None:
            self._note("audio", self.audio.problem)

    @property
    def own_midi(self) -> bool:
        """Whether MIDI comes from the optional libraries."""
        return self._services.midi is RtMidi

    @property
    def own_audio(self) -> bool:
        """Whether sound comes from the optional library."""
        return self._services.audio is PortAudio

    def close(self) -> None:
        """End the threads."""
        self.osc.close()
        for part in (self.midi, self.audio):
            if part is not None:
                part.close()
        self.midi = self.audio = None

    def _start_midi(self, midi: MidiSettings) -> None:
        if self.midi is not None:
            self.midi.close()
        self.midi = None
        self._note("midi", "")
        if not midi.on:
            return
        absent = missing(MIDI_MODULES) if self.own_midi else ""
        if absent:
            self._note("midi", absent)
        else:
            self.midi = MidiInput(self._services.midi, self._inbox, midi.ignored)

    def _start_audio(self, audio: AudioSettings) -> None:
        if self.audio is not None:
            self.audio.close()
        self.audio = None
        self._note("audio", "")
        if not audio.on:
            return
        absent = missing(AUDIO_MODULES) if self.own_audio else ""
        if absent:
            self._note("audio", absent)
        else:
            self.audio = AudioInput(self._services.audio, audio.device, self._wake)

    def _note(self, part: str, text: str) -> None:
        if text and self.problems.get(part) != text:
            self._report(text)
        self.problems = {**self.problems, part: text}
