"""Live control as the session holds it: once a frame it takes what the threads heard and moves the scene.

    OSC, MIDI threads -> Inbox -> tick -> history.apply, once a frame, in one gesture until it rests
    sound thread      -> tick -> offsets -> overlay(request)

What knobs and messages set is part of the document, as if a slider had moved. What sound adds is not: it goes onto the
request alone, which is what recordings keep.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from app.document.controls import Control, controls_of
from app.document.history import History
from app.document.scene import Scene
from app.live.addresses import LIVE_ACTIONS, Address
from app.live.audio import SIGNALS, Heard
from app.live.audio_input import AudioBackend, AudioInput, PortAudio
from app.live.extras import AUDIO_MODULES, MIDI_MODULES, missing
from app.live.inbox import Grumble, Inbox
from app.live.mapping import Follower, Mapping, Modulator, Source, Trigger
from app.live.midi import MidiBackend, MidiInput, RtMidi
from app.live.osc import Value
from app.live.osc_link import OscLink
from app.live.packets import single
from app.live.settings import AudioSettings, LiveSettings, MidiSettings
from core.request import RenderRequest

log = logging.getLogger("app.explorer.live")

# A performance that rested for so long is a step of undo.
REST_S = 1.0
# The window draws at its full rate for so long after something came in.
LIVELY_S = 2.0
LONGEST_STEP_S = 0.25
SAVE_PAUSE_S = 0.5
# A 7-bit controller may turn out to be the first half of a 14-bit one.
PAIR_S = 0.15
RECENT_SOURCES = 8
ACTIONS_A_FRAME = 32
SEVERAL = "live controls"


@dataclass(frozen=True)
class LiveServices:
    """Where devices come from; tests bring their own."""

    midi: Callable[[], MidiBackend] = RtMidi
    audio: Callable[[], AudioBackend] = PortAudio


@dataclass(frozen=True)
class Learn:
    """What the next source that moves is to be for: a control or an action."""

    control: str = ""
    action: str = ""


class LiveControl:
    """Belongs to the UI thread; `close` it.

    `keep` is called with settings that changed, `tell_error` with what does not work, and `tell_quietly`, now and then,
    with what came in and was not understood.
    """

    def __init__(
        self,
        settings: LiveSettings,
        services: LiveServices,
        keep: Callable[[LiveSettings], None],
        tell_error: Callable[[str], None],
        tell_quietly: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = LiveSettings()
        self.wake: Callable[[], None] = lambda: None
        """Ends the window's doze; called from any thread."""
        self.learning: Learn | None = None
        self.problems: dict[str, str] = {}
        """Why "osc", "midi" or "audio" does not work although it is on."""
        self.midi: MidiInput | None = None
        self.audio: AudioInput | None = None
        self.levels: dict[Source, float] = {}
        """The last value of every source that is mapped."""
        self.recent: deque[Source] = deque(maxlen=RECENT_SOURCES)
        """What moved last, newest last."""
        self._services = services
        self._keep = keep
        self._tell_error = tell_error
        self._clock = clock
        self._inbox = Inbox(self._woken)
        self._grumble = Grumble(tell_quietly)
        self._osc = OscLink(self._inbox, self._grumble, self._woken)
        self._followers: list[Follower] = []
        self._modulators: list[Modulator] = []
        self._offsets: tuple[tuple[Control, float], ...] = ()
        self._actions: deque[str] = deque(maxlen=ACTIONS_A_FRAME)
        self._candidate: tuple[Source, float] | None = None
        self._beats = 0
        self._last = self._clock()
        self._heard_at = -math.inf
        self._unsaved_since: float | None = None
        self._gesture = ""
        self._start(settings)

    # Settings

    def change(self, settings: LiveSettings) -> None:
        """Take other settings, and keep them once they rest."""
        if settings != self.settings:
            self._start(settings)
            self._unsaved_since = self._clock()

    def add(self, mapping: Mapping) -> None:
        """Map a source to a control, in the place of what it did to that control before."""
        others = [m for m in self.settings.mappings if (m.source, m.control) != (mapping.source, mapping.control)]
        self._change_or_say(lambda: replace(self.settings, mappings=(*others, mapping)))

    def add_trigger(self, trigger: Trigger) -> None:
        others = [t for t in self.settings.triggers if t != trigger]
        self._change_or_say(lambda: replace(self.settings, triggers=(*others, trigger)))

    def _change_or_say(self, make: Callable[[], LiveSettings]) -> None:
        try:
            self.change(make())
        except ValueError as error:
            self._tell_error(str(error))

    def _start(self, settings: LiveSettings) -> None:
        """Begin and end threads so that they are as the settings say."""
        before, self.settings = self.settings, settings
        if settings.osc != before.osc:
            self._problem("osc", "")
            self._problem("osc", self._osc.start(settings.osc))
        if settings.midi != before.midi:
            self._start_midi(settings.midi)
        if settings.audio != before.audio:
            self._start_audio(settings.audio)
        if settings.mappings != before.mappings:
            kept = {follower.mapping: follower for follower in self._followers}
            knobs = [mapping for mapping in settings.mappings if mapping.source.kind != "audio"]
            self._followers = [kept.get(mapping) or Follower(mapping) for mapping in knobs]
            going = {modulator.mapping: modulator for modulator in self._modulators}
            sounds = [mapping for mapping in settings.mappings if mapping.source.kind == "audio"]
            self._modulators = [going.get(mapping) or Modulator(mapping) for mapping in sounds]
        self.levels = {source: x for source, x in self.levels.items() if source in settings.sources}

    def _start_midi(self, midi: MidiSettings) -> None:
        if self.midi is not None:
            self.midi.close()
        self.midi = None
        self._problem("midi", "")
        if not midi.on:
            return
        absent = missing(MIDI_MODULES) if self._services.midi is RtMidi else ""
        if absent:
            self._problem("midi", absent)
        else:
            self.midi = MidiInput(self._services.midi, self._inbox, midi.ignored)

    def _start_audio(self, audio: AudioSettings) -> None:
        if self.audio is not None:
            self.audio.close()
        self.audio = None
        self._beats = 0
        self._problem("audio", "")
        if not audio.on:
            return
        absent = missing(AUDIO_MODULES) if self._services.audio is PortAudio else ""
        if absent:
            self._problem("audio", absent)
        else:
            self.audio = AudioInput(self._services.audio, audio.device, self._woken)

    def _problem(self, part: str, text: str) -> None:
        if text and self.problems.get(part) != text:
            self._tell_error(text)
        self.problems = {**self.problems, part: text}

    # Once a frame

    def tick(self, history: History, classes: int = 0) -> None:
        """Move the scene as what came in says. `classes` is how many the model has, 0 for none."""
        now = self._clock()
        dt = min(max(now - self._last, 0.0), LONGEST_STEP_S)
        self._last = now
        table = self._osc.table(history.scene, classes)
        before = history.scene
        names: list[str] = []
        scene = before
        heard = self._osc.take()
        self._actions.extend(heard.actions)
        if heard.values or heard.actions:
            self._heard_at = now
        for path, value in heard.values.items():
            scene = self._set_address(scene, table, path, value, names)
        self._osc.answer(heard.askers, scene)
        newest, pressed = self._inbox.take()
        self._learn(newest, pressed, now, scene)
        self._note(newest, now)
        scene = self._follow(scene, newest, dt, names)
        self._apply(history, scene, names)
        self._listen(history.scene, dt)
        self._trigger(pressed)
        self._osc.send(history.scene, heard.values)
        self._look_after_threads()
        self._grumble.tick(now)
        if self._unsaved_since is not None and now - self._unsaved_since >= SAVE_PAUSE_S:
            self._save()

    def overlay(self, request: RenderRequest) -> RenderRequest:
        """`request` with what the sound adds to it now."""
        if not self._offsets:
            return request
        scene = Scene().with_request(request)
        for control, offset in self._offsets:
            value = control.read(scene) + offset
            # A value that was typed may lie beyond the slider's range; sound goes no further.
            low, high = min(control.low, control.read(scene)), max(control.high, control.read(scene))
            scene = control.set(scene, min(max(value, low), high))
        return scene.request()

    @property
    def moving(self) -> bool:
        """Whether something comes in or moves, so that the window should not doze."""
        return (
            self._clock() - self._heard_at < LIVELY_S
            or any(follower.moving for follower in self._followers)
            or (self.audio is not None and self.audio.listening)
            or self.learning is not None
        )

    def take_actions(self) -> tuple[str, ...]:
        """Ids of the actions to do now, in order."""
        actions = tuple(self._actions)
        self._actions.clear()
        return actions

    def addresses(self, scene: Scene, classes: int = 0) -> tuple[Address, ...]:
        """What OSC can say, for the panel."""
        return tuple(self._osc.table(scene, classes).values())

    def waiting(self, mapping: Mapping) -> bool:
        """Whether a mapping's knob has still to come to where its control is."""
        return any(follower.waiting for follower in self._followers if follower.mapping == mapping)

    @property
    def heard(self) -> Heard:
        """What the sound is like now."""
        return self.audio.heard if self.audio is not None else Heard()

    @property
    def brings_midi(self) -> bool:
        """Whether MIDI comes from elsewhere than the optional libraries."""
        return self._services.midi is not RtMidi

    @property
    def brings_audio(self) -> bool:
        """Whether sound comes from elsewhere than the optional library."""
        return self._services.audio is not PortAudio

    def close(self) -> None:
        """End the threads, and keep what is not kept yet."""
        if self._unsaved_since is not None:
            self._save()
        self._osc.close()
        for part in (self.midi, self.audio):
            if part is not None:
                part.close()
        self.midi = self.audio = None

    def _woken(self) -> None:
        self.wake()

    def _save(self) -> None:
        self._unsaved_since = None
        self._keep(self.settings)

    def _set_address(self, scene: Scene, table: dict[str, Address], path: str, value: Value, names: list[str]) -> Scene:
        address = table.get(path)
        if address is None or address.write is None or address.read is None:
            return scene  # its direction has gone since it came
        if address.kind == "number" and single(float(address.read(scene))) == single(float(value)):
            return scene  # an echo of ours, rounded on its way
        return self._edited(scene, address.name, lambda: address.write(scene, value), names)  # type: ignore[misc]

    def _edited(self, scene: Scene, name: str, edit: Callable[[], Scene], names: list[str]) -> Scene:
        try:
            after = edit()
        except ValueError as error:
            self._grumble.add(str(error))
            return scene
        if after != scene:
            names.append(name)
        return after

    def _note(self, newest: dict[Source, float], now: float) -> None:
        if not newest:
            return
        self._heard_at = now
        mapped = self.settings.sources
        for source, x in newest.items():
            if source in mapped:
                self.levels[source] = x
            if source in self.recent:
                self.recent.remove(source)
            self.recent.append(source)

    def _follow(self, scene: Scene, newest: dict[Source, float], dt: float, names: list[str]) -> Scene:
        if not self._followers:
            return scene
        controls = {control.id: control for control in controls_of(scene)}
        for follower in self._followers:
            control = controls.get(follower.mapping.control)
            if control is None:
                continue  # a direction that this scene is not pushed along
            if follower.mapping.source in newest:
                follower.receive(newest[follower.mapping.source])
            value = follower.step(control.read(scene), dt)
            if value is not None:
                scene = self._edited(scene, control.label, partial(control.set, scene, value), names)
                follower.wrote(control.read(scene))
        return scene

    def _apply(self, history: History, after: Scene, names: list[str]) -> None:
        """One edit a frame. Several controls, or sources, moving at once are one step together, not one each a frame;
        and what moves while a slider is held is part of that slider's step.
        """
        if after == history.scene:
            return
        going = history.open_gesture(REST_S)
        name = f"live {names[0]}" if len(set(names)) == 1 else SEVERAL
        if going is not None and going != self._gesture:
            name = going
        else:
            if going is not None and going != name:
                name = SEVERAL
            self._gesture = name
        history.apply(name, lambda _: after, pause=REST_S)

    # Learning

    def learn(self, wish: Learn | None) -> None:
        """Wait for a source to move; None stops waiting."""
        self.learning, self._candidate = wish, None

    def _learn(self, newest: dict[Source, float], pressed: list[Source], now: float, scene: Scene) -> None:
        wish = self.learning
        if wish is None:
            return
        if wish.action:
            if pressed:
                self.add_trigger(Trigger(source=pressed[-1], action=wish.action))
                self.learning = None
            return
        moved = [source for source in newest if not source.name.startswith("note ")]
        fine = [source for source in moved if source.name.startswith("cc14 ")]
        if self._candidate is None and moved:
            self._candidate = (moved[-1], now)
        if self._candidate is None:
            return
        source, since = self._candidate
        if fine:
            source = fine[-1]
        elif source.name.startswith("cc ") and now - since < PAIR_S:
            return
        self.learn(None)
        control = next((c for c in controls_of(scene) if c.id == wish.control), None)
        if control is not None:
            self.add(Mapping(source=source, control=control.id, low=control.low, high=control.high))

    def _trigger(self, pressed: list[Source]) -> None:
        for source in pressed:
            self._actions.extend(
                trigger.action
                for trigger in self.settings.triggers
                if trigger.source == source and trigger.action in LIVE_ACTIONS
            )

    # Sound

    def _listen(self, scene: Scene, dt: float) -> None:
        self._offsets = ()
        if self.audio is None or not self.audio.listening:
            return
        heard = self.audio.heard
        beat = Source(kind="audio", name="beat")
        if heard.beats > self._beats:
            self._trigger([beat])
        self._beats = heard.beats
        for name in SIGNALS:
            self.levels[Source(kind="audio", name=name)] = heard.signal(name)
        controls = {control.id: control for control in controls_of(scene) if control.modulated}
        offsets: list[tuple[Control, float]] = []
        for modulator in self._modulators:
            mapping = modulator.mapping
            if mapping.control in controls and mapping.source.name in SIGNALS:
                offsets.append((controls[mapping.control], modulator.step(heard.signal(mapping.source.name), dt)))
        self._offsets = tuple(offsets)

    def _look_after_threads(self) -> None:
        if self.midi is not None:
            self._problem("midi", self.midi.problem)
        if self.audio is not None:
            self._problem("audio", self.audio.problem)
