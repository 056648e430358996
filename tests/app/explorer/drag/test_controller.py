"""Dragging points, without a window: the way from points to one step of the scene that renders again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.explorer.drag.controller import KEPT
from app.explorer.session import Session
from app.takes import read_take
from app.vectors import register_saved_vectors
from core.edit.points import DragOptions, Pull
from core.request import Mix, Push, RenderRequest
from core.vectors import name_of
from tests.app.explorer.fakes import ListWriter, errors, make_session, settle, wait_until
from tests.app.explorer.point_fakes import FakeDrags
from tests.app.explorer.vectors.test_store import StrictEngine, keep, open_engine, vector

PULL = Pull(handle=(2.0, 3.0), target=(6.0, 3.0))


@pytest.fixture
def drags() -> FakeDrags:
    return FakeDrags()


@pytest.fixture
def session(tmp_path: Path, drags: FakeDrags) -> Iterator[Session]:
    session = make_session(tmp_path, open_engine=open_engine, open_drag=lambda: drags, open_writer=ListWriter)
    yield session
    drags.let()
    session.close()
    assert session.rendering.thread.close(timeout=10.0)


def tick_until(session: Session, condition: Callable[[], bool]) -> None:
    def ticked() -> bool:
        session.tick()
        return condition()

    wait_until(ticked)


def begin(session: Session, *pulls: Pull) -> RenderRequest:
    """The mode on, points put, started; gives what was on screen."""
    settle(session)
    session.drag.switch()
    for pull in pulls or (PULL,):
        session.drag.put(pull)
    before = session.rendering.wanted
    session.drag.start()
    return before


def end(session: Session) -> None:
    tick_until(session, lambda: not session.drag.running)
    settle(session)


def passing(session: Session) -> bool:
    return session.rendering.frame is not None and session.drag.is_temporary(session.rendering.frame.request)


def test_a_drag_is_one_step_with_a_saved_latent(session: Session, drags: FakeDrags) -> None:
    session.drag.styles = 2
    before = begin(session)
    tick_until(session, lambda: bool(drags.made))
    job = drags.made[0].job
    assert (job.path, job.sha256, job.device, job.threads) == (
        session.models.info.path,
        session.models.info.sha256,
        "cpu",
        1,
    )
    assert (job.request, job.points, job.mask) == (before, (PULL,), None)
    assert job.options == DragOptions(styles=2, step_size=session.drag.step_size)
    steps = len(session.history)
    drags.let()
    end(session)
    assert len(session.history) == steps + 1
    assert session.history.undo_name == "drag points"
    (mix,) = session.history.scene.mixes
    saved = session.vectors.store.find(mix.latent)
    assert saved is not None
    assert session.vectors.store.is_own(saved)
    assert saved.name == f"dragged, {before.prompt}"
    assert (mix.first, mix.stop, mix.amount) == (0, 2, 1.0)
    assert np.allclose(saved.values[:2], job.ws[:2] + 10.0)
    assert np.array_equal(saved.values[2:], job.ws[2:])
    assert session.rendering.frame is not None
    assert session.rendering.frame.request == replace(before, mixes=(mix,))
    assert session.drag.points == [Pull(handle=PULL.target, target=PULL.target)]
    assert session.drag.status_text == "arrived after 10 steps, 0.0 pixels from the target"
    session.history.undo()
    settle(session)
    assert session.rendering.frame.request == before
    session.tick()
    assert session.drag.points == [PULL]  # back with what it was put on
    session.history.redo()
    settle(session)
    session.tick()
    assert session.drag.points == [Pull(handle=PULL.target, target=PULL.target)]
    assert not errors(session)


def test_the_picture_follows_and_the_last_cut_is_not_seen(session: Session, drags: FakeDrags) -> None:
    session.history.step("slow", lambda scene: replace(scene, crossfade=5.0))
    before = begin(session)
    seen: list[RenderRequest] = []
    for _ in range(3):
        drags.let(1)
        count = len(seen)

        def another(count: int = count) -> bool:
            assert session.rendering.frame is not None
            if passing(session) and session.rendering.frame.request not in seen:
                seen.append(session.rendering.frame.request)
            return len(seen) > count

        tick_until(session, another)
        assert replace(seen[-1], mixes=()) == before
    drags.let()
    tick_until(session, lambda: not session.drag.running)
    tick_until(session, lambda: not passing(session))
    assert session.rendering.frame is not None
    assert session.rendering.frame.request == session.history.scene.request()  # no fade from the picture before


def test_styles_on_their_way_do_not_pile_up(
    session: Session, drags: FakeDrags, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.explorer.drag.controller.SHOW_EVERY_S", 0.0)
    drags.ends_at = 3 * KEPT
    begin(session)
    for step in range(3 * KEPT):
        drags.let(1)
        tick_until(session, lambda step=step: f"{step + 1} steps" in session.drag.status_text)  # type: ignore[misc]
        tick_until(session, lambda: session.drag._drag is None or session.drag._drag.sending is None)
    drags.let()
    end(session)
    known = session.rendering.thread.call(lambda engine: dict(engine.vectors))
    tick_until(session, known.done)
    assert len(known.result()) <= KEPT + 2  # the newest, and the one that was saved
    assert not errors(session)


def test_directions_stay_sliders(session: Session, drags: FakeDrags, tmp_path: Path) -> None:
    """What is saved is without what they add, which is added again."""
    snowy = vector("snowy", 1)
    keep(tmp_path, snowy)
    session.history.step("push", lambda scene: replace(scene, pushes=(Push(direction=snowy.id, amount=2.0),)))
    before = begin(session)
    drags.let()
    end(session)
    engine = StrictEngine(Path("bundled"))
    job = drags.made[0].job
    added = engine.latent(before) - engine.latent(replace(before, pushes=()))
    assert np.array_equal(job.ws, engine.latent(before))
    (mix,) = session.history.scene.mixes
    saved = session.vectors.store.find(mix.latent)
    assert saved is not None
    assert np.allclose(saved.values + added, job.ws + 10.0, atol=1e-5)
    assert session.history.scene.pushes == before.pushes


def test_another_drag_takes_the_place_of_the_last(session: Session, drags: FakeDrags) -> None:
    other = Mix(seed_x=4.0, first=1)
    session.history.step("mix", lambda scene: replace(scene, mixes=(other,)))
    drags.let(100_000)
    begin(session)
    end(session)
    first = session.history.scene.mixes[-1]
    session.drag.clear()
    session.drag.put(PULL)
    session.drag.start()
    end(session)
    assert session.history.scene.mixes[0] == other
    assert len(session.history.scene.mixes) == 2
    assert session.history.scene.mixes[1] != first
    assert drags.made[1].job.request.mixes == (other, first)
    names = [latent.name for latent in session.vectors.store.latents]
    assert names == [name_of(first.latent), f"{name_of(first.latent)} (2)"]


def test_stop_keeps_what_was_reached(session: Session, drags: FakeDrags) -> None:
    begin(session)
    drags.let(4)
    tick_until(session, lambda: "4 steps" in session.drag.status_text)
    session.drag.stop()
    drags.let(1)
    end(session)
    (mix,) = session.history.scene.mixes
    saved = session.vectors.store.find(mix.latent)
    assert saved is not None
    assert np.allclose(saved.values[0], drags.made[0].job.ws[0] + 5.0)
    assert session.drag.status_text.startswith("stopped after 5 steps")


@pytest.mark.parametrize("what", ["prompt", "seed", "psi", "undo"])
def test_another_picture_ends_it_and_nothing_is_kept(session: Session, drags: FakeDrags, what: str) -> None:
    session.history.step("psi", lambda scene: replace(scene, psi=0.4))
    begin(session)
    drags.let(2)
    tick_until(session, lambda: passing(session))
    if what == "undo":
        session.history.undo()
    else:
        changes: dict[str, Any] = {"prompt": {"prompt": "sea"}, "seed": {"seed_x": 9.0}, "psi": {"psi": 0.2}}[what]
        session.history.step(what, lambda scene: replace(scene, **changes))
    drags.let()
    end(session)
    assert session.history.scene.mixes == ()
    assert not session.vectors.store.latents
    assert not passing(session)
    assert session.drag.status_text == "stopped: the picture is another one"
    assert not errors(session)


def test_another_model_ends_it(session: Session, drags: FakeDrags) -> None:
    begin(session)
    drags.let(2)
    tick_until(session, lambda: passing(session))
    session.models.open(Path("/another.safetensors"))
    tick_until(session, lambda: session.models.info.name == "another")
    drags.let()
    end(session)
    assert session.history.scene.mixes == ()
    assert not errors(session)


def test_a_drag_waits_for_the_one_that_was_dropped(session: Session, drags: FakeDrags) -> None:
    """Both would use one generator."""
    begin(session)
    tick_until(session, lambda: bool(drags.made))
    session.history.step("seed", lambda scene: replace(scene, seed_x=9.0))
    end(session)  # its thread is still in its step
    session.drag.start()
    for _ in range(50):
        session.tick()
        time.sleep(0.002)
    assert len(drags.made) == 1
    drags.let()
    end(session)
    assert len(drags.made) == 2
    assert len(session.history.scene.mixes) == 1


def test_an_error_is_told_once(session: Session, drags: FakeDrags) -> None:
    drags.fail = "this model has no style layers"
    begin(session)
    end(session)
    assert errors(session) == ["Dragging points stopped: this model has no style layers"]
    assert session.history.scene.mixes == ()
    drags.fail = ""
    session.drag.start()  # and another one can be tried
    drags.let()
    end(session)
    assert len(session.history.scene.mixes) == 1


def test_points_on_a_picture_of_the_play_make_it_the_controls(session: Session, drags: FakeDrags) -> None:
    settle(session)
    session.playback.transport.playing = True
    tick_until(session, lambda: session.playback.transport.time > 0.05)
    session.drag.switch()
    assert not session.playback.transport.playing
    settle(session)
    assert session.rendering.frame is not None
    shown = session.rendering.frame.request
    session.drag.put(PULL)
    session.drag.start()
    drags.let()
    end(session)
    assert session.playback.transport.time == 0.0
    assert session.history.scene.request() == replace(shown, mixes=session.history.scene.mixes)
    assert session.history.undo_name == "drag points"


def test_a_region_is_a_mask(session: Session, drags: FakeDrags) -> None:
    session.drag.region = (1.6, -0.5, 4.2, 2.4)
    begin(session)
    tick_until(session, lambda: bool(drags.made))
    mask = drags.made[0].job.mask
    assert mask is not None
    assert mask.shape == (8, 8)
    assert mask[0:3, 2:5].all()
    assert mask.sum() == 9


def test_no_recording_has_styles_on_their_way(session: Session, drags: FakeDrags) -> None:
    settle(session)
    session.export.recording.toggle()
    before = begin(session)
    drags.let(3)
    tick_until(session, lambda: "3 steps" in session.drag.status_text)
    for _ in range(20):
        session.tick()
    assert not passing(session)
    drags.let()
    end(session)
    session.export.recording.toggle()
    tick_until(session, lambda: session.export.recording.recorder is None)
    (path,) = (Path(session.preferences.settings.output_dir)).glob("*.take.jsonl")
    take = read_take(path)
    assert take.requests[0] == before
    assert take.requests[-1] == session.history.scene.request()
    saved = {session.history.scene.mixes[0].latent}
    assert {mix.latent for request in take.requests for mix in request.mixes} == saved


def test_what_is_on_its_way_is_neither_recorded_nor_saved(session: Session, drags: FakeDrags, tmp_path: Path) -> None:
    begin(session)
    drags.let(2)
    tick_until(session, lambda: passing(session))
    session.export.recording.toggle()
    assert session.export.recording.recorder is None
    session.export.files.picture(tmp_path / "x.png")
    assert errors(session) == [
        f"The picture is being dragged. Stop that, or wait for its end, then {what}." for what in ("record", "save it")
    ]
    assert not session.export.files.busy
    drags.let()
    end(session)
    session.export.files.picture(tmp_path / "x.png")
    tick_until(session, lambda: (tmp_path / "x.png").exists())


def test_a_take_and_a_scene_of_a_real_drag_render_again(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real engine and the real drag; then, as after a restart, another engine with what is saved."""
    from app.document.scene import Scene
    from core.engine import Engine

    monkeypatch.setenv("GLISSANDO_CONFIG_DIR", str(tmp_path / "config"))
    writers: list[ListWriter] = []

    def open_writer(path: Path, fps: int, size: tuple[int, int], comment: str) -> ListWriter:
        writers.append(ListWriter(path, fps, size, comment))
        return writers[-1]

    session = make_session(
        tmp_path,
        tiny_checkpoint,
        open_chosen=lambda path, report, choice: Engine.open(path, device="cpu"),
        open_writer=open_writer,
    )
    try:
        settle(session)
        session.export.recording.toggle()
        first = begin(session, Pull(handle=(16.0, 16.0), target=(20.0, 16.0)))
        wait_until(lambda: session.tick() or "steps" in session.drag.status_text, timeout=60.0)
        session.drag.stop()
        wait_until(lambda: session.tick() or not session.drag.running, timeout=60.0)
        settle(session)
        before = len(writers[0].frames)
        wait_until(lambda: len(writers[0].frames) > before + 1)
        session.export.recording.toggle()
        tick_until(session, lambda: session.export.recording.recorder is None)
        assert session.rendering.frame is not None
        shown = session.rendering.frame.pixels
        scene = Scene.from_json(session.history.scene.to_json())
        assert not errors(session)
    finally:
        session.close()
        assert session.rendering.thread.close(timeout=30.0)
    assert scene.mixes
    engine = Engine.open(tiny_checkpoint, device="cpu")
    register_saved_vectors(engine, tiny_checkpoint)
    assert np.array_equal(engine.render(scene.request()).pixels, shown)
    (path,) = (tmp_path / "out").glob("*.take.jsonl")
    take = read_take(path)
    assert take.requests[0] == first
    assert np.array_equal(engine.render(take.requests[-1]).pixels, shown)
    assert (engine.render(first).pixels != shown).any()
    factor = len(writers[0].frames[-1]) // len(shown)
    assert np.array_equal(writers[0].frames[-1], shown.repeat(factor, 0).repeat(factor, 1))
    for request in take.requests:
        engine.render(request)
