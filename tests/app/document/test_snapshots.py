from __future__ import annotations

from dataclasses import replace

from app.document.parts import Mark, Snapshot
from app.document.scene import Scene
from app.document.snapshots import added, changed, deleted, moved, with_mark
from core.request import RenderRequest

SEA = RenderRequest(prompt="sea")
FAR = RenderRequest(prompt="hills", seed_x=4000.0)


def test_renaming_replacing_moving_and_deleting() -> None:
    names: tuple[tuple[str, Mark], ...] = (("1", "A"), ("2", "B"), ("3", ""))
    scene = Scene(snapshots=tuple(Snapshot(name=name, mark=mark, request=SEA) for name, mark in names))
    row = moved(scene, 2, 0).snapshots
    assert [(s.name, s.mark) for s in row] == [("3", ""), ("1", "A"), ("2", "B")]
    assert with_mark(scene, 2, "B").snapshots[1].mark == ""
    other = changed(scene, 1, name="dusk", request=FAR)
    assert (other.snapshots[1].name, other.snapshots[1].request, other.snapshots[1].mark) == ("dusk", FAR, "B")
    assert changed(scene, 9, name="x") == scene
    compared = replace(scene, compare="wipe")
    assert deleted(compared, 0).compare == "wipe"
    assert deleted(compared, 1).compare == "off"
    # The next free number, whatever was deleted.
    assert added(deleted(scene, 0), SEA).snapshots[-1].name not in ("2", "3")
