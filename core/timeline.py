"""Keyframes and easing: the request at time t. Pure values, so a preview and an export can never disagree.

Numbers move straight from keyframe to keyframe under an easing curve; prompts and classes move by A, B and `blend`, so
the engine decides what lies between them; where that cannot say it, the styles themselves move
(`RenderRequest.origin`). A `Walk` adds steady motion over the seed plane.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeVar, get_args

from core.request import ORIGIN_DEPTH, Push, RenderRequest

# Seeds farther apart than this are not walked through: dozens of other pictures would flash by.
LONGEST_WALK = 8.0

EasingName = Literal["linear", "smooth", "smoother", "ease-in", "ease-out", "hold"]
EASING_NAMES: tuple[EasingName, ...] = get_args(EasingName)

# Each maps [0, 1] to [0, 1] with both ends exact; "hold" jumps at the next keyframe.
EASINGS: dict[EasingName, Callable[[float], float]] = {
    "linear": lambda u: u,
    "smooth": lambda u: u * u * (3.0 - 2.0 * u),
    "smoother": lambda u: u * u * u * (u * (6.0 * u - 15.0) + 10.0),
    "ease-in": lambda u: u * u,
    "ease-out": lambda u: u * (2.0 - u),
    "hold": lambda u: 0.0,
}


@dataclass(frozen=True, kw_only=True)
class Keyframe:
    """A request at a time, and how the way to the next keyframe is timed."""

    time: float
    """Seconds from the start."""
    request: RenderRequest
    easing: EasingName = "smooth"

    def __post_init__(self) -> None:
        if not math.isfinite(self.time) or self.time < 0:
            raise ValueError(f"keyframe time: expected seconds from 0 up, got {self.time!r}")
        if self.easing not in EASING_NAMES:
            raise ValueError(f"easing: expected one of {', '.join(EASING_NAMES)}, got {self.easing!r}")


class Stop(Protocol):
    """A point in time with the easing of the way to the next: a keyframe, or a point of one control's track."""

    @property
    def time(self) -> float: ...

    @property
    def easing(self) -> EasingName: ...


S = TypeVar("S", bound=Stop)


def stretch(stops: Sequence[S], seconds: float, period: float | None = None) -> tuple[S, S, float]:
    """The two stops that a time lies between, and how far it has come from one to the other, eased, 0 to 1.

    Stops are in order of time. Before the first and after the last there is only that one; with a `period` in seconds,
    of which `seconds` is a part, the way goes on from the last to the first instead.
    """
    index = bisect_right([stop.time for stop in stops], seconds) - 1
    if 0 <= index < len(stops) - 1:
        here, after, begin, end = stops[index], stops[index + 1], stops[index].time, stops[index + 1].time
    elif period is None or stops[-1].time - stops[0].time >= period:
        only = stops[max(index, 0)]
        return only, only, 0.0
    else:
        here, after, begin, end = stops[-1], stops[0], stops[-1].time, stops[0].time + period
        if index < 0:
            seconds += period
    u = (seconds - begin) / (end - begin)
    return here, after, EASINGS[here.easing](min(max(u, 0.0), 1.0))


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A steady walk over the seed plane, added to the keyframes' seeds."""

    distance: float = 0.0
    """How far it goes in all, in seeds; 0 stands still."""
    closed: bool = False
    """False: straight along x. True: a circle of this circumference that ends exactly where it began."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.distance):
            raise ValueError(f"walk: expected a finite number of seeds, got {self.distance!r}")

    def offset(self, u: float) -> tuple[float, float]:
        """Where the walk is at fraction `u` of its way, relative to its start: (x, y) in seeds."""
        if not self.closed:
            return self.distance * u, 0.0
        angle = 2.0 * math.pi * (u % 1.0)
        radius = self.distance / (2.0 * math.pi)
        return radius * math.sin(angle), radius * (1.0 - math.cos(angle))


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Keyframes in order of time, from 0 to the last.

    Raises `ValueError` where there are none, the first is not at 0, or times do not rise.
    """

    keyframes: tuple[Keyframe, ...]
    duration: float
    """Seconds; the last keyframe holds from its time to here."""
    walk: Walk = Walk()

    def __post_init__(self) -> None:
        if not self.keyframes:
            raise ValueError("timeline: expected at least one keyframe, got none")
        if self.keyframes[0].time != 0:
            raise ValueError(f"timeline: expected the first keyframe at 0 s, got {self.keyframes[0].time:g} s")
        if not math.isfinite(self.duration) or self.duration <= 0:
            raise ValueError(f"duration: expected seconds above 0, got {self.duration!r}")
        if self.duration < self.keyframes[-1].time:
            raise ValueError(
                f"timeline: expected every keyframe within {self.duration:g} s, "
                f"got one at {self.keyframes[-1].time:g} s"
            )
        for first, second in zip(self.keyframes, self.keyframes[1:], strict=False):
            if second.time <= first.time:
                raise ValueError(f"timeline: expected times that rise, got {second.time:g} s after {first.time:g} s")

    def at(self, seconds: float) -> RenderRequest:
        """The request at a time; before the start and after the end it is the first and the last.

        Equal pictures are equal values: a subject blended by exactly 0 or 1 comes back alone, as A.
        """
        seconds = min(max(seconds, 0.0), self.duration)
        here, after, u = stretch(self.keyframes, seconds)
        request = interpolate(here.request, after.request, u)
        if self.walk.distance == 0:
            return request
        dx, dy = self.walk.offset(seconds / self.duration)
        return replace(request, seed_x=request.seed_x + dx, seed_y=request.seed_y + dy)

    def requests(self, count: int) -> Iterator[RenderRequest]:
        """`count` requests at even steps from 0; the next one would be the end, which in a loop is the start."""
        for frame in range(count):
            yield self.at(self.duration * frame / count)


