"""Curves over psi: FID against CLIP score, or one metric against psi, for the evaluations that drew several psi."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dearpygui.dearpygui as dpg
import numpy as np

from app.monitor import theme
from app.monitor.parsing import Event, number
from app.monitor.state import MonitorState

MOST = 6
"""Evaluations that are drawn, the older the fainter."""


@dataclass(frozen=True, kw_only=True)
class PsiCurve:
    """One evaluation's points."""

    x: float
    """After how many images."""
    psi: tuple[float, ...]
    figures: dict[str, tuple[float, ...]]
    """Each metric that all points have."""


def psi_curves(events: Sequence[Event]) -> list[PsiCurve]:
    """What the evaluations say about psi, oldest first: their "curve", a list of {"psi": ..., "fid": ..., ...}."""
    found = []
    for event in events:
        points = event.row.get("curve")
        if event.kind != "evaluate" or not isinstance(points, list) or len(points) < 2:
            continue
        if not all(isinstance(point, dict) and math.isfinite(number(point.get("psi"))) for point in points):
            continue
        points = sorted(points, key=lambda point: float(point["psi"]))
        names = [name for name in points[0] if name != "psi"]
        columns = {name: tuple(number(point.get(name)) for point in points) for name in names}
        figures = {name: column for name, column in columns.items() if all(math.isfinite(value) for value in column)}
        if figures:
            found.append(PsiCurve(x=event.x, psi=tuple(float(point["psi"]) for point in points), figures=figures))
    return found


def axes_of(curve: PsiCurve) -> tuple[str, str]:
    """What is drawn over what."""
    if "fid" in curve.figures and "clip" in curve.figures:
        return "clip", "fid"
    return "psi", next(iter(curve.figures))


class PsiPlot:
    """The tab."""

    def __init__(self, state: MonitorState, fonts: theme.Fonts, parent: int | str) -> None:
        self._state, self._fonts = state, fonts
        self._drawn: Any = None
        self._themes: dict[tuple[int, int], int] = {}
        self._none = dpg.add_text(
            "No curves over psi: the run's evaluations draw one psi (see metrics_psis in its configuration).",
            color=theme.DIM,
            wrap=560,
            parent=parent,
        )
        with dpg.plot(width=-1, height=300, no_title=True, no_menus=True, show=False, parent=parent) as self._plot:
            self._x = dpg.add_plot_axis(dpg.mvXAxis, label="CLIP score", no_highlight=True)
            self._y = dpg.add_plot_axis(dpg.mvYAxis, label="FID", no_highlight=True)
        fonts.use(self._plot, fonts.small)
        self._labels: list[int] = []
        self._free = False

    def draw(self, height: int) -> None:
        """Bring it up to date."""
        runs = [(run, psi_curves(run.view.events)[-MOST:]) for run in self._state.shown]
        found = any(curves for _, curves in runs)
        dpg.configure_item(self._none, show=not found)
        dpg.configure_item(self._plot, show=found, height=height)
        if self._free:  # after a frame at the limits that were set, they are the person's to move
            self._free = False
            for axis in (self._x, self._y):
                dpg.set_axis_limits_auto(axis)
        state = [(run.number, [curve.x for curve in curves]) for run, curves in runs]
        if not found or state == self._drawn:
            return
        self._drawn = state
        dpg.delete_item(self._y, children_only=True)
        for label in self._labels:
            dpg.delete_item(label)
        self._labels = []
        over, what = axes_of(next(curves for _, curves in runs if curves)[-1])
        titles = {"clip": "CLIP score", "fid": "FID"}
        dpg.configure_item(self._x, label=titles.get(over, over))
        dpg.configure_item(self._y, label=titles.get(what, what))
        every_x: list[float] = []
        every_y: list[float] = []
        for run, curves in runs:
            for age, curve in enumerate(reversed(curves)):
                if what not in curve.figures or (over != "psi" and over not in curve.figures):
                    continue
                x = np.array(curve.psi if over == "psi" else curve.figures[over])
                y = np.array(curve.figures[what])
                every_x += x.tolist()
                every_y += y.tolist()
                for add in (dpg.add_line_series, dpg.add_scatter_series):
                    dpg.bind_item_theme(add(x, y, parent=self._y), self._theme(run.number, age))
                if age == 0 and over != "psi":
                    self._labels += [
                        dpg.add_plot_annotation(
                            label=f"psi {psi:g}",
                            default_value=(float(a), float(b)),
                            offset=(14, 10),
                            color=theme.NOTHING,
                            parent=self._plot,
                        )
                        for psi, a, b in zip(curve.psi, x, y, strict=True)
                    ]
        for axis, values in ((self._x, every_x), (self._y, every_y)):
            margin = 0.07 * (max(values) - min(values)) or 0.1
            dpg.set_axis_limits(axis, min(values) - margin, max(values) + margin)
        self._free = True

    def _theme(self, number: int, age: int) -> int:
        if (number, age) not in self._themes:
            colour = theme.faded(theme.of_run(number), 255 if age == 0 else max(40, 130 - 25 * age))
            self._themes[(number, age)] = theme.line(colour, 2.0 if age == 0 else 1.0)
        return self._themes[(number, age)]
