from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.document.parts import SceneKeyframe, Snapshot
from app.document.scene import Scene
from app.explorer.actions import ACTIONS, MENUS, by_id, in_menu
from app.explorer.session import Session
from core.edit.points import Pull
from core.request import RenderRequest
from core.vectors import Vector
from tests.app.explorer.fakes import make_session, settle

SNAPSHOTS = (
    Snapshot(name="1", request=RenderRequest(prompt="a"), mark="A"),
    Snapshot(name="2", request=RenderRequest(prompt="b"), mark="B"),
)
KEYFRAMES = tuple(SceneKeyframe(time=time, request=RenderRequest(prompt="a")) for time in (0.0, 2.0))


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = make_session(tmp_path)
    settle(session)
    yield session
    session.close()


def test_ids_and_shortcuts_are_unique_and_menus_hold_everything() -> None:
    ids = [action.id for action in ACTIONS]
    shortcuts = [s for action in ACTIONS for s in (action.shortcut, action.also) if s]
    assert len(set(ids)) == len(ids)
    assert len(set(shortcuts)) == len(shortcuts)
    assert [action for menu in MENUS for action in in_menu(menu)] == list(ACTIONS)


def test_the_promised_shortcuts() -> None:
    promised = {"play": "Space", "undo": "Ctrl+Z", "redo": "Ctrl+Shift+Z", "save": "Ctrl+S", "record": "Ctrl+R"}
    assert {name: by_id(name).shortcut for name in promised} == promised
    assert by_id("open").shortcut == "Ctrl+O"


def test_undo_and_redo_name_their_step(session: Session) -> None:
    undo, redo = by_id("undo"), by_id("redo")
    assert undo.label(session) == "Undo"
    assert not undo.enabled(session)
    session.history.step("psi", lambda scene: replace(scene, psi=0.1))
    assert undo.label(session) == "Undo psi"
    undo.run(session)
    assert redo.label(session) == "Redo psi"
    redo.run(session)
    assert session.history.scene.psi == 0.1


def test_every_enabled_action_does_something(session: Session) -> None:
    def everything() -> object:
        return (
            session.history.scene,
            session.playback.transport.playing,
            session.playback.transport.time,
            session.ui.dialog_request,
            session.ui.quit_requested,
            session.export.recording.recorder,
            session.preferences.settings,
            len(session.export.files._under_way),
            session.models._asked,
            repr(vars(session.ui)),
            session.vectors.pending_latents,
            session.prompts.words.selected,
            session.prompts.words.waiting,
            session.run_follower.on,
            session.drag.on,
            session.drag.running,
        )

    session.vectors.store.add([Vector(name="snowy", kind="direction", values=np.ones(6))])
    session.run_follower.follow(Path("run"))
    session.run_follower.toggle()
    session.drag.put(Pull(handle=(1.0, 1.0), target=(5.0, 1.0)))
    for action in ACTIONS:
        session.ui.dialog_request = None
        session.playback.transport.time = 3.0
        scene = Scene(
            prompt="a",
            psi=0.3,
            zoom=3,
            snapshots=SNAPSHOTS,
            keyframes=KEYFRAMES,
            quick_prompts=tuple("bcdefghij"),
            layer_psi=(0.5,),
            transform=(2.0,) * 9,
        )
        session.history.step("test", lambda _, scene=scene: scene)
        session.playback.timeline.select(1)
        session.prompts.words.select(0 if action.id not in ("next_word", "previous_word") else None)
        session.preferences.set_walk(step=0.01)
        session.history.step("test", lambda scene: replace(scene, seed_x=scene.seed_x + 1, prompt_b="b"))
        if action.id == "redo":
            session.history.undo()
        session.models._asked = "something"
        assert action.enabled(session), action.id
        assert action.label(session)
        before = everything()
        action.run(session)
        assert everything() != before, action.id
    if session.export.recording.recorder is not None:
        session.export.recording.toggle()


def test_swap_reset_and_zoom_are_undoable(session: Session) -> None:
    start = Scene(prompt="a", prompt_b="b", psi=0.3, seed_x=4.0, snapshots=SNAPSHOTS)
    session.history.step("start", lambda _: start)
    by_id("swap").run(session)
    assert (session.history.scene.prompt, session.history.scene.prompt_b) == ("b", "a")
    session.history.undo()
    by_id("reset").run(session)
    assert session.history.scene == Scene(prompt="a", snapshots=SNAPSHOTS)
    session.history.undo()
    assert session.history.scene == start
    session.ui.shown_zoom = 9
    by_id("zoom_in").run(session)
    assert session.history.scene.zoom == 10
    by_id("zoom_out").run(session)
    assert session.history.scene.zoom == 9
    by_id("zoom_fit").run(session)
    assert session.history.scene.zoom == 0


def test_zoom_and_text_size_have_bounds(session: Session) -> None:
    for _ in range(60):
        by_id("zoom_in").run(session)
        by_id("text_larger").run(session)
    assert session.history.scene.zoom == 32
    assert session.preferences.settings.text_scale == 2.5
    for _ in range(80):
        by_id("zoom_out").run(session)
        by_id("text_smaller").run(session)
    assert session.history.scene.zoom == 1
    assert session.preferences.settings.text_scale == pytest.approx(0.6)