def interpolate(a: RenderRequest, b: RenderRequest, u: float) -> RenderRequest:
    """The request at `u` of the way from `a` (0) to `b` (1).

    Numbers move straight as long as both ask for the same with other numbers: one or two subjects, or one pad of four,
    seeds near enough to walk, the same mixes. Otherwise the styles of `a` move straight to those of `b`. Synthesis
    options that have no in-between, such as the noise seed, stay those of `a` to the end.
    """
    if u <= 0.0:
        return _canonical(a)
    if u >= 1.0:
        return _canonical(b)
    options = a.towards(b, u)
    joint = _join_subjects(a, b, u)
    alike = all(getattr(a, name) == getattr(b, name) for name in ("cutoff", "layer_psi", "mixes", "origin", "arrived"))
    if joint is None or not alike or math.dist((a.seed_x, a.seed_y), (b.seed_x, b.seed_y)) > LONGEST_WALK:
        return fade(a, b, u).with_options(options)
    return _canonical(
        replace(
            joint,
            seed_x=_mix(a.seed_x, b.seed_x, u),
            seed_y=_mix(a.seed_y, b.seed_y, u),
            psi=_mix(a.psi, b.psi, u),
            pushes=_mix_pushes(a.pushes, b.pushes, u),
        ).with_options(options)
    )


def fade(a: RenderRequest, b: RenderRequest, u: float) -> RenderRequest:
    """`b`, whose styles have come `u` of the way from those of `a`, straight; either may be on its own way."""
    if u >= 1.0:
        return _canonical(b)
    b = _canonical(b)
    if b.origin is not None:
        # (1 - u) a + u ((1 - v) o + v b'): first from a towards o, then from there towards b'.
        v = b.arrived
        a = fade(a, b.origin, u * (1.0 - v) / (1.0 - u * v))
        b, u = replace(b, origin=None, arrived=1.0), u * v
    return replace(b, origin=_shortened(_canonical(a), ORIGIN_DEPTH - 1), arrived=u)


def _shortened(request: RenderRequest, depth: int) -> RenderRequest:
    """Without the origins beyond `depth`: what is left of those has faded."""
    if request.origin is None:
        return request
    if depth == 0:
        return replace(request, origin=None, arrived=1.0)
    return replace(request, origin=_shortened(request.origin, depth - 1))


