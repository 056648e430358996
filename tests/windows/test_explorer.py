"""The explorer as people use it: a real window, real OpenGL, the real engine, and the framebuffer's pixels."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from app.document.playback import request_at
from app.takes import read_take
from tests.windows.conftest import unavailable
from tests.windows.driver import PATIENCE_S, enlarged, run_script

pytestmark = pytest.mark.timeout(3 * PATIENCE_S)

HERE = "tests.windows.test_explorer"
CONTROLS = "//Picture controls"


def dismiss_toasts(session: Any) -> None:
    """Nothing over the picture."""
    for toast in session.messages.toasts:
        session.messages.dismiss(toast)


def settle(ctx: Any, session: Any) -> None:
    """Let the window draw until the picture is the scene's, and was drawn."""
    ctx.yield_(2)
    end = time.monotonic() + PATIENCE_S
    while not session.rendering.settled:
        assert time.monotonic() < end, "the picture did not come"
        ctx.yield_()
    ctx.yield_(2)


def errors(session: Any) -> list[str]:
    return [message.text for message in session.messages.lines if message.level == "error"]


def assert_shows_the_engine_s_picture(ctx: Any, session: Any, explorer: Any, window: Any) -> None:
    """The framebuffer has, pixel for pixel, the picture of the controls as a second engine of this kind renders it."""
    from core.engine import Engine

    engine = Engine.open(session.models.info.path, **asdict(session.models.info.arithmetic))
    expected = engine.render(request_at(session.history.scene, session.playback.transport.time)).pixels
    np.testing.assert_array_equal(window.picture(ctx), enlarged(expected, explorer.viewport.placement.zoom))


# Prompt, psi, undo


def script_type_drag_undo(ctx: Any, session: Any, explorer: Any, window: Any) -> None:
    from imgui_bundle import ImVec2, imgui

    settle(ctx, session)
    assert explorer.viewport.placement.zoom >= 8
    first = window.picture(ctx)
    assert_shows_the_engine_s_picture(ctx, session, explorer, window)

    ctx.item_click("//Prompt/##prompt")
    ctx.key_press(imgui.Key.mod_ctrl | imgui.Key.a)
    for character in "a house":
        ctx.key_chars(character)
        ctx.yield_(2)
    settle(ctx, session)
    assert session.rendering.frame.request.prompt == "a house"
    typed = window.picture(ctx)
    assert (typed != first).mean() > 0.05
    assert_shows_the_engine_s_picture(ctx, session, explorer, window)

    ctx.mouse_move(f"{CONTROLS}/##psi")
    ctx.mouse_down(0)
    start = ImVec2(imgui.get_io().mouse_pos.x, imgui.get_io().mouse_pos.y)
    for step in range(1, 9):
        ctx.mouse_teleport_to_pos(ImVec2(start.x + 10 * step, start.y))
        ctx.yield_()
    ctx.mouse_up(0)
    settle(ctx, session)
    assert session.history.undo_name == "psi"
    dragged = window.picture(ctx)
    assert (dragged != typed).mean() > 0.05
    assert_shows_the_engine_s_picture(ctx, session, explorer, window)
    window.screenshot(ctx, "dragged.png")

    ctx.key_press(imgui.Key.mod_ctrl | imgui.Key.z)
    settle(ctx, session)
    np.testing.assert_array_equal(window.picture(ctx), typed)
    while session.history.undo_name is not None:
        ctx.key_press(imgui.Key.mod_ctrl | imgui.Key.z)
        ctx.yield_()
    settle(ctx, session)
    np.testing.assert_array_equal(window.picture(ctx), first)
    # Words that training never saw are marked: amber appears in the prompt's panel, and goes again.
    before = amber(window.framebuffer(ctx))
    ctx.item_click("//Prompt/##prompt")
    ctx.key_chars(" zeppelin")
    settle(ctx, session)
    assert amber(window.framebuffer(ctx)) > before + 50
    ctx.key_press(imgui.Key.mod_ctrl | imgui.Key.z)
    settle(ctx, session)
    assert errors(session) == []
    # What the last lines are compared with outside.
    session.history.step("set", lambda scene: replace(scene, prompt="snowy sea at sunset", psi=0.7, seed_x=3.0))
    settle(ctx, session)
    np.save(window.folder / "picture.npy", window.picture(ctx))
    (window.folder / "zoom").write_text(str(int(explorer.viewport.placement.zoom)))


