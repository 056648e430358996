"""From a knob or a sound to a control: gain, curve, range and smoothing, as numbers; nothing here is ever evaluated.

A knob (MIDI, or an OSC address of somebody else's layout) sets its control and is undone like a slider. Sound does not
set anything: it is added to what the scene says while it sounds, as an LFO on a synthesizer is, so that silence leaves
the picture where the sliders are, and undo never sees it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

SourceKind = Literal["osc", "midi", "audio"]
Curve = Literal["linear", "exp"]
CURVES: tuple[Curve, ...] = get_args(Curve)

GAIN_LIMIT = 100.0
LONGEST_SMOOTHING_S = 10.0
NAME_LIMIT = 200
# The exp curve: half of the knob's way is about a tenth of the range's.
STEEPNESS = 4.0
# How near a knob must come to its control's value to take it over, in parts of the range.
PICKUP_REACH = 0.02
# Nearer than this, in parts of the range, a smoothed value has arrived.
ARRIVED = 1e-4


@dataclass(frozen=True, kw_only=True)
class InputSource:
    """An input that values come from. Raises `ValueError` for an empty or a very long name."""

    kind: SourceKind
    name: str
    """An OSC address; "cc 1/74", "cc14 1/1", "note 10/36" or "bend 1" (channel, then number); or one of
    `audio.SIGNALS`.
    """
    device: str = ""
    """The MIDI input's name; empty for the others."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(SourceKind):
            raise ValueError(f"kind: expected one of {', '.join(get_args(SourceKind))}, got {self.kind!r}")
        if not 0 < len(self.name) <= NAME_LIMIT or len(self.device) > NAME_LIMIT:
            raise ValueError(f"source: expected a name of 1 to {NAME_LIMIT} characters, got {self.name!r:.80}")


@dataclass(frozen=True, kw_only=True)
class ControlMapping:
    """One source moves one control. Raises `ValueError` for numbers out of range."""

    source: InputSource
    control: str
    """A control's id (`app.document.controls`)."""
    low: float = 0.0
    """The control's value where the source is 0; for sound, what is added to it in silence."""
    high: float = 1.0
    """The control's value where the source is 1; for sound, what is added to it at the loudest. May be below `low`."""
    gain: float = 1.0
    """The source is multiplied by it first, then cut to 0..1."""
    smoothing: float = 0.0
    """Time constant in seconds: after so long, 63 % of the way is done."""
    invert: bool = False
    curve: Curve = "linear"
    pickup: bool = False
    """Whether a knob moves nothing until it has come to where the control is (soft takeover)."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("low", -1e9, 1e9),
            ("high", -1e9, 1e9),
            ("gain", 0.0, GAIN_LIMIT),
            ("smoothing", 0.0, LONGEST_SMOOTHING_S),
        ):
            value = getattr(self, name)
            if not math.isfinite(value) or not low <= value <= high:
                raise ValueError(f"{name}: expected a number from {low:g} to {high:g}, got {value!r}")
        if self.curve not in CURVES:
            raise ValueError(f"curve: expected one of {', '.join(CURVES)}, got {self.curve!r}")

    def shaped(self, x: float) -> float:
        """The source's value after gain, inversion and curve: 0 to 1."""
        x = min(max(x * self.gain, 0.0), 1.0)
        if self.invert:
            x = 1.0 - x
        return math.expm1(STEEPNESS * x) / math.expm1(STEEPNESS) if self.curve == "exp" else x

    def value(self, x: float) -> float:
        """The control's value, or offset, for the source's value `x`."""
        return self.low + (self.high - self.low) * self.shaped(x)

    @property
    def span(self) -> float:
        return abs(self.high - self.low)


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """A note, a button or a beat does an action."""

    source: InputSource
    action: str
    """An action's id (`addresses.LIVE_ACTIONS`)."""


def approach(value: float, goal: float, seconds: float, dt: float) -> float:
    """`value` after `dt` seconds of exponential approach to `goal` with time constant `seconds`; steps compose."""
    return goal + (value - goal) * math.exp(-dt / seconds) if seconds > 0.0 else goal


class KnobFollower:
    """Carries a knob's movements to its control: smoothing and pickup, step by step."""

    def __init__(self, mapping: ControlMapping) -> None:
        self.mapping = mapping
        self._incoming: float | None = None
        self._knob: float | None = None
        self._held = False
        self._value: float | None = None
        self._goal: float | None = None
        self._wrote: float | None = None

    @property
    def moving(self) -> bool:
        """Whether the control is still on its way to where the knob is."""
        return self._goal is not None or self._incoming is not None

    @property
    def waiting(self) -> bool:
        """Whether the knob has moved but not yet come to where the control is."""
        return self.mapping.pickup and not self._held and self._knob is not None

    def receive(self, x: float) -> None:
        """The source's newest value."""
        self._incoming = self.mapping.value(x)

    def step(self, current: float, dt: float) -> float | None:
        """The value that the control, which is at `current`, should take now; None leaves it alone."""
        if self._wrote is not None and abs(current - self._wrote) > ARRIVED * self.mapping.span:
            # Somebody else has moved it: a slider, undo, another knob. They win, until this knob moves again.
            self._goal = self._value = self._wrote = None
            self._held = False
        if self._incoming is not None:
            before, self._knob, self._incoming = self._knob, self._incoming, None
            if self._picks_up(before, self._knob, current):
                self._held = True
                self._goal = self._knob
                if self._value is None:
                    self._value = current
        if self._goal is None or self._value is None:
            return None
        self._value = approach(self._value, self._goal, self.mapping.smoothing, dt)
        if abs(self._value - self._goal) <= ARRIVED * self.mapping.span:
            self._value, self._goal = self._goal, None
        return self._value

    def wrote(self, current: float) -> None:
        """The control's value after it was set, which may have been rounded and clamped."""
        self._wrote = current

    def _picks_up(self, before: float | None, knob: float, current: float) -> bool:
        if not self.mapping.pickup or self._held:
            return True
        near = abs(knob - current) <= PICKUP_REACH * self.mapping.span
        return near or (before is not None and (before - current) * (knob - current) <= 0.0)


class Modulator:
    """Smoothed offset that a sound adds to its control."""

    def __init__(self, mapping: ControlMapping) -> None:
        self.mapping = mapping
        self._value: float | None = None

    def step(self, x: float, dt: float) -> float:
        """The offset for the signal `x`, `dt` seconds after the last step."""
        goal = self.mapping.value(x)
        start = self.mapping.value(0.0) if self._value is None else self._value
        self._value = approach(start, goal, self.mapping.smoothing, dt)
        return self._value
