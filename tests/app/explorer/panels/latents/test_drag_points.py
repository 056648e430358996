"""Points put and dragged by a real mouse on the window, driven by the test engine without a display."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("imgui_bundle")

from imgui_bundle import ImVec2, imgui

from app.explorer.actions import by_id
from app.explorer.session import Session
from app.explorer.window import Explorer
from core.edit.points import Pull
from tests.app.explorer.fakes import errors
from tests.app.explorer.hands import drag_from, in_rectangle, rectangle
from tests.app.explorer.nullwindow import Context, drive, settle, until
from tests.app.explorer.point_fakes import FakeDrags

CANVAS = "//Picture/##canvas"
PANEL = "//Drag points"
SIZE = 8
"""Of the fake engine's pictures."""


def at(ctx: Context, x: float, y: float) -> ImVec2:
    """Where a point of the picture is on screen."""
    return in_rectangle(rectangle(ctx, CANVAS), (x + 0.5) / SIZE, (y + 0.5) / SIZE)


def pull_from(ctx: Context, handle: tuple[float, float], target: tuple[float, float], **held: Any) -> None:
    start, end = at(ctx, *handle), at(ctx, *target)
    away = end.x - start.x, end.y - start.y
    drag_from(ctx, start, (away[0] / 2, away[1] / 2), away, **held)


def right_click(ctx: Context, x: float, y: float) -> None:
    ctx.mouse_teleport_to_pos(at(ctx, x, y))
    ctx.yield_()
    ctx.mouse_click(1)
    ctx.yield_(2)


def near(pull: Pull, handle: tuple[float, float], target: tuple[float, float]) -> bool:
    return pull.handle == pytest.approx(handle, abs=0.1) and pull.target == pytest.approx(target, abs=0.1)


def begin(ctx: Context, session: Session) -> None:
    settle(ctx, session)
    ctx.key_press(imgui.Key.d)
    ctx.yield_(4)
    assert session.drag.on
    assert session.ui.panels["Drag points"]
    settle(ctx, session)


def test_points_are_put_moved_and_removed_by_the_mouse(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        begin(ctx, session)
        drag = session.drag
        scene = session.history.scene
        pull_from(ctx, (1.0, 1.0), (4.0, 2.0))
        assert len(drag.points) == 1
        assert near(drag.points[0], (1.0, 1.0), (4.0, 2.0))
        pull_from(ctx, (6.0, 6.0), (6.0, 3.0))
        assert len(drag.points) == 2
        pull_from(ctx, (4.0, 2.0), (3.0, 4.0))  # the first one's target, and then its handle
        assert near(drag.points[0], (1.0, 1.0), (3.0, 4.0))
        pull_from(ctx, (1.0, 1.0), (0.0, 2.0))
        assert near(drag.points[0], (0.0, 2.0), (3.0, 4.0))
        pull_from(ctx, (6.0, 3.0), (20.0, 3.0))  # no farther than the picture
        assert near(drag.points[1], (6.0, 6.0), (7.5, 3.0))
        right_click(ctx, 0.0, 2.0)
        assert len(drag.points) == 1
        assert near(drag.points[0], (6.0, 6.0), (7.5, 3.0))
        ctx.mouse_teleport_to_pos(at(ctx, 2.0, 5.0))
        ctx.mouse_click(0)
        ctx.yield_(2)
        assert len(drag.points) == 1  # a click alone pulls nothing
        pull_from(ctx, (1.0, 3.0), (5.0, 7.0), held=imgui.Key.mod_shift)
        assert drag.region == pytest.approx((1.0, 3.0, 5.0, 7.0), abs=0.1)
        right_click(ctx, 2.0, 4.0)
        assert drag.region is None
        assert session.history.scene == scene
        ctx.item_click(f"{PANEL}/###clear")
        assert not drag.points
        assert not errors(session)

    drive(tmp_path, script, open_drag=FakeDrags)


def test_start_moves_the_picture_in_one_step_and_undo_brings_it_back(tmp_path: Path) -> None:
    drags = FakeDrags()

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        begin(ctx, session)
        assert not by_id("drag_run").enabled(session)
        pull_from(ctx, (1.0, 1.0), (5.0, 1.0))
        ctx.item_input_value(f"{PANEL}/##styles", 2)
        ctx.item_input_value(f"{PANEL}/##step", 0.05)
        before, steps = session.rendering.frame.request, len(session.history)  # type: ignore[union-attr]
        ctx.item_click(f"{PANEL}/###run")
        until(ctx, lambda: bool(drags.made))
        assert drags.made[0].job.options.styles == 2
        assert drags.made[0].job.options.step_size == pytest.approx(0.05)
        drags.let(5)
        until(ctx, lambda: session.drag.is_temporary(session.rendering.frame.request))  # type: ignore[union-attr]
        assert 1.0 < session.drag.points[0].handle[0] < 5.0
        pull_from(ctx, (6.0, 6.0), (2.0, 6.0))  # nothing is put while it runs
        assert len(session.drag.points) == 1
        ctx.item_click(f"{PANEL}/###run")  # Stop
        drags.let()
        until(ctx, lambda: not session.drag.running)
        settle(ctx, session)
        assert len(session.history) == steps + 1
        assert session.history.undo_name == "drag points"
        (mix,) = session.history.scene.mixes
        assert mix.latent.startswith("dragged, ")
        assert session.rendering.frame.request.mixes == (mix,)  # type: ignore[union-attr]
        ctx.key_press(imgui.Key.mod_ctrl | imgui.Key.z)
        settle(ctx, session)
        assert session.rendering.frame.request == before  # type: ignore[union-attr]
        until(ctx, lambda: near(session.drag.points[0], (1.0, 1.0), (5.0, 1.0)))
        ctx.key_press(imgui.Key.mod_shift | imgui.Key.d)  # and again, from the keyboard
        until(ctx, lambda: len(drags.made) == 2)
        drags.let()
        until(ctx, lambda: not session.drag.running)
        assert len(session.history.scene.mixes) == 1
        assert not errors(session)

    drive(tmp_path, script, open_drag=lambda: drags)


def test_without_the_mode_the_mouse_walks_as_ever(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        begin(ctx, session)
        pull_from(ctx, (1.0, 1.0), (5.0, 1.0))
        here = session.history.scene
        ctx.key_press(imgui.Key.d)
        ctx.yield_(2)
        assert not session.drag.on
        assert len(session.drag.points) == 1  # they are there when one comes back
        pull_from(ctx, (1.0, 1.0), (5.0, 3.0))
        scene = session.history.scene
        assert scene.seed_x > here.seed_x
        assert scene.seed_y > here.seed_y
        assert replace(scene, seed_x=0.0, seed_y=0.0) == replace(here, seed_x=0.0, seed_y=0.0)
        assert session.history.undo_name == "walk"
        assert near(session.drag.points[0], (1.0, 1.0), (5.0, 1.0))
        assert not errors(session)

    drive(tmp_path, script, open_drag=FakeDrags)


def test_a_model_that_cannot_is_one_message(tmp_path: Path) -> None:
    drags = FakeDrags()
    drags.fail = "points: this model has no style layers, so nothing in its pictures can be dragged"

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        begin(ctx, session)
        pull_from(ctx, (1.0, 1.0), (5.0, 1.0))
        ctx.item_click(f"{PANEL}/###run")
        until(ctx, lambda: bool(errors(session)))
        ctx.yield_(5)
        assert errors(session) == [f"Dragging points stopped: {drags.fail}"]
        assert not session.drag.running
        assert len(session.drag.points) == 1

    drive(tmp_path, script, open_drag=lambda: drags)
