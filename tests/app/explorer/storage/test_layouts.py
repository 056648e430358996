"""Saved arrangements of the panels: the files, and the window that uses them, without a display."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.explorer.storage.layouts import Layout, LayoutError, Layouts, why_no_name

LAYOUT = Layout(docking="[Window][Prompt]\nPos=0,0\n", panels={"Prompt": True, "Log": False})


def test_layouts_are_kept_by_name(tmp_path: Path) -> None:
    layouts = Layouts(tmp_path / "layouts")
    assert layouts.names() == ()
    layouts.save("On stage (2)", LAYOUT)
    layouts.save("雪", LAYOUT)
    assert layouts.names() == ("On stage (2)", "雪")
    assert layouts.load("雪") == LAYOUT
    layouts.delete("雪")
    assert layouts.names() == ("On stage (2)",)
    for call in (layouts.load, layouts.delete):
        with pytest.raises(LayoutError, match="No such file"):
            call("雪")


@pytest.mark.parametrize("name", ["", " ", " a", "../a", "a/b", ".a", "a.", "C:x", "x" * 41, "a\0b", "a\nb", "a|b"])
def test_names_that_are_no_file_s_name_are_refused(tmp_path: Path, name: str) -> None:
    assert why_no_name(name) is not None
    layouts = Layouts(tmp_path)
    with pytest.raises(LayoutError):
        layouts.save(name, LAYOUT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"layout": 2, "panels": {}, "docking": ""}',
        '{"layout": 1, "panels": [], "docking": ""}',
        '{"layout": 1, "panels": {"Log": 1}, "docking": ""}',
        '{"layout": 1, "panels": {}, "docking": 5}',
        '{"layout": 1, "panels": {}, "docking": "\\u0000"}',
        "[" * 100_000,
    ],
)
def test_damaged_layouts_are_errors_that_name_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(LayoutError, match="bad.json"):
        Layouts(tmp_path).load("bad")


def test_a_folder_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    layouts = Layouts(tmp_path / "file" / "layouts")
    assert layouts.names() == ()
    with pytest.raises(LayoutError, match="not saved"):
        layouts.save("a", LAYOUT)


def test_a_layout_is_saved_changed_and_used_in_the_window(tmp_path: Path) -> None:
    pytest.importorskip("imgui_bundle")
    from imgui_bundle import imgui

    from app.explorer.session import Session
    from app.explorer.ui_state import ShowPanel
    from app.explorer.window import Explorer
    from tests.app.explorer.nullwindow import Context, drive, settle

    def errors(session: Session) -> list[str]:
        return [message.text for message in session.messages.lines if message.level == "error"]

    def rectangle(ctx: Context, title: str) -> tuple[float, ...]:
        window = ctx.window_info(f"//{title}").window
        return window.pos.x, window.pos.y, window.size.x, window.size.y

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        start = rectangle(ctx, "Play")
        # A layout with the log, and with "Play" to the right of "Save".
        session.ui.request(ShowPanel("Log", True))
        ctx.yield_(3)
        play, save = ctx.window_info("//Play").window, ctx.window_info("//Save").window
        context = imgui.get_current_context()
        imgui.internal.dock_context_queue_dock(context, save, save.dock_node, play, imgui.Dir.right, 0.5, False)
        ctx.yield_(3)
        moved = rectangle(ctx, "Play")
        assert moved != start
        ctx.menu_click("//##MainMenuBar/View/Layouts/###layout_save")
        ctx.yield_(3)
        ctx.set_ref("//$FOCUSED")
        ctx.item_input_value("##name", "a/b")  # Enter saves nothing
        ctx.yield_(3)
        assert session.ui.layouts == ()
        ctx.item_input_value("##name", "mine")
        ctx.set_ref("")
        ctx.yield_(3)
        assert session.ui.layouts == ("mine",)
        assert not session.ui.naming_layout

        ctx.menu_click("//##MainMenuBar/View/Layouts/###layout_default")
        ctx.yield_(6)
        assert not session.ui.panels["Log"]
        assert rectangle(ctx, "Play") == start

        ctx.menu_click("//##MainMenuBar/View/Layouts/###layout mine")
        ctx.yield_(6)
        assert session.ui.panels["Log"]
        assert rectangle(ctx, "Play") == moved

        # A damaged file is a message, and the panels stay.
        (tmp_path / "layouts" / "mine.json").write_text("{")
        ctx.menu_click("//##MainMenuBar/View/Layouts/###layout mine")
        ctx.yield_(4)
        assert "mine.json" in errors(session)[0]
        assert rectangle(ctx, "Play") == moved
        # One whose text is nonsense to ImGui does no harm either.
        nonsense = {"layout": 1, "panels": {"Nobody": True}, "docking": "[Window][Play]\nPos=x\n[Docking][Data]\nDock"}
        (tmp_path / "layouts" / "mine.json").write_text(json.dumps(nonsense))
        ctx.menu_click("//##MainMenuBar/View/Layouts/###layout mine")
        ctx.yield_(4)
        assert session.ui.panels == dict.fromkeys(session.ui.panels, False)

        ctx.menu_click("//##MainMenuBar/View/Layouts/###delete layout mine")
        ctx.yield_(3)
        assert session.ui.layouts == ()
        ctx.menu_click("//##MainMenuBar/View/Layouts/###layout_default")
        ctx.yield_(6)
        assert rectangle(ctx, "Play") == start
        assert len(errors(session)) == 1
        assert imgui.get_io().config_flags & imgui.ConfigFlags_.docking_enable

    drive(tmp_path, script)


def test_a_panel_without_a_place_is_docked_beside_its_neighbours(tmp_path: Path) -> None:
    pytest.importorskip("imgui_bundle")
    from imgui_bundle import imgui

    from app.explorer.session import Session
    from app.explorer.ui_state import ShowPanel
    from app.explorer.window import Explorer
    from tests.app.explorer.nullwindow import Context, drive, settle

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        session.ui.request(ShowPanel("Timeline", True))
        ctx.yield_(5)
        # As a layout from before there was a log knows it: not at all.
        imgui.internal.clear_window_settings("Log")
        session.ui.request(ShowPanel("Log", True))
        ctx.yield_(5)
        log, neighbour = ctx.window_info("//Log").window, ctx.window_info("//Timeline").window
        assert log.dock_id == neighbour.dock_id != 0

    drive(tmp_path, script)


def test_a_panel_that_comes_and_goes_has_a_tab_even_alone(tmp_path: Path) -> None:
    pytest.importorskip("imgui_bundle")
    from imgui_bundle import imgui

    from app.explorer.session import Session
    from app.explorer.ui_state import ShowPanel
    from app.explorer.window import Explorer
    from tests.app.explorer.nullwindow import Context, drive, settle

    hidden = imgui.internal.DockNodeFlagsPrivate_.hidden_tab_bar.value

    def has_tab(title: str) -> bool:
        return not imgui.internal.find_window_by_name(title).dock_node.local_flags & hidden

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        for titles in (("Directions",), ("Live", "Directions"), ("Timeline",)):
            for title in titles:
                session.ui.request(ShowPanel(title, True))
            ctx.yield_(6)
            for title in titles[1:]:
                session.ui.request(ShowPanel(title, False))
            ctx.yield_(6)
            assert has_tab(titles[0])
        assert not has_tab("Prompt")
        assert not has_tab("Picture")

    drive(tmp_path, script)