def amber(pixels: Any) -> int:
    """How many pixels have the colour of a marked word."""
    return int((np.abs(pixels.astype(int) - (245, 176, 76)).max(axis=2) < 12).sum())


def test_type_a_prompt_drag_psi_undo(environment: dict[str, str], tiny_checkpoint: Path, tmp_path: Path) -> None:
    run_script(f"{HERE}:script_type_drag_undo", tiny_checkpoint, tmp_path, environment)
    # The window shows what the command line writes.
    from app.cli import main

    out = tmp_path / "generated"
    arguments = ["generate", str(tiny_checkpoint), "--prompt", "snowy sea at sunset", "--seeds", "3", "--psi", "0.7"]
    assert main([*arguments, "--out", str(out)]) == 0
    (picture,) = (path for path in out.glob("*.png") if path.name != "sheet.png")
    zoom = int((tmp_path / "zoom").read_text())
    np.testing.assert_array_equal(
        np.load(tmp_path / "picture.npy"), enlarged(np.asarray(Image.open(picture).convert("RGB")), zoom)
    )


# Play, record, save


def script_play_and_record(ctx: Any, session: Any, explorer: Any, window: Any) -> None:
    from imgui_bundle import imgui

    settle(ctx, session)
    # torch came after the window was there.
    assert "torch" in sys.modules
    assert "app.explorer.window" in window.modules_in_first_frame
    assert not window.modules_in_first_frame & {"torch", "safetensors", "open_clip", "core.engine"}
    start = window.picture(ctx)
    session.history.step("speed", lambda scene: replace(scene, loop_seconds=3.0))
    ctx.key_press(imgui.Key.mod_ctrl | imgui.Key.r)
    ctx.yield_(2)
    assert session.export.recording.recorder is not None
    ctx.key_press(imgui.Key.space)
    end = time.monotonic() + PATIENCE_S
    while session.playback.transport.time < 1.0:
        assert time.monotonic() < end
        ctx.yield_()
    ctx.key_press(imgui.Key.space)
    settle(ctx, session)
    assert not session.playback.transport.playing
    moved = window.picture(ctx)
    assert (moved != start).mean() > 0.05
    assert_shows_the_engine_s_picture(ctx, session, explorer, window)
    np.save(window.folder / "moved.npy", session.rendering.frame.pixels)
    ctx.item_click("//Save/###record")
    while session.export.recording.recorder is not None:
        assert time.monotonic() < end
        ctx.yield_()
    ctx.key_press(imgui.Key.mod_ctrl | imgui.Key.s)
    while not any("Saved" in message.text for message in session.messages.lines):
        assert time.monotonic() < end
        ctx.yield_()
    ctx.key_press(imgui.Key.home)
    settle(ctx, session)
    dismiss_toasts(session)
    np.testing.assert_array_equal(window.picture(ctx), start)
    assert errors(session) == []
    (recorded,) = (message.text for message in session.messages.lines if "Recorded" in message.text)
    (window.folder / "recorded").write_text(recorded)


def test_play_record_and_save(environment: dict[str, str], tiny_checkpoint: Path, tmp_path: Path) -> None:
    run_script(f"{HERE}:script_play_and_record", tiny_checkpoint, tmp_path, environment)
    moved = np.load(tmp_path / "moved.npy")
    (video,) = (tmp_path / "out").glob("*.mp4")
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        rate = stream.average_rate
    assert rate == 60
    assert len(frames) > 30
    # As long as the message says.
    assert f"{len(frames) / 60:.1f} s" in (tmp_path / "recorded").read_text()
    # It moves, and ends on the picture that was shown last, up to H.264's colours.
    assert np.abs(frames[0].astype(int) - frames[-1].astype(int)).mean() > 2
    last = enlarged(moved, frames[-1].shape[0] // moved.shape[0])
    assert np.abs(frames[-1].astype(int) - last.astype(int)).mean() < 6

    (picture,) = (tmp_path / "out").glob("*.png")
    with Image.open(picture) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), moved)
        assert "Seed" in image.text["parameters"]
        data = json.loads(image.text["glissando"])
    assert data["request"]["prompt"] == "snowy mountains at sunset, watercolor"
    assert data["request"]["psi"] == 0.7
    assert len(data["checkpoint"]["sha256"]) == 64


