"""The Snapshots and Timeline panels and the comparison, clicked and dragged without a display."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("imgui_bundle")

from imgui_bundle import ImVec2, imgui

from app.document import snapshots
from app.document.playback import request_at
from app.document.scene import Scene
from app.explorer.session import Session
from app.explorer.window import Explorer
from tests.app.explorer.fakes import errors
from tests.app.explorer.nullwindow import Context, drive, settle, until

TIMELINE = "//Timeline"
STRIP = "//Snapshots/**/"


def mouse() -> ImVec2:
    at = imgui.get_io().mouse_pos
    return ImVec2(at.x, at.y)


def drag_by(ctx: Context, x: float, y: float = 0.0, button: int = 0) -> None:
    """From where the mouse is, the button held over several frames."""
    start = mouse()
    ctx.mouse_down(button)
    ctx.mouse_lift_drag_threshold(button)
    for step in range(1, 6):
        ctx.mouse_teleport_to_pos(ImVec2(start.x + x * step / 5, start.y + y * step / 5))
        ctx.yield_()
    ctx.mouse_up(button)
    ctx.yield_(2)


def show(ctx: Context, explorer: Explorer, *titles: str) -> None:
    for window in explorer.params.docking_params.dockable_windows:
        if window.label in titles:
            window.is_visible = True
            window.focus_window_at_next_frame = True
    ctx.yield_(3)


def still(session: Session) -> None:
    session.history.step("start", lambda scene: replace(scene, prompt="sea", crossfade=0.0, path="still", psi=0.5))


def controls(session: Session, edit: Callable[[Scene], Scene]) -> None:
    session.history.step("edit", edit)


def three(ctx: Context, session: Session, explorer: Explorer) -> None:
    """Three snapshots, with psi 0.1, 0.2 and 0.3."""
    still(session)
    show(ctx, explorer, "Snapshots")
    for psi in (0.1, 0.2, 0.3):
        controls(session, lambda scene, psi=psi: replace(scene, psi=psi, morph_seconds=0.0))
        settle(ctx, session)
        ctx.key_press(imgui.Key.n)
        ctx.yield_(2)


def psis(session: Session) -> list[float]:
    return [snapshot.request.psi for snapshot in session.history.scene.snapshots]


# Snapshots


def test_snapshots_are_taken_visited_and_reordered(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        three(ctx, session, explorer)
        assert psis(session) == [0.1, 0.2, 0.3]
        ctx.item_click(f"{STRIP}##snapshot 0")
        settle(ctx, session)
        assert session.history.scene.psi == 0.1
        assert session.history.undo_name == "go to snapshot"
        steps = len(session.history)
        ctx.mouse_move(f"{STRIP}##snapshot 2")
        goal = ctx.item_info(f"{STRIP}##snapshot 0").rect_full
        start = mouse()
        drag_by(ctx, (goal.min.x + goal.max.x) / 2 - start.x, (goal.min.y + goal.max.y) / 2 - start.y)
        assert psis(session) == [0.3, 0.1, 0.2]
        assert session.history.undo_name == "move snapshot"
        assert len(session.history) == steps + 1
        until(
            ctx,
            lambda: all(
                session.rendering.thumbnails.get(s.request) is not None for s in session.history.scene.snapshots
            ),
        )
        assert not errors(session)

    drive(tmp_path, script)


def test_a_snapshot_s_menu_renames_replaces_marks_and_deletes(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        three(ctx, session, explorer)

        def choose(index: int, entry: str) -> None:
            ctx.item_click(f"{STRIP}##snapshot {index}", 1)
            ctx.yield_(2)
            ctx.item_click(f"//$FOCUSED/{entry}")
            ctx.yield_(3)

        choose(0, "###rename")
        ctx.key_chars("dusk")
        ctx.key_press(imgui.Key.enter)
        ctx.yield_(2)
        assert session.history.scene.snapshots[0].name == "dusk"
        choose(2, "###mark B")
        assert [snapshot.mark for snapshot in session.history.scene.snapshots] == ["A", "", "B"]
        controls(session, lambda scene: replace(scene, psi=1.25))
        ctx.yield_(2)
        choose(1, "###replace")
        assert psis(session) == [0.1, 1.25, 0.3]
        choose(1, "###delete")
        assert psis(session) == [0.1, 0.3]
        ctx.key_press(imgui.Key.grave_accent)
        ctx.yield_(2)
        assert session.history.scene.psi == 0.1
        ctx.key_press(imgui.Key.grave_accent)
        ctx.yield_(2)
        assert session.history.scene.psi == 0.3
        assert not errors(session)

    drive(tmp_path, script)


def test_comparing_draws_the_other_and_the_line_can_be_dragged(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        three(ctx, session, explorer)
        assert explorer.viewport.placement is not None
        alone = explorer.viewport.placement
        ctx.item_click("//Snapshots/###compare_side")
        other = session.history.scene.snapshots[1].request
        until(ctx, lambda: session.rendering.comparison.get(other) is not None)
        ctx.yield_(2)
        assert explorer.viewport.placement.x + explorer.viewport.placement.width < alone.x + alone.width
        assert explorer.viewport._comparison.texture() is not None
        ctx.item_click("//Snapshots/###compare_wipe")
        ctx.yield_(3)
        assert explorer.viewport.placement == alone
        ctx.mouse_move("//Picture/##wipe")
        drag_by(ctx, -0.25 * alone.width)
        assert session.history.scene.wipe == pytest.approx(0.25, abs=0.02)
        assert session.history.undo_name == "wipe"
        seed = session.history.scene.seed_x
        assert seed == 0.0  # the picture itself was not dragged
        ctx.item_click("//Snapshots/###compare_wipe")
        ctx.yield_(2)
        assert session.history.scene.compare == "off"
        assert not errors(session)

    drive(tmp_path, script)


# Timeline


def test_keyframes_by_key_ruler_and_drag(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        history = session.history
        settle(ctx, session)
        still(session)
        show(ctx, explorer, "Timeline")
        ctx.key_press(imgui.Key.k)
        ctx.yield_(2)
        assert [keyframe.time for keyframe in history.scene.keyframes] == [0.0]
        controls(session, lambda scene: replace(scene, psi=1.5))
        ctx.yield_(2)
        assert session.rendering.wanted.psi == 1.5
        ctx.mouse_move(f"{TIMELINE}/##ruler")  # its middle
        ctx.mouse_double_click(0)
        ctx.yield_(2)
        assert [keyframe.time for keyframe in history.scene.keyframes] == [0.0, pytest.approx(4.0, abs=0.1)]
        assert history.scene.keyframes[1].request.psi == 1.5
        width = ctx.item_info(f"{TIMELINE}/##ruler").rect_full.get_width()
        steps = len(history)
        ctx.mouse_move(f"{TIMELINE}/##key 1")
        drag_by(ctx, width / 4)
        assert history.scene.keyframes[1].time == pytest.approx(6.0, abs=0.1)
        assert (history.undo_name, len(history)) == ("move keyframe", steps + 1)
        # A click selects it, goes there, and sets the controls.
        ctx.item_click(f"{TIMELINE}/##key 0")
        ctx.yield_(2)
        assert (history.scene.psi, session.playback.timeline.position) == (0.5, 0.0)
        # A change leaves the keyframe alone until it is told.
        controls(session, lambda scene: replace(scene, psi=0.75))
        ctx.yield_(2)
        assert history.scene.keyframes[0].request.psi == 0.5
        ctx.item_click(f"{TIMELINE}/###keyframe_update")
        ctx.yield_(2)
        assert history.scene.keyframes[0].request.psi == 0.75
        ctx.item_click(f"{TIMELINE}/##key 0", 1)
        ctx.yield_(2)
        ctx.item_click("//$FOCUSED/###ease hold")
        ctx.yield_(2)
        assert history.scene.keyframes[0].easing == "hold"
        ctx.item_click(f"{TIMELINE}/###keyframe_next")
        ctx.yield_(2)
        ctx.key_press(imgui.Key.delete)
        ctx.yield_(2)
        assert len(history.scene.keyframes) == 1
        ctx.key_press(imgui.Key.z | imgui.Key.mod_ctrl)
        ctx.yield_(2)
        assert len(history.scene.keyframes) == 2
        assert not errors(session)

    drive(tmp_path, script)


def test_scrubbing_shows_the_timeline(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        still(session)
        show(ctx, explorer, "Timeline")
        session.playback.timeline.add_keyframe(0.0)
        controls(session, lambda scene: replace(scene, psi=1.5))
        session.playback.timeline.add_keyframe(4.0)
        ctx.yield_(2)
        steps = len(session.history)
        width = ctx.item_info(f"{TIMELINE}/##ruler").rect_full.get_width()
        ctx.mouse_move(f"{TIMELINE}/##ruler")
        drag_by(ctx, -width / 4)
        settle(ctx, session)
        assert session.playback.timeline.position == pytest.approx(2.0, abs=0.1)
        assert session.rendering.frame is not None
        assert session.rendering.frame.request == request_at(session.history.scene, session.playback.timeline.position)
        assert 0.5 < session.rendering.frame.request.psi < 1.5
        assert len(session.history) == steps
        assert not errors(session)

    drive(tmp_path, script)


def test_a_track_is_added_and_its_points_are_dragged(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        history = session.history
        settle(ctx, session)
        still(session)
        show(ctx, explorer, "Timeline")
        ctx.item_click(f"{TIMELINE}/###track")
        ctx.yield_(2)
        ctx.item_click("//$FOCUSED/###track psi")
        ctx.yield_(2)
        ctx.mouse_move(f"{TIMELINE}/**/##lane")
        ctx.mouse_double_click(0)
        ctx.yield_(2)
        points = history.scene.tracks[0].points
        assert [point.time for point in points] == [0.0, pytest.approx(4.0, abs=0.1)]
        assert points[1].value == pytest.approx(0.5, abs=0.1)
        width = ctx.item_info(f"{TIMELINE}/##ruler").rect_full.get_width()
        steps = len(history)
        ctx.mouse_move(f"{TIMELINE}/**/##point 1")
        drag_by(ctx, -width / 4, -60.0)
        point = history.scene.tracks[0].points[1]
        assert (point.time, point.value) == (pytest.approx(2.0, abs=0.1), 2.0)
        assert (history.undo_name, len(history)) == ("move point", steps + 1)
        ctx.item_click(f"{TIMELINE}/**/##point 1", 1)
        ctx.yield_(2)
        ctx.item_click("//$FOCUSED/###delete")
        ctx.yield_(2)
        assert len(history.scene.tracks[0].points) == 1
        ctx.item_click(f"{TIMELINE}/**/###delete track")
        ctx.yield_(2)
        assert history.scene.tracks == ()
        assert not errors(session)

    drive(tmp_path, script)


def test_length_tempo_loop_and_zoom(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        history = session.history
        settle(ctx, session)
        show(ctx, explorer, "Timeline")
        for item, field in (("###loop", "loop"), ("###snap", "snap")):
            before = getattr(history.scene, field)
            ctx.item_click(f"{TIMELINE}/{item}")
            ctx.yield_(2)
            assert getattr(history.scene, field) is not before
        ctx.item_click(f"{TIMELINE}/###length")
        ctx.yield_(2)
        ctx.item_click("//$FOCUSED/###bars 2")
        ctx.yield_(2)
        assert history.scene.duration == 4.0
        ctx.item_click(f"{TIMELINE}/###length")
        ctx.yield_(2)
        ctx.item_click("//$FOCUSED/###beats")
        ctx.yield_(2)
        ctx.item_input_value(f"{TIMELINE}/##bpm", 60.0)
        ctx.yield_(2)
        assert (history.scene.bpm, history.scene.duration) == (60.0, 8.0)
        ctx.item_input_value(f"{TIMELINE}/##duration", 4.0)
        ctx.yield_(2)
        assert history.scene.duration == 4.0
        lanes: Any = next(panel for panel in explorer.panels if panel.title == "Timeline")
        ctx.mouse_move(f"{TIMELINE}/##ruler")
        ctx.mouse_wheel_y(3.0)
        ctx.yield_(2)
        assert lanes._lanes._scale.seconds < 3.0
        ctx.mouse_wheel_y(-30.0)
        ctx.yield_(2)
        assert lanes._lanes._scale.seconds == 4.0
        ctx.item_click(f"{TIMELINE}/###tap")
        ctx.yield_(2)
        assert not errors(session)

    drive(tmp_path, script)


def test_a_snapshot_that_cannot_be_rendered_says_so(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        show(ctx, explorer, "Snapshots")
        bad = replace(session.rendering.wanted, prompt="fail")
        history = session.history
        history.step("bad", lambda scene: snapshots.with_mark(snapshots.added(scene, bad), 0, "B"))
        history.step("compare", lambda scene: replace(scene, compare="wipe"))
        until(
            ctx,
            lambda: (
                session.rendering.thumbnails.problem(bad) is not None
                and session.rendering.comparison.problem(bad) is not None
            ),
        )
        ctx.yield_(3)
        assert not errors(session)

    drive(tmp_path, script)
