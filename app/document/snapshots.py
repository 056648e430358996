"""Editing the snapshots of a scene: pictures to come back to, in a row, two of them marked A and B."""

from __future__ import annotations

from dataclasses import replace

from app.document.parts import LONGEST_NAME, Mark, Snapshot
from app.document.scene import Scene
from core.request import RenderRequest


def added(scene: Scene, request: RenderRequest) -> Scene:
    """With one more snapshot at the end, named by the first number that is free."""
    names = {snapshot.name for snapshot in scene.snapshots}
    number = len(names) + 1
    while str(number) in names:
        number += 1
    return replace(scene, snapshots=(*scene.snapshots, Snapshot(name=str(number), request=request)))


def changed(scene: Scene, index: int, *, name: str | None = None, request: RenderRequest | None = None) -> Scene:
    """One of them with another name or picture; an index that is not there changes nothing."""
    if not 0 <= index < len(scene.snapshots):
        return scene
    snapshot = scene.snapshots[index]
    if name is not None:
        snapshot = replace(snapshot, name=name[:LONGEST_NAME])
    if request is not None:
        snapshot = replace(snapshot, request=request)
    return replace(scene, snapshots=(*scene.snapshots[:index], snapshot, *scene.snapshots[index + 1 :]))


def deleted(scene: Scene, index: int) -> Scene:
    """Without one of them. Without a B there is nothing to compare with."""
    rest = tuple(snapshot for place, snapshot in enumerate(scene.snapshots) if place != index)
    scene = replace(scene, snapshots=rest)
    return scene if marked(scene, "B") is not None else replace(scene, compare="off")


def moved(scene: Scene, index: int, to: int) -> Scene:
    """With one of them at another place in the row."""
    if not (0 <= index < len(scene.snapshots) and 0 <= to < len(scene.snapshots)):
        return scene
    row = list(scene.snapshots)
    row.insert(to, row.pop(index))
    return replace(scene, snapshots=tuple(row))


def with_mark(scene: Scene, index: int, mark: Mark) -> Scene:
    """Marked as A or B, which no other one is then; "" takes its mark."""
    row = tuple(
        replace(snapshot, mark=mark)
        if place == index
        else replace(snapshot, mark="")
        if mark and snapshot.mark == mark
        else snapshot
        for place, snapshot in enumerate(scene.snapshots)
    )
    scene = replace(scene, snapshots=row)
    return scene if marked(scene, "B") is not None else replace(scene, compare="off")


def marked(scene: Scene, mark: Mark) -> Snapshot | None:
    """The snapshot with a mark."""
    return next((snapshot for snapshot in scene.snapshots if snapshot.mark == mark), None)
