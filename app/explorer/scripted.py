"""The explorer driven by a script, through ImGui's test engine: the soak and the tests. Also without any display."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from imgui_bundle import hello_imgui, imgui
from numpy.typing import NDArray

from app.explorer.gui.texture import Region
from app.explorer.session import Session
from app.explorer.window import Explorer

Context = imgui.test_engine.TestContext
Script = Callable[[Context, Session, Explorer], None]


class NoTexture:
    """Where nothing can be drawn."""

    def upload(self, pixels: NDArray[np.uint8]) -> None:
        """Forgets it."""

    def smooth(self) -> int:
        return 1

    def sharp(self, region: Region, zoom: int) -> int:
        return 2


def without_display(explorer: Explorer) -> None:
    """Let the window run on ImGui's null backends: panels are laid out and answer, nothing is drawn."""
    params = explorer.params
    params.platform_backend_type = hello_imgui.PlatformBackendType.null
    params.renderer_backend_type = hello_imgui.RendererBackendType.null
    params.fps_idling.fps_max = 0.0  # nobody watches
    callbacks = params.callbacks
    post_init, before_render = callbacks.post_init, callbacks.before_imgui_render

    def after_init() -> None:
        imgui.get_io().backend_flags |= imgui.BackendFlags_.renderer_has_textures
        post_init()

    def before_imgui_render() -> None:
        before_render()
        status = imgui.ImTextureStatus
        for data in imgui.get_platform_io().textures:
            if data.status == status.want_destroy:
                data.set_status(status.destroyed)
            elif data.status in (status.want_create, status.want_updates):
                data.set_status(status.ok)

    callbacks.post_init = after_init
    callbacks.before_imgui_render = before_imgui_render
    callbacks.before_exit_post_cleanup = imgui.destroy_context


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
        # A busy machine with a software renderer is slow; who runs the script has the time limit.
        io.config_watchdog_warning = io.config_watchdog_kill_test = io.config_watchdog_kill_app = 1e6
        test = imgui.test_engine.register_test(engine, "explorer", "script")

        def run(ctx: Context) -> None:
            try:
                script(ctx, explorer.session, explorer)
            except BaseException as error:  # noqa: BLE001 (raised again when the window has closed)
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
