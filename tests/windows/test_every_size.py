"""The real window as small as it gets, and what no panel can catch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.windows.driver import PATIENCE_S, run_script
from tests.windows.test_explorer import errors, settle

pytestmark = pytest.mark.timeout(3 * PATIENCE_S)

HERE = "tests.windows.test_every_size"


def script_small_windows(ctx: Any, session: Any, explorer: Any, window: Any) -> None:
    import glfw
    from imgui_bundle import ImVec2, imgui
    from imgui_bundle.glfw_utils import glfw_window_hello_imgui

    from app.explorer.panels.table import PANELS
    from app.explorer.ui_state import ShowPanel

    settle(ctx, session)
    session.ui.request(ShowPanel("Timeline", True))
    ctx.yield_(5)
    # The splitter between the picture and the timeline, to the very top.
    timeline = imgui.internal.find_window_by_name("Timeline")
    border = ImVec2(timeline.pos.x + timeline.size.x / 2, timeline.dock_node.pos.y - 1)
    height = timeline.size.y
    ctx.mouse_teleport_to_pos(border)
    ctx.yield_(3)
    ctx.mouse_down(0)
    for y in range(int(border.y), 0, -40):
        ctx.mouse_teleport_to_pos(ImVec2(border.x, y))
        ctx.yield_()
    ctx.mouse_up(0)
    ctx.yield_(3)
    assert imgui.internal.find_window_by_name("Timeline").size.y > height + 100
    for entry in PANELS:
        session.ui.request(ShowPanel(entry.title, True))
    ctx.yield_(5)
    settle(ctx, session)
    for size in ((1280, 120), (60, 800), (1, 1), (33, 17), (1280, 800)):
        glfw.set_window_size(glfw_window_hello_imgui(), *size)
        ctx.yield_(10)
    settle(ctx, session)
    assert not errors(session)


def test_no_size_of_the_window_ends_it(environment: dict[str, str], tiny_checkpoint: Path, tmp_path: Path) -> None:
    run_script(f"{HERE}:script_small_windows", tiny_checkpoint, tmp_path, environment)


def opened_again(checkpoint: Path) -> None:
    """A window that fails in C++ in the middle of a drag, then one that is closed."""
    from imgui_bundle import imgui

    from app.explorer import window

    shown: list[Any] = []

    class Failing(window.Explorer):
        def __init__(self, session: Any) -> None:
            super().__init__(session)
            shown.append(self)
            draw = self.params.callbacks.show_gui
            first = len(shown) == 1

            def show_gui() -> None:
                draw()
                if self.frames > window.LEAST_FRAMES and session.rendering.settled:
                    if first:
                        session.history.step("seed", lambda scene: scene.with_request(session.rendering.frame.request))
                        session.preferences.set_text_scale(1.1)
                        imgui.get_window_draw_list().pop_clip_rect()
                        imgui.get_window_draw_list().pop_clip_rect()
                        imgui.get_window_draw_list().pop_clip_rect()
                    session.ui.quit_requested = True

            self.params.callbacks.show_gui = show_gui

    window.Explorer = Failing  # type: ignore[misc]
    window.run(checkpoint)
    first, second = shown
    assert first.session is second.session
    (text,) = errors(second.session)
    assert text.startswith("Internal error in the window: RuntimeError: IM_ASSERT"), text
    assert text.endswith("It was opened again; the log has details."), text
    print("opened again and closed")


def test_a_window_that_fails_in_its_own_code_is_opened_again(
    environment: dict[str, str], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    call = f"from {HERE} import opened_again; from pathlib import Path; opened_again(Path({str(tiny_checkpoint)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", call],
        env=environment,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "opened again and closed" in done.stdout
