"""Following a training run: snapshots come, are half there, go, and the scene stays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import cli
from app.explorer.actions import by_id
from app.explorer.session import Session
from app.runs import LATEST, amount
from core.request import Push
from core.vectors import Vector
from tests.app.explorer.fakes import SlowEngine, errors, make_session, wait_until

MakeCheckpoint = Callable[..., Path]


class Clock:
    """Stands still until it is told the time."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def settle(session: Session, clock: Clock) -> None:
    """Time goes on in small steps until the picture is the scene's: fades need it."""

    def settled() -> bool:
        clock.now += 0.02
        session.tick()
        return session.rendering.settled

    wait_until(settled)


class Trainer:
    """Writes a run's snapshots as the trainer does, and opens them as engines that say what they have seen."""

    def __init__(self, folder: Path, make_checkpoint: MakeCheckpoint) -> None:
        self.folder = folder
        self.clock = Clock()
        self.opened: list[SlowEngine] = []
        self.sessions: list[Session] = []
        self._make = make_checkpoint
        self._seed = 0
        folder.mkdir()
        (folder / "log.jsonl").touch()

    @property
    def latest(self) -> Path:
        return self.folder / LATEST

    def write(self) -> None:
        self._seed += 1
        os.replace(self._make(self.folder / "new.safetensors", seed=self._seed), self.latest)

    def open_engine(self, path: Path, report: Any) -> SlowEngine:
        if path == self.latest and not path.is_file():
            raise OSError(f"{path}: it has gone")
        ours = path == self.latest
        engine = SlowEngine(
            path,
            sha256=f"{self._seed if ours else 99:02d}" * 32,
            images_seen=self._seed * 104_000 if ours else 5,
        )
        self.opened.append(engine)
        return engine

    def session(self, folder: Path, checkpoint: Path | None = None) -> Session:
        session = make_session(folder, checkpoint, open_engine=self.open_engine, clock=self.clock)
        self.sessions.append(session)
        return session

    def look(self, session: Session) -> None:
        """A second later; the session takes what there is."""
        self.clock.now += 1.1
        session.tick()
        settle(session, self.clock)


@pytest.fixture
def trainer(tmp_path: Path, make_checkpoint: MakeCheckpoint) -> Iterator[Trainer]:
    trainer = Trainer(tmp_path / "faces", make_checkpoint)
    yield trainer
    for session in trainer.sessions:
        session.close()
        assert session.rendering.thread.close(timeout=10.0)


def test_each_new_snapshot_is_shown_and_the_scene_stays(trainer: Trainer, tmp_path: Path) -> None:
    trainer.write()
    session = trainer.session(tmp_path, trainer.folder)
    settle(session, trainer.clock)
    assert session.history.scene.checkpoint == str(trainer.latest)
    assert session.run_follower.text == "following faces: 104 k images"
    session.history.step("prompt", lambda scene: replace(scene, prompt="a house", seed_x=3.0, psi=0.4))
    settle(session, trainer.clock)
    scene, steps = session.history.scene, len(session.history)

    trainer.look(session)
    trainer.look(session)
    assert len(trainer.opened) == 1  # nothing new: nothing is loaded
    trainer.write()
    session.tick()
    assert session.rendering.thread.loading is None  # a second has not passed
    shown = session.rendering.frame
    trainer.clock.now += 1.1
    session.tick()
    assert session.rendering.frame is shown  # until the new picture is there
    wait_until(lambda: (session.tick(), session.rendering.frame is not shown)[1])
    settle(session, trainer.clock)
    assert len(trainer.opened) == 2
    assert session.models.info.images_seen == 208_000
    assert session.run_follower.text == "following faces: 208 k images"
    assert session.history.scene == scene
    assert len(session.history) == steps
    assert session.history.undo_name == "prompt"
    assert session.rendering.frame is not None
    assert session.rendering.frame.request.prompt == "a house"
    assert not errors(session)


