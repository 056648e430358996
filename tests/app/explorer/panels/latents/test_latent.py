"""The controls of the latent space, clicked and dragged by the test engine without a display."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("imgui_bundle")

from imgui_bundle import imgui

from app.document.placement import Placement
from app.document.playback import path_offset, request_at
from app.explorer.session import Session
from app.explorer.window import Explorer
from core.request import LAYER_LIMIT
from tests.app.explorer.fakes import SlowEngine, errors
from tests.app.explorer.hands import drag_from, in_rectangle, rectangle, show
from tests.app.explorer.nullwindow import Context, drive, settle, until

CONTROLS = "//Picture controls"
CANVAS = "//Picture/##canvas"
BARS = f"{CONTROLS}/##layer psi bars"


# Walking


def test_the_wheel_makes_the_step_finer_and_it_is_kept(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        before = session.preferences.settings.walk_step
        ctx.mouse_move(CANVAS)
        ctx.mouse_wheel_y(3.0)
        ctx.yield_(2)
        assert session.preferences.settings.walk_step == pytest.approx(before * 1.25**-3)
        middle = in_rectangle(rectangle(ctx, CANVAS), 0.5, 0.5)
        drag_from(ctx, middle, (40, 0), (90, 20))
        scene = session.history.scene
        assert scene.seed_x == pytest.approx(90 * session.preferences.settings.walk_step, rel=0.1)
        assert scene.seed_y == pytest.approx(20 * session.preferences.settings.walk_step, rel=0.1)
        assert session.preferences._store.load_settings()[0].walk_step == session.preferences.settings.walk_step
        ctx.menu_click("//##MainMenuBar/Seed/###reset_step")
        assert session.preferences.settings.walk_step == before
        assert not errors(session)

    drive(tmp_path, script)


def test_a_drag_snaps_to_whole_seeds(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.key_press(imgui.Key.s)
        ctx.yield_(2)
        assert session.preferences.settings.snap_seeds
        seen: list[float] = []
        middle = in_rectangle(rectangle(ctx, CANVAS), 0.5, 0.5)
        stops = [(30.0 * i, 0.0) for i in range(1, 9)]
        drag_from(ctx, middle, *stops)
        seen.append(session.history.scene.seed_x)
        # 240 pixels are one seed and a third; small steps add up although each alone would round to nothing.
        assert session.history.scene.seed_x == 1.0
        assert len(session.history) == 1
        ctx.item_click("//Picture/snap")
        assert not session.preferences.settings.snap_seeds

    drive(tmp_path, script)


def test_arrow_keys_step_whole_seeds(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        session.history.step("place", lambda scene: replace(scene, seed_x=2.6, seed_y=1.0))
        key = imgui.Key
        for pressed, place in (
            (key.right_arrow, (3.0, 1.0)),
            (key.right_arrow, (4.0, 1.0)),
            (key.down_arrow, (4.0, 2.0)),
            (key.left_arrow, (3.0, 2.0)),
            (key.up_arrow, (3.0, 1.0)),
        ):
            ctx.key_press(pressed)
            ctx.yield_(2)
            assert (session.history.scene.seed_x, session.history.scene.seed_y) == place
        ctx.key_press(key.mod_shift | key.home)
        ctx.yield_(2)
        assert (session.history.scene.seed_x, session.history.scene.seed_y) == (0.0, 0.0)

    drive(tmp_path, script)


# Placement


def test_dragging_with_a_modifier_places_the_content(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        rect = rectangle(ctx, CANVAS)
        width = rect.max.x - rect.min.x
        key = imgui.Key
        middle = in_rectangle(rect, 0.5, 0.5)
        drag_from(ctx, middle, (width / 8, 0.0), (width / 4, width / 8), held=key.mod_alt)
        placed = Placement.of(session.history.scene)
        # What was under the hand still is.
        assert (placed.x, placed.y) == (pytest.approx(0.25, abs=0.02), pytest.approx(0.125, abs=0.02))
        assert (placed.turn, placed.scale) == (pytest.approx(0.0), pytest.approx(1.0))
        assert session.history.undo_name == "move the content"
        ctx.key_press(key.mod_ctrl | key.z)
        ctx.yield_(2)
        assert Placement.of(session.history.scene) == Placement()

        right = in_rectangle(rect, 0.9, 0.5)
        r = right.x - middle.x
        turned = [(r * (math.cos(a) - 1), r * math.sin(a)) for a in (0.3, 0.6, math.pi / 4)]
        drag_from(ctx, right, *turned, held=key.mod_ctrl)
        assert Placement.of(session.history.scene).turn == pytest.approx(45.0, abs=2.0)
        drag_from(ctx, in_rectangle(rect, 0.6, 0.5), (0.05 * width, 0.0), (0.1 * width, 0.0), held=key.mod_shift)
        assert Placement.of(session.history.scene).scale == pytest.approx(2.0, rel=0.1)
        assert (session.history.scene.seed_x, session.history.scene.seed_y) == (0.0, 0.0)
        assert len(session.history) == 2

        show(ctx, explorer, "Placement")
        ctx.item_click("//Placement/###reset turn")
        ctx.yield_(2)
        assert Placement.of(session.history.scene).turn == pytest.approx(0.0)
        assert Placement.of(session.history.scene).scale == pytest.approx(2.0, rel=0.1)
        ctx.item_click("//Placement/###reset all")
        ctx.yield_(2)
        assert session.history.scene.transform == Placement().matrix()
        assert not errors(session)

    drive(tmp_path, script)


def test_without_a_transform_modifiers_walk_and_the_panel_says_so(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        drag_from(ctx, in_rectangle(rectangle(ctx, CANVAS), 0.5, 0.5), (30, 0), (60, 0), held=imgui.Key.mod_alt)
        assert session.history.undo_name == "walk"
        show(ctx, explorer, "Placement")
        assert not ctx.item_exists("//Placement/##input_x")
        assert not errors(session)

    drive(tmp_path, script, open_engine=lambda path, report: SlowEngine(path, has_transform=False))


# Psi by layer


def test_one_drag_paints_the_psi_of_many_layers(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.item_click(f"{CONTROLS}/###layer psi")
        ctx.yield_(2)
        ctx.scroll_to_item_y(BARS)
        ctx.yield_(2)
        rect = rectangle(ctx, BARS)
        width = rect.max.x - rect.min.x
        # Half the height is psi 0.5; from the first column to the last of eight in one leap.
        drag_from(ctx, in_rectangle(rect, 0.5 / 8, 0.5), (width * 7 / 8, 0.0))
        values = session.history.scene.layer_psi
        assert len(values) == 8
        assert all(psi == pytest.approx(0.5, abs=0.1) for psi in values)
        assert session.history.undo_name == "psi of layers"
        assert len(session.history) == 1
        settle(ctx, session)
        assert session.rendering.frame.request.layer_psi == values  # type: ignore[union-attr]

        ctx.mouse_teleport_to_pos(in_rectangle(rect, 2.5 / 8, 0.2))
        ctx.mouse_double_click(0)
        ctx.yield_(2)
        assert session.history.scene.layer_psi == (*values[:2], None, *values[3:])
        assert session.history.undo_name == "clear a layer"
        assert len(session.history) == 2
        ctx.mouse_teleport_to_pos(in_rectangle(rect, 7.5 / 8, 0.2))
        ctx.mouse_click(1)
        ctx.yield_(2)
        assert session.history.scene.layer_psi == (*values[:2], None, *values[3:7])
        ctx.item_click(f"{CONTROLS}/###reset psi of layers")
        ctx.yield_(2)
        assert session.history.scene.layer_psi == ()
        assert not errors(session)

    drive(tmp_path, script, open_engine=lambda path, report: SlowEngine(path, num_ws=8))


def test_the_cutoff_s_last_place_is_all_layers_of_any_model(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        rect = rectangle(ctx, f"{CONTROLS}/##cutoff")
        drag_from(ctx, in_rectangle(rect, 0.95, 0.5), (-20, 0), (-(rect.max.x - rect.min.x) * 0.45, 0))
        assert session.history.scene.cutoff in (1, 2)
        assert len(session.history) == 1
        drag_from(ctx, in_rectangle(rect, 0.5, 0.5), (20, 0), ((rect.max.x - rect.min.x) * 0.6, 0))
        assert session.history.scene.cutoff == LAYER_LIMIT

    drive(tmp_path, script)


def test_noise_strength_reaches_the_engine(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.scroll_to_item_y(f"{CONTROLS}/##noise_strength")
        ctx.yield_(2)
        ctx.item_input_value(f"{CONTROLS}/##noise_strength", 0.25)
        settle(ctx, session)
        assert session.rendering.frame.request.noise_strength == 0.25  # type: ignore[union-attr]
        assert not errors(session)

    drive(tmp_path, script)


# Play


def test_a_random_walk_that_goes_on(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        assert not ctx.item_exists("//Play/##path_seed")
        session.history.step("path", lambda scene: replace(scene, path="walk", loop_seconds=2.0))
        ctx.yield_(2)
        ctx.item_click("//Play/###another path")
        ctx.yield_(2)
        assert session.history.undo_name == "another path"
        session.playback.transport.time = 5.0
        settle(ctx, session)
        closed = session.rendering.frame.request  # type: ignore[union-attr]
        assert closed == request_at(session.history.scene, 1.0)
        ctx.item_click("//Play/loop")
        ctx.yield_(2)
        assert not session.history.scene.path_loops
        settle(ctx, session)
        assert session.rendering.frame.request == request_at(session.history.scene, 5.0) != closed  # type: ignore[union-attr]
        # Scrubbing stays in the round where play is, and another speed in the place.
        rect = rectangle(ctx, "//Play/##position")
        drag_from(ctx, in_rectangle(rect, 0.5, 0.5), (2, 0))
        assert 4.0 <= session.playback.transport.time < 6.0
        before = path_offset(session.history.scene, session.playback.transport.time)
        session.history.step("speed", lambda scene: replace(scene, loop_seconds=6.0))
        ctx.yield_(2)
        assert path_offset(session.history.scene, session.playback.transport.time) == pytest.approx(before)
        assert not errors(session)

    drive(tmp_path, script)


# Seeds

GRID = "//Seeds/##seed grid"


def test_a_seed_is_found_in_the_grid(tmp_path: Path) -> None:
    engine = SlowEngine(Path("model"))

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        session.history.step("place", lambda scene: replace(scene, seed_x=7.2, seed_y=4.0))
        settle(ctx, session)
        live = len(engine.rendered)
        show(ctx, explorer, "Seeds")
        until(ctx, lambda: len(engine.rendered) >= live + 15, frames=100_000)
        drawn = [(request.seed_x, request.seed_y) for request in engine.rendered[live:]]
        # From the middle outwards, each once, all else as in the scene.
        assert drawn[0] == (7.0, 4.0)
        assert len(set(drawn)) == len(drawn)
        assert {request.prompt for request in engine.rendered[live:]} == {session.history.scene.prompt}
        assert session.rendering.frame.request.seed_x == 7.2  # type: ignore[union-attr]
        rect = rectangle(ctx, GRID)
        columns = len({x for x, _ in drawn})
        ctx.mouse_teleport_to_pos(in_rectangle(rect, (columns // 2 + 1.5) / columns, 0.5))
        ctx.mouse_click(0)
        ctx.yield_(2)
        assert (session.history.scene.seed_x, session.history.scene.seed_y) == (8.0, 4.0)
        assert session.history.undo_name == "seed"
        settle(ctx, session)
        # A drag looks elsewhere and goes nowhere.
        cell = (rect.max.x - rect.min.x) / columns
        drag_from(ctx, in_rectangle(rect, 0.5, 0.5), (-cell, 0), (-2 * cell, 0))
        assert (session.history.scene.seed_x, session.history.scene.seed_y) == (8.0, 4.0)
        until(ctx, lambda: max(r.seed_x for r in engine.rendered) >= 7.0 + columns // 2 + 2, frames=100_000)
        ctx.item_click("//Seeds/###follow")
        ctx.yield_(2)
        assert not ctx.item_exists("//Seeds/###follow")
        assert not errors(session)

    drive(tmp_path, script, open_engine=lambda path, report: engine)


def test_the_grid_waits_for_the_picture(tmp_path: Path) -> None:
    engine = SlowEngine(Path("model"))

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        session.playback.transport.toggle()
        show(ctx, explorer, "Seeds")
        ctx.yield_(60)
        # While play runs all pictures are those of the path.
        moving = [r for r in engine.rendered if (r.seed_x, r.seed_y) == (1.0, 0.0)]
        assert not moving
        session.playback.transport.toggle()
        until(ctx, lambda: any((r.seed_x, r.seed_y) == (1.0, 0.0) for r in engine.rendered), frames=100_000)
        before = len(engine.rendered)
        session.history.step("psi", lambda scene: replace(scene, psi=0.1))
        until(
            ctx,
            lambda: any((r.seed_x, r.seed_y, r.psi) == (1.0, 0.0, 0.1) for r in engine.rendered[before:]),
            frames=100_000,
        )
        assert not errors(session)

    drive(tmp_path, script, open_engine=lambda path, report: engine)


# Layers


def test_layers_are_looked_into_while_the_panel_is_shown(tmp_path: Path) -> None:
    engine = SlowEngine(Path("model"))

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.yield_(20)
        assert engine.looked == []
        show(ctx, explorer, "Layers")
        until(ctx, lambda: ctx.item_exists("//Layers/**/##feature maps"), frames=100_000)
        assert {layer for _, layer in engine.looked} == {"b8"}
        ctx.item_click("//Layers/**/###b16")
        until(ctx, lambda: engine.looked[-1][1] == "b16", frames=100_000)
        until(ctx, lambda: ctx.item_exists("//Layers/**/##feature maps"), frames=100_000)
        # Choosing a channel needs nothing new of the engine.
        count = len(engine.looked)
        panel = next(panel for panel in explorer.panels if panel.title == "Layers")
        ctx.item_click("//Layers/**/##feature maps")
        until(ctx, lambda: panel._look.shown[0].channel is not None, frames=100_000)  # type: ignore[attr-defined]
        assert len(engine.looked) == count
        assert panel._look.shown[1].channels == (panel._channel,)  # type: ignore[attr-defined]
        ctx.item_click("//Layers/**/###sheet")
        until(ctx, lambda: panel._look.shown[0].channel is None, frames=100_000)  # type: ignore[attr-defined]
        # The picture changes, and so does what is shown; the newest request is asked for in the end.
        session.history.step("psi", lambda scene: replace(scene, psi=0.1))
        until(ctx, lambda: panel._look.shown[0].request.psi == 0.1, frames=100_000)  # type: ignore[attr-defined]
        for window in explorer.params.docking_params.dockable_windows:
            window.is_visible = window.is_visible and window.label != "Layers"
        ctx.yield_(5)
        count = len(engine.looked)
        session.history.step("psi", lambda scene: replace(scene, psi=0.2))
        settle(ctx, session)
        ctx.yield_(10)
        assert len(engine.looked) == count
        assert not errors(session)

    drive(tmp_path, script, open_engine=lambda path, report: engine)


def test_why_there_are_no_feature_maps(tmp_path: Path) -> None:
    class Gone(SlowEngine):
        def features(self, request: Any, layer: str) -> Any:
            self.looked.append((request, layer))
            raise ValueError("model.safetensors: the file has gone")

    engine = Gone(Path("model"))

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        show(ctx, explorer, "Layers")
        panel = next(panel for panel in explorer.panels if panel.title == "Layers")
        until(ctx, lambda: panel._look.problem is not None, frames=100_000)  # type: ignore[attr-defined]
        ctx.yield_(20)
        assert panel._look.problem == "model.safetensors: the file has gone"  # type: ignore[attr-defined]
        assert len(engine.looked) == 1
        assert not errors(session)

    drive(tmp_path, script, open_engine=lambda path, report: engine)
