"""What the window shows of which runs: the state behind the panels. Values and threads, no GUI."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.errors import UserError
from app.monitor.commands import CommandTracker
from app.monitor.lines import Line, line_of, smoothed, with_detail
from app.monitor.log_reader import LOG_FILE, LogReader, LogView
from app.monitor.samples import Grid, grids
from app.monitor.status import Status, status_of
from app.monitor.summary import Curves, Floats

CONFIG_FILES = ("config.toml", "config.json")
MOST_RUNS = 16
LOOK_AGAIN_S = 0.15
"""A view that is still moving is not read in detail."""


def run_folder(path: Path) -> Path:
    """The run that a path on the command line means: its folder, or its log. Raises `UserError` when it is no run."""
    folder = path.parent if path.name == LOG_FILE else path
    if not folder.exists():
        raise UserError(f"{path}: no such run; expected the folder of `glissando train`, with a {LOG_FILE}")
    if not folder.is_dir():
        raise UserError(f"{path}: expected the folder of a run, got a file")
    if not any((folder / name).is_file() for name in (LOG_FILE, *CONFIG_FILES)):
        raise UserError(f"{path}: expected the folder of a run, found neither {LOG_FILE} nor {CONFIG_FILES[0]} in it")
    try:
        if (folder / LOG_FILE).exists():
            open(folder / LOG_FILE, "rb").close()
    except OSError as error:
        raise UserError(f"{folder / LOG_FILE}: could not be read: {(error.strerror or '').lower()}") from None
    return folder


def names_of(folders: Sequence[Path]) -> list[str]:
    """What to call the runs: their folders' names, with as much of the path as tells them apart."""
    parts = [folder.resolve().parts for folder in folders]
    names = []
    for own in parts:
        length = 1
        while length < len(own) and sum(other[-length:] == own[-length:] for other in parts) > 1:
            length += 1
        names.append("/".join(own[-length:]))
    return names


@dataclass(kw_only=True, eq=False)
class Run:
    """One run in the window."""

    folder: Path
    name: str
    number: int
    """Its place, which gives its colour."""
    reader: LogReader
    commands: CommandTracker
    shown: bool = True
    grids: tuple[Grid, ...] = ()
    view: LogView = field(init=False)
    status: Status = field(init=False)

    def __post_init__(self) -> None:
        self.view = self.reader.view
        self.status = status_of(self.view, time.time())


class MonitorState:
    """The runs, which of them is selected, and how the curves are looked at."""

    def __init__(self, folders: Sequence[Path], *, reader: type[LogReader] = LogReader) -> None:
        """Raises `UserError` when a path is no run, and for too many."""
        found = list(dict.fromkeys(run_folder(path).resolve() for path in folders))
        if not 1 <= len(found) <= MOST_RUNS:
            raise UserError(f"expected 1 to {MOST_RUNS} runs, got {len(found)}")
        self.runs = [
            Run(folder=folder, name=name, number=number, reader=reader(folder), commands=CommandTracker(folder))
            for number, (folder, name) in enumerate(zip(found, names_of(found), strict=True))
        ]
        self.selected = self.runs[0]
        self.range: tuple[float, float] | None = None
        """The part of the curves that is looked at, in images; None is all of it, however long it gets."""
        self.smoothing = 0.35
        """0 to 1, see `half_life`."""
        self._asked: tuple[float, float] | None = None
        self._moved = 0.0

    def start(self) -> None:
        """Start reading."""
        for run in self.runs:
            run.reader.start()

    def close(self) -> None:
        """Stop reading, within moments."""
        for run in self.runs:
            run.reader.close()

    def refresh(self, now: float) -> bool:
        """Take what the threads have found by now; whether there is anything new to draw."""
        changed = False
        for run in self.runs:
            if run.reader.view is not run.view:
                run.view = run.reader.view
                run.commands.hear(run.view.events, now)
                changed = True
            run.status = status_of(run.view, now)
        self._look(now)
        return changed

    def list_grids(self) -> None:
        """See which sample grids there are."""
        for run in self.runs:
            run.grids = grids(run.folder)

    @property
    def shown(self) -> list[Run]:
        """The runs that are drawn."""
        return [run for run in self.runs if run.shown]

    def extent(self) -> float:
        """How many images the longest of the shown runs has seen."""
        return max((float(run.view.curves.x[-1]) for run in self.shown if len(run.view.curves)), default=0.0)

    def looking_at(self) -> tuple[float, float]:
        """The range of the plots, in images."""
        if self.range is not None:
            return self.range
        extent = self.extent() or 1000.0
        return -0.01 * extent, 1.01 * extent

    def move(self, view: tuple[float, float] | None, now: float) -> None:
        """Look at another part, or at all of it."""
        self.range = view
        self._moved = now

    def half_life(self) -> float:
        """Of the smoothing average, in images: up to a fifth of all there is, with most of the slider for little."""
        return 0.2 * self.extent() * self.smoothing**3

    def smoothing_in_words(self) -> str:
        """For the slider."""
        half_life = self.half_life()
        if half_life <= 0:
            return "no smoothing"
        text = f"{half_life / 1000:.3g}" if half_life < 1e6 else f"{half_life / 1000:,.0f}"
        return f"half-life {text} kimg"

    def curves(self, run: Run) -> Curves:
        """A run's curves, in detail where that has been read."""
        return with_detail(run.view.curves, run.view.detail if self.range is not None else None)

    def line(self, curves: Curves, name: str) -> tuple[Line, Floats]:
        """A number's line and its smoothed values."""
        line = line_of(curves, name)
        return line, smoothed(line, self.half_life())

    def names(self) -> list[str]:
        """The numbers of all shown runs, in the order of their logs."""
        return list(dict.fromkeys(name for run in self.shown for name in run.view.curves.names))

    def metric_names(self) -> list[str]:
        """The metrics of all shown runs."""
        return list(dict.fromkeys(name for run in self.shown for name in run.view.metrics.names))

    def _look(self, now: float) -> None:
        """Once the view stands still, have it read in detail; when all is shown again, no more."""
        if self.range == self._asked or now - self._moved < LOOK_AGAIN_S:
            return
        self._asked = self.range
        for run in self.shown:
            if self.range is not None:
                run.reader.look(*self.range)


def writable(run: Run) -> bool:
    """Whether commands can be left for it."""
    return os.access(run.folder, os.W_OK)
