"""The output window on a real screen: what it shows there, how it closes, and that the main window goes on."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.windows.driver import PATIENCE_S, enlarged, run_script
from tests.windows.test_explorer import assert_shows_the_engine_s_picture, dismiss_toasts, errors, settle

pytestmark = pytest.mark.timeout(3 * PATIENCE_S)

HERE = "tests.windows.test_output"


def screen() -> Any:
    """What the monitor shows, as another program sees it: [height, width, 3]."""
    from PIL import ImageGrab

    return np.asarray(ImageGrab.grab().convert("RGB"))


def until_screen(ctx: Any, expected: Any) -> None:
    """Let the window draw until the monitor shows `expected`; the server needs a moment."""
    end = time.monotonic() + 30
    while not np.array_equal(screen(), expected):
        if time.monotonic() > end:
            np.testing.assert_array_equal(screen(), expected)
        ctx.yield_()


def letterboxed(pixels: Any, shape: tuple[int, ...]) -> Any:
    """A picture at the largest whole zoom in the middle of a black screen."""
    height, width = shape[:2]
    zoom = min(height // pixels.shape[0], width // pixels.shape[1])
    large = enlarged(pixels, zoom)
    whole = np.zeros(shape, np.uint8)
    top = height - (height - large.shape[0]) // 2 - large.shape[0]
    left = (width - large.shape[1]) // 2
    whole[top : top + large.shape[0], left : left + large.shape[1]] = large
    return whole


def script_full_screen(ctx: Any, session: Any, explorer: Any, window: Any) -> None:
    import glfw
    from imgui_bundle import imgui

    settle(ctx, session)
    assert len(session.ui.monitors) == 1
    shape = screen().shape
    ctx.key_press(imgui.Key.f11)
    ctx.yield_(3)
    assert session.ui.output == 0
    until_screen(ctx, letterboxed(session.rendering.frame.pixels, shape))
    handle = explorer.output._window.handle
    assert glfw.get_input_mode(handle, glfw.CURSOR) == glfw.CURSOR_HIDDEN

    # It follows the picture, and the main window draws on as before.
    session.history.step("seed", lambda scene: replace(scene, seed_x=5.0))
    settle(ctx, session)
    until_screen(ctx, letterboxed(session.rendering.frame.pixels, shape))
    assert_shows_the_engine_s_picture(ctx, session, explorer, window)
    # Smooth: all of the height, and no squares.
    session.history.step("smooth", lambda scene: replace(scene, smooth=True))
    ctx.yield_(3)
    end = time.monotonic() + 30
    while len(np.unique(screen()[:, shape[1] // 2], axis=0)) < 200:
        assert time.monotonic() < end
        ctx.yield_()
    left = (shape[1] - shape[0]) // 2
    assert (screen()[:, : left - 1] == 0).all()
    session.history.undo()

    # Escape closes it, as GLFW calls it.
    explorer.output._window.key(handle, glfw.KEY_ESCAPE, 0, glfw.PRESS, 0)
    ctx.yield_(3)
    assert session.ui.output is None
    settle(ctx, session)
    assert_shows_the_engine_s_picture(ctx, session, explorer, window)

    # In a window of its own.
    ctx.menu_click("//##MainMenuBar/View/Output/###output_window")
    ctx.yield_(5)
    assert explorer.output._window is not None
    assert glfw.get_window_size(explorer.output._window.handle) == (768, 768)
    glfw.set_window_should_close(explorer.output._window.handle, True)
    ctx.yield_(5)
    assert session.ui.output is None
    assert errors(session) == []


def test_the_output_window_shows_nothing_but_the_picture(
    environment: dict[str, str], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    run_script(f"{HERE}:script_full_screen", tiny_checkpoint, tmp_path, environment)


def script_what_goes_wrong(ctx: Any, session: Any, explorer: Any, window: Any) -> None:
    from app.explorer.ui_state import WINDOWED, ShowOutput

    settle(ctx, session)
    session.ui.request(ShowOutput(7))
    ctx.yield_(3)
    assert "no monitor 8" in errors(session)[-1]
    session.ui.request(ShowOutput(WINDOWED))
    ctx.yield_(3)

    def broken(session: object) -> None:
        raise RuntimeError("the driver gave up")

    explorer.output._window.draw = broken
    ctx.yield_(3)
    assert "the driver gave up" in errors(session)[-1]
    assert session.ui.output is None
    assert len(errors(session)) == 2
    dismiss_toasts(session)
    assert_shows_the_engine_s_picture(ctx, session, explorer, window)
    # And it can be opened again; the main window closes with it open.
    session.ui.request(ShowOutput(0))
    ctx.yield_(5)
    assert session.ui.output == 0


def test_what_goes_wrong_with_it_is_a_message(
    environment: dict[str, str], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    # (The log file has the traceback; the window has one line.)
    run_script(f"{HERE}:script_what_goes_wrong", tiny_checkpoint, tmp_path, environment)
