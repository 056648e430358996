"""Writes a take beside every recording: what was asked for, and when, to render it again. No GUI and no torch here."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import UserError
from app.takes import SUFFIX, TakeCheckpoint, TakeHeader, TakeRecorder
from core.request import RenderRequest

if TYPE_CHECKING:
    from app.explorer.session import Session

log = logging.getLogger(__name__)


class TakeWriter:
    """Belongs to a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._take: TakeRecorder | None = None
        self._stopped = False
        self._seconds = 0.0

    def begin(self, video: Path, seconds: float, request: RenderRequest) -> None:
        """A recording has begun; its first picture is on screen."""
        session = self._session
        info, scene = session.info, session.history.scene
        assert session.models.path is not None  # there is a picture
        checkpoint = TakeCheckpoint(
            name=info.name, family=info.family, sha256=info.sha256, path=session.models.name_of(session.models.path)
        )
        header = TakeHeader(checkpoint=checkpoint, arithmetic=info.arithmetic, smooth=scene.smooth)
        try:
            self._take = TakeRecorder(video.with_name(video.stem + SUFFIX), header, scene.to_json())
        except UserError as error:
            session.tell_error(str(error))
            return
        self._stopped = False
        self.shown(seconds, request)

    def shown(self, seconds: float, request: RenderRequest) -> None:
        """This request's picture came on screen."""
        if self._take is not None and not self._stopped:
            self._seconds = seconds
            self._take.offer(seconds, request)

    def stop(self, seconds: float) -> None:
        """The recording ends here; the file may still be written."""
        if self._take is not None and not self._stopped:
            self._stopped = True
            self._take.stop(seconds)

    def other_model(self) -> None:
        """Another model was loaded: a take is of one."""
        if self._take is not None and not self._stopped:
            self.stop(self._seconds)
            self._session.tell("The take ends here, where another model was loaded; the video goes on.")

    def end(self, seconds: float) -> None:
        """The recording is written: so is the take."""
        if self._take is None:
            return
        self.stop(seconds)
        self._take.close()
        if self._take.problem is not None:
            self._session.tell_error(self._take.problem)
        self._take = None
