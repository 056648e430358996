"""Edits of a scene's steps along directions, `Scene.pushes`."""

from __future__ import annotations

from dataclasses import replace

from app.document.scene import Scene
from core.request import Push
from core.vectors import Vector, digest_of


def with_push(scene: Scene, vector: Vector) -> Scene:
    """With a slider for a direction, at 0, in the layers that it was made for."""
    push = Push(direction=vector.id, first=vector.first, stop=vector.stop)
    return replace(scene, pushes=(*scene.pushes, push))


def with_push_layers(scene: Scene, index: int, first: int, stop: int) -> Scene:
    """A push in other layers."""
    return _with_pushes(scene, index, replace(scene.pushes[index], first=first, stop=stop))


def without_push(scene: Scene, index: int) -> Scene:
    """One push less."""
    return _with_pushes(scene, index, None)


def _with_pushes(scene: Scene, index: int, push: Push | None) -> Scene:
    put = () if push is None else (push,)
    return replace(scene, pushes=(*scene.pushes[:index], *put, *scene.pushes[index + 1 :]))


def without_vector(scene: Scene, vector: Vector) -> Scene:
    """Without the steps along a direction, and the mixes with a latent, that is deleted."""
    return replace(
        scene,
        pushes=tuple(push for push in scene.pushes if digest_of(push.direction) != vector.digest),
        mixes=tuple(mix for mix in scene.mixes if not mix.latent or digest_of(mix.latent) != vector.digest),
    )
