"""The Seed menu."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from app.document import seed_plane
from app.explorer.actions.action import Action, fixed_label
from app.explorer.session import Session


def _step_seed(dx: int, dy: int) -> Callable[[Session], None]:
    return lambda session: session.history.step("seed", lambda scene: seed_plane.stepped(scene, dx, dy))


ACTIONS: tuple[Action, ...] = (
    Action(
        id="seed_right",
        menu="Seed",
        label=fixed_label("Next seed"),
        run=_step_seed(1, 0),
        shortcut="Right",
        tooltip="To the next whole seed.",
        repeat=True,
    ),
    Action(
        id="seed_left",
        menu="Seed",
        label=fixed_label("Previous seed"),
        run=_step_seed(-1, 0),
        shortcut="Left",
        repeat=True,
    ),
    Action(id="seed_up", menu="Seed", label=fixed_label("A row up"), run=_step_seed(0, -1), shortcut="Up", repeat=True),
    Action(
        id="seed_down", menu="Seed", label=fixed_label("A row down"), run=_step_seed(0, 1), shortcut="Down", repeat=True
    ),
    Action(
        id="seed_home",
        menu="Seed",
        label=fixed_label("To seed 0"),
        run=lambda session: session.history.step("seed 0", lambda scene: replace(scene, seed_x=0.0, seed_y=0.0)),
        shortcut="Shift+Home",
        enabled=lambda session: (session.history.scene.seed_x, session.history.scene.seed_y) != (0.0, 0.0),
    ),
    Action(
        id="snap",
        menu="Seed",
        label=fixed_label("Snap to whole seeds"),
        run=lambda session: session.preferences.set_walk(snap=not session.preferences.settings.snap_seeds),
        shortcut="S",
        checked=lambda session: session.preferences.settings.snap_seeds,
        tooltip="A drag across the picture stops at whole seeds only.",
        separator=True,
    ),
    Action(
        id="reset_step",
        menu="Seed",
        label=lambda session: f"Reset the step ({seed_plane.step_text(session.preferences.settings.walk_step)})",
        run=lambda session: session.preferences.set_walk(step=seed_plane.STEP),
        enabled=lambda session: session.preferences.settings.walk_step != seed_plane.STEP,
        tooltip="How far a drag across the picture goes; the wheel over the picture changes it.",
    ),
)
