"""The curves: a grid of plots whose horizontal axes move together, one colour a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import dearpygui.dearpygui as dpg
import numpy as np

from app.monitor import theme
from app.monitor.lines import Line, Plot, decimated, fitting, plots_of, value_at
from app.monitor.state import MonitorState, Run
from app.monitor.summary import Curves, Floats

COLUMNS = 2
HEADER = 24
GAP = 8
LEAST_HEIGHT = 170

Shown = Callable[[Run], Curves]


@dataclass(kw_only=True)
class _Trace:
    """One number of one run in a plot."""

    run: Run
    side: int
    raw: int
    smooth: int
    line: Line | None = None
    values: Floats | None = None


@dataclass(kw_only=True)
class _Cell:
    """A plot with its heading."""

    plot: Plot
    area: int
    item: int
    x_axis: int
    y_axis: int
    readings: list[int]
    marks: dict[int, int] = field(default_factory=dict)
    pointer: int = 0
    traces: dict[tuple[int, str], _Trace] = field(default_factory=dict)


def unit_of(extent: float) -> tuple[float, str]:
    """What the horizontal axis counts in, for so many images, and how its ticks are written."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if extent >= 2 * size or size == 1e3:
            return size, f"%g{letter}"
    raise AssertionError


def reading(value: float | None) -> str:
    """A value in a heading: four digits, and no more than it takes."""
    if value is None or not math.isfinite(value):
        return "-"
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.2e}"
    return f"{value:.4g}"


