"""The scene's numbers by name: what a track of the timeline, a knob, an OSC message or the soak can move.

Each control is declared once. No GUI here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from app.document.placement import Placement
from app.document.scene import LONGEST_CROSSFADE_S, Scene
from core.request import LAYER_LIMIT, SEED_LIMIT, Push

Needs = Literal["any", "text", "subject", "noise", "transform"]
"""What the model must have for a control to do anything; "subject" is a prompt or a class."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """One number of the scene with the range that a slider or a knob covers."""

    id: str
    """Also the last part of its OSC address."""
    label: str
    low: float
    high: float
    help: str
    read: Callable[[Scene], float]
    write: Callable[[Scene, float], Scene]
    limit: tuple[float, float] | None = None
    """What a typed value may reach; None is `low` to `high`."""
    whole: bool = False
    """Whether only whole numbers make sense."""
    needs: Needs = "any"

    def set(self, scene: Scene, value: float) -> Scene:
        """`scene` with this control at `value`, clamped and rounded. Raises `ValueError` for what is no number."""
        if not math.isfinite(value):
            raise ValueError(f"{self.id}: expected a finite number, got {value!r}")
        low, high = self.limit or (self.low, self.high)
        value = min(max(value, low), high)
        return self.write(scene, round(value) if self.whole else float(value))


def _replaced(scene: Scene, changes: dict[str, Any]) -> Scene:
    return replace(scene, **changes)


def _field(
    name: str,
    label: str,
    low: float,
    high: float,
    help_text: str,
    *,
    limit: tuple[float, float] | None = None,
    whole: bool = False,
    needs: Needs = "any",
) -> Control:
    return Control(
        id=name,
        label=label,
        low=low,
        high=high,
        help=help_text,
        read=lambda scene: float(getattr(scene, name)),
        write=lambda scene, value: _replaced(scene, {name: value}),
        limit=limit,
        whole=whole,
        needs=needs,
    )


def _placement(name: str, label: str, low: float, high: float, help_text: str) -> Control:
    return Control(
        id=f"input_{name}",
        label=label,
        low=low,
        high=high,
        help=help_text,
        read=lambda scene: float(getattr(Placement.of(scene), name)),
        write=lambda scene, value: replace(Placement.of(scene), **{name: value}).applied(scene),
        needs="transform",
    )


_SEEDS = (-float(SEED_LIMIT), float(SEED_LIMIT))

CONTROLS: tuple[Control, ...] = (
    _field("seed_x", "seed x", 0.0, 100.0, "Place on the seed plane, to the right.", limit=_SEEDS),
    _field("seed_y", "seed y", 0.0, 100.0, "Place on the seed plane, downwards.", limit=_SEEDS),
    _field(
        "psi",
        "psi",
        -1.0,
        2.0,
        "Truncation: 0 is the most typical picture, 1 the model's full variety, above 1 it exaggerates.",
        limit=(-10.0, 10.0),
    ),
    _field("cutoff", "cutoff", 0.0, float(LAYER_LIMIT), "How many layers, coarsest first, psi acts on.", whole=True),
    _field("blend", "blend", 0.0, 1.0, "The way from the first prompt or class to the second.", needs="subject"),
    _field("blend_y", "blend y", 0.0, 1.0, "The way from A and B to C and D on the pad.", needs="subject"),
    _field("crossfade", "crossfade", 0.0, LONGEST_CROSSFADE_S, "Seconds to go over to another prompt."),
    _field("noise_strength", "noise strength", 0.0, 2.0, "Times the strength the model learnt.", needs="noise"),
    _field("noise_seed", "noise seed", 0.0, 1000.0, "Which random noise.", whole=True, needs="noise"),
    _placement("x", "move x", -1.0, 1.0, "Moves the picture's content to the right, in widths."),
    _placement("y", "move y", -1.0, 1.0, "Moves the picture's content downwards, in widths."),
    _placement("turn", "turn", -180.0, 180.0, "Turns the picture's content clockwise, in degrees."),
    _placement("scale", "scale", 0.25, 4.0, "Makes the picture's content larger or smaller."),
    _field("path_size", "reach", 0.0, 10.0, "How far play goes from the seed, in seeds.", limit=(0.0, 1000.0)),
    _field("path_seed", "path seed", 0.0, 1000.0, "Which random walk or noise loop.", whole=True),
    _field("loop_seconds", "seconds a round", 1.0, 60.0, "How long one round of play takes.", limit=(0.1, 3600.0)),
)


def controls_of(scene: Scene) -> tuple[Control, ...]:
    """All controls of a scene: the fixed ones, and one for each direction that it is pushed along."""
    return CONTROLS + tuple(_push(index, push) for index, push in enumerate(scene.pushes))


def _push(index: int, push: Push) -> Control:
    def write(scene: Scene, value: float) -> Scene:
        pushes = list(scene.pushes)
        if index < len(pushes) and pushes[index].direction == push.direction:
            pushes[index] = replace(pushes[index], amount=value)
        return replace(scene, pushes=tuple(pushes))

    name = push.direction.rsplit("@")[0]
    return Control(
        id=f"direction_{index + 1}",
        label=name,
        low=-5.0,
        high=5.0,
        help=f"How far along the direction {name!r}.",
        read=lambda scene: scene.pushes[index].amount if index < len(scene.pushes) else 0.0,
        write=write,
        limit=(-100.0, 100.0),
    )