def script_killed_while_recording(ctx: Any, session: Any, explorer: Any, window: Any) -> None:
    settle(ctx, session)
    session.playback.transport.toggle()
    session.export.recording.toggle()
    end = time.monotonic() + PATIENCE_S
    while session.export.recording.recorder.seconds < 4.0:
        assert time.monotonic() < end
        ctx.yield_()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_recording_plays(environment: dict[str, str], tiny_checkpoint: Path, tmp_path: Path) -> None:
    script = f"{HERE}:script_killed_while_recording"
    run_script(script, tiny_checkpoint, tmp_path, environment, ends_with=-signal.SIGKILL)
    (video,) = (tmp_path / "out").glob("*.mp4")
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 30
    # So does the take beside it, and the next start says what happened and restores either when it is dropped.
    take = read_take(video.with_name(f"{video.stem}.take.jsonl"))
    assert take.torn
    assert len(set(take.requests)) > 5
    run_script(f"{HERE}:script_after_the_kill", tiny_checkpoint, tmp_path, environment)


def script_after_the_kill(ctx: Any, session: Any, explorer: Any, window: Any) -> None:
    settle(ctx, session)
    assert [toast.choices[0][0] for toast in session.messages.toasts if toast.choices] == ["Start afresh"]
    window.screenshot(ctx, "after-the-kill.png")
    (video,) = (window.folder / "out").glob("*.mp4")
    for path in (video, video.with_name(f"{video.stem}.take.jsonl")):
        session.history.step("prompt", lambda scene: replace(scene, prompt="a house", seed_x=4.0))
        settle(ctx, session)
        explorer._drop_callback(None, [str(path)])
        end = time.monotonic() + PATIENCE_S
        while session.history.undo_name != f"restore {path.name}":
            assert time.monotonic() < end, errors(session)
            ctx.yield_()
        settle(ctx, session)
        assert session.history.scene.prompt == "snowy mountains at sunset, watercolor"
        assert session.history.scene.seed_x == 0.0
    assert errors(session) == []


# Checkpoints


def script_drop_checkpoints(ctx: Any, session: Any, explorer: Any, window: Any) -> None:
    # Started on a file that is not there: told in the window, which waits for another one.
    end = time.monotonic() + PATIENCE_S
    while session.models.failed is None:
        assert time.monotonic() < end
        ctx.yield_()
    ctx.yield_(3)
    assert "absent.safetensors" in session.models.failed
    assert session.rendering.frame is None
    window.screenshot(ctx, "absent.png")
    explorer.drop([str(window.folder / "tiny.safetensors")])
    settle(ctx, session)
    dismiss_toasts(session)
    first = window.picture(ctx)

    # As GLFW calls it when files are dropped.
    drop = explorer._drop_callback

    def refused(path: Path) -> None:
        before = len(errors(session))
        drop(None, [str(path)])
        while len(errors(session)) == before:
            assert time.monotonic() < end, path
            ctx.yield_()
        assert str(path) in errors(session)[-1]
        # The last picture stays while the message is shown.
        dismiss_toasts(session)
        np.testing.assert_array_equal(window.picture(ctx), first)

    for name in ("missing.safetensors", "", "truncated.safetensors", "text.safetensors"):
        refused(window.folder / name)
    drop(None, [str(window.folder / "other.safetensors")])
    while session.models.info.path.name != "other.safetensors":
        assert time.monotonic() < end
        ctx.yield_()
    settle(ctx, session)
    assert session.models.info.size == (64, 64)
    other = window.picture(ctx)
    assert_shows_the_engine_s_picture(ctx, session, explorer, window)
    assert other.shape != first.shape or (other != first).any()
    ctx.menu_click("//##MainMenuBar/Edit/###undo")
    while session.models.info.path.name == "other.safetensors":
        assert time.monotonic() < end
        ctx.yield_()
    settle(ctx, session)
    np.testing.assert_array_equal(window.picture(ctx), first)


