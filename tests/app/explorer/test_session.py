import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.document.playback import request_at
from app.document.scene import Scene
from app.explorer.actions import by_id
from app.explorer.export.file_names import file_stem
from app.explorer.messages import ERROR_TOAST_S
from app.explorer.rendering.model_loader import EngineChoice
from app.explorer.session import Session
from app.explorer.startup import first_scene
from app.explorer.storage.settings import SettingsStore
from app.provenance import read_document
from core.request import Frame, RenderRequest
from tests.app.explorer.fakes import ListWriter, SlowEngine, errors, make_session, settle, wait_until


@pytest.fixture
def open_session(tmp_path: Path) -> Iterator[Callable[..., Session]]:
    sessions: list[Session] = []

    def start(checkpoint: Path | None = None, **changes: Any) -> Session:
        session = make_session(tmp_path, checkpoint, **changes)
        sessions.append(session)
        return session

    yield start
    for session in sessions:
        session.close()
        assert session.rendering.thread.close(timeout=10.0)


def tick_until(session: Session, condition: Callable[[], bool]) -> None:
    def met() -> bool:
        session.tick()
        return condition()

    wait_until(met)


def test_a_new_session_shows_the_first_scene(open_session: Callable[..., Session]) -> None:
    session = open_session()
    settle(session)
    assert session.rendering.frame is not None
    assert session.rendering.frame.request == first_scene().request()
    assert session.models.info.name == "bundled"
    assert session.is_new
    assert errors(session) == []


def test_the_picture_follows_every_change(open_session: Callable[..., Session]) -> None:
    session = open_session()
    settle(session)
    for scene in (Scene(prompt="x"), Scene(prompt="x", psi=0.3), Scene(prompt="", noise="random", noise_seed=5)):
        session.history.step("change", lambda _, scene=scene: scene)
        settle(session)
        assert session.rendering.frame is not None
        assert session.rendering.frame.request == scene.request()


def test_an_unchanged_scene_is_rendered_once(open_session: Callable[..., Session]) -> None:
    session = open_session()
    settle(session)
    for _ in range(20):
        session.tick()
    assert session.rendering.frame_count == 1
    assert not session.lively


def test_play_moves_the_picture_and_pause_holds_it(open_session: Callable[..., Session]) -> None:
    now = [100.0]
    session = open_session(clock=lambda: now[0])
    settle(session)
    session.playback.transport.toggle()
    session.tick()
    now[0] += 0.2
    settle(session)
    scene = session.history.scene
    assert session.rendering.frame is not None
    played = session.rendering.frame.request
    expected = request_at(scene, 0.2)
    assert (played.seed_x, played.seed_y) == pytest.approx((expected.seed_x, expected.seed_y))
    assert played.seed_x != scene.seed_x
    session.playback.transport.toggle()
    now[0] += 5.0
    settle(session)
    assert session.rendering.frame.request == played
    session.playback.transport.rewind()
    settle(session)
    assert session.rendering.frame.request == scene.request()
    assert session.history.undo_name is None


def test_another_speed_keeps_the_place_on_the_path(open_session: Callable[..., Session]) -> None:
    session = open_session()
    session.playback.transport.time = 10.0  # of 8: a quarter of the second round
    settle(session)
    before = request_at(session.history.scene, session.playback.transport.time)
    session.history.step("speed", lambda scene: replace(scene, loop_seconds=20.0))
    settle(session)
    after = request_at(session.history.scene, session.playback.transport.time)
    assert (after.seed_x, after.seed_y) == pytest.approx((before.seed_x, before.seed_y))


def test_the_scene_is_kept_and_restored(open_session: Callable[..., Session], tmp_path: Path) -> None:
    now = [0.0]
    session = open_session(clock=lambda: now[0])
    session.history.step("prompt", lambda scene: replace(scene, prompt="kept 🏔", psi=0.25))
    session.tick()
    path = tmp_path / "config" / "scene.json"
    now[0] += 1.0
    session.tick()
    assert json.loads(path.read_text(encoding="utf-8"))["prompt"] == "kept 🏔"
    again = open_session()
    assert again.history.scene == session.history.scene
    assert not again.is_new


def test_closing_keeps_the_last_change(open_session: Callable[..., Session], tmp_path: Path) -> None:
    session = open_session()
    session.history.step("prompt", lambda scene: replace(scene, prompt="at the last moment"))
    session.close()
    scene, problem = SettingsStore(tmp_path / "config").load_scene()
    assert problem is None
    assert scene is not None
    assert scene.prompt == "at the last moment"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"scene": 99}', '{"scene": 1, "psi": 1e999}', "\x00\xff"])
