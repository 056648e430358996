from dataclasses import replace

import pytest

from app.document.history import LIMIT, History
from app.document.scene import Scene, SceneError


def set_psi(psi: float):
    return lambda scene: replace(scene, psi=psi)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_drag_is_one_step_and_undo_names_it() -> None:
    history = History(Scene(psi=1.0))
    for i in range(50):
        history.apply("psi", set_psi(i / 100))
    history.end_gesture()
    assert len(history) == 1
    assert history.undo_name == "psi"
    assert history.undo()
    assert history.scene.psi == 1.0
    assert history.undo_name is None
    assert history.redo_name == "psi"
    assert history.redo()
    assert history.scene.psi == 0.49


def test_another_name_ends_the_gesture() -> None:
    history = History(Scene())
    history.apply("psi", set_psi(0.5))
    history.apply("prompt", lambda scene: replace(scene, prompt="a"))
    history.apply("psi", set_psi(0.6))
    assert len(history) == 3


def test_steps_do_not_merge_though_their_names_are_equal() -> None:
    history = History(Scene())
    history.step("psi", set_psi(0.5))
    history.step("psi", set_psi(0.6))
    assert len(history) == 2
    history.undo()
    assert history.scene.psi == 0.5


def test_edits_that_change_nothing_leave_no_trace() -> None:
    history = History(Scene(psi=0.5))
    history.step("psi", set_psi(0.5))
    assert len(history) == 0
    history.step("psi", set_psi(0.6))
    history.undo()
    revision = history.revision
    history.step("psi", set_psi(0.5))
    assert history.redo_name == "psi"
    assert history.revision == revision


def test_a_gesture_that_comes_back_leaves_no_step() -> None:
    history = History(Scene(psi=0.5))
    history.apply("psi", set_psi(0.9))
    history.apply("psi", set_psi(0.5))
    history.end_gesture()
    assert len(history) == 0
    assert history.scene.psi == 0.5


def test_a_new_edit_forgets_what_was_undone() -> None:
    history = History(Scene())
    history.step("a", set_psi(0.1))
    history.undo()
    history.step("b", set_psi(0.2))
    assert history.redo_name is None
    assert not history.redo()


def test_a_rest_ends_a_gesture_that_asks_for_it() -> None:
    clock = Clock()
    history = History(Scene(), clock=clock)
    history.apply("typing", lambda scene: replace(scene, prompt="a"), pause=1.0)
    clock.now = 0.9
    history.apply("typing", lambda scene: replace(scene, prompt="ab"), pause=1.0)
    clock.now = 2.0
    history.apply("typing", lambda scene: replace(scene, prompt="abc"), pause=1.0)
    assert len(history) == 2
    history.undo()
    assert history.scene.prompt == "ab"


def test_an_edit_that_raises_changes_nothing() -> None:
    history = History(Scene(psi=0.5))
    with pytest.raises(SceneError):
        history.step("psi", set_psi(float("nan")))
    assert history.scene == Scene(psi=0.5)
    assert len(history) == 0


def test_the_history_is_bounded_and_keeps_the_newest() -> None:
    history = History(Scene())
    for i in range(LIMIT + 100):
        history.step("seed", lambda scene, i=i: replace(scene, seed_x=float(i + 1)))
    assert len(history) == LIMIT == 500
    while history.undo():
        pass
    assert history.scene.seed_x == 100.0


def test_undo_in_the_middle_of_a_drag_takes_the_drag_back() -> None:
    history = History(Scene(psi=1.0))
    history.apply("psi", set_psi(0.5))
    history.undo()
    assert history.scene.psi == 1.0
    history.apply("psi", set_psi(0.4))
    assert history.undo_name == "psi"
    history.undo()
    assert history.scene.psi == 1.0


def test_every_change_can_be_undone_and_redone_in_order() -> None:
    history = History(Scene())
    seen = [history.scene]
    for i in range(40):
        history.step(str(i), lambda scene, i=i: replace(scene, seed_x=float(i + 1), prompt="x" * i))
        seen.append(history.scene)
    for scene in reversed(seen[:-1]):
        history.undo()
        assert history.scene == scene
    for scene in seen[1:]:
        history.redo()
        assert history.scene == scene


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        History(Scene(), limit=0)


def test_the_open_gesture_is_known_until_it_rests() -> None:
    clock = Clock()
    history = History(Scene(), clock=clock)
    assert history.open_gesture(1.0) is None
    history.apply("psi", set_psi(0.1))
    clock.now = 0.9
    assert history.open_gesture(1.0) == "psi"
    clock.now = 1.1
    assert history.open_gesture(1.0) is None
    assert history.open_gesture(2.0) == "psi"
    history.end_gesture()
    assert history.open_gesture(2.0) is None
