"""Stopping a run between two steps, never inside one."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType


class StopRequest:
    """While active, Ctrl-C and SIGTERM only set `requested`; a second Ctrl-C raises `KeyboardInterrupt` at once.

    Use it as a context manager around the training loop, in the main thread.
    """

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> StopRequest:
        self._previous = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True
