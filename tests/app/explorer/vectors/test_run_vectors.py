"""Directions and latents of a training run: made at one snapshot, there at those that come after it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("imgui_bundle")

from app.explorer.session import Session
from app.explorer.vectors.direction_search import SearchResult
from app.explorer.window import Explorer
from app.runs import LATEST, run_id
from app.vectors import keep_for_run, kept_path, register_saved_vectors, run_path, saved_vectors
from core.engine import Engine
from core.request import Push
from core.vectors import Vector, load_vectors, save_vectors
from tests.app.explorer.fakes import errors, make_session, settle, wait_until
from tests.app.explorer.nullwindow import Context, drive, until

MakeCheckpoint = Callable[..., Path]


class Run:
    """A run's folder, whose snapshots are random models of one shape."""

    def __init__(self, folder: Path, make: MakeCheckpoint) -> None:
        self.folder, self._make, self._seed = folder, make, 0
        folder.mkdir()
        self.begin(1)

    @property
    def latest(self) -> Path:
        return self.folder / LATEST

    def begin(self, seed: int) -> None:
        """The log's first line, which is that of this run and of no other."""
        row = {"kind": "start", "time": 1000.0 + seed, "images": 0}
        (self.folder / "log.jsonl").write_text(json.dumps(row) + "\n")

    def write(self, **shape: int) -> Engine:
        """The next snapshot, and an engine of it for what a test needs to know."""
        self._seed += 1
        os.replace(self._make(self.folder / "new.safetensors", seed=self._seed, **shape), self.latest)
        return Engine.open(self.latest)


@pytest.fixture
def run(tmp_path: Path, make_checkpoint: MakeCheckpoint) -> Run:
    return Run(tmp_path / "faces", make_checkpoint)


Open = Callable[[], Session]


@pytest.fixture
def opened(run: Run, tmp_path: Path) -> Iterator[Open]:
    """Opens the run as the window does, with the engine itself; the window before is closed."""
    sessions: list[Session] = []

    def close() -> None:
        while sessions:
            sessions[-1].close()
            assert sessions.pop().rendering.thread.close(timeout=60.0)

    def open_it() -> Session:
        close()
        sessions.append(make_session(tmp_path, run.folder, open_engine=lambda path, report: Engine.open(path)))
        settle(sessions[0])
        return sessions[0]

    yield open_it
    close()


def direction(engine: Engine, name: str = "snowy", seed: int = 0, **fields: Any) -> Vector:
    values = np.random.default_rng(seed).normal(size=engine.info.w_dim)
    return Vector(name=name, kind="direction", values=values, note="found", **fields)


def pushed(session: Session, vector: Vector, amount: float) -> np.ndarray[Any, Any]:
    """The picture with the slider of a direction somewhere."""
    pushes = (Push(direction=vector.id, amount=amount),)
    session.history.step("push", lambda scene: replace(scene, pushes=pushes))
    wait_until(lambda: (session.tick(), session.rendering.settled and not session.vectors.busy)[1], timeout=60.0)
    assert session.rendering.frame is not None
    assert len(session.rendering.frame.request.pushes) == 1
    return session.rendering.frame.pixels


def test_made_at_one_snapshot_and_there_at_the_next(run: Run, opened: Open, tmp_path: Path) -> None:
    snowy = direction(run.write())
    session = opened()
    assert session.vectors.store.add([snowy])
    session.vectors.save_latent("home")
    wait_until(lambda: (session.tick(), bool(session.vectors.store.latents))[1])
    pushed(session, snowy, 2.0)
    assert not any(session.vectors.store.is_earlier(vector) for vector in session.vectors.store.vectors)

    run.write()
    session = opened()
    store = session.vectors.store
    assert [vector.name for vector in store.vectors] == ["snowy", "home"]
    assert all(store.is_earlier(vector) and store.is_own(vector) for vector in store.vectors)
    assert not np.array_equal(pushed(session, snowy, 0.0), pushed(session, snowy, 3.0))
    # What is saved now is this snapshot's, and stands before what is not.
    assert store.add([direction(run.write(), "misty", seed=1)])
    assert [(vector.name, store.is_earlier(vector)) for vector in store.vectors] == [
        ("misty", False),
        ("snowy", True),
        ("home", True),
    ]
    assert not errors(session)


def test_renamed_and_deleted_for_good(run: Run, opened: Open) -> None:
    engine = run.write()
    snowy, misty = direction(engine, "snowy"), direction(engine, "misty", seed=1)
    assert opened().vectors.store.add([snowy, misty])
    run.write()
    session = opened()
    pushed(session, snowy, 1.0)
    assert session.vectors.store.rename(snowy, "white")
    assert session.vectors.store.delete(misty)
    assert [vector.name for vector in session.vectors.store.vectors] == ["white"]
    for _ in range(2):  # also while the window stays open
        run.write()
        shown = session.models.info.sha256
        wait_until(lambda: (session.tick(), session.models.info.sha256 != shown)[1], timeout=60.0)  # noqa: B023
        settle(session)
        assert [vector.name for vector in session.vectors.store.vectors] == ["white"]
        assert session.vectors.store.is_earlier(session.vectors.store.vectors[0])
    assert session.rendering.frame is not None
    assert session.rendering.frame.request.pushes[0].direction == f"white@{snowy.digest}"
    assert [vector.name for vector in opened().vectors.store.vectors] == ["white"]
    assert not errors(session)


