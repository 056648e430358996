"""The scene's numbers by name: each control is declared once, here.

Panels, the timeline's tracks, knobs, sound and OSC all read this declaration: range, what may be typed, default, help
and address.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from app.document.fields import with_field
from app.document.placement import MAX_MOVE, MIN_SCALE, Placement
from app.document.scene import REQUEST_FIELDS, Scene
from core.request import AMOUNT_LIMIT, LAYER_LIMIT, Push, bounds_of

# The integers of OSC messages and of ImGui's widgets have 32 bits; a file may hold larger seeds.
LARGEST_WHOLE = 2**31 - 1

_DEFAULT = Scene()


@dataclass(frozen=True, kw_only=True)
class Control:
    """One number of the scene."""

    id: str
    """Also the last part of its OSC address, and the name of its track."""
    label: str
    low: float
    high: float
    """The range of its slider, and of a knob that is mapped to it."""
    limit: tuple[float, float]
    """The range of a value that is typed or sent; all of it is kept."""
    help: str
    read: Callable[[Scene], float]
    write: Callable[[Scene, float], Scene]
    row: str = ""
    """Label of its row in a panel; empty is `label`."""
    shown: str = "%.2f"
    """How a slider writes the value, as for printf."""
    logarithmic: bool = False
    """Whether its slider is."""
    whole: bool = False
    """Whether it takes whole numbers only."""
    trackable: bool = True
    """Whether it can be a function of the timeline's time."""
    modulated: bool = True
    """Whether sound can add to it: to what a request holds, not to how the scene plays."""

    @property
    def default(self) -> float:
        return self.read(_DEFAULT)

    def set(self, scene: Scene, value: float) -> Scene:
        """`scene` with this control at `value`, clamped and rounded. Raises `ValueError` for what is no number."""
        if not math.isfinite(value):
            raise ValueError(f"{self.id}: expected a finite number, got {value!r}")
        value = min(max(value, self.limit[0]), self.limit[1])
        return self.write(scene, round(value) if self.whole else float(value))


def _field(
    name: str,
    label: str,
    low: float,
    high: float,
    help_text: str,
    *,
    row: str = "",
    shown: str = "",
    logarithmic: bool = False,
    trackable: bool = True,
) -> Control:
    """A field of the scene. What may be typed is what the field's bounds allow."""
    least, most = bounds_of(Scene, name)
    whole = type(getattr(_DEFAULT, name)) is int
    return Control(
        id=name,
        label=label,
        low=low,
        high=high,
        limit=(least, min(most, LARGEST_WHOLE) if whole else most),
        help=help_text,
        read=lambda scene: float(getattr(scene, name)),
        write=lambda scene, value: with_field(scene, name, value),
        row=row,
        shown=shown or ("%d" if whole else "%.2f"),
        logarithmic=logarithmic,
        whole=whole,
        trackable=trackable,
        modulated=name in REQUEST_FIELDS,
    )


def _placement(
    name: str,
    label: str,
    low: float,
    high: float,
    help_text: str,
    *,
    limit: tuple[float, float],
    shown: str = "%.2f",
    logarithmic: bool = False,
) -> Control:
    return Control(
        id=f"input_{name}",
        label=label,
        low=low,
        high=high,
        limit=limit,
        help=help_text,
        read=lambda scene: float(getattr(Placement.of(scene), name)),
        write=lambda scene, value: with_field(Placement.of(scene), name, value).applied(scene),
        shown=shown,
        logarithmic=logarithmic,
    )


CONTROLS: tuple[Control, ...] = (
    _field(
        "seed_x",
        "seed x",
        0.0,
        100.0,
        "Place on the seed plane, to the right. Between whole numbers, which are seeds, the picture glides.",
    ),
    _field("seed_y", "seed y", 0.0, 100.0, "Place on the seed plane, downwards; one step is 100 seeds."),
    _field(
        "psi",
        "psi",
        -1.0,
        2.0,
        "Truncation: 0 is the most typical picture, 1 the model's full variety, above 1 it exaggerates.",
    ),
    _field(
        "cutoff",
        "cutoff",
        0.0,
        float(LAYER_LIMIT),
        "How many layers, from the coarsest on, truncation acts on; the finer ones keep their variety.",
    ),
    _field(
        "blend", "blend", 0.0, 1.0, "How far the picture is on its way from the first prompt or class to the second."
    ),
    _field("blend_y", "blend y", 0.0, 1.0, "How far the picture is on its way from A and B to C and D on the pad."),
    _field(
        "crossfade",
        "crossfade",
        0.0,
        bounds_of(Scene, "crossfade")[1],
        "How long the picture takes to go over to another prompt or class, in seconds; 0 cuts.",
        shown="%.2f s",
        logarithmic=True,
        trackable=False,
    ),
    _field(
        "noise_strength",
        "noise strength",
        0.0,
        2.0,
        "How strong the grain is, times what the model learnt; 0 is without.",
        row="strength",
    ),
    _field(
        "noise_seed",
        "noise seed",
        0.0,
        1000.0,
        "Which random noise is drawn; equal seeds give equal noise.",
        shown="seed %d",
    ),
    _placement(
        "x", "move x", -1.0, 1.0, "Moves the picture's content to the right, in widths.", limit=(-MAX_MOVE, MAX_MOVE)
    ),
    _placement(
        "y", "move y", -1.0, 1.0, "Moves the picture's content downwards, in widths.", limit=(-MAX_MOVE, MAX_MOVE)
    ),
    _placement(
        "turn",
        "turn",
        -180.0,
        180.0,
        "Turns the picture's content clockwise, in degrees.",
        limit=(-180.0, 180.0),
        shown="%.0f°",
    ),
    _placement(
        "scale",
        "scale",
        0.25,
        4.0,
        "Makes the picture's content larger or smaller.",
        limit=(MIN_SCALE, 1 / MIN_SCALE),
        shown="%.2f×",
        logarithmic=True,
    ),
    _field(
        "path_size",
        "reach",
        0.0,
        10.0,
        "How far from the seed the path goes, in seeds; an endless walk goes about this far in a round.",
        shown="%.1f seeds",
    ),
    _field("path_seed", "path seed", 0.0, 1000.0, "Which of the many random paths; equal seeds give equal paths."),
    _field(
        "loop_seconds",
        "seconds a round",
        1.0,
        60.0,
        "How long one round of play takes, in seconds.",
        row="speed",
        shown="%.1f s a round",
        logarithmic=True,
        trackable=False,
    ),
)

_BY_ID = {control.id: control for control in CONTROLS}


def control(name: str) -> Control:
    """A fixed control by its id. Raises `KeyError`."""
    return _BY_ID[name]


def controls_of(scene: Scene) -> tuple[Control, ...]:
    """All controls of a scene: the fixed ones, and one for each of its steps along a direction."""
    return CONTROLS + tuple(push_control(index, push) for index, push in enumerate(scene.pushes))


def push_control(index: int, push: Push) -> Control:
    """The amount of the scene's step `index`, as long as it is along the direction of `push`."""

    def amount(scene: Scene) -> float:
        return scene.pushes[index].amount if index < len(scene.pushes) else 0.0

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
        limit=(-AMOUNT_LIMIT, AMOUNT_LIMIT),
        help=f"How far along the direction {name!r}.",
        read=amount,
        write=write,
    )
