"""The timeline panel's zoom and scroll, and the marks on its ruler. No GUI here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from app.document.playback import beat_seconds
from app.document.scene import Scene

# Pixels between two marks that have a label, at least.
LABEL_GAP = 64.0
SMALLEST_VIEW_S = 0.05


@dataclass(frozen=True)
class Tick:
    """A mark on the ruler; the small ones have no label."""

    time: float
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class TimeScale:
    """A view of the timeline, in seconds from its left end, over so many pixels."""

    width: float
    start: float = 0.0
    seconds: float = 8.0
    """How much is in view."""

    def x(self, time: float) -> float:
        """Pixels from the left end."""
        return (time - self.start) / self.seconds * self.width

    def time(self, x: float) -> float:
        """Seconds, before 0 and after the end, too."""
        return self.start + x / self.width * self.seconds

    def zoomed(self, factor: float, x: float, duration: float) -> TimeScale:
        """In by a factor above 1; what is at `x` stays there as far as the ends allow."""
        fixed = self.time(x)
        seconds = min(max(self.seconds / factor, SMALLEST_VIEW_S), duration)
        return replace(self, seconds=seconds, start=fixed - x / self.width * seconds).within(duration)

    def panned(self, pixels: float, duration: float) -> TimeScale:
        """Scrolled so that what is right of the view comes into it."""
        return replace(self, start=self.start + pixels / self.width * self.seconds).within(duration)

    def following(self, time: float, duration: float) -> TimeScale:
        """A page further when a time has left the view."""
        if self.start <= time <= self.start + self.seconds:
            return self
        return replace(self, start=time).within(duration)

    def within(self, duration: float) -> TimeScale:
        """No further out than the whole timeline, and nowhere beside it."""
        seconds = min(self.seconds, duration)
        return replace(self, seconds=seconds, start=min(max(self.start, 0.0), duration - seconds))

    def ticks(self, scene: Scene) -> Iterator[Tick]:
        """The ruler's marks in view: seconds, or beats counted as bar.beat from 1.1."""
        beats = scene.unit == "beats"
        unit = beat_seconds(scene) if beats else 1.0
        steps = _beat_steps(scene.beats_per_bar) if beats else _SECOND_STEPS
        wanted = LABEL_GAP / self.width * self.seconds / unit
        step, parts = next(((step, parts) for step, parts in steps if step >= wanted), steps[-1])
        small = step / parts
        first = max(math.ceil(self.start / unit / small - 1e-9), 0)
        last = math.floor(min(self.start + self.seconds, scene.duration) / unit / small + 1e-9)
        for index in range(first, last + 1):
            at = index * small
            label = ""
            if index % parts == 0:
                label = _bar_and_beat(at, scene.beats_per_bar) if beats else f"{at:.10g}"
            yield Tick(at * unit, label)


# (labelled step, small marks in it).
_SECOND_STEPS: tuple[tuple[float, int], ...] = (
    *((mantissa * 10.0**power, parts) for power in range(-3, 1) for mantissa, parts in ((1, 10), (2, 4), (5, 5))),
    *((10.0, 10), (15.0, 3), (30.0, 6), (60.0, 6), (120.0, 4), (300.0, 5), (600.0, 10)),
)


def _beat_steps(per_bar: int) -> tuple[tuple[float, int], ...]:
    fractions = ((0.0625, 1), (0.125, 2), (0.25, 4), (0.5, 2), (1.0, 4))
    return fractions + tuple(
        (float(per_bar * 2**power), per_bar if power == 0 else 2 ** min(power, 3)) for power in range(12)
    )


def _bar_and_beat(beats: float, per_bar: int) -> str:
    bar, beat = divmod(beats, per_bar)
    return f"{bar + 1:g}" if beat == 0 else f"{bar + 1:g}.{beat + 1:g}"