def test_another_run_and_another_model_have_none_of_it(run: Run, opened: Open, tmp_path: Path) -> None:
    snowy = direction(run.write())
    assert opened().vectors.store.add([snowy])
    run.write()
    # A copy elsewhere is no run's snapshot; it is known by its hash alone, and this one has nothing saved.
    copy = tmp_path / "elsewhere" / LATEST
    copy.parent.mkdir()
    copy.write_bytes(run.latest.read_bytes())
    assert saved_vectors(copy, "ab" * 32, tmp_path / "config").earlier == ()
    # Another run in the same folder.
    run.begin(2)
    session = opened()
    assert session.vectors.store.vectors == ()
    assert not errors(session)
    # Another run's file under this one's name.
    first, second = run_path_of(run, tmp_path), tmp_path / "config" / "vectors" / "run-0.npz"
    run.begin(1)
    other = run_path_of(run, tmp_path)
    assert other.is_file()
    other.rename(second)
    second.rename(first)
    run.begin(2)
    session = opened()
    assert session.vectors.store.vectors == ()
    assert len(errors(session)) == 1
    assert "they are of another" in errors(session)[0]
    before = first.read_bytes()
    assert not session.vectors.store.add([snowy])
    assert first.read_bytes() == before


def run_path_of(run: Run, folder: Path) -> Path:
    found = run_id(run.latest)
    assert found is not None
    return run_path(found, folder / "config")


def test_what_no_longer_fits_is_left_out(run: Run, opened: Open, tmp_path: Path) -> None:
    engine = run.write()
    latent = Vector(name="home", kind="latent", values=np.zeros((engine.info.num_ws, engine.info.w_dim)))
    assert opened().vectors.store.add([latent])
    grown = run.write(resolution=64)
    assert grown.info.num_ws != engine.info.num_ws
    session = opened()
    assert session.vectors.store.vectors == ()
    assert errors(session) == [f"Left out, because {session.models.info.name} has other styles: 'home'."]


def test_what_is_found_while_a_snapshot_comes(run: Run, opened: Open) -> None:
    engine = run.write()
    session = opened()
    out = session.vectors.store.path
    run.write()
    wait_until(lambda: (session.tick(), session.models.info.sha256 != engine.info.sha256)[1], timeout=60.0)
    save_vectors(out, [direction(engine)], engine.info.sha256)  # as the search does when it ends
    session.vectors.search.take_result = lambda: SearchResult(None, run.latest, out)  # type: ignore[method-assign]
    session.tick()
    session.vectors.search.take_result = lambda: None  # type: ignore[method-assign]
    (found,) = session.vectors.store.directions
    assert session.vectors.store.is_earlier(found)
    assert session.messages.lines[-1].text == "Found directions: there are 1 now, 0 before"
    assert not errors(session)


def test_what_the_command_line_found_and_what_it_draws(run: Run, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    from app import cli

    monkeypatch.setenv("GLISSANDO_CONFIG_DIR", str(run.folder.parent / "config"))
    engine = run.write()
    assert cli.main(["directions", str(run.latest), "--count", "2"]) == 0
    assert len(load_vectors(kept_path(engine.info.sha256)).vectors) == 2
    engine = run.write()
    known = saved_vectors(run.latest, engine.info.sha256)
    assert (known.own, len(known.earlier)) == ((), 2)
    register_saved_vectors(engine, run.latest)
    scene = opened().history.scene.request()
    push = Push(direction=known.earlier[0].id, amount=5.0)
    plain, moved = engine.render(scene), engine.render(replace(scene, pushes=(push,)))
    assert not np.array_equal(plain.pixels, moved.pixels)


def test_saved_before_there_was_a_file_for_the_run(run: Run, opened: Open, tmp_path: Path) -> None:
    engine = run.write()
    config = tmp_path / "config"
    save_vectors(kept_path(engine.info.sha256, config), [direction(engine)], engine.info.sha256)
    opened()
    run.write()
    assert [vector.name for vector in opened().vectors.store.vectors] == ["snowy"]
    assert keep_for_run(tmp_path / "no-run.safetensors", [direction(engine)], config) is None
    assert len(list((config / "vectors").iterdir())) == 2


def settle_window(ctx: Context, session: Session) -> None:
    """Let the window draw until the picture is the scene's; the engine is the real one, and takes its time."""
    ctx.yield_(2)
    until(ctx, lambda: session.rendering.settled and not session.vectors.busy, frames=100_000)


def test_the_slider_is_there_and_moves_the_picture(run: Run, tmp_path: Path) -> None:
    def open_engine(path: Path, report: Any) -> Engine:
        return Engine.open(path)

    snowy = direction(run.write())

    def first(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle_window(ctx, session)
        assert session.vectors.store.add([snowy])
        ctx.menu_click("//##MainMenuBar/View/Panels/###panel Directions")
        ctx.yield_(3)
        ctx.item_click(f"//Directions/###add {snowy.digest}")
        settle_window(ctx, session)

    drive(tmp_path, first, run.folder, open_engine=open_engine)
    run.write()

    def second(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle_window(ctx, session)
        ctx.menu_click("//##MainMenuBar/View/Panels/###panel Directions")
        ctx.yield_(3)
        assert session.rendering.frame is not None
        before = session.rendering.frame.pixels
        ctx.item_input_value("//Directions/push 0/##amount", 3.0)
        settle_window(ctx, session)
        assert session.rendering.frame.request.pushes[0].amount == 3.0
        assert not np.array_equal(session.rendering.frame.pixels, before)
        assert not errors(session)

    drive(tmp_path, second, run.folder, open_engine=open_engine)
