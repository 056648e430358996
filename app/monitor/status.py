"""Where a run stands, from its log: running or not, how far, how fast, and how long it still takes. Pure."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.monitor.log_reader import LogView
from app.monitor.parsing import CURVE_KINDS, TIME, X, number

State = Literal["waiting", "running", "silent", "stopped", "finished"]

_SPEED_ROWS = 100
_QUIET_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Status:
    """A run at a moment."""

    state: State
    images: float = 0.0
    total: float | None = None
    """How many images the run is to see; None when its log does not say."""
    speed: float | None = None
    """Images a second of late, with all pauses for evaluations and saving."""
    left_s: float | None = None
    """How long it still takes at that speed."""
    quiet_s: float = 0.0
    """How long ago the last row was written."""

    @property
    def share(self) -> float | None:
        """How much of the run is done, 0 to 1."""
        return min(1.0, self.images / self.total) if self.total else None

    @property
    def listens(self) -> bool:
        """Whether a command would be read."""
        return self.state in ("running", "silent")


def status_of(view: LogView, now: float) -> Status:
    """The status at `now`, in seconds since the epoch."""
    rows = [line for line in view.tail if math.isfinite(number(line.row.get(TIME)))]
    if not rows:
        return Status(state="waiting")
    starts = [event for event in view.events if event.kind == "start"]
    begun = starts[-1].offset if starts else 0
    total = planned_images(starts[-1].row.get("config")) if starts else None
    images = next((x for line in reversed(rows) if math.isfinite(x := number(line.row.get(X)))), 0.0)

    last = rows[-1]
    quiet = max(0.0, now - number(last.row[TIME]))
    if last.kind == "stop":
        state: State = "finished" if last.row.get("finished") is True else "stopped"
        return Status(state=state, images=images, total=total, quiet_s=quiet)

    recent = [line.row for line in rows if line.kind in CURVE_KINDS and line.offset >= begun][-_SPEED_ROWS:]
    times = [number(row[TIME]) for row in recent]
    speed = None
    if len(recent) > 1 and times[-1] > times[0]:
        speed = (number(recent[-1].get(X)) - number(recent[0].get(X))) / (times[-1] - times[0])
        speed = speed if speed > 0 else None
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    limit = max(_QUIET_S, 10 * statistics.median(gaps), 3 * max(gaps)) if gaps else 10 * _QUIET_S
    left = max(0.0, total - images) / speed if speed and total is not None else None
    return Status(
        state="silent" if quiet > limit else "running",
        images=images,
        total=total,
        speed=speed,
        left_s=left,
        quiet_s=quiet,
    )


def planned_images(config: object) -> float | None:
    """How many images a configuration asks for: `kimg`, wherever it stands, or a CLIP's steps times batch."""
    if not isinstance(config, Mapping):
        return None
    tables: list[Mapping[str, Any]] = [config, *(value for value in config.values() if isinstance(value, Mapping))]
    for table in tables:
        if math.isfinite(kimg := number(table.get("kimg"))):
            return 1000 * kimg
    images = number(config.get("steps")) * number(config.get("batch"))
    return images if math.isfinite(images) else None


def setting(config: object, name: str) -> float | None:
    """A number of a configuration, wherever it stands."""
    if not isinstance(config, Mapping):
        return None
    for table in (config, *(value for value in config.values() if isinstance(value, Mapping))):
        if math.isfinite(value := number(table.get(name))):
            return value
    return None


def settings_in_force(view: LogView, names: tuple[str, ...]) -> dict[str, float]:
    """What the settings are now: as the last start says, and changed since by control rows."""
    found: dict[str, float] = {}
    for event in view.events:
        if event.kind == "start":
            for name in names:
                if (value := setting(event.row.get("config"), name)) is not None:
                    found[name] = value
        elif event.kind == "control" and event.row.get("name") in names and "error" not in event.row:
            value = number(event.row.get("value"))
            found |= {str(event.row["name"]): value} if math.isfinite(value) else {}
    return found


def duration(seconds: float) -> str:
    """As a person says it: "49 s", "12 min", "3 h 05 min", "4 d 2 h"."""
    seconds = round(seconds)
    if seconds < 100:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"


def in_words(status: Status) -> str:
    """The line under a run's name."""
    size, unit = next(
        (size, unit)
        for size, unit in ((1e9, "Gimg"), (1e6, "Mimg"), (1e3, "kimg"))
        if (status.total or status.images) >= 10 * size or size == 1e3
    )
    done = f"{status.images / size:,.0f}" if size == 1e3 else f"{status.images / size:,.2f}"
    if status.total:
        done += f" of {status.total / size:,.10g}"
    done += f" {unit}"
    if status.state == "waiting":
        return "waiting for its first row"
    if status.state == "finished":
        return f"{done}, finished {duration(status.quiet_s)} ago"
    if status.state == "stopped":
        return f"{done}, stopped {duration(status.quiet_s)} ago"
    if status.state == "silent":
        return f"{done}, silent for {duration(status.quiet_s)}"
    if status.left_s is not None:
        return f"{done}, {duration(status.left_s)} left"
    return done
