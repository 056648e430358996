"""The end of the selected run's log, a few words a row; the whole row is a tooltip."""

from __future__ import annotations

import math
from datetime import datetime

import dearpygui.dearpygui as dpg

from app.monitor import theme
from app.monitor.log_file import LogRow
from app.monitor.parsing import CURVE_KINDS, TIME, X, number, numbers
from app.monitor.state import MonitorState
from app.monitor.theme import heading

LOG_LINES = 60


def summary_of(line: LogRow) -> str:
    """A row of the log in a few words."""
    row, kind = line.row, line.kind
    if kind in CURVE_KINDS:
        found = numbers(row)
        first = [name for name in ("loss_g", "loss_d", "loss") if name in found] or list(found)[:2]
        sides = {"loss_g": "G", "loss_d": "D"}
        return "  ".join(f"{sides.get(name, name)} {found[name]:.3g}" for name in first)
    if kind == "control":
        what = str(row.get("command", "refused"))
        if what == "set":
            what = f"{row.get('name')} = {number(row.get('value')):g}"
        return f"{what}: {row['error']}" if "error" in row else what
    if kind in ("evaluate", "retrieval"):
        return "  ".join(f"{name.rpartition('.')[2]} {value:.3g}" for name, value in list(numbers(row).items())[:3])
    if kind == "stop":
        ending = "finished" if row.get("finished") is True else "stopped"
        why = row.get("error", row.get("problem"))
        return f"{ending}: {why}" if why is not None else ending
    if kind == "start":
        return "started"
    if "error" in row:
        return str(row["error"])
    return "  ".join(f"{name} {value:g}" for name, value in numbers(row).items())


def details_of(line: LogRow) -> str:
    """A row of the log in full, a number a line."""
    stamp = number(line.row.get(TIME))
    when = f"{datetime.fromtimestamp(stamp):%Y-%m-%d %H:%M:%S}" if math.isfinite(stamp) else ""
    rest = [
        f"{name}  {value:g}" if isinstance(value, int | float) else f"{name}  {value}"
        for name, value in line.row.items()
        if name not in ("kind", TIME, "config", "environment")
    ]
    rest = [text if len(text) < 160 else text[:157] + "..." for text in rest]
    return "\n".join([f"{line.kind}   {when}", *rest[:30]])


KINDS = {"evaluate": theme.ACCENT_HOVER, "control": theme.AMBER, "skip": theme.RED, "stop": theme.AMBER}


class LogPanel:
    """The end of the selected run's log, newest first."""

    def __init__(self, state: MonitorState, fonts: theme.Fonts, width: int) -> None:
        self._state = state
        self._drawn: tuple[object, ...] = ()
        with dpg.group(horizontal=True):
            heading(fonts, "Log")
            self.events = int(dpg.add_checkbox(label="without steps", callback=lambda: self.draw()))
        fonts.use(self.events, fonts.small)
        self.area = int(dpg.add_child_window(width=width, height=100, always_use_window_padding=True))
        dpg.bind_item_theme(self.area, theme.padded(8, 6, theme.PANEL, spacing=3))
        self._lines: list[tuple[int, int, int]] = []
        for _ in range(LOG_LINES):
            with dpg.group(horizontal=True, horizontal_spacing=7, parent=self.area):
                when = dpg.add_text("", color=theme.FAINT)
                what = dpg.add_text("")
            with dpg.tooltip(what):
                full = dpg.add_text("")
            for item in (when, what, full):
                fonts.use(item, fonts.small)
            self._lines.append((int(when), int(what), int(full)))

    def draw(self) -> None:
        """Show the last rows."""
        view, events_only = self._state.selected.view, bool(dpg.get_value(self.events))
        drawn = (self._state.selected.number, view.version, events_only)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        lines = (
            [LogRow(offset=event.offset, row=event.row) for event in view.events] if events_only else list(view.tail)
        )
        newest = lines[: -LOG_LINES - 1 : -1]
        for index, (when, what, full) in enumerate(self._lines):
            line = newest[index] if index < len(newest) else None
            stamp = number(line.row.get(TIME)) if line is not None else math.nan
            x = number(line.row.get(X)) if line is not None else math.nan
            clock = f"{datetime.fromtimestamp(stamp):%H:%M:%S}" if math.isfinite(stamp) else ""
            place = f"{x / 1000:,.1f}k" if math.isfinite(x) else ""
            dpg.set_value(when, f"{clock}  {place}".strip())
            kind = line.kind if line is not None else ""
            text = "" if line is None else summary_of(line)
            dpg.set_value(what, text if kind in CURVE_KINDS else f"{kind}  {text}".strip())
            dpg.configure_item(what, color=KINDS.get(kind, theme.TEXT if kind in CURVE_KINDS else theme.GREEN))
            dpg.set_value(full, details_of(line) if line is not None else "")
