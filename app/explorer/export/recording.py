"""Starts and stops recordings of the window: the video, and the take beside it. No GUI here."""

from __future__ import annotations

from collections.abc import Callable

from app.errors import UserError
from app.explorer.export.file_writer import FileWriter
from app.explorer.export.source import ExportSource
from app.explorer.export.take_writer import TakeWriter
from app.explorer.export.video_recorder import OpenWriter, VideoRecorder
from app.explorer.messages import Messages
from app.provenance import document, document_text
from app.takes import SUFFIX
from core.request import Frame, RenderRequest


class RecordingController:
    """One recording at a time. Belongs to the UI thread; `tick` it once a frame."""

    def __init__(
        self,
        source: ExportSource,
        files: FileWriter,
        messages: Messages,
        open_writer: OpenWriter,
        clock: Callable[[], float],
    ) -> None:
        self._source = source
        self._files = files
        self._messages = messages
        self._open_writer = open_writer
        self._clock = clock
        self.recorder: VideoRecorder | None = None
        """The recording that is under way, or being written."""
        self.take_writer = TakeWriter(source, messages)

    def toggle(self) -> None:
        """Begin a recording, or end the one that is under way."""
        if self.recorder is not None:
            self.stop()
            return
        source = self._source
        try:
            frame = source.frame("record", "record")
        except UserError as error:
            self._messages.error(str(error))
            return
        path = self._files.fresh_path(source.stem(frame.request), ".mp4", beside=SUFFIX)
        if path is None:
            return
        self.recorder = VideoRecorder(
            path,
            self._open_writer,
            smooth=source.scene.smooth,
            comment=self._provenance(frame.request),
            clock=self._clock,
        )
        self.take_writer.begin(path, self.recorder.offer(frame.pixels), frame.request)

    def _provenance(self, request: RenderRequest) -> str:
        """The comment of a video that begins with this picture."""
        source = self._source
        return document_text(document(request, source.info, scene=source.scene.to_json(), time=source.time))

    def shown(self, frame: Frame) -> None:
        """`frame` is on screen from now on. A picture of a drag is left out: no take could render it again."""
        if self.recorder is not None and not self._source.is_temporary(frame.request):
            self.take_writer.shown(self.recorder.offer(frame.pixels), frame.request)

    def stop(self) -> None:
        """Record nothing more; the files may still be written."""
        if self.recorder is not None:
            self.recorder.stop()
            self.take_writer.stop(self.recorder.seconds)

    def tick(self) -> None:
        """Report what was recorded, once it is written."""
        recorder = self.recorder
        result = None if recorder is None else recorder.result
        if recorder is None or result is None:
            return
        self.recorder = None
        self.take_writer.end(recorder.seconds)
        if result.error is not None:
            self._messages.error(f"Recording stopped: {result.error}")
            return
        left_out = f" ({result.skipped} pictures left out: the encoder fell behind)" if result.skipped else ""
        self._messages.info(f"Recorded {result.seconds:.1f} s to {result.path}{left_out}", result.path)

    def close(self) -> None:
        """Wait for what is being written."""
        if self.recorder is not None:
            self.recorder.join()
            self.tick()
