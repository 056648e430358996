"""Play, pause and the position along the path. No GUI here.

Not part of the document: pressing play is not a change to undo.
"""

from __future__ import annotations

# A window that was hidden or held up goes on from where it was, it does not jump.
LONGEST_STEP_S = 0.25


class Transport:
    """A clock that runs while playing. `time` is in seconds along the path."""

    def __init__(self) -> None:
        self.playing = False
        self.time = 0.0
        self._last: float | None = None

    def toggle(self) -> None:
        self.playing = not self.playing

    def rewind(self) -> None:
        self.time = 0.0

    def tick(self, now: float) -> None:
        """Advance to wall-clock time `now`, in seconds."""
        if self.playing and self._last is not None:
            self.time += min(max(now - self._last, 0.0), LONGEST_STEP_S)
        self._last = now
