"""Measures frame rate, render time and latency from input to picture. No GUI here."""

from __future__ import annotations

from collections import OrderedDict, deque

from core.request import RenderRequest

KEPT_S = 20.0
RATE_WINDOW_S = 1.0
RATE_STEP_S = 0.25
_MOST_PENDING = 1000
_MOST_SAMPLES = 6000

Samples = deque[tuple[float, float]]
"""(when, value), oldest first."""


class LatencyMeter:
    """The last seconds, sample by sample. Times are seconds on the caller's clock."""

    def __init__(self) -> None:
        self.render_ms: Samples = deque(maxlen=_MOST_SAMPLES)
        """What the engine took for each picture."""
        self.latency_ms: Samples = deque(maxlen=_MOST_SAMPLES)
        """For each picture that answers a change: from the input that made the change to the picture's being drawn."""
        self.rate: Samples = deque(maxlen=_MOST_SAMPLES)
        """New pictures a second, a few times a second."""
        self._arrivals: deque[float] = deque()
        self._changed: OrderedDict[RenderRequest, float] = OrderedDict()
        self._next_rate = -float("inf")

    def changed(self, request: RenderRequest, at: float) -> None:
        """Input that came at `at` asks for this picture."""
        self._changed.pop(request, None)
        self._changed[request] = at
        while len(self._changed) > _MOST_PENDING:
            self._changed.popitem(last=False)

    def arrived(self, render_ms: float, at: float) -> None:
        """A new picture came from the engine."""
        self._arrivals.append(at)
        self.render_ms.append((at, render_ms))

    def shown(self, request: RenderRequest, at: float) -> None:
        """The picture of this request was drawn. What was asked for before it is answered, or was replaced, by it."""
        asked = self._changed.get(request)
        if asked is None:
            return  # nobody waited for it: another model draws the same request again
        while True:
            other, _ = self._changed.popitem(last=False)
            if other == request:
                break
        self.latency_ms.append((at, (at - asked) * 1e3))

    def tick(self, now: float) -> None:
        """Once a frame of the window: take samples of the rate, forget what is old."""
        while self._arrivals and now - self._arrivals[0] > RATE_WINDOW_S:
            self._arrivals.popleft()
        if now >= self._next_rate:
            self.rate.append((now, self.frames_per_second))
            self._next_rate = now + RATE_STEP_S
        for samples in (self.render_ms, self.latency_ms, self.rate):
            while samples and now - samples[0][0] > KEPT_S:
                samples.popleft()

    def begin_again(self) -> None:
        """Another model was loaded: start measuring anew."""
        self._arrivals.clear()
        self._changed.clear()

    @property
    def frames_per_second(self) -> float:
        """New pictures in the last second."""
        return len(self._arrivals) / RATE_WINDOW_S


def median(samples: Samples) -> float | None:
    """The middle one of the values; None without any."""
    values = sorted(value for _, value in samples)
    return values[len(values) // 2] if values else None
