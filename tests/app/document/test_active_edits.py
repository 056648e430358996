"""What the status line says of hidden panels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.document.active_edits import active_edits
from app.document.scene import Scene
from core.request import Mix, Push

BUSY = Scene(
    pushes=(Push(direction="snow@12", amount=1.0), Push(direction="age@34")),
    mixes=(
        Mix(prompt="the fine layers'", first=2),
        Mix(seed_x=3.0, stop=2),
        Mix(seed_x=4.0),
        Mix(seed_x=5.0, amount=0.0),
    ),
    transform=(1.0, 0.0, 0.1, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
)


def test_only_what_acts_counts() -> None:
    assert active_edits(Scene()) == []
    assert active_edits(BUSY) == [("1 direction", "Directions"), ("2 mixes", "Style mixing"), ("placed", "Placement")]


def test_a_click_opens_the_panel(tmp_path: Path) -> None:
    pytest.importorskip("imgui_bundle")
    from imgui_bundle import imgui

    from app.explorer.panels.table import PANELS
    from app.explorer.session import Session
    from app.explorer.window import Explorer
    from tests.app.explorer.fakes import errors
    from tests.app.explorer.nullwindow import Context, drive, settle

    titles = {entry.title for entry in PANELS}
    assert {panel for _, panel in active_edits(BUSY)} <= titles

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        session.history.step("mix", lambda scene: replace(scene, mixes=(Mix(seed_x=3.0, stop=2),)))
        settle(ctx, session)
        assert not session.ui.panels["Style mixing"]
        window = imgui.get_main_viewport().size
        for x in range(0, int(window.x) // 2, 8):  # it stands after the model's name, whatever the font makes of that
            ctx.mouse_teleport_to_pos((float(x), window.y - 12.0))
            ctx.mouse_click(0)
            ctx.yield_(2)
            if session.ui.panels["Style mixing"]:
                break
        assert session.ui.panels["Style mixing"]
        assert not errors(session)

    drive(tmp_path, script)
