"""Pictures of other requests than the one on screen: thumbnails of snapshots, the other side of a comparison.

They are rendered between the frames of the picture itself, one at a time, and kept. No GUI and no torch here.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.explorer.rendering.render_thread import RenderThread
from core.request import Frame, RenderRequest

log = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]


class ThumbnailCache:
    """Belongs to the UI thread. `side` is the longer side of what is kept, in pixels; None keeps all pixels."""

    def __init__(
        self,
        render: RenderThread,
        *,
        side: int | None,
        limit: int,
        fitting: Callable[[RenderRequest], RenderRequest] = lambda request: request,
    ) -> None:
        """`fitting` takes off a request what the engine does not know."""
        self._render, self._side, self._limit, self._fitting = render, side, limit, fitting
        self._kept: OrderedDict[RenderRequest, Pixels | str] = OrderedDict()
        self._wanted: list[RenderRequest] = []
        self._running: tuple[RenderRequest, Future[Pixels]] | None = None

    def get(self, request: RenderRequest) -> Pixels | None:
        """The picture, [height, width, 3]; None while it is not there, which asks for it, and if it cannot be."""
        kept = self._kept.get(request)
        if kept is None:
            if request not in self._wanted:
                self._wanted.append(request)
            return None
        self._kept.move_to_end(request)
        return None if isinstance(kept, str) else kept

    def peek(self, request: RenderRequest) -> Pixels | None:
        """The picture if it is there; this asks for nothing."""
        kept = self._kept.get(request)
        return None if isinstance(kept, str) else kept

    def problem(self, request: RenderRequest) -> str | None:
        """Why there is no picture, in one line; None if there is one, or may be."""
        kept = self._kept.get(request)
        return kept if isinstance(kept, str) else None

    @property
    def busy(self) -> bool:
        return self._running is not None

    def forget(self) -> None:
        """Another model has come: these are not its pictures."""
        self._kept.clear()
        self._wanted.clear()
        if self._running is not None:
            self._running[1].cancel()
            self._running = None

    def tick(self) -> None:
        """Once a frame: take what is finished, ask for what somebody looked for since the last time."""
        if self._running is not None and self._running[1].done():
            request, future = self._running
            self._running = None
            error = future.exception()
            if error is not None:
                log.warning("no picture of %r: %s", request, error)
            self._kept[request] = future.result() if error is None else " ".join(str(error).split())
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)
        if self._running is None:
            wanted = [request for request in self._wanted if request not in self._kept]
            if wanted:
                side = self._side
                fitted = self._fitting(wanted[0])
                self._running = (wanted[0], self._render.call(lambda engine: render_small(engine, fitted, side)))
        # What is still looked for will be asked for again.
        self._wanted.clear()


def render_small(engine: Any, request: RenderRequest, side: int | None) -> Pixels:
    """A picture, made smaller where its longer side is more than `side` pixels."""
    frame: Frame = engine.render(request)
    if side is None or max(frame.width, frame.height) <= side:
        return frame.pixels
    scale = side / max(frame.width, frame.height)
    size = (max(round(frame.width * scale), 1), max(round(frame.height * scale), 1))
    return np.asarray(Image.fromarray(frame.pixels).resize(size, Image.Resampling.BOX))