class PlotGrid:
    """The plots of one tab."""

    def __init__(
        self, state: MonitorState, fonts: theme.Fonts, parent: int | str, curves: Shown, *, dots: bool = False
    ) -> None:
        """`curves` gives what is drawn of a run; `dots` marks each point, for numbers that are few."""
        self._state, self._fonts, self._curves, self._dots = state, fonts, curves, dots
        self._cells: list[_Cell] = []
        self._themes: dict[tuple[int, int, str], int] = {}
        self._release = False
        self._set: tuple[float, float] | None = None
        self._unit = 1e3
        self._size = (0, 0)
        self._pointed = ""
        self._pointer_theme = theme.line(theme.rgb("ffffff", 70), 1.0)
        with dpg.group(parent=parent) as self._group:
            self._empty = dpg.add_text("Nothing yet.", color=theme.DIM)

    @property
    def drawn(self) -> bool:
        """Whether there is a line in any plot."""
        return any(trace.line is not None and len(trace.line) for cell in self._cells for trace in cell.traces.values())

    @property
    def cells(self) -> Sequence[_Cell]:
        return self._cells

    # What there is

    def draw(self, names: Sequence[str], size: tuple[int, int]) -> None:
        """Bring the plots up to date with the runs."""
        plots = plots_of(names)
        if plots != [cell.plot for cell in self._cells] or size != self._size:
            self._arrange(plots, size)
        unit, ticks = unit_of(self._state.extent())
        if unit != self._unit:
            self._unit = unit
            self._set = None
            for cell in self._cells:
                dpg.configure_item(cell.x_axis, tick_format=ticks)
        shown = {run.number: self._curves(run) for run in self._state.shown}
        for cell in self._cells:
            self._fill(cell, shown)
        if self._set != self._state.looking_at():  # setting them takes them out of the person's hand for a frame
            self._move_axes()
        self._read()

    def _arrange(self, plots: Sequence[Plot], size: tuple[int, int]) -> None:
        self._size = size
        dpg.delete_item(self._group, children_only=True)
        self._cells = []
        if not plots:
            dpg.add_text("Nothing yet.", color=theme.DIM, parent=self._group)
            return
        rows = -(-len(plots) // COLUMNS)
        fitting_rows = max(1, min(rows, 3, size[1] // (HEADER + LEAST_HEIGHT)))
        room = size[0] - (12 if rows > fitting_rows else 0)
        width = (room - GAP * (COLUMNS - 1)) // COLUMNS
        height = size[1] // fitting_rows - HEADER - GAP
        _, ticks = unit_of(self._state.extent())
        for start in range(0, len(plots), COLUMNS):
            with dpg.group(horizontal=True, horizontal_spacing=GAP, parent=self._group):
                for plot in plots[start : start + COLUMNS]:
                    self._cells.append(self._cell(plot, width, height, ticks))
        self._set = None

    def _cell(self, plot: Plot, width: int, height: int, ticks: str) -> _Cell:
        with dpg.group(width=width) as area:
            with dpg.group(horizontal=True, horizontal_spacing=10):
                self._fonts.use(dpg.add_text(plot.title), self._fonts.bold)
                readings = [dpg.add_text("") for _ in plot.names]
            with dpg.plot(
                width=width, height=height, no_title=True, no_menus=True, no_mouse_pos=True, fit_button=2
            ) as item:
                x_axis = dpg.add_plot_axis(dpg.mvXAxis, tick_format=ticks, no_highlight=True, no_initial_fit=True)
                y_axis = dpg.add_plot_axis(dpg.mvYAxis, no_highlight=True, no_initial_fit=True)
                pointer = dpg.add_inf_line_series([], parent=y_axis)
                dpg.bind_item_theme(pointer, self._pointer_theme)
        self._fonts.use(item, self._fonts.small)
        return _Cell(plot=plot, area=area, item=item, x_axis=x_axis, y_axis=y_axis, readings=readings, pointer=pointer)

    def _theme(self, run: Run, side: int, kind: str) -> int:
        key = (run.number, side, kind)
        if key not in self._themes:
            colour = theme.of_side(theme.of_run(run.number), side)
            if kind == "raw":
                self._themes[key] = theme.line(theme.faded(colour, 70 if side == 0 else 45), 1.0)
            elif kind == "mark":
                self._themes[key] = theme.line(theme.faded(colour, 120), 1.0)
            else:
                self._themes[key] = theme.line(colour, 2.0)
        return self._themes[key]

    def _trace(self, cell: _Cell, run: Run, name: str) -> _Trace:
        key = (run.number, name)
        if key not in cell.traces:
            side = cell.plot.names.index(name)
            raw = dpg.add_line_series([], [], parent=cell.y_axis)
            add = dpg.add_scatter_series if self._dots else dpg.add_line_series
            smooth = add([], [], parent=cell.y_axis)
            dpg.bind_item_theme(raw, self._theme(run, side, "line" if self._dots else "raw"))
            dpg.bind_item_theme(smooth, self._theme(run, side, "line"))
            cell.traces[key] = _Trace(run=run, side=side, raw=raw, smooth=smooth)
        return cell.traces[key]

    def _fill(self, cell: _Cell, shown: dict[int, Curves]) -> None:
        view = self._state.looking_at()
        pixels = max(100, dpg.get_item_width(cell.item) or 300)
        drawn: list[tuple[Line, Floats]] = []
        for run in self._state.runs:
            self._mark(cell, run)
            for name in cell.plot.names:
                if run.number not in shown:
                    if (run.number, name) in cell.traces:
                        hidden = cell.traces[(run.number, name)]
                        hidden.line = None
                        for item in (hidden.raw, hidden.smooth):
                            dpg.configure_item(item, x=[], y=[])
                    continue
                if shown[run.number].column(name) is None:
                    continue
                trace = self._trace(cell, run, name)
                line, values = self._state.line(shown[run.number], name)
                if self._dots:
                    values = line.mean
                trace.line, trace.values = line, values
                x, y = decimated(line.x, line.low, line.high, view, pixels)
                smooth_x, smooth_y = decimated(line.x, values, values, view, pixels)
                if values is line.mean and np.array_equal(line.low, line.high) and not self._dots:
                    x, y = x[:0], y[:0]  # the two lines are one
                dpg.configure_item(trace.raw, x=x / self._unit, y=y)
                dpg.configure_item(trace.smooth, x=smooth_x / self._unit, y=smooth_y)
                drawn.append((line, values))
        span = fitting(drawn, view)
        if span is not None:
            dpg.set_axis_limits(cell.y_axis, *span)

    def _mark(self, cell: _Cell, run: Run) -> None:
        """Where settings were changed."""
        changes = [
            event.x / self._unit
            for event in run.view.events
            if event.kind == "control" and event.row.get("command") == "set" and math.isfinite(event.x)
        ]
        if run.number not in cell.marks:
            if not changes:
                return
            cell.marks[run.number] = dpg.add_inf_line_series([], parent=cell.y_axis)
            dpg.bind_item_theme(cell.marks[run.number], self._theme(run, 0, "mark"))
        dpg.configure_item(cell.marks[run.number], x=changes if run.shown else [])

    # The horizontal axis

    def follow_mouse(self, now: float) -> bool:
        """After a frame: whether the person moved a plot's axis, which all others then follow."""
        if self._release:
            for cell in self._cells:
                dpg.set_axis_limits_auto(cell.x_axis)
            self._release = False
            return False
        if self._set is None:
            return False
        for cell in self._cells:
            low, high = (limit * self._unit for limit in dpg.get_axis_limits(cell.x_axis))
            slack = 1e-3 * (self._set[1] - self._set[0])
            if abs(low - self._set[0]) > slack or abs(high - self._set[1]) > slack:
                if not dpg.is_item_hovered(cell.item):
                    self._move_axes()  # not by hand: a plot that has just come into view
                    return False
                self._state.move((low, high), now)
                self._move_axes(but=cell)
                return True
        return False

    def _move_axes(self, but: _Cell | None = None) -> None:
        low, high = self._state.looking_at()
        self._set = (low, high)
        for cell in self._cells:
            if cell is not but:
                dpg.set_axis_limits(cell.x_axis, low / self._unit, high / self._unit)
        self._release = True

    # What the headings say

    def point(self) -> None:
        """Show the values under the mouse, or the latest."""
        under = next((cell for cell in self._cells if dpg.is_item_hovered(cell.item)), None)
        place = dpg.get_plot_mouse_pos() if under is not None else (0.0, 0.0)
        x = place[0] if any(place) else None  # a mouse that has not moved yet is nowhere
        said = f"{x}"
        if said == self._pointed:
            return
        self._pointed = said
        for cell in self._cells:
            dpg.configure_item(cell.pointer, x=[x] if x is not None else [])
        self._read(x * self._unit if x is not None else None)

    @property
    def hovered(self) -> bool:
        """Whether the mouse is over a plot."""
        return any(dpg.is_item_hovered(cell.item) for cell in self._cells)

    def _read(self, x: float | None = None) -> None:
        selected = self._state.selected
        for cell in self._cells:
            for name, label, item in zip(cell.plot.names, cell.plot.labels, cell.readings, strict=True):
                trace = cell.traces.get((selected.number, name))
                text, colour = "", theme.DIM
                if trace is not None and trace.line is not None and trace.values is not None and len(trace.line):
                    value = float(trace.values[-1]) if x is None else value_at(trace.line, trace.values, x)
                    text = f"{label} {reading(value)}".strip()
                    colour = theme.of_side(theme.of_run(selected.number), trace.side)
                dpg.configure_item(item, default_value=text, color=colour)
                dpg.set_value(item, text)
