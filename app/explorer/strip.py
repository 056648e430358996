"""A sweep as a strip: the picture glides from prompt to prompt and back to the first, as the scene's timeline or as a
video. No GUI and no torch here.

The video is made on a worker's thread. Its pictures come from the render thread one at a time between those of the live
picture, so the window goes on as before.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as NotYetError
from dataclasses import replace
from pathlib import Path

from app.explorer.neighbours import Calls
from app.explorer.recorder import OpenWriter
from app.explorer.scene import Scene
from app.explorer.scene_parts import SceneKeyframe
from core.request import Frame, RenderRequest
from core.timeline import EasingName, Timeline, timeline_through

FPS = 30
EASING: EasingName = "smoother"
SECONDS_A_PROMPT = 1.5
SIDE = 512
"""Small pictures are enlarged by a whole number to about so many pixels."""
LOOK_S = 0.1


def strip_of(requests: Sequence[RenderRequest]) -> Timeline:
    """Through all pictures at an even pace, and from the last to the first again."""
    return timeline_through(requests, seconds=SECONDS_A_PROMPT * len(requests), loop=True, easing=EASING)


def with_strip(scene: Scene, requests: Sequence[RenderRequest]) -> Scene:
    """The scene with the strip as its timeline, in the place of the keyframes it had."""
    strip = strip_of(requests)
    # A scene that loops closes by itself: the first picture at the end would be there twice.
    stops = strip.keyframes[: len(requests)]
    keyframes = tuple(SceneKeyframe(time=stop.time, request=stop.request, easing=stop.easing) for stop in stops)
    return replace(scene, keyframes=keyframes, duration=strip.duration, loop=True)


class StripExport:
    """One video; `write` it on a thread of its own, `cancel` it from any. What a cancelled one wrote can be played."""

    def __init__(
        self, calls: Calls, open_writer: OpenWriter, requests: Sequence[RenderRequest], comment: str = ""
    ) -> None:
        self._calls = calls
        self._open_writer = open_writer
        self._comment = comment
        self._timeline = strip_of(requests)
        self.total = round(self._timeline.duration * FPS)
        self.done = 0
        self._cancelled = threading.Event()
        self.ended = threading.Event()

    def cancel(self) -> None:
        self._cancelled.set()

    def write(self, path: Path) -> None:
        """Render and write every frame. Raises what the engine or the writer does."""
        writer = None
        try:
            for request in self._timeline.requests(self.total):
                frame = self._render(request)
                if frame is None:
                    break
                if writer is None:
                    scale = max(1, SIDE // max(frame.width, frame.height))
                    writer = self._open_writer(path, FPS, (frame.width * scale, frame.height * scale), self._comment)
                writer.write(frame.pixels)
                self.done += 1
        finally:
            if writer is not None:
                writer.close()
            self.ended.set()

    def _render(self, request: RenderRequest) -> Frame | None:
        """None when it was cancelled meanwhile."""
        if self._cancelled.is_set():
            return None
        call: Future[Frame] = self._calls.call(lambda engine: engine.render(request))
        while True:
            try:
                return call.result(timeout=LOOK_S)
            except NotYetError:
                if self._cancelled.is_set():
                    return None
            except CancelledError:
                return None
