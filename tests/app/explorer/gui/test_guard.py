"""What a part of the window raises, or does wrong in ImGui, is one message and a closed panel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("imgui_bundle")

from imgui_bundle import ImVec2, imgui

from app.explorer import window
from app.explorer.gui.dialogs import Dialogs
from app.explorer.gui.guard import summary
from app.explorer.gui.palette import CommandPalette
from app.explorer.gui.plots import plot
from app.explorer.gui.shortcut_sheet import ShortcutSheet
from app.explorer.panels import arrangement
from app.explorer.session import Session
from app.explorer.ui_state import ShowPanel
from app.explorer.window import Explorer
from tests.app.explorer.fakes import errors
from tests.app.explorer.nullwindow import Context, drive, settle, until


def fail(*arguments: object) -> None:
    raise KeyError("a mistake")


def nested() -> None:
    imgui.begin_child("##child")
    imgui.begin_table("##table", 3)
    imgui.table_next_column()
    imgui.begin_group()
    imgui.push_id("id")
    imgui.begin_disabled()
    imgui.push_style_color(imgui.Col_.text, 0)
    imgui.push_style_var(imgui.StyleVar_.alpha, 0.5)
    imgui.push_item_width(3)
    imgui.get_window_draw_list().push_clip_rect_full_screen()
    fail()


def in_a_popup() -> None:
    imgui.open_popup("##popup")
    imgui.begin_popup("##popup")
    fail()


def in_a_plot() -> None:
    with plot("##plot", ImVec2(-1, 60)):
        fail()


def far_cursor_in_a_group() -> None:
    imgui.begin_group()
    imgui.set_cursor_pos(ImVec2(5000, 5000))
    imgui.end_group()


def far_cursor_in_a_child() -> None:
    imgui.begin_child("##child", ImVec2(50, 50))
    imgui.set_cursor_pos(ImVec2(5000, 5000))
    imgui.end_child()


MISTAKES: dict[str, Callable[[], object]] = {
    "an exception": fail,
    "an exception deep inside": nested,
    "an exception in a popup": in_a_popup,
    "an exception in a plot": in_a_plot,
    "an assertion": lambda: imgui.internal.close_popup_to_level(99, False),
    "a group without items": far_cursor_in_a_group,
    "a child without items": far_cursor_in_a_child,
    "no end": lambda: imgui.begin("Another window"),
    "no end_child": lambda: imgui.begin_child("##child"),
    "no end_group": imgui.begin_group,
    "no end_table": lambda: imgui.begin_table("##table", 2),
    "no end_tab_bar": lambda: imgui.begin_tab_bar("##bar"),
    "no end_disabled": imgui.begin_disabled,
    "no end_menu_bar": lambda: imgui.begin_menu_bar() or fail(),
    "no pop_id": lambda: imgui.push_id("id"),
    "no pop_style_color": lambda: imgui.push_style_color(imgui.Col_.text, 0),
    "no pop_style_var": lambda: imgui.push_style_var(imgui.StyleVar_.alpha, 0.5),
    "no pop_font": lambda: imgui.push_font(None, 20.0),
    "no pop_clip_rect": lambda: imgui.get_window_draw_list().push_clip_rect_full_screen(),
    "no tree_pop": lambda: imgui.tree_push("tree"),
    "end too much": imgui.end,
    "end twice too much": lambda: (imgui.end(), imgui.end()),
    "end_child too much": imgui.end_child,
    "end_group too much": imgui.end_group,
    "end_table too much": imgui.end_table,
    "end_disabled too much": imgui.end_disabled,
    "end_popup too much": imgui.end_popup,
    "pop_id too much": imgui.pop_id,
    "pop_style_color too much": lambda: imgui.pop_style_color(50),
    "pop_style_var too much": lambda: imgui.pop_style_var(50),
    "pop_clip_rect too much": lambda: imgui.get_window_draw_list().pop_clip_rect(),
    "tree_pop too much": imgui.tree_pop,
    "a style that cannot be": lambda: imgui.push_style_var(imgui.StyleVar_.alpha, ImVec2(1, 1)),
    "an empty id": lambda: imgui.button(""),
}


def alive(ctx: Context, session: Session) -> None:
    """The controls still lead to a picture, and nothing else was said."""
    said = len(session.messages.lines)
    ctx.item_input_value("//Picture controls/##psi", 0.5)
    settle(ctx, session)
    assert session.rendering.frame.request.psi == 0.5
    ctx.yield_(5)
    assert len(session.messages.lines) == said


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_panel_that_fails_is_closed_with_one_message(tmp_path: Path, mistake: str) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        panel = next(panel for panel in explorer.panels if panel.title == "Play")
        draw = panel.draw
        shown = explorer.params.docking_params.dockable_window_of_name("Play")
        panel.draw = lambda history: MISTAKES[mistake]()  # type: ignore[assignment,method-assign]
        session.ui.request(ShowPanel("Play", True))
        until(ctx, lambda: bool(errors(session)))
        assert not shown.is_visible
        (text,) = errors(session)
        assert text.startswith("Internal error in Play: ")
        assert "View > Play opens it again" in text
        assert "\n" not in text
        alive(ctx, session)
        # Another mistake by itself, and then it is mended.
        session.ui.request(ShowPanel("Play", True))
        until(ctx, lambda: not shown.is_visible)
        panel.draw = draw  # type: ignore[method-assign]
        session.ui.request(ShowPanel("Play", True))
        ctx.yield_(5)
        assert shown.is_visible

    drive(tmp_path, script)


@pytest.mark.parametrize(
    "mistake", ["an exception deep inside", "no end_group", "end too much", "pop_clip_rect too much"]
)
def test_the_picture_s_window_stays_and_can_be_tried_again(tmp_path: Path, mistake: str) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        draw = explorer.viewport.draw
        explorer.viewport.draw = lambda history: MISTAKES[mistake]()  # type: ignore[assignment,method-assign]
        until(ctx, lambda: bool(errors(session)))
        ctx.yield_(5)
        assert len(errors(session)) == 1
        ctx.item_click("//Picture/Try again")
        ctx.yield_(3)
        assert len(errors(session)) == 2
        explorer.viewport.draw = draw  # type: ignore[method-assign]
        ctx.item_click("//Picture/Try again")
        alive(ctx, session)

    drive(tmp_path, script)


SOME = ["an exception deep inside", "an assertion", "no end", "no end_group", "no pop_style_color"]


@pytest.mark.parametrize("mistake", SOME)
@pytest.mark.parametrize("part", ["draw_menus", "draw_status", "run_shortcuts"])
def test_menus_and_status_say_the_same_fault_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, mistake: str
) -> None:
    drawn: list[int] = []

    def broken(*arguments: Any) -> None:
        drawn.append(1)
        if len(drawn) > 5:
            MISTAKES[mistake]()

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        until(ctx, lambda: bool(errors(session)))
        ctx.yield_(5)
        frames = len(drawn)
        alive(ctx, session)
        assert len(drawn) > frames
        assert all(text.startswith("Internal error in ") for text in errors(session))
        assert len(errors(session)) == 1

    monkeypatch.setattr(window, part, broken)
    drive(tmp_path, script)


@pytest.mark.parametrize("name", ["palette", "shortcuts", "naming_layout", "dialog"])
def test_a_popup_that_fails_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        if name == "dialog":
            session.ui.dialog_request = "open"
        else:
            setattr(session.ui, name, True)
        ctx.yield_(3)
        assert len(errors(session)) == 1
        alive(ctx, session)

    def broken(*arguments: Any) -> bool:
        nested()
        raise AssertionError("nested raises")

    monkeypatch.setattr(CommandPalette, "_inside", broken)
    monkeypatch.setattr(ShortcutSheet, "_inside", broken)
    monkeypatch.setattr(Dialogs, "_ask", broken)
    monkeypatch.setattr(arrangement, "why_no_name", broken)
    drive(tmp_path, script)


def test_a_fault_between_frames_does_not_end_the_window(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        tick = session.playback.tick
        session.playback.tick = fail  # type: ignore[method-assign]
        ctx.yield_(10)
        assert errors(session) == ["Internal error in session: KeyError: 'a mistake'. The log has details."]
        session.playback.tick = tick  # type: ignore[method-assign]
        alive(ctx, session)

    drive(tmp_path, script)


def test_what_imgui_mends_outside_of_every_part_is_said(tmp_path: Path) -> None:
    """HelloImGui's own drawing is not ours to guard."""

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        before = explorer.params.callbacks.show_gui

        def show_gui() -> None:
            before()
            imgui.begin_group()

        explorer.params.callbacks.show_gui = show_gui
        until(ctx, lambda: bool(errors(session)))
        ctx.yield_(5)
        (text,) = errors(session)
        assert "Missing EndGroup()" in text
        explorer.params.callbacks.show_gui = before
        alive(ctx, session)

    drive(tmp_path, script)


def test_an_error_is_said_in_one_line() -> None:
    assert summary(RuntimeError("first\nsecond")) == "RuntimeError: first"
    assert summary(ValueError()) == "ValueError"
