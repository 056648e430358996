"""What is dropped on the window comes back: scenes, takes, pictures, videos, other programs' pictures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.document.file import save_scene_file
from app.document.parts import SceneKeyframe
from app.document.playback import request_at
from app.document.scene import Scene
from app.explorer.session import Session
from app.finding import Hashes
from app.images import save_png
from app.provenance import document, document_text
from app.takes import TakeCheckpoint, TakeHeader, TakeRecorder
from app.video import VideoWriter
from core.model_info import ModelInfo
from core.request import Frame, RenderRequest
from tests.app.explorer.fakes import SlowEngine, errors, make_session, settle, wait_until
from tests.app.test_parameters import FOREIGN

SCENE = Scene(prompt="a house 日落", psi=0.4, seed_x=2.5, path="eight", loop_seconds=3.0, crossfade=0.0, smooth=True)
KEYS = tuple(SceneKeyframe(time=t, request=RenderRequest(prompt="key", seed_x=t)) for t in (0.0, 2.0))


def file_hash(path: Path) -> str:
    return Hashes(None).of(path) if path.is_file() else "bundled"


def open_hashed(path: Path, report: Any) -> SlowEngine:
    """A model that goes by its file's hash."""
    if "bad" in path.name:
        raise ValueError(f"{path}: expected a checkpoint, got something bad")
    return SlowEngine(path, sha256=file_hash(path))


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setenv("GLISSANDO_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "one.safetensors").write_bytes(b"one")
    session = make_session(
        tmp_path,
        tmp_path / "one.safetensors",
        open_engine=open_hashed,
        write_image=lambda path, frame, info, scene, time: save_png(path, frame, info, scene.to_json(), time),
    )
    settle(session)
    yield session
    session.close()
    assert session.rendering.thread.close(timeout=10.0)


def drop(session: Session, path: Path) -> None:
    session.file_opener.open(path)
    wait(session)


def wait(session: Session) -> None:
    def done() -> bool:
        session.tick()
        return not session.file_opener.busy

    wait_until(done)
    settle(session)


def info_of(session: Session, **changes: Any) -> ModelInfo:
    return replace(session.models.info, **changes)


def picture(path: Path, session: Session, scene: Scene, time: float | None, info: Any = None) -> RenderRequest:
    request = scene.request() if time is None else request_at(scene, time)
    frame = Frame(request=request, pixels=np.zeros((8, 8, 3), np.uint8), render_ms=1.0)
    save_png(path, frame, info or session.models.info, scene.to_json(), time)
    return request


@pytest.mark.parametrize("kind", ["png", "mp4", "gif", "mkv", "json", "take"])
def test_every_kind_brings_the_whole_scene_back_as_one_step(tmp_path: Path, session: Session, kind: str) -> None:
    path = tmp_path / f"x.{'take.jsonl' if kind == 'take' else kind}"
    if kind == "png":
        picture(path, session, SCENE, None)
    elif kind == "json":
        save_scene_file(path, SCENE, session.models.info)
    elif kind == "take":
        checkpoint = TakeCheckpoint(name="one", family="stylegan_t", sha256=session.models.info.sha256, path="/gone")
        header = TakeHeader(checkpoint=checkpoint, arithmetic=session.models.info.arithmetic)
        recorder = TakeRecorder(path, header, SCENE.to_json())
        recorder.offer(0.0, SCENE.request())
        recorder.stop(1.0)
        recorder.close()
    else:
        comment = document_text(document(request_at(SCENE, 0.0), session.models.info, scene=SCENE.to_json(), time=0.0))
        codec: Any = {"mp4": "h264", "gif": "gif", "mkv": "ffv1"}[kind]
        with VideoWriter(path, 10, 16, codec=codec, comment=comment) as writer:
            writer.write(np.zeros((16, 16, 3), np.uint8))
    before = session.history.scene
    drop(session, path)
    assert session.history.scene == replace(SCENE, checkpoint=before.checkpoint)
    assert session.history.undo_name == f"restore {path.name}"
    assert errors(session) == []
    session.history.undo()
    assert session.history.scene == before


@pytest.mark.parametrize("scene", [SCENE, replace(SCENE, keyframes=KEYS, duration=4.0)], ids=["path", "timeline"])
@pytest.mark.parametrize("time", [None, 1.25])
def test_the_picture_that_was_saved_is_shown_again(
    tmp_path: Path, session: Session, scene: Scene, time: float | None
) -> None:
    request = picture(tmp_path / "x.png", session, scene, time)
    session.playback.transport.toggle()
    drop(session, tmp_path / "x.png")
    assert not session.playback.transport.playing
    assert session.rendering.frame is not None
    assert session.rendering.frame.request == request


def test_what_the_window_saves_it_restores(tmp_path: Path, session: Session) -> None:
    session.history.step("set", lambda scene: replace(SCENE, checkpoint=scene.checkpoint, keyframes=KEYS))
    session.playback.transport.time = 1.5
    settle(session)
    shown = session.rendering.frame
    assert shown is not None
    session.export.files.picture(tmp_path / "x.png")
    wait_until(lambda: session.tick() or not session.export.files.busy)  # type: ignore[func-returns-value]
    session.history.step("away", lambda scene: Scene(checkpoint=scene.checkpoint, crossfade=0.0))
    session.playback.transport.rewind()
    settle(session)
    drop(session, tmp_path / "x.png")
    assert session.rendering.frame is not None
    assert session.rendering.frame.request == shown.request
    assert session.history.scene.keyframes == KEYS


def test_a_picture_of_an_older_version_or_the_command_gives_its_request(tmp_path: Path, session: Session) -> None:
    request = RenderRequest(prompt="a house", seed_x=4.0, psi=0.3)
    frame = Frame(request=request, pixels=np.zeros((8, 8, 3), np.uint8), render_ms=1.0)
    save_png(tmp_path / "x.png", frame, session.models.info)
    drop(session, tmp_path / "x.png")
    assert session.rendering.frame is not None
    assert session.rendering.frame.request == request


def test_another_program_s_picture_sets_prompt_and_seed(tmp_path: Path, session: Session) -> None:
    text = PngInfo()
    text.add_text("parameters", FOREIGN)
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png", pnginfo=text)
    psi = session.history.scene.psi
    drop(session, tmp_path / "x.png")
    scene = session.history.scene
    assert scene.prompt == "a lighthouse at dusk, (masterpiece:1.2), oil painting"
    assert (scene.seed_x, scene.seed_y, scene.psi) == (94.0, 28347601.0, psi)


@pytest.mark.parametrize("where", ["recents", "library", "said"])
def test_another_model_is_found_by_its_hash_and_loaded(tmp_path: Path, session: Session, where: str) -> None:
    folder = tmp_path / "library"
    folder.mkdir()
    other = folder / "renamed.safetensors"
    other.write_bytes(b"other")
    info = info_of(session, name="other", sha256=file_hash(other))
    scene = SCENE
    if where == "recents":
        session.preferences.keep(session.preferences.settings.with_recent(other))
    elif where == "library":
        session.preferences.keep(replace(session.preferences.settings, library_dirs=(str(folder),)))
    else:
        scene = replace(SCENE, checkpoint=str(other))
    save_scene_file(tmp_path / "x.json", scene, info)
    drop(session, tmp_path / "x.json")
    wait_until(lambda: session.tick() or session.models.path == other)  # type: ignore[func-returns-value]
    assert session.history.scene == replace(SCENE, checkpoint=str(other))
    assert errors(session) == []
    session.history.undo()
    wait_until(lambda: session.tick() or session.models.info.path.name == "one.safetensors")  # type: ignore[func-returns-value]


def missing(tmp_path: Path, session: Session) -> dict[str, Callable[[], None]]:
    (tmp_path / "other.pkl").write_bytes(b"other")
    info = info_of(session, name="faces", family="stylegan2", sha256=file_hash(tmp_path / "other.pkl"))
    save_scene_file(tmp_path / "x.json", SCENE, info)
    before = session.history.scene
    drop(session, tmp_path / "x.json")
    (toast,) = (toast for toast in session.messages.toasts if toast.choices)
    assert "made with faces (stylegan2, SHA-256" in toast.text
    assert info.sha256[:10] in toast.text
    assert session.history.scene == before
    return dict(toast.choices)


def test_a_missing_model_is_named_and_one_may_find_it(tmp_path: Path, session: Session) -> None:
    choices = missing(tmp_path, session)
    choices["Find it…"]()
    assert session.ui.dialog_request == "find_checkpoint"
    session.file_opener.give_checkpoint(tmp_path / "one.safetensors")
    wait(session)
    assert "is another model: x.json was made with faces" in errors(session)[-1]
    session.file_opener.give_checkpoint(tmp_path / "absent.safetensors")
    wait(session)
    assert "absent.safetensors" in errors(session)[-1]
    session.file_opener.give_checkpoint(tmp_path / "other.pkl")
    wait(session)
    wait_until(lambda: session.tick() or session.models.path == tmp_path / "other.pkl")  # type: ignore[func-returns-value]
    assert session.history.scene.psi == SCENE.psi


def test_a_missing_model_may_be_replaced_by_the_loaded_one(tmp_path: Path, session: Session) -> None:
    missing(tmp_path, session)["Use one"]()
    settle(session)
    assert session.history.scene.prompt == SCENE.prompt
    assert session.models.path == tmp_path / "one.safetensors"


def test_an_imported_model_is_found_by_the_file_it_was_imported_from(tmp_path: Path, session: Session) -> None:
    published = tmp_path / "faces.pkl"
    published.write_bytes(b"published")
    imports = tmp_path / "cache" / "imports"
    imports.mkdir(parents=True)
    imported = imports / f"{file_hash(published)}-9.safetensors"
    imported.write_bytes(b"imported")
    session.preferences.keep(session.preferences.settings.with_recent(published))
    save_scene_file(tmp_path / "x.json", SCENE, info_of(session, sha256=file_hash(imported)))
    drop(session, tmp_path / "x.json")
    assert session.history.scene.checkpoint == str(published)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.json", b"{", "expected a scene: no JSON"),
        ("x.json", b'{"scene": 99}', "update Glissando"),
        ("x.take.jsonl", b'{"take": 99}', "version 99"),
        ("x.png", b"\x89PNG\r\n\x1a\n", "expected a picture"),
        ("x.gif", b"GIF89a", "cannot read the picture"),
        ("x.mp4", b"\0\0\0\x18ftypisom", "cannot read the video"),
        ("x.mkv", b"\x1a\x45\xdf\xa3\x84", "cannot read the video"),
        ("x.safetensors.bad", b"?", "expected a checkpoint, got something bad"),
    ],
)
def test_what_cannot_be_restored_is_one_message(
    tmp_path: Path, session: Session, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    before = session.history.scene
    drop(session, tmp_path / name)
    wait_until(lambda: session.tick() or bool(errors(session)))  # type: ignore[func-returns-value]
    assert message in errors(session)[-1]
    assert "\n" not in errors(session)[-1]
    assert session.history.scene == before


def test_a_plain_picture_says_that_it_holds_nothing(tmp_path: Path, session: Session) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    drop(session, tmp_path / "x.png")
    assert "does not say how it was made" in errors(session)[-1]


def test_a_checkpoint_is_opened_as_before(tmp_path: Path, session: Session) -> None:
    shutil.copy(tmp_path / "one.safetensors", tmp_path / "two.safetensors")
    drop(session, tmp_path / "two.safetensors")
    wait_until(lambda: session.tick() or session.models.path == tmp_path / "two.safetensors")  # type: ignore[func-returns-value]
    assert session.history.undo_name == "open checkpoint"


def test_saved_scenes_say_what_they_were_made_with(tmp_path: Path, session: Session) -> None:
    session.export.files.scene(tmp_path / "deep" / "x.json")
    wait_until(lambda: session.tick() or not session.export.files.busy)  # type: ignore[func-returns-value]
    data = json.loads((tmp_path / "deep" / "x.json").read_text())
    assert data["scene"] == 2
    assert data["made_with"]["sha256"] == session.models.info.sha256
    session.export.files.scene(tmp_path / "one.safetensors" / "x.json")
    wait_until(lambda: session.tick() or bool(errors(session)))  # type: ignore[func-returns-value]
    assert "cannot write the scene" in errors(session)[-1]
