"""What the explorer opens with: the scene of the last session, a checkpoint, or a training run. No GUI here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from app.document.scene import Scene
from app.explorer.messages import Messages
from app.explorer.rendering.run_follower import is_whole
from app.explorer.storage.settings import SettingsStore
from app.runs import LATEST


@dataclass(frozen=True, kw_only=True)
class Startup:
    """How a session begins."""

    scene: Scene
    restored: bool
    """Whether the scene is that of the last session."""
    run: Path | None
    """The training run to follow."""
    checkpoint: Path | None
    """The model that was asked for."""


def plan_startup(store: SettingsStore, checkpoint: Path | None, messages: Messages) -> Startup:
    """The scene and the model to begin with. `checkpoint` is a model's file, or the folder of a training run."""
    restored, problem = store.load_scene()
    if problem:
        messages.error(problem)
    scene = first_scene() if restored is None else restored
    run = checkpoint.resolve() if checkpoint is not None and checkpoint.is_dir() else None
    if run is not None:
        checkpoint = run / LATEST if is_whole(run / LATEST) else None
    if checkpoint is not None:
        scene = replace(scene, checkpoint=str(checkpoint if run is not None else checkpoint.resolve()))
    return Startup(scene=scene, restored=restored is not None, run=run, checkpoint=checkpoint)


def first_scene() -> Scene:
    """The scene of the very first start."""
    return Scene(prompt="snowy mountains at sunset, watercolor", psi=0.7)
