"""Crossfades between pictures when prompt or class changes. No GUI here.

It turns what the scene asks for into what to render now. The numbers of a drag, such as psi, are followed at once: a
fade begins only where the prompt or the class jumps. On the way to a snapshot, a morph with a time and an easing of its
own, numbers move too.
"""

from __future__ import annotations

from core.request import Mix, RenderRequest
from core.timeline import EASINGS, LONGEST_WALK, EasingName, fade, interpolate

_JUMPS = (
    *(f"{name}{which}" for name in ("prompt", "label") for which in ("", "_b", "_c", "_d")),
    "cutoff",
)
# Of a mix, in one frame of the window.
LARGEST_DRAG = 0.5
_JUMPS_OF_MIX = ("first", "stop", "prompt", "label", "latent")


def jumps(a: RenderRequest, b: RenderRequest) -> bool:
    """Whether `b` differs from `a` by more than a dragged number: another subject, another mix, a far seed."""
    if any(getattr(a, name) != getattr(b, name) for name in _JUMPS):
        return True
    if {push.direction for push in a.pushes} != {push.direction for push in b.pushes}:
        return True
    if len(a.mixes) != len(b.mixes) or any(_jumps_in(*pair) for pair in zip(a.mixes, b.mixes, strict=True)):
        return True
    return max(abs(a.seed_x - b.seed_x), abs(a.seed_y - b.seed_y)) > LONGEST_WALK


def _jumps_in(a: Mix, b: Mix) -> bool:
    """The same for one mix, whose amount and seed may be dragged."""
    if any(getattr(a, name) != getattr(b, name) for name in _JUMPS_OF_MIX):
        return True
    if abs(a.amount - b.amount) > LARGEST_DRAG:  # switched on or off
        return True
    seeds = ((a.seed_x, b.seed_x), (a.seed_y, b.seed_y))
    if any((x is None) != (y is None) for x, y in seeds):
        return True
    return any(x is not None and y is not None and abs(x - y) > LONGEST_WALK for x, y in seeds)


class Crossfade:
    """Follows the scene's request. `now` is in seconds on any clock that only goes forward."""

    def __init__(self) -> None:
        self._target: RenderRequest | None = None
        self._from: RenderRequest | None = None
        self._start = 0.0
        self._seconds = 0.0
        self._easing: EasingName | None = None
        self._next: tuple[float, EasingName] | None = None

    @property
    def running(self) -> bool:
        return self._from is not None

    def cut(self) -> None:
        """End the fade that is running."""
        self._from = None

    def morph(self, seconds: float, easing: EasingName) -> None:
        """The next change of the request takes `seconds` with this easing; 0 cuts."""
        self._next = (seconds, easing)

    def follow(self, request: RenderRequest, seconds: float, now: float, *, moved: bool = False) -> RenderRequest:
        """The request to render at `now` on the way to `request`, when a jump takes `seconds`.

        `moved`: it is time that has moved on, along a timeline, which says itself how it gets from place to place.
        """
        before, (morph, self._next) = self._target, (self._next, None)
        if before is not None and before != request and morph is not None:
            self._begin(now, *morph)
        elif before is not None and seconds > 0.0 and not moved and before != request and jumps(before, request):
            self._begin(now, seconds, None)
        elif seconds <= 0.0 and self._easing is None:
            self._from = None
        self._target = request
        return self._at(now)

    def _begin(self, now: float, seconds: float, easing: EasingName | None) -> None:
        """Fade from what is on screen, which may be a fade itself."""
        self._from = self._at(now) if seconds > 0.0 else None
        self._start, self._seconds, self._easing = now, seconds, easing

    def _at(self, now: float) -> RenderRequest:
        assert self._target is not None
        if self._from is None:
            return self._target
        u = (now - self._start) / self._seconds
        if u >= 1.0:
            self._from = None
            return self._target
        u = EASINGS[self._easing or "smooth"](max(u, 0.0))
        if self._easing is not None:
            return interpolate(self._from, self._target, u)
        # Noise and transform have no way between styles: the target's stand at once.
        return fade(self._from, self._target, u)
