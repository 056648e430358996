"""Begins and ends recordings of the window: the video, and the take beside it. No GUI here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.explorer.export.take_writer import TakeWriter
from app.explorer.export.video_recorder import VideoRecorder
from app.explorer.services import Services
from app.provenance import document, document_text
from core.request import Frame, RenderRequest

if TYPE_CHECKING:
    from app.explorer.session import Session


class RecordingController:
    """Belongs to a session; `tick` it once a frame."""

    def __init__(self, session: Session, services: Services) -> None:
        self._session = session
        self._services = services
        self.recorder: VideoRecorder | None = None
        """The recording that is under way, or being written."""
        self.take_writer = TakeWriter(session)

    def toggle(self) -> None:
        """Begin a recording, or end the one that is under way."""
        session = self._session
        if self.recorder is not None:
            self.stop()
            return
        if session.frame is None:
            session.tell_error("There is no picture to record yet.")
            return
        if session.drag.is_passing(session.frame.request):
            session.tell_error("The picture is being dragged. Stop that, or wait for its end, then record.")
            return
        path = session.file_writer.fresh_path(session.file_writer.stem(session.frame.request), ".mp4")
        if path is None:
            return
        self.recorder = VideoRecorder(
            path,
            self._services.open_writer,
            smooth=session.history.scene.smooth,
            comment=self._provenance(session.frame.request),
            clock=self._services.clock,
        )
        self.take_writer.begin(path, self.recorder.offer(session.frame.pixels), session.frame.request)

    def _provenance(self, request: RenderRequest) -> str:
        """What a video says of itself that begins with this picture."""
        session = self._session
        scene = session.history.scene.to_json()
        return document_text(document(request, session.info, scene=scene, time=session.play_time))

    def shown(self, frame: Frame) -> None:
        """This picture is on screen from now on."""
        # What is on its way while points are dragged has no name that a take could render again.
        if self.recorder is not None and not self._session.drag.is_passing(frame.request):
            self.take_writer.shown(self.recorder.offer(frame.pixels), frame.request)

    def stop(self) -> None:
        """Nothing more is recorded; the files may still be written."""
        if self.recorder is not None:
            self.recorder.stop()
            self.take_writer.stop(self.recorder.seconds)

    def tick(self) -> None:
        """Say what was recorded, once it is written."""
        recorder = self.recorder
        result = None if recorder is None else recorder.result
        if recorder is None or result is None:
            return
        self.recorder = None
        self.take_writer.end(recorder.seconds)
        if result.error is not None:
            self._session.tell_error(f"Recording stopped: {result.error}")
            return
        left_out = f" ({result.skipped} pictures left out: the encoder fell behind)" if result.skipped else ""
        self._session.tell(f"Recorded {result.seconds:.1f} s to {result.path}{left_out}", result.path)

    def close(self) -> None:
        """Wait for what is being written."""
        if self.recorder is not None:
            self.recorder.join()
            self.tick()