def test_dropping_checkpoints_good_and_bad(
    environment: dict[str, str], tiny_checkpoint: Path, make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    make_checkpoint(tmp_path / "other.safetensors", resolution=64, seed=1)
    data = tiny_checkpoint.read_bytes()
    (tmp_path / "truncated.safetensors").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.safetensors").write_text("This is no checkpoint. " * 100)
    (tmp_path / "tiny.safetensors").write_bytes(data)
    run_script(f"{HERE}:script_drop_checkpoints", tmp_path / "absent.safetensors", tmp_path, environment)


# Slow engines and closing


def open_slowly(path: Path, report: Any) -> Any:
    """The real engine, made slow."""
    from app.explorer.window import real_services

    class Slow:
        def __init__(self) -> None:
            self._engine = real_services().open_engine(path, report)
            self.info = self._engine.info

        def render(self, request: Any) -> Any:
            time.sleep(1.0)
            return self._engine.render(request)

    return Slow()


def script_close_while_rendering(ctx: Any, session: Any, explorer: Any, window: Any) -> None:
    settle(ctx, session)
    session.playback.transport.toggle()
    ctx.yield_(3)
    while not session.rendering.thread._rendering:
        ctx.yield_()
    # The window draws on while the engine takes its second.
    frames = 0
    before = session.rendering.frame_count
    while session.rendering.frame_count == before:
        ctx.yield_()
        frames += 1
    assert frames >= 3
    while not session.rendering.thread._rendering:
        ctx.yield_()
    # The script ends here, so the window closes in the middle of a frame.


script_close_while_rendering.open_engine = open_slowly  # type: ignore[attr-defined]


def test_closing_while_rendering_exits_cleanly(
    environment: dict[str, str], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    output = run_script(f"{HERE}:script_close_while_rendering", tiny_checkpoint, tmp_path, environment)
    assert "the window has closed" in output


def script_close_while_loading(ctx: Any, session: Any, explorer: Any, window: Any) -> None:
    while session.rendering.thread.loading is None:
        ctx.yield_()


def test_closing_while_loading_exits_cleanly(
    environment: dict[str, str], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    run_script(f"{HERE}:script_close_while_loading", tiny_checkpoint, tmp_path, environment)


# The program itself, with real keys and a real mouse


@pytest.mark.skipif(
    os.environ.get("GLISSANDO_XDOTOOL") != "1",
    reason="synthetic keys get lost now and then without a window manager; GLISSANDO_XDOTOOL=1 runs it",
)
def test_the_command_with_real_x_events(environment: dict[str, str], tiny_checkpoint: Path, tmp_path: Path) -> None:
    if shutil.which("xdotool") is None:
        unavailable("no xdotool (Debian: apt-get install xdotool)")

    def xdotool(*arguments: str) -> str:
        done = subprocess.run(
            ["xdotool", *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        return done.stdout.strip()

    def wait_for(what: str, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < end, what
            time.sleep(0.2)

    def scene() -> dict[str, Any]:
        try:
            return json.loads((tmp_path / "config" / "scene.json").read_text(encoding="utf-8"))
        except OSError:
            return {}

    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", str(tiny_checkpoint)],
        env=environment,
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_for("the window opens", lambda: xdotool("search", "--onlyvisible", "--name", "Glissando") != "")
        window = xdotool("search", "--onlyvisible", "--name", "Glissando").split()[0]
        # The first save says that the window draws.
        wait_for("the scene is kept", lambda: bool(scene()))
        xdotool("windowfocus", window)
        # Into the prompt field, which is at the top left.
        xdotool("mousemove", "--window", window, "150", "60", "click", "1")
        time.sleep(0.5)
        xdotool("key", "--delay", "60", "ctrl+a")
        xdotool("type", "--delay", "120", "a house")
        wait_for("the prompt is typed", lambda: scene().get("prompt") == "a house")
        assert scene()["checkpoint"] == str(tiny_checkpoint)
        xdotool("key", "--delay", "100", "ctrl+z")
        wait_for("a word is undone", lambda: scene().get("prompt") == "a ")
        xdotool("key", "--delay", "100", "ctrl+shift+z")
        wait_for("and done again", lambda: scene().get("prompt") == "a house")
        xdotool("key", "--delay", "100", "ctrl+q")
        output, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, output
        assert "Traceback" not in output
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
