"""The explorer without a display: ImGui's null backends, driven by its test engine, in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from imgui_bundle import hello_imgui, imgui
from numpy.typing import NDArray

from app.explorer.session import Session
from app.explorer.texture import Region
from app.explorer.window import Explorer
from tests.app.explorer.fakes import make_session

Context = imgui.test_engine.TestContext
Script = Callable[[Context, Session, Explorer], None]


class RecordingTexture:
    """Remembers what it was asked to draw."""

    def __init__(self) -> None:
        self.uploads: list[NDArray[np.uint8]] = []
        self.drawn: list[tuple[Region, int] | str] = []

    def upload(self, pixels: NDArray[np.uint8]) -> None:
        self.uploads.append(pixels)

    def smooth(self) -> int:
        self.drawn.append("smooth")
        return 1

    def sharp(self, region: Region, zoom: int) -> int:
        self.drawn.append((region, zoom))
        return 2


def add_script(explorer: Explorer, script: Script) -> Callable[[], None]:
    """Let the test engine run `script` once the window is there, then close it.

    Returns what to call after the window has closed: it raises what went wrong in the script, if anything did.
    """
    params = explorer.params
    params.use_imgui_test_engine = True
    explorer.may_doze = False
    outcome: dict[str, Any] = {}

    def register() -> None:
        engine = hello_imgui.get_imgui_test_engine()
        io = imgui.test_engine.get_io(engine)
        io.config_run_speed = imgui.test_engine.TestRunSpeed.fast
        io.config_capture_enabled = False
        # A busy machine with a software renderer is slow; pytest has the time limit.
        io.config_watchdog_warning = io.config_watchdog_kill_test = io.config_watchdog_kill_app = 1e6
        test = imgui.test_engine.register_test(engine, "explorer", "script")

        def run(ctx: Context) -> None:
            try:
                script(ctx, explorer.session, explorer)
            except BaseException as error:  # noqa: BLE001 (handed to pytest when the window has closed)
                outcome["error"] = error
            outcome["done"] = True

        test.test_func = run
        imgui.test_engine.queue_test(engine, test)
        outcome["test"] = test

    before_render = params.callbacks.before_imgui_render

    def before_imgui_render() -> None:
        before_render()
        if "done" in outcome and imgui.test_engine.is_test_queue_empty(hello_imgui.get_imgui_test_engine()):
            # The engine's own failures, such as an item that is not there, raise nothing inside the script.
            output = outcome["test"].output
            if output.status != imgui.test_engine.TestStatus.success:
                outcome.setdefault("log", output.log.get_text())
            params.app_shall_exit = True

    params.callbacks.register_tests = register
    params.callbacks.before_imgui_render = before_imgui_render

    def check() -> None:
        assert "log" not in outcome, outcome["log"]
        if "error" in outcome:
            raise outcome["error"]
        assert "done" in outcome, "the window closed before the script had ended"

    return check


def drive(
    folder: Path,
    script: Script,
    checkpoint: Path | None = None,
    before: Callable[[Session], None] | None = None,
    **services: Any,
) -> RecordingTexture:
    """Run `script` against the whole explorer with a fake engine."""
    session = make_session(folder, checkpoint, **services)
    texture = RecordingTexture()
    try:
        if before is not None:
            before(session)
        explorer = Explorer(
            session,
            texture=texture,
            layout=folder / "layout.ini",
            native_dialogs=False,
            new_texture=RecordingTexture,
        )
        params = explorer.params
        params.platform_backend_type = hello_imgui.PlatformBackendType.null
        params.renderer_backend_type = hello_imgui.RendererBackendType.null
        params.ini_disable = True
        params.fps_idling.fps_max = 0.0  # nobody watches
        post_init = params.callbacks.post_init

        def after_init() -> None:
            imgui.get_io().backend_flags |= imgui.BackendFlags_.renderer_has_textures
            post_init()

        params.callbacks.post_init = after_init
        check = add_script(explorer, script)
        before_render = params.callbacks.before_imgui_render

        def before_imgui_render() -> None:
            before_render()
            status = imgui.ImTextureStatus
            for data in imgui.get_platform_io().textures:
                if data.status == status.want_destroy:
                    data.set_status(status.destroyed)
                elif data.status in (status.want_create, status.want_updates):
                    data.set_status(status.ok)

        params.callbacks.before_imgui_render = before_imgui_render
        params.callbacks.before_exit_post_cleanup = imgui.destroy_context
        explorer.run()
        check()
    finally:
        session.close()
        assert session.render.close(timeout=10.0)
    assert not [thread for thread in threading.enumerate() if thread.name in ("render", "recorder")]
    return texture


def until(ctx: Context, condition: Callable[[], bool], frames: int = 600) -> None:
    """Let the window draw until `condition` holds."""
    for _ in range(frames):
        if condition():
            return
        ctx.yield_()
    raise AssertionError("did not happen within the frames given")


def settle(ctx: Context, session: Session) -> None:
    """Let the window draw until the picture is the scene's."""
    ctx.yield_(2)
    until(ctx, lambda: session.settled)
