"""Edits that change a scene's picture from panels that may be hidden; the status line lists them."""

from __future__ import annotations

from typing import NamedTuple

from app.document.fine_layers import fine_mix
from app.document.scene import Scene
from core.request import IDENTITY_TRANSFORM


class ActiveEdit(NamedTuple):
    """One kind of edit, with the panel that shows it."""

    text: str
    panel: str
    """Title of the panel that changes it."""


def active_edits(scene: Scene) -> list[ActiveEdit]:
    """The directions, mixes and placement of a scene that change its picture."""
    fine = fine_mix(scene)  # which the Prompt panel shows
    pushes = sum(push.amount != 0.0 for push in scene.pushes)
    mixes = sum(mix.amount > 0.0 and mix is not fine for mix in scene.mixes)
    edits = []
    if pushes:
        edits.append(ActiveEdit(_counted(pushes, "direction"), "Directions"))
    if mixes:
        edits.append(ActiveEdit(_counted(mixes, "mix"), "Style mixing"))
    if scene.transform != IDENTITY_TRANSFORM:
        edits.append(ActiveEdit("placed", "Placement"))
    return edits


def _counted(count: int, noun: str) -> str:
    plural = "es" if noun.endswith("x") else "s"
    return f"{count} {noun}{plural if count > 1 else ''}"