def test_a_damaged_scene_starts_afresh_and_says_so(
    open_session: Callable[..., Session], tmp_path: Path, text: str
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "scene.json").write_bytes(text.encode("latin-1"))
    session = open_session()
    settle(session)
    assert session.history.scene == first_scene()
    assert any("scene" in text for text in errors(session))


def test_settings_that_cannot_be_kept_are_said_once_and_the_picture_works(
    open_session: Callable[..., Session], tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("a file where the folder should be")
    now = [0.0]
    session = open_session(clock=lambda: now[0])
    for i in range(5):
        session.history.step("prompt", lambda scene, i=i: replace(scene, prompt=str(i), crossfade=0.0))
        settle(session)
        now[0] += 1.0
    settle(session)
    assert len(errors(session)) == 1
    assert "will not be kept" in errors(session)[0]
    assert session.rendering.frame is not None
    assert session.rendering.frame.request.prompt == "4"


def test_another_prompt_comes_by_a_crossfade_and_another_psi_at_once(open_session: Callable[..., Session]) -> None:
    now = [0.0]
    session = open_session(clock=lambda: now[0])
    settle(session)
    before = session.history.scene.request()
    session.history.step("prompt", lambda scene: replace(scene, prompt="a house", crossfade=2.0))
    session.dispatch()
    assert session.lively
    now[0] = 1.0
    tick_until(session, lambda: session.rendering.frame is not None and session.rendering.frame.request.arrived == 0.5)
    assert session.rendering.frame is not None
    assert session.rendering.frame.request == replace(before, prompt="a house", origin=before, arrived=0.5)
    assert not session.rendering.settled
    now[0] = 2.0
    settle(session)
    assert session.rendering.frame.request == session.history.scene.request()
    session.history.step("psi", lambda scene: replace(scene, psi=0.1))
    settle(session)
    assert session.rendering.frame.request.psi == 0.1
    assert session.rendering.frame.request.origin is None


def test_open_undo_and_redo_a_checkpoint(open_session: Callable[..., Session]) -> None:
    session = open_session()
    settle(session)
    session.models.open(Path("/models/other.safetensors"))
    tick_until(session, lambda: session.models.info.name == "other")
    settle(session)
    assert session.history.scene.checkpoint == "/models/other.safetensors"
    assert session.history.undo_name == "open checkpoint"
    assert session.preferences.settings.recents == ("/models/other.safetensors",)
    session.history.undo()
    tick_until(session, lambda: session.models.info.name == "bundled")
    assert session.history.redo_name == "open checkpoint"
    session.history.redo()
    tick_until(session, lambda: session.models.info.name == "other")
    session.models.open_bundled()
    tick_until(session, lambda: session.history.scene.checkpoint == "")


def test_a_bad_checkpoint_is_told_and_the_picture_stays(open_session: Callable[..., Session]) -> None:
    session = open_session()
    settle(session)
    frame = session.rendering.frame
    session.models.open(Path("/models/bad.safetensors"))
    tick_until(session, lambda: bool(errors(session)))
    assert errors(session) == ["/models/bad.safetensors: expected a checkpoint, got something bad"]
    assert session.rendering.frame is frame
    assert session.models.info.name == "bundled"
    assert session.history.scene.checkpoint == ""
    assert session.history.undo_name is None


def test_a_checkpoint_named_at_the_start_wins_over_the_restored_one(open_session: Callable[..., Session]) -> None:
    session = open_session()
    session.models.open(Path("/models/other.safetensors"))
    tick_until(session, lambda: session.history.scene.checkpoint != "")
    session.close()
    assert open_session().history.scene.checkpoint == "/models/other.safetensors"
    named = open_session(Path("/models/third.safetensors"))
    tick_until(named, lambda: named.models.info is not None)
    assert named.models.info.name == "third"


def test_no_bundled_checkpoint_is_told(open_session: Callable[..., Session]) -> None:
    def missing() -> Path:
        raise ValueError("the bundled checkpoint is missing")

    session = open_session(bundled_checkpoint=missing)
    session.tick()
    assert session.models.failed == "the bundled checkpoint is missing"
    session.models.open(Path("/models/other.safetensors"))
    settle(session)
    assert session.models.failed is None
    assert session.rendering.frame is not None


def test_a_render_error_is_told_once_and_the_picture_stays(open_session: Callable[..., Session]) -> None:
    engine = SlowEngine(Path("faces"))
    session = open_session(open_engine=lambda path, report: engine)
    settle(session)
    session.history.step("prompt", lambda scene: replace(scene, prompt="fail", crossfade=5.0))
    # Every picture of the fade fails.
    tick_until(session, lambda: sum(request.prompt == "fail" for request in engine.rendered) > 3)
    assert errors(session) == ["RuntimeError: the engine failed"]
    assert [toast.text for toast in session.messages.toasts] == errors(session)
    assert session.rendering.frame is not None
    assert session.rendering.frame.request == first_scene().request()
    session.history.undo()
    session.history.step("prompt", lambda scene: replace(scene, prompt="well"))
    settle(session)
    assert session.rendering.frame.request.prompt == "well"


def test_toasts_go_and_the_log_stays(open_session: Callable[..., Session]) -> None:
    now = [0.0]
    session = open_session(clock=lambda: now[0])
    session.messages.error("first")
    session.messages.error("first")
    session.messages.info("second")
    assert [toast.text for toast in session.messages.toasts] == ["first", "second"]
    now[0] += ERROR_TOAST_S + 1
    session.tick()
    assert session.messages.toasts == ()
    assert [message.text for message in session.messages.lines][-3:] == ["first", "first", "second"]


def test_save_picture_writes_what_is_shown_under_a_fresh_name(
    open_session: Callable[..., Session], tmp_path: Path
) -> None:
    session = open_session()
    session.export.files.picture()
    assert errors(session) == ["There is no picture to save yet."]
    settle(session)
    assert session.rendering.frame is not None
    for _ in range(3):
        session.export.files.picture()
    tick_until(session, lambda: sum("Saved" in m.text for m in session.messages.lines) == 3)
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == [f"snowy-mountains-at-sunset-watercolor-seed0-00{i}.png" for i in (1, 2, 3)]
    assert files[0].read_bytes() == session.rendering.frame.pixels.tobytes()


def test_an_output_folder_that_cannot_be_is_told(open_session: Callable[..., Session], tmp_path: Path) -> None:
    session = open_session()
    settle(session)
    (tmp_path / "file").write_text("")
    session.preferences.set_output_dir(tmp_path / "file" / "below")
    session.export.files.picture()
    session.export.recording.toggle()
    assert session.export.recording.recorder is None
    told = errors(session)
    assert len(told) == 2
    assert all("Choose another one" in text for text in told)


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_picture_that_cannot_be_written_is_told(open_session: Callable[..., Session], tmp_path: Path) -> None:
    def refuse(path: Path, frame: Frame, info: Any, scene: Scene, time: float) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    session = open_session(write_image=refuse)
    settle(session)
    session.export.files.picture(tmp_path / "x.png")
    tick_until(session, lambda: bool(errors(session)))
    assert "not saved" in errors(session)[0]
    assert "Permission denied" in errors(session)[0]


def test_recording_takes_what_is_shown(open_session: Callable[..., Session], tmp_path: Path) -> None:
    writers: list[ListWriter] = []

    def open_writer(path: Path, fps: int, size: tuple[int, int], comment: str) -> ListWriter:
        writers.append(ListWriter(path, fps, size, comment))
        return writers[-1]

    session = open_session(open_writer=open_writer)
    session.export.recording.toggle()
    assert errors(session) == ["There is no picture to record yet."]
    settle(session)
    first = session.rendering.frame
    session.export.recording.toggle()
    assert session.export.recording.recorder is not None
    wait_until(lambda: bool(writers) and len(writers[0].frames) > 0)
    session.history.step("prompt", lambda scene: replace(scene, prompt="second"))
    settle(session)
    second = session.rendering.frame
    before = len(writers[0].frames)
    wait_until(lambda: len(writers[0].frames) > before + 1)
    session.export.recording.toggle()
    assert session.export.recording.recorder.stopping
    tick_until(session, lambda: session.export.recording.recorder is None)
    assert writers[0].closed
    assert any("Recorded" in message.text for message in session.messages.lines)
    assert first is not None
    assert second is not None
    about = read_document(Path("x.mp4"), writers[0].comment, width=512, height=512)
    assert about.request == first.request
    assert about.scene is not None
    assert about.scene["prompt"] == first.request.prompt
    assert about.checkpoint["sha256"] == session.models.info.sha256
    factor = 64  # 8 px to 512
    for frame, shown in ((first, writers[0].frames[0]), (second, writers[0].frames[-1])):
        np.testing.assert_array_equal(shown, frame.pixels.repeat(factor, 0).repeat(factor, 1))


def test_a_recording_leaves_the_take_of_a_video_that_was_moved_away(
    open_session: Callable[..., Session], tmp_path: Path
) -> None:
    session = open_session()
    settle(session)
    (tmp_path / "out").mkdir(exist_ok=True)
    moved = tmp_path / "out" / "snowy-mountains-at-sunset-watercolor-seed0-001.take.jsonl"
    moved.write_text("mine")
    session.export.recording.toggle()
    assert session.export.recording.recorder is not None
    assert session.export.recording.recorder.path.stem.endswith("-002")
    session.export.recording.toggle()
    tick_until(session, lambda: session.export.recording.recorder is None)
    assert moved.read_text() == "mine"
    assert not errors(session)


def test_a_recording_that_fails_is_told(open_session: Callable[..., Session]) -> None:
    def open_writer(path: Path, fps: int, size: tuple[int, int], comment: str) -> ListWriter:
        raise OSError(28, "No space left on device")

    session = open_session(open_writer=open_writer)
    settle(session)
    session.export.recording.toggle()
    tick_until(session, lambda: session.export.recording.recorder is None)
    assert "No space left" in errors(session)[0]


def test_closing_while_recording_closes_the_file(open_session: Callable[..., Session]) -> None:
    writers: list[ListWriter] = []

    def open_writer(path: Path, fps: int, size: tuple[int, int], comment: str) -> ListWriter:
        writers.append(ListWriter(path, fps, size, comment))
        return writers[-1]

    session = open_session(open_writer=open_writer)
    settle(session)
    session.export.recording.toggle()
    session.close()
    assert writers[0].closed
    assert len(writers[0].frames) >= 1


def test_surprise_is_one_step_to_a_whole_seed(open_session: Callable[..., Session]) -> None:
    session = open_session()
    before = session.history.scene
    by_id("surprise").run(session)
    scene = session.history.scene
    assert scene != before
    assert scene.seed_x.is_integer()
    assert scene.seed_y.is_integer()
    session.history.undo()
    assert session.history.scene == before


def test_examples_come_from_the_checkpoint(open_session: Callable[..., Session]) -> None:
    session = open_session(read_examples=lambda path: (f"from {path.stem}",))
    settle(session)
    assert session.models.examples == ("from bundled",)


@pytest.mark.parametrize(
    ("subject", "place", "stem"),
    [
        ("Snowy Mountains!", {"seed_x": 3.0}, "snowy-mountains-seed3"),
        ("", {"seed_x": 0.5, "seed_y": -2.0}, "picture-seed0.5_-2"),
        ("../../etc/passwd", {}, "etc-passwd-seed0"),
        ("🏔", {}, "picture-seed0"),
        ("雪山", {}, "雪山-seed0"),
        ("x" * 10_000, {}, "x" * 48 + "-seed0"),
    ],
)
def test_file_names(subject: str, place: dict[str, float], stem: str) -> None:
    assert file_stem(subject, RenderRequest(**place)) == stem


def test_files_are_named_after_what_the_model_takes(open_session: Callable[..., Session]) -> None:
    for kind, names, expected in (("class", ("cat", "Great Dane"), "class-1-great-dane"), ("none", (), "faces")):
        engine = SlowEngine(Path("faces"), conditioning=kind, classes=len(names), class_names=names)
        session = open_session(open_engine=lambda path, report, engine=engine: engine)
        session.history.step("class", lambda scene: replace(scene, label=1 if scene.prompt else 0))
        tick_until(session, lambda session=session: session.rendering.settled)
        session.export.files.picture()
        tick_until(
            session, lambda session=session: session.messages.lines and "Saved" in session.messages.lines[-1].text
        )
        assert f"{expected}-seed0-001.png" in session.messages.lines[-1].text


def test_another_model_keeps_what_both_have(open_session: Callable[..., Session], tmp_path: Path) -> None:
    def open_engine(path: Path, report: Any) -> SlowEngine:
        return SlowEngine(path, conditioning="class", classes=10 if "few" in path.name else 1000)

    session = open_session(open_engine=open_engine)
    change = {"label": 800, "label_b": 3, "seed_x": 4.0, "psi": 0.5}
    session.history.step("controls", lambda scene: replace(scene, **change))
    tick_until(session, lambda: session.rendering.settled)
    session.models.open(tmp_path / "few.safetensors")
    tick_until(session, lambda: session.rendering.settled and session.models.info.classes == 10)
    scene = session.history.scene
    assert (scene.label, scene.label_b, scene.seed_x, scene.psi) == (9, 3, 4.0, 0.5)
    session.history.undo()
    tick_until(session, lambda: session.rendering.settled and session.models.info.classes == 1000)
    assert session.history.scene.label == 800


def test_a_slow_engine_does_not_hold_up_the_window(open_session: Callable[..., Session]) -> None:
    engine = SlowEngine(Path("slow"), delay=0.2)
    session = open_session(open_engine=lambda path, report: engine)
    ticks = 0
    tick_until(session, lambda: session.models.info is not None)
    while session.rendering.frame is None:
        session.history.apply("walk", lambda scene, t=ticks: replace(scene, seed_x=float(t % 1000)))
        session.tick()
        ticks += 1
    # Hundreds of rounds of the window in the time of one frame.
    assert ticks > 50
    assert session.history.undo_name == "walk"


# What the model runs on


def choosy(opened: list[EngineChoice]) -> Callable[..., SlowEngine]:
    def open_chosen(path: Path, report: Any, choice: EngineChoice) -> SlowEngine:
        opened.append(choice)
        if choice.device == "cuda":
            raise ValueError("device cuda: this machine has none")
        return SlowEngine(path, precision="float32" if choice.precision == "auto" else choice.precision)

    return open_chosen


def test_another_precision_loads_the_model_again_and_is_kept(open_session: Callable[..., Session]) -> None:
    opened: list[EngineChoice] = []
    session = open_session(open_chosen=choosy(opened))
    settle(session)
    scene = session.history.scene
    session.models.run_on(precision="bfloat16")
    tick_until(session, lambda: session.models.info.precision == "bfloat16")
    settle(session)
    assert opened == [EngineChoice(), EngineChoice(precision="bfloat16")]
    assert session.history.scene == scene
    assert session.history.undo_name is None
    session.models.run_on(precision="bfloat16")  # nothing new
    session.models.run_on(device="cpu")
    tick_until(session, lambda: len(opened) == 3)
    settle(session)
    session.close()
    again = open_session(open_chosen=choosy(opened))
    settle(again)
    assert opened[-1] == EngineChoice("cpu", "bfloat16")


def test_a_device_that_is_not_there_is_told_and_the_old_engine_stays(open_session: Callable[..., Session]) -> None:
    opened: list[EngineChoice] = []
    session = open_session(open_chosen=choosy(opened))
    settle(session)
    info, frame = session.models.info, session.rendering.frame
    session.models.run_on(device="cuda")
    tick_until(session, lambda: bool(errors(session)))
    assert errors(session) == ["device cuda: this machine has none"]
    assert session.models.info is info
    assert session.rendering.frame is frame
    assert session.preferences.settings.device == "auto"
    # The old engine draws on, and other models open on what worked.
    session.history.step("psi", lambda scene: replace(scene, psi=0.1))
    settle(session)
    session.models.open(Path("/models/other.safetensors"))
    tick_until(session, lambda: session.models.info.name == "other")
    assert opened[-1] == EngineChoice()


def test_a_device_that_went_away_between_starts_does_not_leave_the_window_empty(
    open_session: Callable[..., Session], tmp_path: Path
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "settings.json").write_text('{"device": "cuda", "precision": "float16"}')
    opened: list[EngineChoice] = []
    session = open_session(open_chosen=choosy(opened))
    tick_until(session, lambda: session.rendering.frame is not None)
    assert opened == [EngineChoice("cuda", "float16"), EngineChoice()]
    assert session.preferences.settings.device == "auto"
    assert len(errors(session)) == 1


def test_latency_is_measured_from_the_frame_that_took_the_input(open_session: Callable[..., Session]) -> None:
    now = [100.0]
    session = open_session(clock=lambda: now[0])
    settle(session)
    session.tick()
    assert not session.rendering.latency.latency_ms  # loading is not counted
    # As the window does it: collect, draw, dispatch.
    session.collect()
    session.history.step("psi", lambda scene: replace(scene, psi=0.1))
    now[0] += 0.010
    session.dispatch()
    wait_until(lambda: session.rendering.thread._frame is not None)
    now[0] += 0.050
    session.collect()
    now[0] += 0.005
    session.dispatch()
    assert [value for _, value in session.rendering.latency.latency_ms] == [pytest.approx(65.0)]
    now[0] += 1.0
    session.collect()
    session.dispatch()
    assert len(session.rendering.latency.latency_ms) == 1
