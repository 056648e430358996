"""The Edit menu."""

from __future__ import annotations

import random
from dataclasses import replace

from app.document.placement import Placement
from app.document.scene import Scene
from app.explorer.actions.action import Action, fixed_label
from app.explorer.session import Session
from app.explorer.ui_state import ShowPanel
from core.request import IDENTITY_TRANSFORM, SEEDS_PER_ROW

# Of a scene, what is kept rather than set.
_NO_CONTROLS = (
    "snapshots",
    "keyframes",
    "tracks",
    "duration",
    "loop",
    "bpm",
    "beats_per_bar",
    "snap",
    "unit",
    "quick_prompts",
)


def _undo_label(session: Session) -> str:
    name = session.history.undo_name
    return f"Undo {name}" if name else "Undo"


def _redo_label(session: Session) -> str:
    name = session.history.redo_name
    return f"Redo {name}" if name else "Redo"


def _undo(session: Session) -> None:
    session.history.undo()


def _redo(session: Session) -> None:
    session.history.redo()


def _reset(session: Session) -> None:
    scene = session.history.scene
    kept = {name: getattr(scene, name) for name in ("prompt", "label", "checkpoint", "zoom", "smooth", *_NO_CONTROLS)}
    fresh = Scene(**kept)
    session.playback.transport.rewind()
    session.history.step("reset controls", lambda _: fresh)


def _surprise(session: Session) -> None:
    seed = random.randrange(100_000)
    session.history.step(
        "random seed",
        lambda scene: replace(scene, seed_x=float(seed % SEEDS_PER_ROW), seed_y=float(seed // SEEDS_PER_ROW)),
    )


def _switch_points(session: Session) -> None:
    session.drag.switch()
    if session.drag.on:
        session.ui.request(ShowPanel("Drag points", True))


def _subject(scene: Scene, which: str = "") -> tuple[str, int]:
    return getattr(scene, f"prompt{which}"), getattr(scene, f"label{which}")


def _swap(session: Session) -> None:
    def swap(scene: Scene) -> Scene:
        return replace(scene, prompt=scene.prompt_b, prompt_b=scene.prompt, label=scene.label_b, label_b=scene.label)

    session.history.step("swap A and B", swap)


ACTIONS: tuple[Action, ...] = (
    Action(
        id="undo",
        menu="Edit",
        label=_undo_label,
        run=_undo,
        shortcut="Ctrl+Z",
        enabled=lambda session: session.history.undo_name is not None,
        repeat=True,
    ),
    Action(
        id="redo",
        menu="Edit",
        label=_redo_label,
        run=_redo,
        shortcut="Ctrl+Shift+Z",
        also="Ctrl+Y",
        enabled=lambda session: session.history.redo_name is not None,
        repeat=True,
    ),
    Action(
        id="surprise",
        menu="Edit",
        label=fixed_label("Surprise me"),
        run=_surprise,
        shortcut="Ctrl+D",
        tooltip="Jump to a random seed: another picture of the same prompt.",
        separator=True,
    ),
    Action(
        id="save_latent",
        menu="Edit",
        label=fixed_label("Save latent"),
        run=lambda session: session.vectors.save_latent(),
        shortcut="Ctrl+L",
        enabled=lambda session: session.rendering.frame is not None,
        tooltip="Keep this place, styles and all, to come back to it or to take layers from it.",
    ),
    Action(
        id="drag_points",
        menu="Edit",
        label=fixed_label("Drag points"),
        run=_switch_points,
        shortcut="D",
        enabled=lambda session: session.rendering.frame is not None,
        checked=lambda session: session.drag.on,
        tooltip="The mouse puts points on the picture and pulls each to where it should be; Start moves what is there.",
    ),
    Action(
        id="drag_run",
        menu="Edit",
        label=lambda session: "Stop dragging points" if session.drag.running else "Start dragging points",
        run=lambda session: session.drag.stop() if session.drag.running else session.drag.start(),
        shortcut="Shift+D",
        enabled=lambda session: session.drag.running or (session.drag.on and session.drag.ready),
        tooltip="Move what is under each point towards its target. Stop keeps what was reached, as one step to undo; "
        "another prompt, seed or model stops it too, and then nothing is kept.",
    ),
    Action(
        id="swap",
        menu="Edit",
        label=fixed_label("Swap A and B"),
        run=_swap,
        enabled=lambda session: _subject(session.history.scene) != _subject(session.history.scene, "_b"),
    ),
    Action(id="reset", menu="Edit", label=fixed_label("Reset all controls"), run=_reset),
    Action(
        id="reset_placement",
        menu="Edit",
        label=fixed_label("Reset placement"),
        run=lambda session: session.history.step("reset placement", Placement().applied),
        enabled=lambda session: session.history.scene.transform != IDENTITY_TRANSFORM,
        tooltip="The picture's content back to where it was: not moved, turned or scaled.",
    ),
    Action(
        id="reset_layer_psi",
        menu="Edit",
        label=fixed_label("Clear psi of layers"),
        run=lambda session: session.history.step("clear layers", lambda scene: replace(scene, layer_psi=())),
        enabled=lambda session: bool(session.history.scene.layer_psi),
        tooltip="Every layer follows psi and cutoff again.",
    ),
)
