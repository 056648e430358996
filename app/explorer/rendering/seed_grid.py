"""Small pictures of the seeds around a place on the plane, drawn by the engine while it has nothing better to do.

No GUI here: the panel says which it shows, this keeps them.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from typing import Any

from app.explorer.playback.transport import Transport
from app.explorer.rendering.controller import RenderController
from app.explorer.rendering.model_loader import ModelLoader
from app.explorer.rendering.thumbnails import Pixels, render_small
from app.explorer.ui_state import UiState
from core.request import RenderRequest

SIDE = 96
"""Of a small picture, in pixels: the longer side is at most this."""
KEPT = 600
# How long the picture must have stood still, in seconds.
REST_S = 0.2


def request_at(base: RenderRequest, x: int, y: int) -> RenderRequest:
    """The picture of a whole seed, with all else as in `base`."""
    return replace(base, seed_x=float(x), seed_y=float(y), origin=None, arrived=1.0)


class SeedGrid:
    """A cache of small pictures by request. Belongs to the UI thread; only the drawing is elsewhere."""

    def __init__(
        self,
        rendering: RenderController,
        models: ModelLoader,
        transport: Transport,
        ui: UiState,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rendering = rendering
        self._models = models
        self._transport = transport
        self._ui = ui
        self._clock = clock
        self._kept: OrderedDict[RenderRequest, Pixels | None] = OrderedDict()
        """None is a picture that could not be drawn."""
        self._last: dict[tuple[float, float], Pixels] = {}
        """What each seed showed before something else changed."""
        self._model: Any = None
        self._asked: tuple[RenderRequest, Any] | None = None
        self._answer: Future[Pixels] | None = None
        self._settled_at: float | None = None

    def get(self, request: RenderRequest) -> tuple[Pixels | None, bool]:
        """The picture, [height, width, 3], and whether it is this one; else it is an older one of the same seed, or
        None.
        """
        picture = self._kept.get(request)
        if picture is not None:
            return picture, True
        return self._last.get((request.seed_x, request.seed_y)), False

    def want(self, requests: Iterable[RenderRequest]) -> None:
        """Once a frame, the pictures that are in sight, the most important first: asks for one that is missing.

        One at a time, and none before the picture itself has rested: so a drag never waits for them.
        """
        self._collect()
        info = self._models.info
        if info is not self._model:
            self._model = info
            self._kept.clear()
            self._last.clear()
        if info is None or self._transport.playing:
            return
        requests = list(requests)
        if (self._rendering.settled or self._answer is not None) and any(
            request not in self._kept for request in requests
        ):
            self._ui.keep_awake()
        if not self._rested() or self._answer is not None:
            return
        for request in requests:
            if request not in self._kept:
                self._ask(request)
                return
            self._kept.move_to_end(request)

    def _ask(self, request: RenderRequest) -> None:
        self._asked = (request, self._model)
        self._answer = self._rendering.thread.call(lambda engine: render_small(engine, request, SIDE))

    def _rested(self) -> bool:
        now = self._clock()
        # While one of ours is drawn the session is not settled, but nor did anything change.
        if self._answer is None and not self._rendering.settled:
            self._settled_at = None
        elif self._settled_at is None:
            self._settled_at = now
        return self._settled_at is not None and now - self._settled_at >= REST_S

    def _collect(self) -> None:
        if self._answer is None or not self._answer.done():
            return
        assert self._asked is not None
        (request, model), answer = self._asked, self._answer
        self._asked = self._answer = None
        if model is not self._models.info:
            return  # of a model that has gone
        try:
            self._kept[request] = self._last[request.seed_x, request.seed_y] = answer.result()
        except (ValueError, RuntimeError, CancelledError):
            # What is wrong with it, the picture itself says when one goes there.
            self._kept[request] = None
        while len(self._last) > KEPT:
            self._last.pop(next(iter(self._last)))
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
