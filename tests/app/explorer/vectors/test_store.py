"""What the session knows of saved vectors, without a window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.explorer.actions import by_id
from app.explorer.session import Session
from app.vectors import kept_path
from core.request import Mix, Push, RenderRequest
from core.vectors import Vector, load_vectors, save_vectors
from tests.app.explorer.fakes import SlowEngine, errors, make_session, settle, wait_until

SHA = "ab" * 32  # of every fake model, unless it says otherwise
OTHER = "cd" * 32


class StrictEngine(SlowEngine):
    """Refuses what it does not know, as the real one does."""

    def render(self, request: RenderRequest) -> Any:
        origin: RenderRequest | None = request
        while origin is not None:
            for name in [p.direction for p in origin.pushes] + [m.latent for m in origin.mixes if m.latent]:
                if name not in self.vectors:
                    raise ValueError(f"direction {name} is not known")
            origin = origin.origin
        return super().render(request)


def vector(name: str, seed: int = 0, width: int = 6, **fields: Any) -> Vector:
    values = np.random.default_rng(seed).normal(size=width)
    return Vector(**({"name": name, "kind": "direction", "values": values} | fields))


def open_engine(path: Path, report: Any) -> StrictEngine:
    if "bad" in path.name:
        raise ValueError(f"{path}: expected a checkpoint, got something bad")
    if "other" in path.name:
        return StrictEngine(path, sha256=OTHER, num_ws=4, w_dim=5)
    return StrictEngine(path)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = make_session(tmp_path, open_engine=open_engine)
    yield session
    session.close()
    assert session.rendering.thread.close(timeout=10.0)


def keep(folder: Path, *vectors: Vector, sha256: str = SHA) -> Path:
    path = kept_path(sha256, folder / "config")
    save_vectors(path, vectors, sha256)
    return path


def push(session: Session, *vectors: Vector) -> None:
    pushes = tuple(Push(direction=one.id, amount=1.0) for one in vectors)
    session.history.step("push", lambda scene: replace(scene, pushes=pushes))


def test_what_is_missing_is_left_out_and_said_once(session: Session, tmp_path: Path) -> None:
    here, gone = vector("here", 1), vector("gone", 2)
    keep(tmp_path, here)
    push(session, here, gone)
    latent = vector("place", 3, kind="latent")
    session.history.step("mix", lambda scene: replace(scene, mixes=(Mix(latent=latent.id), Mix(seed_x=4.0))))
    settle(session)
    assert session.rendering.frame is not None
    assert [p.direction for p in session.rendering.frame.request.pushes] == [here.id]
    assert session.rendering.frame.request.mixes == (Mix(seed_x=4.0),)
    assert errors(session) == [
        "bundled has no saved 'gone' and 'place': the picture is drawn without them. "
        "Find or import them again, or remove them from the scene."
    ]
    by_id("surprise").run(session)
    settle(session)
    assert len(errors(session)) == 1
    # The scene still names them: once they are there, they are in the picture.
    assert len(session.history.scene.pushes) == 2
    assert session.vectors.store.add([gone, latent])
    settle(session)
    wait_until(lambda: (session.tick(), len(session.rendering.frame.request.pushes) == 2)[1])  # type: ignore[union-attr]
    assert session.rendering.frame.request.mixes[0].latent == latent.id
    assert len(errors(session)) == 1


def test_a_fade_from_what_is_missing(session: Session) -> None:
    gone = vector("gone")
    settle(session)
    request = RenderRequest(prompt="sea", origin=RenderRequest(pushes=(Push(direction=gone.id),)), arrived=0.5)
    fitted = session.vectors.store.registry.fitting(request)
    assert fitted.origin is not None
    assert fitted.origin.pushes == ()
    plain = RenderRequest(prompt="sea")
    assert session.vectors.store.registry.fitting(plain) is plain


def test_thumbnails_have_what_is_there(session: Session, tmp_path: Path) -> None:
    here, gone = vector("here", 1), vector("gone", 2)
    keep(tmp_path, here)
    settle(session)
    request = RenderRequest(prompt="sea", pushes=(Push(direction=here.id), Push(direction=gone.id)))
    wait_until(
        lambda: (
            (session.rendering.thumbnails.get(request), session.tick(), session.rendering.thumbnails.get(request))[2]
            is not None
        )
    )
    # What was sent to the engine counts for calls, which come after it.
    late = vector("late", 3)
    session.vectors.store.add([late])
    with_late = replace(request, pushes=(Push(direction=late.id),))
    assert session.vectors.store.registry.fitting_call(with_late).pushes == with_late.pushes
    assert not errors(session)


def test_another_name_means_the_same_values(session: Session, tmp_path: Path) -> None:
    one = vector("one")
    keep(tmp_path, replace(one, name="renamed"))
    push(session, one)
    settle(session)
    assert [p.direction for p in session.rendering.frame.request.pushes] == [f"renamed@{one.digest}"]  # type: ignore[union-attr]
    assert not errors(session)


def test_models_have_their_own(session: Session, tmp_path: Path) -> None:
    one, two = vector("one"), vector("two", width=5)
    keep(tmp_path, one)
    keep(tmp_path, two, sha256=OTHER)
    push(session, one)
    settle(session)
    assert [v.name for v in session.vectors.store.directions] == ["one"]
    session.models.open(tmp_path / "other.safetensors")
    wait_until(lambda: (session.tick(), session.models.info.sha256 == OTHER)[1])
    settle(session)
    assert [v.name for v in session.vectors.store.directions] == ["two"]
    assert session.rendering.frame.request.pushes == ()  # type: ignore[union-attr]
    # The engine was never asked for what it does not know; the one message is ours.
    assert len(errors(session)) == 1
    assert "has no saved 'one'" in errors(session)[0]
    session.history.undo()
    wait_until(lambda: (session.tick(), session.models.info.sha256 == SHA)[1])
    wait_until(lambda: (session.tick(), session.rendering.settled)[1])
    assert [p.direction for p in session.rendering.frame.request.pushes] == [one.id]  # type: ignore[union-attr]
    assert len(errors(session)) == 1


def test_a_model_that_does_not_load_changes_nothing(session: Session, tmp_path: Path) -> None:
    one = vector("one")
    keep(tmp_path, one)
    push(session, one)
    settle(session)
    session.models.open(tmp_path / "bad.safetensors")
    wait_until(lambda: (session.tick(), bool(errors(session)))[1])
    settle(session)
    assert [p.direction for p in session.rendering.frame.request.pushes] == [one.id]  # type: ignore[union-attr]
    assert len(errors(session)) == 1
    assert "something bad" in errors(session)[0]


def test_files_that_cannot_be_read_are_kept(session: Session, tmp_path: Path) -> None:
    path = kept_path(SHA, tmp_path / "config")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged")
    settle(session)
    assert len(errors(session)) == 1
    assert "expected a .npz file of directions" in errors(session)[0]
    assert not session.vectors.store.add([vector("one")])
    assert errors(session)[1].startswith("Nothing was changed: ")
    assert path.read_bytes() == b"damaged"


def test_vectors_of_other_shapes_are_left_out(session: Session, tmp_path: Path) -> None:
    keep(tmp_path, vector("fits"), vector("wide", width=7))
    settle(session)
    assert [v.name for v in session.vectors.store.vectors] == ["fits"]
    assert errors(session) == ["Left out, because bundled has other styles: 'wide'."]
    save_vectors(tmp_path / "a.npz", [vector("wide", width=7)], OTHER)
    session.vectors.files.import_from(tmp_path / "a.npz")
    assert "nothing in it fits bundled, which has 3 styles of 6 numbers" in errors(session)[1]


def test_importing_for_another_model_of_the_same_shape(session: Session, tmp_path: Path) -> None:
    mine = vector("same name", 1)
    path = keep(tmp_path, mine)
    settle(session)
    theirs = (vector("same name", 2), vector("place", 3, kind="latent"), vector("wide", width=7))
    save_vectors(tmp_path / "a.npz", theirs, OTHER)
    session.vectors.files.import_from(tmp_path / "a.npz")
    text = "Imported 1 direction and 1 latent from a.npz, made for another model; 1 did not fit"
    assert session.messages.lines[-1].text == text
    assert [v.name for v in load_vectors(path).vectors] == ["same name", "same name (2)", "place"]
    # Again: nothing is there twice.
    session.vectors.files.import_from(tmp_path / "a.npz")
    assert len(load_vectors(path).vectors) == 3
    assert not errors(session)


def test_what_the_command_line_added_meanwhile_stays(session: Session, tmp_path: Path) -> None:
    one, two, three = vector("one", 1), vector("two", 2), vector("three", 3)
    path = keep(tmp_path, one)
    settle(session)
    save_vectors(path, [one, two], SHA)
    session.vectors.store.add([three])
    assert [v.name for v in load_vectors(path).vectors] == ["one", "two", "three"]
    assert session.vectors.store.rename(one, "two")
    assert [v.name for v in session.vectors.store.directions] == ["two (2)", "two", "three"]
    assert not session.vectors.store.rename(two, "a@b")
    assert 'without "@"' in errors(session)[0]


def test_a_latent_is_of_the_picture_that_was_shown(session: Session) -> None:
    session.vectors.save_latent("early")
    assert "no picture" in errors(session)[0]
    settle(session)
    session.vectors.save_latent("home")
    request = session.history.scene.request()
    wait_until(lambda: (session.tick(), bool(session.vectors.store.latents))[1])
    (home,) = session.vectors.store.latents
    expected = SlowEngine(Path("x")).latent(request)
    assert np.array_equal(home.values, expected)
    session.vectors.save_latent("bad@name")
    wait_until(lambda: (session.tick(), len(errors(session)) == 2)[1])
    assert 'without "@"' in errors(session)[1]
