"""Edits of a scene's style mixes: `Scene.mixes`, which are applied one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from app.document.scene import Scene
from core.request import LAYER_LIMIT, Mix
from core.vectors import Vector, name_of

DRAGGED = "dragged, "
"""Prefix of the names of latents that dragging points made."""

Kind = Literal["seed", "prompt", "class", "latent"]
MOST = 16


def kind_of(mix: Mix) -> Kind:
    """Kind of source that a mix takes styles from."""
    if mix.latent:
        return "latent"
    if mix.prompt is not None:
        return "prompt"
    return "class" if mix.label is not None else "seed"


def of_kind(mix: Mix, kind: Kind, scene: Scene, latents: Sequence[str] = ()) -> Mix:
    """With the layers and the amount of `mix`, taking from something else: at first what the scene itself has, and for
    a seed the next one, so that there is something to see; for a latent the first of `latents`, ids of saved ones.
    """
    bare = Mix(first=mix.first, stop=mix.stop, amount=mix.amount)
    if kind == "prompt":
        return replace(bare, prompt=scene.prompt)
    if kind == "class":
        return replace(bare, label=scene.label)
    if kind == "latent" and latents:
        return replace(bare, latent=latents[0])
    return replace(bare, seed_x=float(math.floor(scene.seed_x) + 1), seed_y=float(math.floor(scene.seed_y)))


def added(scene: Scene, count: int) -> Scene:
    """With one more, from the next seed, in the finer half of `count` layers."""
    new = of_kind(Mix(first=count // 2, stop=LAYER_LIMIT), "seed", scene)
    return replace(scene, mixes=(*scene.mixes, new))


def changed(scene: Scene, index: int, change: Callable[[Mix], Mix]) -> Scene:
    """With one mix changed; others, and one that has gone, stay as they are."""
    if not 0 <= index < len(scene.mixes):
        return scene
    return replace(scene, mixes=(*scene.mixes[:index], change(scene.mixes[index]), *scene.mixes[index + 1 :]))


def without(scene: Scene, index: int) -> Scene:
    """With one mix taken out."""
    return replace(scene, mixes=(*scene.mixes[:index], *scene.mixes[index + 1 :]))


def shifted(scene: Scene, index: int, by: int) -> Scene:
    """With one mix moved earlier (-1) or later (1), where there is such a place."""
    goal = index + by
    if not (0 <= index < len(scene.mixes) and 0 <= goal < len(scene.mixes)):
        return scene
    mixes = list(scene.mixes)
    mixes.insert(goal, mixes.pop(index))
    return replace(scene, mixes=tuple(mixes))


def with_latent(scene: Scene, vector: Vector, first: int, stop: int) -> Scene:
    """Some layers' styles from a saved latent, on top of the mixes there are."""
    return replace(scene, mixes=(*scene.mixes, Mix(latent=vector.id, first=first, stop=stop)))


def at_latent(scene: Scene, vector: Vector) -> Scene:
    """With all styles from a saved latent, in place of other mixes and of pushes, which the latent contains."""
    return replace(scene, mixes=(Mix(latent=vector.id, first=0, stop=LAYER_LIMIT),), pushes=())


def with_dragged(mixes: tuple[Mix, ...], vector: Vector, styles: int) -> tuple[Mix, ...]:
    """The first `styles` layers from what dragging points came to; what an earlier drag gave them goes."""
    kept = tuple(
        mix
        for mix in mixes
        if not (mix.latent and name_of(mix.latent).startswith(DRAGGED) and mix.first == 0 and mix.stop <= styles)
    )
    return (*kept, Mix(latent=vector.id, first=0, stop=styles))
