"""Scene files: the window's document as JSON, with the model that it was made with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from app.document.scene import Scene
from app.errors import UserError, reason
from app.files import write_atomically
from core import values
from core.arithmetic import Arithmetic
from core.model_info import ModelInfo

SUFFIX = ".json"
LARGEST = 16 * 2**20


@dataclass(frozen=True, kw_only=True)
class MadeWith:
    """Name, family and digest of the checkpoint that a scene was made with."""

    name: str
    family: str
    sha256: str
    arithmetic: Arithmetic | None = None
    """How its pictures were calculated, if that is known."""


@dataclass(frozen=True, kw_only=True)
class SceneFile:
    """Contents of a scene file."""

    scene: Scene
    made_with: MadeWith | None = None
    """None in files that do not say it, such as the autosaved ones."""


def save_scene_file(path: Path, scene: Scene, info: ModelInfo | None = None) -> None:
    """Write a scene, with the name and digest of the model if one is loaded. Raises `UserError`."""
    data = scene.to_json()
    if info is not None:
        made_with = MadeWith(name=info.name, family=info.family, sha256=info.sha256, arithmetic=info.arithmetic)
        data["made_with"] = values.to_json(made_with)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(data, ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise UserError(f"{path}: cannot write the scene: {reason(error)}; choose another place") from error


def read_scene_file(path: Path) -> SceneFile:
    """Raises `UserError`, one line, for anything but a scene."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot read the scene: {reason(error)}") from error
    if len(text) > LARGEST:
        raise UserError(f"{path}: expected a scene of at most {LARGEST // 2**20} MB")
    try:
        data = json.loads(text)
        made_with = data.pop("made_with", None) if isinstance(data, dict) else None
        return SceneFile(
            scene=Scene.from_json(data),
            made_with=None if made_with is None else values.from_json(MadeWith, made_with, "made_with"),
        )
    except (ValueError, RecursionError) as error:
        why = "no JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else error
        raise UserError(f"{path}: expected a scene: {why}") from error
