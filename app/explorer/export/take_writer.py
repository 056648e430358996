"""Writes a take beside every recording: each request with its time, to render it again. No GUI and no torch here."""

from __future__ import annotations

from pathlib import Path

from app.errors import UserError
from app.explorer.export.source import ExportSource
from app.explorer.messages import Messages
from app.takes import SUFFIX, TakeCheckpoint, TakeHeader, TakeRecorder
from core.request import RenderRequest


class TakeWriter:
    """The take of one recording after another. Belongs to the UI thread."""

    def __init__(self, source: ExportSource, messages: Messages) -> None:
        self._source = source
        self._messages = messages
        self._take: TakeRecorder | None = None
        self._stopped = False
        self._seconds = 0.0

    def begin(self, video: Path, seconds: float, request: RenderRequest) -> None:
        """A recording has begun with the picture of `request`."""
        info, scene = self._source.info, self._source.scene
        checkpoint = TakeCheckpoint(
            name=info.name, family=info.family, sha256=info.sha256, path=self._source.checkpoint
        )
        header = TakeHeader(checkpoint=checkpoint, arithmetic=info.arithmetic, smooth=scene.smooth)
        try:
            self._take = TakeRecorder(video.with_name(video.stem + SUFFIX), header, scene.to_json())
        except UserError as error:
            self._messages.error(str(error))
            return
        self._stopped = False
        self.shown(seconds, request)

    def shown(self, seconds: float, request: RenderRequest) -> None:
        """The picture of `request` came on screen at `seconds` of the recording."""
        if self._take is not None and not self._stopped:
            self._seconds = seconds
            self._take.offer(seconds, request)

    def stop(self, seconds: float) -> None:
        """The recording ends at `seconds`; the file may still be written."""
        if self._take is not None and not self._stopped:
            self._stopped = True
            self._take.stop(seconds)

    def model_changed(self) -> None:
        """Another model was loaded: end the take, which is of one model."""
        if self._take is not None and not self._stopped:
            self.stop(self._seconds)
            self._messages.info("The take ends here, where another model was loaded; the video goes on.")

    def end(self, seconds: float) -> None:
        """The recording is written: close the take."""
        if self._take is None:
            return
        self.stop(seconds)
        self._take.close()
        if self._take.problem is not None:
            self._messages.error(self._take.problem)
        self._take = None
