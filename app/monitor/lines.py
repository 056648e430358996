"""From buckets to what a plot draws: which numbers share a plot, smoothing, and no more points than pixels. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from app.monitor.summary import Curves, Floats, chained

SIDES = {"g": "G", "d": "D", "real": "real", "fake": "fake"}
TITLES = {
    "loss": "Loss",
    "logit": "Logits",
    "sign": "Signs of the logits",
    "gradient": "Gradient norm",
    "match": "Captions matched",
    "images_per_s": "Images a second",
}
FIRST = ("loss", "logit", "sign", "gradient", "images_per_s")
"""Plots that come first, in this order; the others follow as the log has them."""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Numbers that are drawn together."""

    title: str
    names: tuple[str, ...]
    """Columns of the curves, at most one of each side."""
    labels: tuple[str, ...]
    """What tells them apart, empty when there is one."""


def plots_of(names: Iterable[str]) -> list[Plot]:
    """loss_g with loss_d, logit_real with logit_fake; every other number by itself."""
    known = list(dict.fromkeys(names))
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in known:
        stem, _, side = name.rpartition("_")
        if side in SIDES and stem and "." not in name:
            groups.setdefault(stem, []).append((name, SIDES[side]))
        else:
            groups.setdefault(name, []).append((name, ""))
    order = list(SIDES.values())
    plots: dict[str, Plot] = {}
    for stem, members in groups.items():
        members.sort(key=lambda member: order.index(member[1]) if member[1] else -1)
        title = TITLES.get(stem) or stem.replace("_", " ").replace(".", ", ").capitalize()
        if len(members) == 1 and members[0][1]:
            title += f" {members[0][1]}"
        plots[stem] = Plot(
            title=title,
            names=tuple(name for name, _ in members),
            labels=tuple(label for _, label in members) if len(members) > 1 else ("",),
        )
    ordered = [stem for stem in FIRST if stem in plots] + [stem for stem in plots if stem not in FIRST]
    return [plots[stem] for stem in ordered]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One number of one run, from left to right: only buckets that have it."""

    x: Floats
    low: Floats
    high: Floats
    mean: Floats
    weight: Floats
    """How many images a bucket stands for."""

    def __len__(self) -> int:
        return len(self.x)


def line_of(curves: Curves, name: str) -> Line:
    """A number's line; empty when the run has no such number."""
    column = curves.column(name)
    if column is None:
        none = np.zeros(0)
        return Line(x=none, low=none, high=none, mean=none, weight=none)
    has = np.isfinite(curves.mean[:, column])
    x = curves.x[has]
    low, high, mean = (array[has, column].astype(np.float64) for array in (curves.low, curves.high, curves.mean))
    weight = np.diff(x, append=2 * x[-1] - x[-2]) if len(x) > 1 else np.ones(len(x))
    return Line(x=x, low=low, high=high, mean=mean, weight=np.maximum(weight, 1e-9))


def with_detail(curves: Curves, detail: Curves | None) -> Curves:
    """The curves with the part that was read row by row in its place."""
    if detail is None or not len(detail) or not len(curves):
        return curves
    before = curves.between(0, int(np.searchsorted(curves.x, detail.x[0], side="left")))
    after = curves.between(int(np.searchsorted(curves.x, detail.x[-1], side="right")), len(curves))
    return chained(chained(before, detail), after)


def smoothed(line: Line, half_life: float) -> Floats:
    """An average of what came before, [N], in which a picture counts half when so many images came after it.

    It is one over images and not over points, so runs that log at another rate, and a long run's buckets, come out
    alike; and its beginning is not pulled towards 0. With a half-life of 0, the means themselves.
    """
    if half_life <= 0 or len(line) < 2:
        return line.mean
    # sum_j w_j v_j 2^((x_j - x_i)/h) by cumulative sums; powers are taken within stretches that a float can hold.
    age = (line.x - line.x[0]) / half_life
    stretch = np.floor(age / 200).astype(np.int64)
    starts = np.flatnonzero(np.diff(stretch, prepend=-1))
    result = np.empty(len(line))
    top = bottom = 0.0
    before = age[0]
    for start, end in zip(starts, [*starts[1:], len(line)], strict=True):
        fade = 0.5 ** min(age[start] - before, 1000.0)
        top, bottom = top * fade, bottom * fade
        growth = 2.0 ** (age[start:end] - age[start])
        weight = line.weight[start:end] * growth
        tops = top + np.cumsum(weight * line.mean[start:end])
        bottoms = bottom + np.cumsum(weight)
        result[start:end] = tops / bottoms
        top, bottom, before = tops[-1] / growth[-1], bottoms[-1] / growth[-1], age[end - 1]
    return result


def decimated(x: Floats, low: Floats, high: Floats, view: tuple[float, float], pixels: int) -> tuple[Floats, Floats]:
    """Points to draw: within the view the lowest and the highest of every pixel, outside of it a coarse rest.

    The rest is there so that a plot that is being dragged is not empty at its edge, and so that it can be fitted.
    """
    if not len(x):
        return x, low
    start = max(0, int(np.searchsorted(x, view[0], side="right")) - 1)
    end = min(len(x), int(np.searchsorted(x, view[1], side="left")) + 1)
    parts = [
        _thinned(x[part], low[part], high[part], most)
        for part, most in (
            (slice(0, start), max(8, pixels // 4)),
            (slice(start, end), max(8, pixels)),
            (slice(end, len(x)), max(8, pixels // 4)),
        )
    ]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _thinned(x: Floats, low: Floats, high: Floats, most: int) -> tuple[Floats, Floats]:
    """At most `most` columns, each with two points where lowest and highest differ."""
    if len(x) > most:
        # Columns of equal width, so that they are pixels; a stretch without points has none.
        span = (x[-1] - x[0]) or 1.0
        column = np.minimum((x - x[0]) * (most / span), most - 1).astype(np.int64)
        starts = np.flatnonzero(np.diff(column, prepend=-1))
        x, low, high = x[starts], np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
    if np.array_equal(low, high):
        return x, low
    return np.repeat(x, 2), np.stack([low, high], axis=1).ravel()


def fitting(lines: Sequence[tuple[Line, Floats]], view: tuple[float, float]) -> tuple[float, float] | None:
    """The lowest and highest value a plot should show, with a margin; None when there is nothing in view.

    `lines` are lines with their smoothed values. A few far outliers, such as a gradient that jumped, do not count: the
    axis spans the smoothed lines, and of the raw ones all but the outermost half per cent at either end.
    """
    lows: list[float] = []
    highs: list[float] = []
    for line, smooth in lines:
        inside = (line.x >= view[0]) & (line.x <= view[1])
        if not inside.any():
            continue
        lows += [float(np.quantile(line.low[inside], 0.005)), float(smooth[inside].min())]
        highs += [float(np.quantile(line.high[inside], 0.995)), float(smooth[inside].max())]
    if not lows:
        return None
    low, high = min(lows), max(highs)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin


def value_at(line: Line, values: Floats, x: float) -> float | None:
    """The value drawn at x, of the last point at or before it; None before the first."""
    index = int(np.searchsorted(line.x, x, side="right")) - 1
    return float(values[index]) if index >= 0 else None
