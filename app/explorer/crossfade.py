"""Goes over from one picture to another when the subject changes, so that typing never flickers. No GUI here.

It turns what the scene asks for into what to render now. The numbers of a drag, such as psi, are followed at once: a
fade begins only where the prompt, the class or a snapshot jumps.
"""

from __future__ import annotations

from core.request import RenderRequest
from core.timeline import EASINGS, LONGEST_WALK, fade

_JUMPS = (
    *(f"{name}{which}" for name in ("prompt", "label") for which in ("", "_b", "_c", "_d")),
    "mixes",
    "layer_psi",
    "cutoff",
)


def jumps(a: RenderRequest, b: RenderRequest) -> bool:
    """Whether the way from `a` to `b` is no drag of a number: another subject, another mix, a far seed."""
    if any(getattr(a, name) != getattr(b, name) for name in _JUMPS):
        return True
    if {push.direction for push in a.pushes} != {push.direction for push in b.pushes}:
        return True
    return max(abs(a.seed_x - b.seed_x), abs(a.seed_y - b.seed_y)) > LONGEST_WALK


class Crossfade:
    """Follows the scene's request. `now` is in seconds on any clock that only goes forward."""

    def __init__(self) -> None:
        self._target: RenderRequest | None = None
        self._from: RenderRequest | None = None
        self._start = 0.0
        self._seconds = 0.0

    @property
    def running(self) -> bool:
        return self._from is not None

    def cut(self) -> None:
        """End the fade that is running: another model has come, whose pictures it was not of."""
        self._from = None

    def follow(self, request: RenderRequest, seconds: float, now: float) -> RenderRequest:
        """What to render now, when the scene asks for `request` and a jump is to take `seconds`."""
        before = self._target
        if before is not None and seconds > 0.0 and before != request and jumps(before, request):
            # From what is on screen, be it a fade itself.
            self._from = self._at(now)
            self._start, self._seconds = now, seconds
        elif seconds <= 0.0:
            self._from = None
        self._target = request
        return self._at(now)

    def _at(self, now: float) -> RenderRequest:
        assert self._target is not None
        if self._from is None:
            return self._target
        u = (now - self._start) / self._seconds
        if u >= 1.0:
            self._from = None
            return self._target
        # Noise and transform have no way between styles: the target's stand at once.
        return fade(self._from, self._target, EASINGS["smooth"](max(u, 0.0)))
