"""Learning: the next knob, key or address that moves is mapped to a chosen control or action."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.document.controls import controls_of
from app.document.scene import Scene
from app.live.mapping import ControlMapping, InputSource, Trigger

# A 7-bit controller may turn out to be the first half of a 14-bit one.
PAIR_S = 0.15


@dataclass(frozen=True)
class LearnTarget:
    """The control or action that the next source to move is mapped to."""

    control: str = ""
    action: str = ""


class Learner:
    """Waits for a source to move, once a frame."""

    def __init__(self) -> None:
        self.target: LearnTarget | None = None
        self._candidate: tuple[InputSource, float] | None = None

    def wait_for(self, target: LearnTarget | None) -> None:
        """Begin to wait for a source; None stops waiting."""
        self.target, self._candidate = target, None

    def step(
        self, moved: Sequence[InputSource], pressed: Sequence[InputSource], now: float, scene: Scene
    ) -> ControlMapping | Trigger | None:
        """The mapping learnt from the sources that moved and were pressed, newest last, at `now` seconds."""
        if self.target is None:
            return None
        if self.target.action:
            return self._trigger(self.target.action, pressed)
        source = self._knob(moved, now)
        if source is None:
            return None
        name = self.target.control
        self.wait_for(None)
        control = next((control for control in controls_of(scene) if control.id == name), None)
        if control is None:
            return None  # its direction has gone
        return ControlMapping(source=source, control=control.id, low=control.low, high=control.high)

    def _trigger(self, action: str, pressed: Sequence[InputSource]) -> Trigger | None:
        if not pressed:
            return None
        self.wait_for(None)
        return Trigger(source=pressed[-1], action=action)

    def _knob(self, moved: Sequence[InputSource], now: float) -> InputSource | None:
        knobs = [source for source in moved if not source.name.startswith("note ")]
        fine = [source for source in knobs if source.name.startswith("cc14 ")]
        if self._candidate is None and knobs:
            self._candidate = (knobs[-1], now)
        if self._candidate is None:
            return None
        source, since = self._candidate
        if fine:
            return fine[-1]
        return None if source.name.startswith("cc ") and now - since < PAIR_S else source
