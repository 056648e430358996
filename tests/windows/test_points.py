"""Points dragged in the real window, by the mouse, with the real engine and the real drag."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.windows.driver import PATIENCE_S, enlarged, run_script
from tests.windows.test_explorer import dismiss_toasts, errors, settle

pytestmark = pytest.mark.timeout(3 * PATIENCE_S)


def script_drag_a_house(ctx: Any, session: Any, explorer: Any, window: Any) -> None:
    from imgui_bundle import ImVec2, imgui

    from app.vectors import register_saved_vectors
    from core.engine import Engine

    house = replace(session.history.scene, prompt="a red house by the sea", seed_x=1.0, crossfade=0.0)
    session.history.step("house", lambda scene: house)
    settle(ctx, session)
    ctx.key_press(imgui.Key.d)
    ctx.yield_(4)
    settle(ctx, session)
    place = explorer.viewport.placement
    roof = ImVec2(place.x + 31.5 * place.zoom, place.y + 39.5 * place.zoom)
    ctx.mouse_teleport_to_pos(roof)
    ctx.mouse_down(0)
    ctx.mouse_lift_drag_threshold(0)
    ctx.yield_(2)
    ctx.mouse_teleport_to_pos(ImVec2(roof.x + 8 * place.zoom, roof.y))
    ctx.yield_(2)
    ctx.mouse_up(0)
    ctx.yield_(2)
    (put,) = session.drag.points
    assert put.distance == pytest.approx(8.0, abs=0.5)
    ctx.item_click("//Drag points/###run")
    end = time.monotonic() + PATIENCE_S
    followed = 0
    while session.drag.running:
        assert time.monotonic() < end
        followed += session.drag.is_temporary(session.rendering.frame.request)
        ctx.yield_()
    settle(ctx, session)
    assert followed > 0
    assert session.drag.status_text.startswith("arrived after")
    assert session.history.undo_name == "drag points"
    assert errors(session) == []
    # Without the arrows: the picture that another engine draws of the scene, with what is saved.
    ctx.key_press(imgui.Key.d)
    dismiss_toasts(session)
    settle(ctx, session)
    engine = Engine.open(session.models.info.path, **asdict(session.models.info.arithmetic))
    register_saved_vectors(engine, session.models.info.path)
    expected = engine.render(session.history.scene.request()).pixels
    np.testing.assert_array_equal(window.picture(ctx), enlarged(expected, explorer.viewport.placement.zoom))
    ctx.key_press(imgui.Key.mod_ctrl | imgui.Key.z)
    settle(ctx, session)
    assert session.history.scene.mixes == ()
    before = window.picture(ctx)
    assert np.abs(before.astype(int) - enlarged(expected, explorer.viewport.placement.zoom)).mean() > 3.0


def test_a_house_is_dragged_in_the_window(environment: dict[str, str], tmp_path: Path) -> None:
    from core.checkpoints import bundled_checkpoint

    run_script("tests.windows.test_points:script_drag_a_house", bundled_checkpoint(), tmp_path, environment)
