"""From the scene to the picture on screen: sends requests to the render thread, keeps what it returns. No GUI here."""

from __future__ import annotations

from collections.abc import Callable

from app.explorer.playback.controller import PlaybackController
from app.explorer.rendering.latency import LatencyMeter
from app.explorer.rendering.render_thread import RenderThread
from app.explorer.rendering.thumbnails import ThumbnailCache
from app.explorer.vectors.registry import VectorRegistry
from app.live.control import LiveControl
from core.request import Frame, RenderRequest

THUMBNAIL_SIDE = 192
THUMBNAILS = 256


class RenderController:
    """The picture on screen and other pictures of the same model. Belongs to the UI thread."""

    def __init__(
        self,
        thread: RenderThread,
        playback: PlaybackController,
        live: LiveControl,
        vectors: VectorRegistry,
        clock: Callable[[], float],
    ) -> None:
        self._playback = playback
        self._live = live
        self._vectors = vectors
        self._clock = clock
        self._began = clock()
        self._metered = 0
        self.thread = thread
        self.frame: Frame | None = None
        """The picture on screen."""
        self.frame_count = 0
        """Pictures shown so far."""
        self.submitted: RenderRequest | None = None
        """The request given to the render thread last."""
        self.latency = LatencyMeter()
        fitting = vectors.fitting_call
        self.thumbnails = ThumbnailCache(thread, side=THUMBNAIL_SIDE, limit=THUMBNAILS, fitting=fitting)
        self.comparison = ThumbnailCache(thread, side=None, limit=4, fitting=fitting)
        """Whole pictures to compare with the one on screen."""

    @property
    def wanted(self) -> RenderRequest:
        """The scene's request at the playhead once every fade has ended."""
        return self._vectors.fitting(self._playback.request)

    @property
    def settled(self) -> bool:
        """Whether the picture on screen is that of the scene."""
        asked = self._live.overlay(self.wanted)
        return self.frame is not None and self.frame.request == asked and not self.thread.busy

    @property
    def busy(self) -> bool:
        """Whether a picture is being rendered or waits to be."""
        return self.thread.busy or self.thread.asking or self.thumbnails.busy or self.comparison.busy

    def note_drawn(self) -> None:
        """After the window has drawn a frame: the newest picture was on it."""
        if self.frame is not None and self._metered != self.frame_count:
            self._metered = self.frame_count
            self.latency.shown(self.frame.request, self._clock())

    def next_request(self, now: float) -> RenderRequest:
        """The request of this frame, with live control and crossfades."""
        return self._vectors.fitting(self._playback.faded(self._live.overlay(self._playback.follow()), now))

    def submit(self, request: RenderRequest) -> None:
        """Render `request` unless it was the last one too."""
        if request != self.submitted:
            self.submitted = request
            # The input behind it was there when this frame of the window began.
            self.latency.changed(request, self._began)
            self.thread.submit(request)

    def begin_frame(self) -> Frame | None:
        """Take the newest picture, if there is a new one."""
        now = self._began = self._clock()
        frame = self.thread.take_frame()
        if frame is not None:
            self.frame = frame
            self.frame_count += 1
            self.latency.arrived(frame.render_ms, now)
        self.latency.tick(now)
        return frame

    def tick_thumbnails(self) -> None:
        """Take finished thumbnails and ask for missing ones."""
        self.thumbnails.tick()
        self.comparison.tick()

    def forget_model(self) -> None:
        """Another model was loaded: drop the pictures of the last one."""
        self.thumbnails.forget()
        self.comparison.forget()
        self.latency.begin_again()
