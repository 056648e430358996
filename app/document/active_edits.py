"""What acts on the picture from panels that may be hidden, so that the status line can say it. No GUI here."""

from __future__ import annotations

from typing import NamedTuple

from app.document.fine_layers import fine_mix
from app.document.scene import Scene
from core.request import IDENTITY_TRANSFORM


class AtWork(NamedTuple):
    """One kind of it."""

    text: str
    panel: str
    """The title of the panel where it can be changed."""


def at_work(scene: Scene) -> list[AtWork]:
    """Directions, mixes and a placement that change the picture of a scene."""
    fine = fine_mix(scene)  # which the Prompt panel shows
    pushes = sum(push.amount != 0.0 for push in scene.pushes)
    mixes = sum(mix.amount > 0.0 and mix is not fine for mix in scene.mixes)
    found = []
    if pushes:
        found.append(AtWork(_counted(pushes, "direction"), "Directions"))
    if mixes:
        found.append(AtWork(_counted(mixes, "mix"), "Style mixing"))
    if scene.transform != IDENTITY_TRANSFORM:
        found.append(AtWork("placed", "Placement"))
    return found


def _counted(count: int, noun: str) -> str:
    plural = "es" if noun.endswith("x") else "s"
    return f"{count} {noun}{plural if count > 1 else ''}"
