"""The contact sheet: which requests it makes, and the panel, clicked without a display."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.explorer.rendering.contact_sheet import MOST, Axis, sheet
from core.request import RenderRequest

BASE = RenderRequest(prompt="a", psi=0.7, seed_x=3.5, seed_y=2.0, noise="none")


def test_rows_and_columns_set_their_fields_and_leave_the_rest() -> None:
    tiles = sheet(BASE, Axis(kind="psi", count=3), Axis(kind="seeds", count=2, first_seed=8), 0)
    assert [[(tile.psi, tile.seed_x) for tile in row] for row in tiles] == [
        [(0.0, 8.0), (0.0, 9.0)],
        [(0.5, 8.0), (0.5, 9.0)],
        [(1.0, 8.0), (1.0, 9.0)],
    ]
    assert {replace(tile, psi=0.7, seed_x=3.5, seed_y=2.0) for row in tiles for tile in row} == {BASE}


def test_prompts_classes_and_blend() -> None:
    tiles = sheet(BASE, Axis(kind="prompts", prompts=("x", "")), Axis(kind="blend", count=2, low=0.25, high=0.75), 0)
    assert [[(tile.prompt, tile.blend) for tile in row] for row in tiles] == [
        [("x", 0.25), ("x", 0.75)],
        [("", 0.25), ("", 0.75)],
    ]
    # Classes go round, and no more of them than there are.
    assert Axis(kind="classes", count=5, first_class=2).changes(3) == ({"label": 2}, {"label": 0}, {"label": 1})
    assert len(Axis(kind="prompts", prompts=("x",) * 99).changes(0)) == MOST
    assert Axis(kind="psi", count=1, low=0.3).changes(0) == ({"psi": 0.3},)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "psi", "count": 0},
        {"kind": "psi", "count": MOST + 1},
        {"kind": "psi", "high": 11.0},
        {"kind": "psi", "low": float("nan")},
        {"kind": "blend", "low": -0.1},
        {"kind": "seeds", "first_seed": 2**32},
        {"kind": "classes", "first_class": -1},
    ],
)
def test_axes_refuse_what_no_request_can_be(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Axis(**values)


# The panel

pytest.importorskip("imgui_bundle")

from imgui_bundle import imgui  # noqa: E402

from app.explorer.session import Session  # noqa: E402
from app.explorer.ui_state import ShowPanel  # noqa: E402
from app.explorer.window import Explorer  # noqa: E402
from tests.app.explorer.fakes import SlowEngine, errors  # noqa: E402
from tests.app.explorer.nullwindow import Context, drive, settle, until  # noqa: E402

PANEL = "//Contact sheet"


def panel(explorer: Explorer) -> Any:
    return next(panel for panel in explorer.panels if panel.title == "Contact sheet")


def show(ctx: Context, session: Session, explorer: Explorer) -> Any:
    settle(ctx, session)
    session.ui.request(ShowPanel("Contact sheet", True))
    ctx.yield_(4)
    return complete(ctx, session, explorer)


def complete(ctx: Context, session: Session, explorer: Explorer) -> Any:
    ctx.yield_(3)
    sheet_panel = panel(explorer)
    until(ctx, lambda: all(sheet_panel._done(*tile) for tile in sheet_panel._places()), frames=20_000)
    return sheet_panel


def choose(ctx: Context, item: str) -> None:
    ctx.set_ref(PANEL)
    ctx.combo_click(item)
    ctx.set_ref("")
    ctx.yield_(2)


def test_a_click_adopts_a_tile_as_one_step(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        sheet_panel = show(ctx, session, explorer)
        before = session.history.scene
        requests = dict(sheet_panel._places())
        assert len(requests) == 15
        session.playback.transport.time = 2.0
        ctx.item_click(f"{PANEL}/**/##tile 1 3")
        ctx.yield_(2)
        assert session.history.scene.request() == requests[1, 3]
        assert session.history.undo_name == "contact sheet"
        assert len(session.history) == 1
        settle(ctx, session)
        assert session.rendering.frame is not None
        assert session.rendering.frame.request == requests[1, 3]
        # The sheet itself stays as it is: nothing of it is drawn anew.
        assert dict(sheet_panel._places()) == requests
        assert not session.rendering.thread.asking
        session.history.undo()
        assert session.history.scene == before
        # Another prompt draws it all again.
        session.history.step("prompt", lambda scene: replace(scene, prompt="a house"))
        complete(ctx, session, explorer)
        assert {request.prompt for request in sheet_panel._drawn.values()} == {"a house"}
        ctx.item_double_click(f"{PANEL}/**/##tile 0 0")
        ctx.yield_(4)
        assert not ctx.item_exists(f"{PANEL}/##rows kind")  # the picture is in front
        assert not errors(session)

    drive(tmp_path, script)


def test_axes_are_chosen_and_prompts_typed(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        show(ctx, session, explorer)
        choose(ctx, "##rows kind/prompts")
        ctx.item_click(f"{PANEL}/##rows prompts")
        ctx.key_press(imgui.Key.mod_ctrl | imgui.Key.a)
        ctx.key_chars("sea")
        ctx.key_press(imgui.Key.enter)
        ctx.key_chars("fail")
        ctx.item_input_value(f"{PANEL}/##columns count", 2)
        ctx.item_input_value(f"{PANEL}/##columns seed", 40)
        sheet_panel = complete(ctx, session, explorer)
        assert [(r.prompt, r.seed_x) for _, r in sheet_panel._places()] == [
            ("sea", 40.0),
            ("sea", 41.0),
            ("fail", 40.0),
            ("fail", 41.0),
        ]
        # What cannot be drawn says why on its tile, not as a message.
        assert set(sheet_panel._problems.values()) == {"RuntimeError: the engine failed"}
        choose(ctx, "##columns kind/blend")
        ctx.item_input_value(f"{PANEL}/##columns high", 7.0)
        complete(ctx, session, explorer)
        assert {r.blend for _, r in sheet_panel._places()} == {0.0, 0.25, 0.5, 0.75, 1.0}
        assert not errors(session)

    drive(tmp_path, script)


def test_a_model_with_classes_has_them_on_an_axis(tmp_path: Path) -> None:
    def engine(path: Path, report: Any) -> SlowEngine:
        return SlowEngine(path, conditioning="class", classes=3, class_names=("ant", "bee", "cat"))

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        show(ctx, session, explorer)
        choose(ctx, "##rows kind/classes")
        sheet_panel = complete(ctx, session, explorer)
        assert [r.label for (i, j), r in sheet_panel._places() if j == 0] == [0, 1, 2]
        ctx.item_click(f"{PANEL}/**/##tile 2 0")
        ctx.yield_(2)
        assert session.history.scene.label == 2
        # Another model, without classes: the axis is one that it has, and every tile is its own.
        session.models.open(Path("/models/other.safetensors"))
        until(ctx, lambda: session.models.info.name == "other")
        complete(ctx, session, explorer)
        assert not errors(session)

    drive(tmp_path, script, open_engine=engine)