def _mix_pushes(a: tuple[Push, ...], b: tuple[Push, ...], u: float) -> tuple[Push, ...]:
    """Steps of both, each growing from or fading to none where the other has none."""
    goals = {(push.direction, push.first, push.stop): push for push in b}
    mixed = []
    for push in a:
        goal = goals.pop((push.direction, push.first, push.stop), None)
        mixed.append(replace(push, amount=_mix(push.amount, goal.amount if goal else 0.0, u)))
    return (*mixed, *(replace(push, amount=push.amount * u) for push in goals.values()))


def timeline_through(
    stops: Sequence[RenderRequest],
    *,
    seconds: float,
    loop: bool = False,
    easing: EasingName = "smooth",
    walk: float = 0.0,
) -> Timeline:
    """Glide from stop to stop, evenly spaced over `seconds`.

    With `loop` the first stop follows the last and the walk is a circle, so that the request at `seconds` equals the
    one at 0. `walk` is the whole distance over the seed plane, in seeds. Raises `ValueError` without stops and for
    values out of range.
    """
    if not stops:
        raise ValueError("stops: expected at least one, got none")
    stops = list(stops)
    if loop and len(stops) > 1:
        stops.append(stops[0])
    step = seconds / max(len(stops) - 1, 1)
    # The last stop is at the end itself, not at a sum that rounding may have carried past it.
    times = [seconds if index and index == len(stops) - 1 else index * step for index in range(len(stops))]
    keyframes = tuple(Keyframe(time=time, request=stop, easing=easing) for time, stop in zip(times, stops, strict=True))
    return Timeline(keyframes=keyframes, duration=seconds, walk=Walk(distance=walk, closed=loop))


def _mix(a: float, b: float, u: float) -> float:
    # Equal ends give that very value, which a + u (b - a) does too, but (1 - u) a + u b does not.
    return a + u * (b - a)


Subject = tuple[str, int]
"""What a picture is of: a prompt and a class, of which a model takes one."""


def _corners(request: RenderRequest) -> tuple[Subject, Subject, Subject, Subject]:
    return (
        (request.prompt, request.label),
        (request.prompt_b, request.label_b),
        (request.prompt_c, request.label_c),
        (request.prompt_d, request.label_d),
    )


def _subjects(request: RenderRequest) -> dict[Subject, float]:
    """The subjects that count in a request, with their shares; they sum to 1."""
    right, below = request.blend, request.blend_y
    shares = ((1.0 - right) * (1.0 - below), right * (1.0 - below), (1.0 - right) * below, right * below)
    subjects: dict[Subject, float] = {}
    for subject, share in zip(_corners(request), shares, strict=True):
        if share > 0.0:
            subjects[subject] = subjects.get(subject, 0.0) + share
    return subjects


def _with_subjects(request: RenderRequest, a: Subject, b: Subject = ("", 0), blend: float = 0.0) -> RenderRequest:
    return replace(
        request,
        prompt=a[0],
        label=a[1],
        prompt_b=b[0],
        label_b=b[1],
        prompt_c="",
        label_c=0,
        prompt_d="",
        label_d=0,
        blend=blend,
        blend_y=0.0,
    )


def _join_subjects(a: RenderRequest, b: RenderRequest, u: float) -> RenderRequest | None:
    """`a` with the subjects of both, or None where a request cannot say what lies between them."""
    if a.blend_y or b.blend_y:
        if _corners(a) != _corners(b):
            return None
        return replace(a, blend=_mix(a.blend, b.blend, u), blend_y=_mix(a.blend_y, b.blend_y, u))
    weights_a, weights_b = _subjects(a), _subjects(b)
    subjects = list(dict.fromkeys([*weights_a, *weights_b]))
    if len(subjects) > 2:
        return None
    if len(subjects) == 1:
        return _with_subjects(a, subjects[0])
    first, second = subjects
    return _with_subjects(a, first, second, _mix(weights_a.get(second, 0.0), weights_b.get(second, 0.0), u))


def _canonical(request: RenderRequest) -> RenderRequest:
    """The same picture in its shortest form, so that equal pictures compare equal."""
    if request.origin is not None and request.arrived == 1.0:
        request = replace(request, origin=None)
    if request.origin is None and request.arrived != 1.0:
        request = replace(request, arrived=1.0)
    subjects = list(_subjects(request))
    return _with_subjects(request, subjects[0]) if len(subjects) == 1 else request
