"""Stopping a training run between two steps, not in the middle of one."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Interrupt:
    """While entered, Ctrl-C and SIGTERM only set `requested`; the loop looks at it after each step, saves and leaves.

    A second Ctrl-C acts at once, as it would have without this. In threads other than the main one signals are left
    alone. With `loading`, signals act at once until `hold` is called, as there is nothing to save yet: Ctrl-C as ever,
    and SIGTERM, by which schedulers ask a job to end, ends the process with code 0.
    """

    def __init__(self, *, loading: bool = False) -> None:
        self.requested = False
        self.loading = loading
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def hold(self) -> None:
        """From here on there is something to save."""
        self.loading = False

    def __exit__(self, *exc: object) -> None:
        self._restore()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()
        if self.loading:
            raise SystemExit(0) if number == signal.SIGTERM else KeyboardInterrupt

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()
