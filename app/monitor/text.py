"""The runs in words, for where there is no window: state, progress, latest numbers, latest metrics."""

from __future__ import annotations

import time

from app.errors import UserError
from app.monitor.parsing import CURVE_KINDS, numbers
from app.monitor.samples import grids
from app.monitor.state import MonitorState, Run
from app.monitor.status import in_words, status_of

METRIC_KINDS = ("evaluate", "retrieval")


def report(state: MonitorState) -> str:
    """A few lines for each run. Raises `UserError` for a log that cannot be read."""
    for run in state.runs:
        run.reader.glance()
        run.view = run.reader.view
        if run.view.error:
            raise UserError(run.view.error)
    return "\n\n".join(_lines(run) for run in state.runs)


def _lines(run: Run) -> str:
    view = run.view
    status = status_of(view, time.time())
    speed = f", {status.speed:,.1f} images/s" if status.speed and status.listens else ""
    lines = [f"{run.name}: {status.state}, {in_words(status)}{speed}"]
    for kinds in (CURVE_KINDS, METRIC_KINDS):
        rows = [line.row for line in view.tail if line.kind in kinds] or [
            event.row for event in view.events if event.kind in kinds
        ]
        if rows:
            lines.append("  " + "  ".join(f"{name} {value:.4g}" for name, value in numbers(rows[-1]).items()))
    found = grids(run.folder)
    if found:
        lines.append(f"  {len(found)} sample grids, the latest {found[-1].path}")
    if view.damaged:
        lines.append(f"  {view.damaged:,} damaged line{'s' * (view.damaged > 1)} in the log")
    return "\n".join(lines)
