"""Live control as the session holds it: once a frame it takes what the threads received and moves the scene.

    OSC, MIDI threads -> Inbox -> tick -> history.apply, once a frame, in one gesture until it rests
    sound thread      -> tick -> overlay(request)

What knobs and messages set is part of the document, as if a slider had moved. What sound adds is not: it goes onto the
request alone, which is what recordings keep.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from app.document.history import History
from app.document.scene import Scene
from app.live.addresses import LIVE_ACTIONS, Address
from app.live.audio import SIGNALS, AudioFeatures
from app.live.audio_input import AudioInput
from app.live.devices import Devices, LiveServices
from app.live.inbox import Inbox, RateLimitedLog
from app.live.knobs import FrameEdit, Knobs
from app.live.learning import Learner, LearnTarget
from app.live.mapping import ControlMapping, InputSource, Trigger
from app.live.midi import MidiInput
from app.live.osc import Value
from app.live.packets import single
from app.live.settings import LiveSettings
from app.live.sound import SoundModulation
from core.request import RenderRequest

# A performance that rested for so long is a step of undo.
REST_S = 1.0
# The window draws at its full rate for so long after something came in.
LIVELY_S = 2.0
LONGEST_STEP_S = 0.25
SAVE_PAUSE_S = 0.5
RECENT_SOURCES = 8
ACTIONS_A_FRAME = 32
SEVERAL = "live controls"

_BEAT = InputSource(kind="audio", name="beat")


class LiveControl:
    """Belongs to the UI thread; `close` it.

    `save` is called with settings that changed, `report` with what does not work, and `report_quietly`, now and then,
    with what came in and was not understood.
    """

    def __init__(
        self,
        settings: LiveSettings,
        services: LiveServices,
        save: Callable[[LiveSettings], None],
        report: Callable[[str], None],
        report_quietly: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = LiveSettings()
        self.wake: Callable[[], None] = lambda: None
        """Ends the window's doze; called from any thread."""
        self.levels: dict[InputSource, float] = {}
        """The last value of every source that is mapped."""
        self.recent: deque[InputSource] = deque(maxlen=RECENT_SOURCES)
        """What moved last, newest last."""
        self._save_settings = save
        self._report = report
        self._clock = clock
        self._inbox = Inbox(self._woken)
        self._log = RateLimitedLog(report_quietly)
        self._devices = Devices(services, self._inbox, self._log, report, self._woken)
        self._knobs = Knobs()
        self._sound = SoundModulation()
        self._learner = Learner()
        self._actions: deque[str] = deque(maxlen=ACTIONS_A_FRAME)
        self._beats = 0
        self._last = self._clock()
        self._received_at = -math.inf
        self._unsaved_since: float | None = None
        self._gesture = ""
        self._use(settings)

    # Settings

    def change(self, settings: LiveSettings) -> None:
        """Take other settings, and save them once they rest."""
        if settings != self.settings:
            self._use(settings)
            self._unsaved_since = self._clock()

    def add(self, mapping: ControlMapping) -> None:
        """Map a source to a control, in the place of what it did to that control before."""
        others = [m for m in self.settings.mappings if (m.source, m.control) != (mapping.source, mapping.control)]
        self._change_or_report(lambda: replace(self.settings, mappings=(*others, mapping)))

    def add_trigger(self, trigger: Trigger) -> None:
        """Let a source do an action."""
        others = [t for t in self.settings.triggers if t != trigger]
        self._change_or_report(lambda: replace(self.settings, triggers=(*others, trigger)))

    def learn(self, target: LearnTarget | None) -> None:
        """Map the next source that moves; None stops waiting for one."""
        self._learner.wait_for(target)

    def _change_or_report(self, make: Callable[[], LiveSettings]) -> None:
        try:
            self.change(make())
        except ValueError as error:
            self._report(str(error))

    def _use(self, settings: LiveSettings) -> None:
        before, self.settings = self.settings, settings
        self._devices.change(before, settings)
        if settings.audio != before.audio:
            self._beats = 0
        self._knobs.use([mapping for mapping in settings.mappings if mapping.source.kind != "audio"])
        self._sound.use([mapping for mapping in settings.mappings if mapping.source.kind == "audio"])
        self.levels = {source: x for source, x in self.levels.items() if source in settings.sources}

    # Once a frame

    def tick(self, history: History, classes: int = 0) -> None:
        """Move the scene by what was received. `classes` is how many the model has, 0 for none."""
        now = self._clock()
        dt = min(max(now - self._last, 0.0), LONGEST_STEP_S)
        self._last = now
        osc = self._devices.osc
        table = osc.table(history.scene, classes)
        edit = FrameEdit(history.scene, self._log)
        received = osc.take()
        self._actions.extend(received.actions)
        if received.values or received.actions:
            self._received_at = now
        for path, value in received.values.items():
            _set_address(edit, table.get(path), value)
        osc.answer(received.askers, edit.scene)
        newest, pressed = self._inbox.take()
        self._keep_learnt(self._learner.step(list(newest), pressed, now, edit.scene))
        self._note(newest, now)
        self._knobs.step(edit, newest, dt)
        self._commit(history, edit)
        self._listen(history.scene, dt)
        self._trigger(pressed)
        osc.send(history.scene, received.values)
        self._devices.check()
        self._log.tick(now)
        if self._unsaved_since is not None and now - self._unsaved_since >= SAVE_PAUSE_S:
            self._save()

    def overlay(self, request: RenderRequest) -> RenderRequest:
        """`request` with what the sound adds to it now."""
        return self._sound.overlay(request)

    def take_actions(self) -> tuple[str, ...]:
        """Ids of the actions to do now, in order."""
        actions = tuple(self._actions)
        self._actions.clear()
        return actions

    def close(self) -> None:
        """End the threads, and save what is not saved yet."""
        if self._unsaved_since is not None:
            self._save()
        self._devices.close()

    # For the panel

    @property
    def moving(self) -> bool:
        """Whether something comes in or moves, so that the window should not doze."""
        return (
            self._clock() - self._received_at < LIVELY_S
            or self._knobs.moving
            or (self.audio is not None and self.audio.listening)
            or self.learning is not None
        )

    @property
    def learning(self) -> LearnTarget | None:
        """What the next source that moves is to be for."""
        return self._learner.target

    @property
    def problems(self) -> Mapping[str, str]:
        """Why "osc", "midi" or "audio" does not work although it is on."""
        return self._devices.problems

    @property
    def midi(self) -> MidiInput | None:
        return self._devices.midi

    @property
    def audio(self) -> AudioInput | None:
        return self._devices.audio

    @property
    def sound(self) -> AudioFeatures:
        """Features of the sound now."""
        return self.audio.features if self.audio is not None else AudioFeatures()

    @property
    def own_midi(self) -> bool:
        """Whether MIDI comes from the optional libraries."""
        return self._devices.own_midi

    @property
    def own_audio(self) -> bool:
        """Whether sound comes from the optional library."""
        return self._devices.own_audio

    def addresses(self, scene: Scene, classes: int = 0) -> tuple[Address, ...]:
        """All OSC addresses of a scene and a model with so many classes."""
        return tuple(self._devices.osc.table(scene, classes).values())

    def waiting(self, mapping: ControlMapping) -> bool:
        """Whether a mapping's knob has still to come to where its control is."""
        return self._knobs.waiting(mapping)

    # Parts of a tick

    def _keep_learnt(self, learnt: ControlMapping | Trigger | None) -> None:
        if isinstance(learnt, Trigger):
            self.add_trigger(learnt)
        elif learnt is not None:
            self.add(learnt)

    def _note(self, newest: Mapping[InputSource, float], now: float) -> None:
        if not newest:
            return
        self._received_at = now
        mapped = self.settings.sources
        for source, x in newest.items():
            if source in mapped:
                self.levels[source] = x
            if source in self.recent:
                self.recent.remove(source)
            self.recent.append(source)

    def _commit(self, history: History, edit: FrameEdit) -> None:
        """One edit a frame. Several controls, or sources, moving at once are one step together, not one each a frame;
        and what moves while a slider is held is part of that slider's step.
        """
        if edit.scene == history.scene:
            return
        going = history.open_gesture(REST_S)
        name = f"live {edit.names[0]}" if len(set(edit.names)) == 1 else SEVERAL
        if going is not None and going != self._gesture:
            name = going
        else:
            if going is not None and going != name:
                name = SEVERAL
            self._gesture = name
        history.apply(name, lambda _: edit.scene, pause=REST_S)

    def _listen(self, scene: Scene, dt: float) -> None:
        if self.audio is None or not self.audio.listening:
            self._sound.silence()
            return
        features = self.audio.features
        if features.beats > self._beats:
            self._trigger([_BEAT])
        self._beats = features.beats
        for name in SIGNALS:
            self.levels[InputSource(kind="audio", name=name)] = features.signal(name)
        self._sound.step(scene, features, dt)

    def _trigger(self, pressed: Iterable[InputSource]) -> None:
        for source in pressed:
            self._actions.extend(
                trigger.action
                for trigger in self.settings.triggers
                if trigger.source == source and trigger.action in LIVE_ACTIONS
            )

    def _woken(self) -> None:
        self.wake()

    def _save(self) -> None:
        self._unsaved_since = None
        self._save_settings(self.settings)


def _set_address(edit: FrameEdit, address: Address | None, value: Value) -> None:
    if address is None or address.write is None or address.read is None:
        return  # its direction has gone since it came
    if address.kind == "number" and single(float(address.read(edit.scene))) == single(float(value)):
        return  # an echo of ours, rounded on its way
    edit.apply(address.name, partial(_written, address.write, value))


def _written(write: Callable[[Scene, Value], Scene], value: Value, scene: Scene) -> Scene:
    return write(scene, value)
