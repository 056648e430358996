"""OSC addresses of Glissando: one for each control, prompt, class, seed and action, each with its type.

The table describes itself: `/glissando/list` answers with it, and the Live panel shows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeGuard

from app.document.controls import Control, controls_of
from app.document.scene import QUICK_PROMPTS, Scene
from app.live.packets import Argument
from core.request import CLASS_LIMIT, SEED_LIMIT, SEEDS_PER_ROW

PREFIX = "/glissando"
LIST = f"{PREFIX}/list"
TEXT_LIMIT = 2000

Kind = Literal["number", "whole", "text", "action"]
# The type tag of each, as OSC writes it.
TAGS: dict[Kind, str] = {"number": "f", "whole": "i", "text": "s", "action": ""}

LIVE_ACTIONS: dict[str, str] = {
    "surprise": "Jump to a random seed.",
    "play": "Play or pause.",
    "rewind": "Back to the start.",
    "snapshot": "Keep this picture as a snapshot.",
    "a_b": "Go over to the other of snapshots A and B.",
    "keyframe": "Put a keyframe here.",
    "keyframe_next": "Go to the next keyframe.",
    "keyframe_previous": "Go to the keyframe before.",
    "swap": "Swap prompts A and B.",
    "reset": "Reset all controls.",
    "undo": "Take the last step back.",
    "redo": "Do it again.",
    "save": "Save the picture.",
    "record": "Begin or end a recording.",
    **{f"use_quick_{place}": f"Make quick prompt {place} the prompt." for place in range(1, QUICK_PROMPTS + 1)},
}
"""The actions that can be done from a distance, by their ids: none that opens a dialog or ends the program."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """An OSC address with type and range."""

    path: str
    kind: Kind
    help: str
    low: float = 0.0
    high: float = 1.0
    name: str = ""
    """Name of its step in the history; for actions, their id."""
    read: Callable[[Scene], float | str] | None = None
    """None for actions."""
    write: Callable[[Scene, Any], Scene] | None = None

    def parse(self, arguments: tuple[Argument, ...]) -> float | int | str | bool:
        """The value of a message's arguments. Raises `ValueError`: what was expected and what came."""
        if self.kind == "action":
            if not arguments:
                return True
            # Buttons send 1 when pressed and 0 when let go.
            if len(arguments) == 1 and isinstance(arguments[0], int | float):
                return bool(arguments[0])
        elif len(arguments) == 1:
            value = arguments[0]
            if self.kind == "text" and isinstance(value, str) and len(value) <= TEXT_LIMIT:
                return value
            if self.kind == "number" and self._has(value):
                return float(value)
            # Faders that can only send floats send 3.0 for 3.
            if self.kind == "whole" and self._has(value) and value == int(value):
                return int(value)
        came = " ".join(map(repr, arguments)) or "nothing"
        raise ValueError(f"{self.path}: expected {self.expected}, got {came:.80}")

    def _has(self, value: Argument) -> TypeGuard[float | int]:
        """Whether `value` is a number in the range."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return math.isfinite(value) and self.low <= value <= self.high

    @property
    def expected(self) -> str:
        """The type and range in words."""
        if self.kind == "action":
            return "no argument, or 1"
        if self.kind == "text":
            return f"one text of at most {TEXT_LIMIT} characters"
        return f"one {'whole ' if self.kind == 'whole' else ''}number from {self.low:.10g} to {self.high:.10g}"

    @property
    def line(self) -> str:
        """One line of the list, for people."""
        takes = f"{self.low:.10g} .. {self.high:.10g}" if self.kind in ("number", "whole") else ""
        return f"{self.path:<32} {TAGS[self.kind]:<2} {takes:<18} {self.help}".rstrip()


def addresses(scene: Scene, classes: int = 0) -> dict[str, Address]:
    """Every address, by its path, for a scene and a model with so many classes (0 is a model without)."""
    table: list[Address] = []
    for which in ("", "_b", "_c", "_d"):
        table.append(_field(f"prompt{which}", "text", f"The {_PLACES[which]} prompt."))
    for which in ("", "_b", "_c", "_d"):
        last = (classes or CLASS_LIMIT) - 1
        table.append(_field(f"label{which}", "whole", f"The {_PLACES[which]} class, counted from 0.", last))
    table.append(
        Address(
            path=f"{PREFIX}/seed",
            kind="whole",
            help="The seed: sets seed_x and seed_y.",
            high=float(SEED_LIMIT - 1),
            name="seed",
            read=lambda scene: int(scene.seed_x + SEEDS_PER_ROW * scene.seed_y) % SEED_LIMIT,
            write=_write_seed,
        )
    )
    table += [_control(control) for control in controls_of(scene)]
    table += [
        Address(path=f"{PREFIX}/action/{action}", kind="action", help=text, name=action)
        for action, text in LIVE_ACTIONS.items()
    ]
    return {address.path: address for address in table}


_PLACES = {"": "first", "_b": "second", "_c": "third", "_d": "fourth"}


def _field(field: str, kind: Kind, help_text: str, high: float = 1.0) -> Address:
    name = field.replace("label", "class")
    return Address(
        path=f"{PREFIX}/{name}",
        kind=kind,
        help=help_text,
        high=high,
        name=name.replace("_", " "),
        read=lambda scene: getattr(scene, field),
        write=lambda scene, value: replace(scene, **{field: value}),
    )


def _write_seed(scene: Scene, seed: int) -> Scene:
    return replace(scene, seed_x=float(seed % SEEDS_PER_ROW), seed_y=float(seed // SEEDS_PER_ROW))


def _control(control: Control) -> Address:
    low, high = control.limit
    return Address(
        path=f"{PREFIX}/{control.id}",
        kind="whole" if control.whole else "number",
        help=control.help,
        low=low,
        high=high,
        name=control.label,
        read=lambda scene: int(control.read(scene)) if control.whole else control.read(scene),
        write=control.set,
    )
