"""`glissando video --scene`: what the window plays, off line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app import cli
from app.commands import video
from app.document.parts import SceneKeyframe, Track, TrackPoint
from app.document.playback import request_at
from app.document.scene import Scene
from core.request import RenderRequest
from tests.app.explorer.fakes import SlowEngine, make_session, settle

FPS = 16

SCENE = Scene(
    prompt="controls",
    crossfade=1.0,
    duration=1.5,
    keyframes=(
        SceneKeyframe(time=0.0, request=RenderRequest(prompt="sea")),
        SceneKeyframe(time=0.5, request=RenderRequest(prompt="hills", seed_x=400.0), easing="linear"),
        SceneKeyframe(time=1.25, request=RenderRequest(prompt="hills", psi=0.2)),
    ),
    tracks=(Track(control="seed_y", points=(TrackPoint(time=0.1, value=0.0), TrackPoint(time=1.0, value=3.0))),),
)
PATH = Scene(prompt="sea", path="eight", loop_seconds=1.0)


def write(path: Path, scene: Scene) -> Path:
    path.write_text(json.dumps(scene.to_json()), encoding="utf-8")
    return path


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


@pytest.mark.parametrize("scene", [SCENE, PATH], ids=["timeline", "path"])
def test_the_frames_are_those_that_the_window_submits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: Scene
) -> None:
    engine = SlowEngine(tmp_path / "model", size=16)
    opened: list[Any] = []

    def open_engine(args: Any) -> SlowEngine:
        opened.append(args.checkpoint)
        return engine

    monkeypatch.setattr(video, "open_engine", open_engine)
    file = write(tmp_path / "scene.json", replace(scene, checkpoint="/models/x.safetensors"))
    assert run("video", "--scene", file, "--fps", FPS, "--size", 16, "--out", tmp_path / "x.mp4") == 0
    assert opened == [Path("/models/x.safetensors")]
    assert len(engine.rendered) == round(scene.round_seconds * FPS)
    assert engine.rendered == [request_at(scene, k / FPS) for k in range(len(engine.rendered))]

    now = 50.0
    session = make_session(tmp_path, clock=lambda: now)
    try:
        session.history.step("scene", lambda _: scene)
        settle(session)
        session.playback.transport.toggle()
        session.tick()
        submitted = []
        for _ in engine.rendered:
            submitted.append(session.rendering.submitted)
            now += 1 / FPS
            session.tick()
    finally:
        session.close()
    assert submitted == engine.rendered


def test_a_scene_s_video_is_a_file_that_plays(tmp_path: Path, decode: Any, tiny_checkpoint: Path) -> None:
    out = tmp_path / "x.mp4"
    file = write(tmp_path / "scene.json", SCENE)
    assert (
        run("video", tiny_checkpoint, "--scene", file, "--seconds", 0.5, "--fps", 20, "--size", 32, "--out", out) == 0
    )
    pictures, _ = decode(out)
    assert pictures.shape == (10, 32, 32, 3)


def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(*arguments: object) -> str:
        assert run("video", *arguments) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        return err

    file = write(tmp_path / "scene.json", SCENE)
    assert "expected it without --prompt" in fails("--scene", file, "--prompt", "sea")
    assert "expected it without --psi" in fails("--scene", file, "--psi", "0.5")
    assert "expected it without --loop" in fails("--scene", file, "--loop")
    assert "cannot read the scene: no such file" in fails("--scene", tmp_path / "absent.json")
    (tmp_path / "bad.json").write_text('{"scene": 2, "tracks": [{"control": "psi", "points": []}]}')
    assert "tracks: 0: points: expected at least one" in fails("--scene", tmp_path / "bad.json")
    (tmp_path / "worse.json").write_text("nothing")
    assert "expected a scene" in fails("--scene", tmp_path / "worse.json")
