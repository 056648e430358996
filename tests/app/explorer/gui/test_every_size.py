"""Every panel, popup and menu at every size from one pixel on, floating and docked, at every size of the text."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

pytest.importorskip("imgui_bundle")

from imgui_bundle import ImVec2, imgui

from app.document.parts import SceneKeyframe, Snapshot, Track, TrackPoint
from app.document.scene import Compare
from app.explorer.actions import MENUS
from app.explorer.panels.table import PANELS
from app.explorer.session import Session
from app.explorer.storage.settings import RANGES
from app.explorer.ui_state import ShowPanel
from app.explorer.window import Explorer
from core.edit.points import Pull
from core.request import RenderRequest
from tests.app.explorer.fakes import SlowEngine, errors, open_slow_engine
from tests.app.explorer.nullwindow import Context, drive, settle, until

LENGTHS = (1, 2, 5, 12, 30, 75, 190, 480, 1200)
TEXT_SCALES = (RANGES["text_scale"][0], 1.0, RANGES["text_scale"][1])
# Of the whole window: as the issue found them, and down to nothing.
WINDOWS = [(1280, 800), (1280, 120), (60, 800), (640, 480), (300, 40), (40, 300), (9, 9), (1, 1), (1, 800), (1280, 1)]


class Display:
    """The size of the display, which the null backend would say anew in every frame."""

    def __init__(self, explorer: Explorer) -> None:
        self.size: tuple[int, int] | None = None
        callbacks = explorer.params.callbacks
        before = callbacks.pre_new_frame

        def pre_new_frame() -> None:
            if self.size is not None:
                imgui.get_io().display_size = ImVec2(*self.size)
            before()

        callbacks.pre_new_frame = pre_new_frame


def show_all(ctx: Context, explorer: Explorer) -> None:
    for window in explorer.params.docking_params.dockable_windows:
        window.is_visible = True
    ctx.yield_(4)


def undock_all(ctx: Context) -> None:
    imgui.get_style().window_min_size = ImVec2(1, 1)
    for entry in PANELS:
        window = imgui.internal.find_window_by_name(entry.title)
        imgui.internal.dock_context_process_undock_window(imgui.get_current_context(), window)
    ctx.yield_(2)
    assert all(imgui.internal.find_window_by_name(entry.title).dock_node is None for entry in PANELS)


def floating(ctx: Context, sizes: Iterable[tuple[int, int]]) -> None:
    """Sizes of what is below the title, which is always there."""
    for width, height in sizes:
        for entry in PANELS:
            imgui.set_window_size(entry.title, ImVec2(width, imgui.get_frame_height() + height))
        ctx.yield_()
        assert imgui.internal.find_window_by_name("Log").size.x == width


def set_text_scale(session: Session, scale: float) -> None:
    session.preferences.keep(replace(session.preferences.settings, text_scale=scale))


def furnish(session: Session) -> None:
    """Something to draw in every panel."""
    points = tuple(TrackPoint(time=time, value=value) for time, value in ((0.5, 0.1), (3.0, 0.9)))
    sea, house = RenderRequest(prompt="sea"), RenderRequest(prompt="a house")
    history = session.history
    history.step(
        "furnish",
        lambda scene: replace(
            scene,
            snapshots=(
                Snapshot(name="a long name for a snapshot", request=sea, mark="A"),
                Snapshot(name="b", request=house, mark="B"),
            ),
            keyframes=(SceneKeyframe(time=0.0, request=sea), SceneKeyframe(time=4.0, request=house)),
            tracks=(Track(control="psi", points=points), Track(control="unknown", points=points)),
            quick_prompts=("sea", "a house at sunset", ""),
        ),
    )
    session.messages.info("Saved a picture with a name so long that its message breaks", Path("/somewhere/picture.png"))
    session.messages.error("Something went wrong")
    session.messages.ask("Which one?", [("This", lambda: None), ("That", lambda: None)])


def put_points(session: Session) -> None:
    session.drag.on = True
    session.drag.put(Pull(handle=(2.0, 2.0), target=(6.0, 3.0)))
    session.drag.region = (1.0, 1.0, 7.0, 7.0)


def compare(how: Compare) -> Callable[[Session], None]:
    return lambda session: session.history.step("compare", lambda scene: replace(scene, compare=how, zoom=8))


def faults(session: Session) -> list[str]:
    return [text for text in errors(session) if text.startswith("Internal error")]


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(put_points, id="points"),
        pytest.param(compare("side"), id="side"),
        pytest.param(compare("wipe"), id="wipe"),
    ],
)
def test_floating_panels(tmp_path: Path, state: Callable[[Session], None]) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        furnish(session)
        state(session)
        show_all(ctx, explorer)
        undock_all(ctx)
        for scale in TEXT_SCALES:
            set_text_scale(session, scale)
            floating(ctx, product(LENGTHS, LENGTHS))
            assert not faults(session)

    drive(tmp_path, script)


def test_floating_panels_without_a_picture(tmp_path: Path) -> None:
    """While a model loads, and when it did not."""
    gate = threading.Event()

    def open_late(path: Path, report: object) -> SlowEngine:
        gate.wait(60.0)
        return open_slow_engine(path)

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        show_all(ctx, explorer)
        undock_all(ctx)
        try:
            for scale in TEXT_SCALES:
                set_text_scale(session, scale)
                floating(ctx, product(LENGTHS[::2], LENGTHS[::2]))
        finally:
            gate.set()
        until(ctx, lambda: session.models.failed is not None)
        for scale in TEXT_SCALES:
            set_text_scale(session, scale)
            floating(ctx, product(LENGTHS[::2], LENGTHS[::2]))
        assert not faults(session)

    drive(tmp_path, script, tmp_path / "bad.safetensors", open_engine=open_late)


@pytest.mark.parametrize("how", ["off", "side", "wipe"])
def test_docked_panels(tmp_path: Path, how: Compare) -> None:
    """The window shrinks around them, and grows again; each panel of a place comes to the front."""

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        display = Display(explorer)
        settle(ctx, session)
        furnish(session)
        put_points(session)
        compare(how)(session)
        show_all(ctx, explorer)
        for scale in TEXT_SCALES:
            set_text_scale(session, scale)
            for entry in PANELS:
                session.ui.request(ShowPanel(entry.title, True))
                ctx.yield_(2)
                for display.size in WINDOWS:
                    ctx.yield_()
            assert not faults(session)
        display.size = WINDOWS[0]
        ctx.yield_(3)
        assert imgui.internal.find_window_by_name("Picture").size.x > 50

    drive(tmp_path, script)


def test_popups_and_menus(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        display = Display(explorer)
        settle(ctx, session)
        furnish(session)

        def open_palette() -> None:
            session.ui.palette = True

        def open_shortcuts() -> None:
            session.ui.shortcuts = True

        def name_layout() -> None:
            session.ui.naming_layout = True

        def ask_for_a_file() -> None:
            session.ui.dialog_request = "open"

        for scale in TEXT_SCALES:
            set_text_scale(session, scale)
            for open_popup in (open_palette, open_shortcuts, name_layout, ask_for_a_file):
                open_popup()
                for display.size in WINDOWS:
                    ctx.yield_(3)
                ctx.key_press(imgui.Key.escape)
                display.size = WINDOWS[0]
                ctx.yield_(2)
                assert not imgui.is_popup_open("", imgui.PopupFlags_.any_popup)
            for menu in MENUS:
                ctx.menu_click(f"//##MainMenuBar/{menu}")
                for display.size in WINDOWS:
                    ctx.yield_(2)
                ctx.popup_close_all()
                display.size = WINDOWS[0]
                ctx.yield_(2)
            assert not faults(session)

    drive(tmp_path, script)
