"""The command palette and the list of shortcuts, by keys and clicks, without a display."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("imgui_bundle")

from imgui_bundle import imgui

from app.explorer.actions import ACTIONS, for_palette
from app.explorer.gui.menus import key_chord
from app.explorer.gui.palette import find
from app.explorer.session import Session
from app.explorer.window import Explorer
from tests.app.explorer.fakes import errors, make_session
from tests.app.explorer.nullwindow import Context, drive, settle

CTRL_K = imgui.Key.mod_ctrl | imgui.Key.k


def test_everything_is_found_by_its_name(tmp_path: Path) -> None:
    session = make_session(tmp_path)
    try:
        session.ui.panels = {"Log": False}
        session.ui.layouts = ("Live",)
        session.preferences.keep(replace(session.preferences.settings, recents=("/models/faces.pkl",)))
        offered = for_palette(session)
        assert len({action.id for action in offered}) == len(offered)
        assert {action.id for action in ACTIONS} - {action.id for action in offered} == {"palette"}
        for action in offered:
            found = find(session, action.label(session))
            best = [entry.action.id for entry in found if entry.score == found[0].score]
            assert action.id in best, action.label(session)
        assert find(session, "file save")[0].action.id in ("save", "save_as", "save_scene")
        assert find(session, "show log")[0].action.id == "show Log"
        assert find(session, "qqqq") == []
    finally:
        session.close()


def test_typing_arrows_and_enter_do_it(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.key_press(CTRL_K)
        ctx.yield_(3)
        assert session.ui.palette
        ctx.key_chars("surprise")
        ctx.key_press(imgui.Key.enter)
        ctx.yield_(3)
        assert session.history.undo_name == "random seed"
        assert not session.ui.palette
        session.history.step("zoom", lambda scene: replace(scene, zoom=5))
        # The palette begins anew each time; up and down go round.
        ctx.key_press(CTRL_K)
        ctx.yield_(3)
        ctx.key_chars("zoom ")
        ctx.yield_(2)
        names = [entry.action.id for entry in find(session, "zoom ")]
        ctx.key_press(imgui.Key.down_arrow)
        ctx.key_press(imgui.Key.up_arrow)
        for _ in range(names.index("zoom_in")):
            ctx.key_press(imgui.Key.down_arrow)
        ctx.key_press(imgui.Key.enter)
        ctx.yield_(3)
        assert session.history.scene.zoom == 6
        assert not errors(session)

    drive(tmp_path, script)


def test_what_cannot_be_done_now_is_not_done_and_escape_closes(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        scene = session.history.scene
        ctx.key_press(CTRL_K)
        ctx.yield_(3)
        ctx.key_chars("redo")
        ctx.key_press(imgui.Key.enter)
        ctx.yield_(3)
        assert session.ui.palette
        ctx.key_press(imgui.Key.escape)
        ctx.yield_(3)
        assert not session.ui.palette
        assert session.history.scene == scene
        ctx.key_press(CTRL_K)
        ctx.yield_(3)
        ctx.key_press(CTRL_K)
        ctx.yield_(3)
        assert not session.ui.palette
        assert not errors(session)

    drive(tmp_path, script)


def test_it_opens_panels_and_takes_clicks(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        assert not session.ui.panels["Log"]
        ctx.key_press(CTRL_K)
        ctx.yield_(3)
        ctx.key_chars("show log")
        ctx.yield_(3)
        ctx.set_ref("//$FOCUSED")
        ctx.item_click("**/###show Log")
        ctx.set_ref("")
        ctx.yield_(4)
        assert session.ui.panels["Log"]
        assert not session.ui.palette
        assert ctx.window_info("//Log").window is not None
        assert not errors(session)

    drive(tmp_path, script)


def test_the_list_of_shortcuts_opens_by_both_keys(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.key_press(imgui.Key.f1)
        ctx.yield_(3)
        assert session.ui.shortcuts
        ctx.key_press(imgui.Key.f1)
        ctx.yield_(3)
        assert not session.ui.shortcuts
        ctx.key_chars("?")
        ctx.yield_(3)
        assert session.ui.shortcuts
        ctx.key_press(imgui.Key.escape)
        ctx.yield_(3)
        assert not session.ui.shortcuts
        # In a text field it is a letter.
        ctx.item_click("//Prompt/##prompt")
        ctx.key_chars("?")
        ctx.yield_(3)
        assert not session.ui.shortcuts
        assert "?" in session.history.scene.prompt
        assert not errors(session)

    drive(tmp_path, script)


def test_every_shortcut_is_known_to_imgui() -> None:
    for action in ACTIONS:
        for shortcut in filter(None, (action.shortcut, action.also.replace("?", ""))):
            assert key_chord(shortcut)
    with pytest.raises(ValueError, match="expected keys"):
        key_chord("Ctrl+Nothing")
