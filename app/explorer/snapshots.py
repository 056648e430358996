"""Snapshots: pictures to come back to, in a row, two of them marked A and B. No GUI and no torch here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from app.document.parts import LONGEST_NAME, Mark, Snapshot
from app.document.scene import Compare, Scene
from core.request import RenderRequest

if TYPE_CHECKING:
    from app.explorer.session import Session


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


# What actions and the panel do


def take(session: Session) -> None:
    """Keep what the picture is of. The first two are A and B at once: that is what most are taken for."""
    request = session.wanted

    def edit(scene: Scene) -> Scene:
        scene = added(scene, request)
        for mark in ("A", "B"):
            if marked(scene, mark) is None and not scene.snapshots[-1].mark:
                scene = with_mark(scene, len(scene.snapshots) - 1, mark)
        return scene

    session.history.step("snapshot", edit)


def go(session: Session, index: int) -> None:
    """Go over to a snapshot in the scene's morph time."""
    scene = session.history.scene
    if 0 <= index < len(scene.snapshots):
        session.crossfade.morph(scene.morph_seconds, scene.morph_easing)
        _show(session, scene.snapshots[index].request)
        session.history.step("go to snapshot", lambda scene: scene.with_request(scene.snapshots[index].request))


def toggle(session: Session) -> None:
    """Between A and B at once: from A to B, from anywhere else to A."""
    scene = session.history.scene
    a, b = marked(scene, "A"), marked(scene, "B")
    if a is None or b is None:
        return
    goal = b if session.wanted == a.request else a
    session.crossfade.morph(0.0, "linear")
    _show(session, goal.request)
    # One step however often it is pressed, and none when it ends where it began.
    session.history.apply("A/B", lambda scene: scene.with_request(goal.request))


def _show(session: Session, request: RenderRequest) -> None:
    """Let the controls lead, exactly: keyframes would hide them, and a path would lead away from them."""
    if session.history.scene.keyframes:
        session.transport.playing = False
        session.timeline_follower.show_controls()
    else:
        session.transport.rewind()


def compare(session: Session, how: Compare) -> None:
    """Show snapshot B beside the picture or over it; the same again ends it."""
    session.history.step("compare", lambda scene: replace(scene, compare="off" if how == scene.compare else how))


def can_compare(session: Session) -> bool:
    """Whether there is a snapshot B."""
    return marked(session.history.scene, "B") is not None


def can_toggle(session: Session) -> bool:
    """Whether there are both."""
    return can_compare(session) and marked(session.history.scene, "A") is not None
