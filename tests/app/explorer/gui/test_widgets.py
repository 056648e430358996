"""What all sliders can do, tried on one of them, without a display."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("imgui_bundle")

from imgui_bundle import ImVec2, imgui

from app.explorer.session import Session
from app.explorer.startup import first_scene
from app.explorer.window import Explorer
from tests.app.explorer.fakes import errors
from tests.app.explorer.nullwindow import Context, drive, settle

PSI = "//Picture controls/##psi"


def test_a_double_click_types_a_value_as_one_step(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        session.history.step("psi", lambda scene: replace(scene, psi=0.25))
        # Far from the grab, so that the first click alone sets another value.
        ctx.mouse_move(PSI)
        x, y = imgui.get_io().mouse_pos.x, imgui.get_io().mouse_pos.y
        ctx.mouse_move_to_pos(ImVec2(x + 80, y))
        ctx.mouse_click(0)
        ctx.yield_(60)  # long enough for the next one not to be a double-click
        clicked = session.history.scene.psi
        assert clicked > 0.5
        session.history.undo()
        ctx.mouse_double_click(0)
        ctx.yield_(2)
        assert session.history.scene.psi == 0.25
        assert len(session.history) == 1
        ctx.key_chars_replace("5.5")
        ctx.key_press(imgui.Key.enter)
        ctx.yield_(2)
        assert session.history.scene.psi == 5.5
        assert len(session.history) == 2
        session.history.undo()
        assert session.history.scene.psi == 0.25
        # Escape leaves it.
        ctx.mouse_double_click(0)
        ctx.yield_(2)
        ctx.key_chars_replace("7")
        ctx.key_press(imgui.Key.escape)
        ctx.yield_(2)
        assert session.history.scene.psi == 0.25
        session.history.undo()
        assert session.history.scene == first_scene()
        assert not errors(session)

    drive(tmp_path, script)


@pytest.mark.parametrize("modifier", [imgui.Key.mod_ctrl, imgui.Key.mod_alt])
def test_a_drag_is_ten_times_finer_with_a_modifier(tmp_path: Path, modifier: imgui.Key) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.mouse_move(PSI)
        session.history.step("psi", lambda scene: replace(scene, psi=0.5))  # the grab is in the middle, at the mouse
        ctx.yield_(2)
        x, y = imgui.get_io().mouse_pos.x, imgui.get_io().mouse_pos.y

        def move(to: float) -> float:
            ctx.mouse_teleport_to_pos(ImVec2(to, y))
            ctx.yield_(2)
            return session.history.scene.psi

        ctx.mouse_down(0)
        ctx.yield_()
        start = session.history.scene.psi
        coarse = move(x + 40) - start
        ctx.key_down(modifier)
        ctx.yield_()
        fine = move(x + 80) - start - coarse
        ctx.key_up(modifier)
        ctx.yield_()
        # Letting go of the key jumps nowhere.
        assert session.history.scene.psi == pytest.approx(start + coarse + fine)
        again = move(x + 120) - start - coarse - fine
        ctx.mouse_up(0)
        ctx.yield_(2)
        assert coarse > 0
        assert fine == pytest.approx(coarse / 10, abs=0.006)  # coarse steps are rounded to two digits
        assert again == pytest.approx(coarse, rel=0.05)
        assert session.history.undo_name == "psi"
        assert len(session.history) == 2
        assert not errors(session)

    drive(tmp_path, script)


def test_reset_is_grey_at_the_default(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        reset = "//Picture controls/###reset psi"

        def greyed() -> bool:
            return bool(ctx.item_info(reset).item_flags & imgui.ItemFlags_.disabled)

        assert not greyed()
        ctx.item_click(reset)
        ctx.yield_(2)
        assert session.history.scene.psi == 1.0
        assert greyed()

    drive(tmp_path, script)
