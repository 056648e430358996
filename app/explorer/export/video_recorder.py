"""Records what the window shows to a video, off the UI thread.

The window offers each picture when it shows it, and never waits. The recorder's thread turns these times into a fixed
frame rate: video frame k is the picture that was on screen k / fps seconds after the start, so a slow engine gives
repeated frames and never a wrong speed. The file grows while recording; what a killed program leaves is playable up to
the last second or so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

log = logging.getLogger(__name__)

FPS = 60
# Small pictures are enlarged by a whole factor, up to about this many pixels: players blur what is smaller.
TARGET_SIZE = 512
# Memory for pictures that wait for a slow encoder; beyond it they are left out and their predecessors stay on screen.
BACKLOG_BYTES = 256 * 2**20
# A still picture is written this often, so that a killed program loses little.
HEARTBEAT_S = 0.5

Pixels = NDArray[np.uint8]


class Writer(Protocol):
    """What the recorder needs of a video file; `app.video.VideoWriter` is one."""

    def write(self, pixels: Pixels) -> None: ...

    def close(self) -> None: ...


OpenWriter = Callable[[Path, int, tuple[int, int], str], Writer]
"""(path, frames a second, (width, height), what the file says of itself) -> Writer."""


@dataclass(frozen=True)
class RecordingResult:
    """How a recording ended."""

    path: Path
    frames: int
    seconds: float
    skipped: int
    """Pictures left out because the encoder could not keep up."""
    error: str | None
    """One line; the file holds what was written before it."""


class VideoRecorder:
    """One recording, from construction to `stop`.

    `offer` and `stop` return at once; `result` is there when the file is closed.
    """

    def __init__(
        self,
        path: Path,
        open_writer: OpenWriter,
        *,
        fps: int = FPS,
        smooth: bool = False,
        comment: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self._open_writer = open_writer
        self._fps = fps
        self._smooth = smooth
        self._comment = comment
        self._clock = clock
        self._start = clock()
        self._stop: float | None = None
        self._wake = threading.Condition()
        self._queue: deque[tuple[float, Pixels]] = deque()
        self._queued_bytes = 0
        self._skipped = 0
        self._frames = 0
        self._result: RecordingResult | None = None
        # Not a daemon: leaving the program closes the file first.
        self._thread = threading.Thread(target=self._run, name="recorder")
        self._thread.start()

    @property
    def seconds(self) -> float:
        """Recorded so far."""
        return (self._clock() if self._stop is None else self._stop) - self._start

    @property
    def stopping(self) -> bool:
        return self._stop is not None

    @property
    def result(self) -> RecordingResult | None:
        with self._wake:
            return self._result

    def offer(self, pixels: Pixels) -> float:
        """This picture, [height, width, 3] uint8, is on screen from now on; returns when that is, in seconds of the
        recording.
        """
        now = self._clock()
        with self._wake:
            if self._stop is not None or self._result is not None:
                return now - self._start
            if self._queued_bytes + pixels.nbytes > BACKLOG_BYTES:
                self._skipped += 1
                return now - self._start
            self._queue.append((now, pixels))
            self._queued_bytes += pixels.nbytes
            self._wake.notify()
        return now - self._start

    def stop(self) -> None:
        """End the recording now; the thread writes what waits and closes the file."""
        with self._wake:
            if self._stop is None:
                self._stop = self._clock()
                self._wake.notify()

    def join(self, timeout: float | None = None) -> RecordingResult | None:
        """Wait for the file to be closed."""
        self._thread.join(timeout)
        return self.result

    def _run(self) -> None:
        error: str | None = None
        try:
            self._write_all()
        except Exception as caught:  # a full disk, a codec's error: told in the window
            log.exception("recording to %s failed", self.path)
            error = " ".join(str(caught).split()) or type(caught).__name__
        with self._wake:
            self._queue.clear()
            self._queued_bytes = 0
            self._result = RecordingResult(self.path, self._frames, self._frames / self._fps, self._skipped, error)

    def _write_all(self) -> None:
        writer: Writer | None = None
        size = (0, 0)
        shown: Pixels | None = None
        try:
            while True:
                with self._wake:
                    if not self._queue and self._stop is None:
                        self._wake.wait(HEARTBEAT_S)
                    entries = list(self._queue)
                    self._queue.clear()
                    self._queued_bytes = 0
                    # Offers that come later carry later times: everything before this moment is decided.
                    now = self._clock() if self._stop is None else self._stop
                    done = self._stop is not None
                for at, pixels in entries:
                    if writer is None:
                        size = video_size(pixels.shape[1], pixels.shape[0])
                        writer = self._open_writer(self.path, self._fps, size, self._comment)
                    if shown is not None:
                        self._hold(writer, shown, until=at)
                    shown = scaled(pixels, size, smooth=self._smooth)
                if writer is not None and shown is not None:
                    self._hold(writer, shown, until=now)
                if done:
                    if writer is not None and shown is not None and self._frames == 0:
                        writer.write(shown)
                        self._frames = 1
                    break
        finally:
            if writer is not None:
                writer.close()
        if writer is None:
            raise ValueError("nothing was recorded: no picture was shown before the recording stopped")

    def _hold(self, writer: Writer, shown: Pixels, until: float) -> None:
        """Write `shown` for every video frame that falls before `until`."""
        while self._start + self._frames / self._fps < until:
            writer.write(shown)
            self._frames += 1


def video_size(width: int, height: int) -> tuple[int, int]:
    """The size recorded: a whole multiple of the picture's, even as H.264 wants it."""
    factor = max(1, TARGET_SIZE // max(width, height))
    if (width * factor) % 2 or (height * factor) % 2:
        factor *= 2
    return width * factor, height * factor


def scaled(pixels: Pixels, size: tuple[int, int], *, smooth: bool) -> Pixels:
    """`pixels` at `size`; a picture of another shape (the checkpoint changed) is stretched to it."""
    height, width = pixels.shape[:2]
    if (width, height) == size:
        return pixels
    method = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(pixels).resize(size, method))
