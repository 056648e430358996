"""Directions and saved latents in a scene: edits that the panels and actions share. No GUI and no torch here."""

from __future__ import annotations

from dataclasses import replace

from app.document.scene import Scene
from core.request import AMOUNT_LIMIT, LAYER_LIMIT, Mix, Push
from core.vectors import Vector, digest_of, name_of

DRAGGED = "dragged, "
"""How the names of latents begin that come of dragging points."""


def with_push(scene: Scene, vector: Vector) -> Scene:
    """With a slider for a direction, at 0, in the layers that it was made for."""
    push = Push(direction=vector.id, first=vector.first, stop=vector.stop)
    return replace(scene, pushes=(*scene.pushes, push))


def with_amount(scene: Scene, index: int, amount: float) -> Scene:
    """A push moved to an amount, which is clamped."""
    amount = min(max(amount, -AMOUNT_LIMIT), AMOUNT_LIMIT)
    return _with_pushes(scene, index, replace(scene.pushes[index], amount=amount))


def with_push_layers(scene: Scene, index: int, first: int, stop: int) -> Scene:
    """A push in other layers."""
    return _with_pushes(scene, index, replace(scene.pushes[index], first=first, stop=stop))


def without_push(scene: Scene, index: int) -> Scene:
    """One push less."""
    return _with_pushes(scene, index, None)


def _with_pushes(scene: Scene, index: int, push: Push | None) -> Scene:
    put = () if push is None else (push,)
    return replace(scene, pushes=(*scene.pushes[:index], *put, *scene.pushes[index + 1 :]))


def with_latent(scene: Scene, vector: Vector, first: int, stop: int) -> Scene:
    """Some layers' styles from a saved latent, on top of the mixes there are."""
    return replace(scene, mixes=(*scene.mixes, Mix(latent=vector.id, first=first, stop=stop)))


def at_latent(scene: Scene, vector: Vector) -> Scene:
    """The saved latent as it is: all styles from it, in place of other mixes and of pushes, which it has in it."""
    return replace(scene, mixes=(Mix(latent=vector.id, first=0, stop=LAYER_LIMIT),), pushes=())


def with_dragged(mixes: tuple[Mix, ...], vector: Vector, styles: int) -> tuple[Mix, ...]:
    """The first `styles` layers from what dragging points came to; what an earlier drag gave them goes."""
    kept = tuple(
        mix
        for mix in mixes
        if not (mix.latent and name_of(mix.latent).startswith(DRAGGED) and mix.first == 0 and mix.stop <= styles)
    )
    return (*kept, Mix(latent=vector.id, first=0, stop=styles))


def with_mix(scene: Scene, index: int, mix: Mix | None) -> Scene:
    """A mix in the place of another; None takes it off."""
    put = () if mix is None else (mix,)
    return replace(scene, mixes=(*scene.mixes[:index], *put, *scene.mixes[index + 1 :]))


def without(scene: Scene, vector: Vector) -> Scene:
    """Neither pushed along a vector nor mixed with it."""
    return replace(
        scene,
        pushes=tuple(push for push in scene.pushes if digest_of(push.direction) != vector.digest),
        mixes=tuple(mix for mix in scene.mixes if not mix.latent or digest_of(mix.latent) != vector.digest),
    )
