"""Values from the OSC and MIDI threads, for the UI thread to take once a frame; and a log that does not flood."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from app.live.mapping import InputSource

# Distinct sources between two frames; a flood of made-up OSC addresses is cut here.
SOURCES_LIMIT = 256
PRESSES_LIMIT = 64


class Inbox:
    """The newest value of each source, and which were pressed. `put` may be called from any thread."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._newest: dict[InputSource, float] = {}
        self._pressed: deque[InputSource] = deque(maxlen=PRESSES_LIMIT)
        self._up: set[InputSource] = set()

    def put(self, source: InputSource, value: float, *, press: bool | None = None) -> None:
        """`value` of `source`, normally 0 to 1. It is a press when it comes to 0.5, unless `press` says."""
        with self._lock:
            first = not self._newest and not self._pressed
            if source not in self._newest and len(self._newest) >= SOURCES_LIMIT:
                return
            # Moved to the end: the source that moved last is what learning wants.
            self._newest.pop(source, None)
            self._newest[source] = value
            if press is None:
                press = value >= 0.5 and source not in self._up
            if value < 0.5:
                self._up.discard(source)
            elif len(self._up) < SOURCES_LIMIT:
                self._up.add(source)
            if press:
                self._pressed.append(source)
        if first:
            self._wake()

    def take(self) -> tuple[dict[InputSource, float], list[InputSource]]:
        """(newest values, presses in order) since the last call."""
        with self._lock:
            newest, self._newest = self._newest, {}
            pressed = list(self._pressed)
            self._pressed.clear()
        return newest, pressed


class RateLimitedLog:
    """Passes on at most one message in `pause` seconds, with a count of the others."""

    def __init__(self, say: Callable[[str], None], pause: float = 5.0) -> None:
        self._say = say
        self._pause = pause
        self._lock = threading.Lock()
        self._text: str | None = None
        self._count = 0
        self._said = -float("inf")

    def add(self, text: str) -> None:
        """From any thread."""
        with self._lock:
            self._text = text
            self._count += 1

    def tick(self, now: float) -> None:
        """On the UI thread: pass on the newest message, if it is time to."""
        with self._lock:
            if self._text is None or now - self._said < self._pause:
                return
            text, count = self._text, self._count
            self._text, self._count, self._said = None, 0, now
        self._say(text if count == 1 else f"{text} (and {count - 1} more messages that were not understood)")
