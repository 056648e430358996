"""Lists, menus and tooltips: how they go again, without a display."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("imgui_bundle")

from imgui_bundle import imgui

from app.explorer.session import Session
from app.explorer.window import Explorer
from tests.app.explorer.nullwindow import Context, drive, settle

CONTROLS = "//Picture controls"
PSI = f"{CONTROLS}/##psi"


def test_escape_closes_lists_and_menus(tmp_path: Path) -> None:
    def popups() -> int:
        return len(imgui.get_current_context().open_popup_stack)

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        for opener, button in (
            (f"{CONTROLS}/##noise", 0),
            ("//Play/##path", 0),
            ("//Prompt/##word 1", 1),
            ("//Prompt/###past", 0),
        ):
            ctx.item_click(opener, button)
            ctx.yield_(2)
            assert popups() == 1, opener
            ctx.key_press(imgui.Key.escape)
            ctx.yield_(2)
            if opener.endswith("past"):  # the first was for its search field
                ctx.key_press(imgui.Key.escape)
                ctx.yield_(2)
            assert popups() == 0, opener
        session.ui.palette = True
        ctx.yield_(2)
        assert popups() == 1
        ctx.key_press(imgui.Key.escape)
        ctx.yield_(3)
        assert popups() == 0
        assert not session.ui.palette

    drive(tmp_path, script)


def test_a_tooltip_goes_with_the_click_and_comes_back(tmp_path: Path) -> None:
    def told(ctx: Context) -> bool:
        ctx.sleep_no_skip(1.0, 0.1)
        window = imgui.internal.find_window_by_name("##Tooltip_00")
        return window is not None and window.active

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.mouse_move("//Picture controls/###surprise")
        assert told(ctx)
        ctx.mouse_click(0)
        assert not told(ctx)
        assert session.history.undo_name == "random seed"
        ctx.mouse_move(PSI)
        ctx.mouse_move("//Picture controls/###surprise")
        assert told(ctx)

    drive(tmp_path, script)
