"""Stopping a training run between two steps, not in the middle of one."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Interrupt:
    """While entered, Ctrl-C and SIGTERM only set `requested`; the loop looks at it after each step, saves and leaves.

    A second Ctrl-C acts at once, as it would have without this. In threads other than the main one signals are left
    alone.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        self._restore()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()
