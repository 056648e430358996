"""Coarse layers from the first prompt or class, fine ones from another: one `Mix` of the scene."""

from __future__ import annotations

from dataclasses import replace

from app.document.scene import Scene
from core.request import LAYER_LIMIT, Mix


def _place(scene: Scene) -> int | None:
    for index, mix in enumerate(scene.mixes):
        if (mix.prompt is not None or mix.label is not None) and mix.stop == LAYER_LIMIT:
            return index
    return None


def fine_mix(scene: Scene) -> Mix | None:
    """The first mix with a prompt or a class that goes on to the last layer."""
    place = _place(scene)
    return None if place is None else scene.mixes[place]


def with_fine_mix(scene: Scene, mix: Mix | None) -> Scene:
    """The scene with that mix replaced, added as the first, or (None) taken away; the others stay as they are."""
    place = _place(scene)
    if place is None:
        return scene if mix is None else replace(scene, mixes=(mix, *scene.mixes))
    own = () if mix is None else (mix,)
    return replace(scene, mixes=(*scene.mixes[:place], *own, *scene.mixes[place + 1 :]))