def test_half_a_snapshot_and_one_that_vanishes_are_waited_for(trainer: Trainer, tmp_path: Path) -> None:
    trainer.write()
    session = trainer.session(tmp_path, trainer.folder)
    settle(session, trainer.clock)
    whole = trainer.latest.read_bytes()
    for size in (0, 5, len(whole) // 2, len(whole) - 1):
        trainer.latest.write_bytes(whole[:size])
        trainer.look(session)
    assert session.run_follower.text == "following faces: 104 k images, waiting for a whole snapshot"
    trainer.latest.unlink()
    trainer.look(session)
    trainer.look(session)
    assert session.run_follower.text == "following faces: 104 k images, the snapshot has gone"
    assert len(trainer.opened) == 1
    assert not errors(session)
    trainer.write()
    trainer.look(session)
    assert session.run_follower.text == "following faces: 208 k images"


def test_a_snapshot_that_does_not_load_leaves_the_picture_and_one_line(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer.write()
    session = trainer.session(tmp_path, trainer.folder)
    settle(session, trainer.clock)
    opens = trainer.open_engine

    def broken(path: Path, report: Any) -> SlowEngine:
        raise ValueError("it holds values that are not finite")

    monkeypatch.setattr(session.models, "opener", lambda: broken)
    trainer.write()
    for _ in range(5):
        trainer.look(session)
    assert errors(session) == ["it holds values that are not finite"]
    assert not any(toast.level == "error" for toast in session.messages.toasts)
    assert session.run_follower.text == "following faces: 104 k images, the newest snapshot did not load"
    assert session.models.failed is None
    monkeypatch.setattr(session.models, "opener", lambda: opens)
    trainer.write()
    trainer.look(session)
    assert session.run_follower.text == "following faces: 312 k images"


def test_a_run_without_a_snapshot_is_waited_for(trainer: Trainer, tmp_path: Path) -> None:
    session = trainer.session(tmp_path, trainer.folder)
    settle(session, trainer.clock)
    assert session.history.scene.checkpoint == ""  # the bundled model meanwhile
    trainer.look(session)
    assert session.run_follower.text == "following faces: waiting for its first snapshot"
    assert [message.text for message in session.messages.lines] == [
        "faces has no snapshot yet; the first one is shown when it comes."
    ]
    trainer.write()
    trainer.look(session)
    assert session.history.scene.checkpoint == str(trainer.latest)
    assert session.run_follower.text == "following faces: 104 k images"
    assert not errors(session)
    session.history.undo()  # back to the model before
    trainer.look(session)
    trainer.look(session)
    assert session.models.info.images_seen == 5
    assert not session.run_follower.on


def test_it_is_switched_off_and_on_and_ends_with_another_model(trainer: Trainer, tmp_path: Path) -> None:
    follow = by_id("follow")
    session = trainer.session(tmp_path)
    settle(session, trainer.clock)
    assert not follow.enabled(session)
    trainer.write()
    session.models.open(trainer.latest)
    settle(session, trainer.clock)
    trainer.write()
    trainer.look(session)
    assert (follow.enabled(session), follow.checked(session), session.models.info.images_seen) == (True, False, 104_000)

    follow.run(session)
    trainer.look(session)
    assert (follow.checked(session), session.models.info.images_seen) == (True, 208_000)
    follow.run(session)
    trainer.write()
    trainer.look(session)
    assert (follow.checked(session), session.models.info.images_seen, session.run_follower.text) == (False, 208_000, "")
    follow.run(session)
    trainer.look(session)
    assert session.models.info.images_seen == 312_000

    session.models.open_bundled()
    settle(session, trainer.clock)
    wait_until(lambda: (trainer.look(session), not session.run_follower.on)[1])
    assert session.history.scene.checkpoint == ""
    assert session.messages.lines[-1].text == "Another model is open: faces is followed no longer."
    assert not errors(session)


def test_directions_in_use_stay_in_use(trainer: Trainer, tmp_path: Path) -> None:
    trainer.write()
    session = trainer.session(tmp_path, trainer.folder)
    settle(session, trainer.clock)
    vector = Vector(name="snowy", kind="direction", values=np.arange(6, dtype=np.float32))
    assert session.vectors.store.add([vector])
    push = Push(direction=vector.id, amount=2.0)
    session.history.step("push", lambda scene: replace(scene, pushes=(push,)))
    settle(session, trainer.clock)
    assert session.rendering.frame is not None
    assert session.rendering.frame.request.pushes == (push,)
    for _ in range(2):
        trainer.write()
        trainer.look(session)
        assert all(request.pushes == (push,) for request in trainer.opened[-1].rendered)
        assert np.array_equal(trainer.opened[-1].vectors[vector.id], vector.values)
        assert session.rendering.frame.request.pushes == (push,)
    assert len(trainer.opened) == 3
    assert session.vectors.store.find(vector.id) is not None
    assert not errors(session)


def test_folders_that_are_no_runs(
    trainer: Trainer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = trainer.session(tmp_path)
    session.run_follower.open(tmp_path)
    assert "expected a file, or the folder of a training run" in errors(session)[0]
    assert not session.run_follower.on
    session.run_follower.open(trainer.folder)
    assert session.run_follower.on
    assert cli.main(["explore", str(tmp_path / "config")]) == 2
    assert "or the folder of a training run, which holds log.jsonl; got another folder" in capsys.readouterr().err


def test_amounts() -> None:
    assert [amount(n) for n in (0, 750, 12_300, 99_900, 208_400, 1_250_000)] == [
        "0",
        "750",
        "12.3 k",
        "99.9 k",
        "208 k",
        "1.25 M",
    ]
