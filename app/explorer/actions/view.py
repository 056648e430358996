"""The View menu: the picture on screen, panels, layouts and the output window."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from app.document.scene import ZOOM_LIMIT
from app.explorer.actions.action import Action, ask_window, fixed_label
from app.explorer.session import Session
from app.explorer.ui_state import OTHER_MONITOR, WINDOWED, DeleteLayout, ShowOutput, ShowPanel, UseLayout


def _zoom_to(zoom: int) -> Callable[[Session], None]:
    return lambda session: session.history.step("zoom", lambda scene: replace(scene, zoom=zoom))


def _zoom_by(change: int) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        zoom = session.history.scene.zoom or session.ui.shown_zoom
        session.history.step("zoom", lambda scene: replace(scene, zoom=min(max(zoom + change, 1), ZOOM_LIMIT)))

    return run


def _toggle_smooth(session: Session) -> None:
    session.history.step("smooth", lambda scene: replace(scene, smooth=not scene.smooth))


def _toggle_output(session: Session) -> None:
    session.ui.request(ShowOutput(OTHER_MONITOR if session.ui.output is None else None))


def _name_layout(session: Session) -> None:
    session.ui.naming_layout = True


ACTIONS: tuple[Action, ...] = (
    Action(
        id="compare_side",
        menu="View",
        label=fixed_label("Snapshot B beside the picture"),
        run=lambda session: session.snapshots.compare("side"),
        enabled=lambda session: session.snapshots.can_compare,
        checked=lambda session: session.history.scene.compare == "side",
        separator=True,
    ),
    Action(
        id="compare_wipe",
        menu="View",
        label=fixed_label("Snapshot B behind a wipe"),
        run=lambda session: session.snapshots.compare("wipe"),
        enabled=lambda session: session.snapshots.can_compare,
        checked=lambda session: session.history.scene.compare == "wipe",
        tooltip="Snapshot B over the right part of the picture; drag the line between them.",
    ),
    Action(
        id="zoom_fit",
        menu="View",
        label=fixed_label("Fit the picture"),
        run=_zoom_to(0),
        shortcut="Ctrl+0",
        separator=True,
        checked=lambda session: session.history.scene.zoom == 0,
    ),
    Action(id="zoom_in", menu="View", label=fixed_label("Zoom in"), run=_zoom_by(1), shortcut="Ctrl+=", repeat=True),
    Action(id="zoom_out", menu="View", label=fixed_label("Zoom out"), run=_zoom_by(-1), shortcut="Ctrl+-", repeat=True),
    Action(
        id="smooth",
        menu="View",
        label=fixed_label("Smooth filtering"),
        run=_toggle_smooth,
        checked=lambda session: session.history.scene.smooth,
        tooltip="Blend between the picture's pixels on screen instead of showing them as squares.",
    ),
    Action(
        id="light_theme",
        menu="View",
        label=fixed_label("Light theme"),
        run=lambda session: session.preferences.set_theme(
            "dark" if session.preferences.settings.theme == "light" else "light"
        ),
        checked=lambda session: session.preferences.settings.theme == "light",
        separator=True,
        tooltip="Dark text on light panels, or the other way round.",
    ),
    Action(
        id="text_larger",
        menu="View",
        label=fixed_label("Larger text"),
        run=lambda session: session.preferences.set_text_scale(session.preferences.settings.text_scale + 0.1),
        shortcut="Ctrl+Shift+=",
    ),
    Action(
        id="text_smaller",
        menu="View",
        label=fixed_label("Smaller text"),
        run=lambda session: session.preferences.set_text_scale(session.preferences.settings.text_scale - 0.1),
        shortcut="Ctrl+Shift+-",
    ),
    Action(
        id="output",
        menu="View/Output",
        label=lambda session: "Full-screen output" if session.ui.output is None else "Close the output window",
        run=_toggle_output,
        shortcut="F11",
        tooltip="Nothing but the picture, on the whole of the other monitor if there is one. Escape closes it.",
    ),
    Action(
        id="output_window",
        menu="View/Output",
        label=fixed_label("Output in a window"),
        run=ask_window(ShowOutput(WINDOWED)),
        checked=lambda session: session.ui.output == WINDOWED,
        tooltip="Nothing but the picture, in a window that can be moved and captured.",
    ),
    Action(
        id="layout_save",
        menu="View/Layouts",
        label=fixed_label("Save layout as…"),
        run=_name_layout,
        tooltip="Keep the arrangement of the panels under a name.",
    ),
    Action(
        id="layout_default",
        menu="View/Layouts",
        label=fixed_label("Default arrangement"),
        run=ask_window(UseLayout("")),
        tooltip="Put the panels where they were at the very first start.",
    ),
)


def _always(value: bool) -> Callable[[Session], bool]:
    return lambda session: value


def _output_on(monitor: int) -> Callable[[Session], bool]:
    return lambda session: session.ui.output == monitor


def _panels(session: Session) -> Iterable[Action]:
    for title, shown in session.ui.panels.items():
        yield Action(
            id=f"panel {title}",
            menu="View/Panels",
            label=fixed_label(title),
            run=ask_window(ShowPanel(title, not shown)),
            checked=_always(shown),
            in_palette=False,
        )


def _monitors(session: Session) -> Iterable[Action]:
    for index, name in enumerate(session.ui.monitors):
        yield Action(
            id=f"output on monitor {index + 1}",
            menu="View/Output",
            label=fixed_label(f"Output on monitor {index + 1} ({name})"),
            run=ask_window(ShowOutput(index)),
            checked=_output_on(index),
        )


def _layouts(session: Session) -> Iterable[Action]:
    for index, name in enumerate(session.ui.layouts):
        yield Action(
            id=f"layout {name}",
            menu="View/Layouts",
            label=fixed_label(name),
            run=ask_window(UseLayout(name)),
            separator=index == 0,
        )
    for index, name in enumerate(session.ui.layouts):
        yield Action(
            id=f"delete layout {name}",
            menu="View/Layouts",
            label=fixed_label(f"Delete “{name}”"),
            run=ask_window(DeleteLayout(name)),
            separator=index == 0,
        )


FOLLOWED_BY = {"text_smaller": _panels, "output_window": _monitors, "layout_default": _layouts}
