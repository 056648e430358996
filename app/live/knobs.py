"""Edits of the document by OSC messages and knobs: those of one frame, and knobs that approach a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from app.document.controls import controls_of
from app.document.scene import Scene
from app.live.inbox import RateLimitedLog
from app.live.mapping import ControlMapping, InputSource, KnobFollower


class FrameEdit:
    """The scene with the edits of one frame, and the names of those that changed it."""

    def __init__(self, scene: Scene, log: RateLimitedLog) -> None:
        self.scene = scene
        self.names: list[str] = []
        self._log = log

    def apply(self, name: str, edit: Callable[[Scene], Scene]) -> None:
        """Edit the scene; what an edit refuses goes to the log and changes nothing."""
        try:
            after = edit(self.scene)
        except ValueError as error:
            self._log.add(str(error))
            return
        if after != self.scene:
            self.names.append(name)
        self.scene = after


class Knobs:
    """The followers of all mappings of OSC and MIDI, stepped once a frame."""

    def __init__(self) -> None:
        self._followers: list[KnobFollower] = []

    def use(self, mappings: Sequence[ControlMapping]) -> None:
        """Take other mappings; those that stay go on where they are."""
        kept = {follower.mapping: follower for follower in self._followers}
        self._followers = [kept.get(mapping) or KnobFollower(mapping) for mapping in mappings]

    @property
    def moving(self) -> bool:
        """Whether a control is still on its way to its knob."""
        return any(follower.moving for follower in self._followers)

    def waiting(self, mapping: ControlMapping) -> bool:
        """Whether a mapping's knob has still to come to where its control is."""
        return any(follower.waiting for follower in self._followers if follower.mapping == mapping)

    def step(self, edit: FrameEdit, newest: Mapping[InputSource, float], dt: float) -> None:
        """Move the controls towards the newest values of their sources, `dt` seconds after the frame before."""
        if not self._followers:
            return
        controls = {control.id: control for control in controls_of(edit.scene)}
        for follower in self._followers:
            control = controls.get(follower.mapping.control)
            if control is None:
                continue  # a direction that this scene is not pushed along
            if follower.mapping.source in newest:
                follower.receive(newest[follower.mapping.source])
            value = follower.step(control.read(edit.scene), dt)
            if value is not None:
                edit.apply(control.label, partial(control.set, value=value))
                follower.wrote(control.read(edit.scene))
