"""The picture on screen and how it was made, as exported files tell it. No GUI here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.classes import class_title
from app.document.history import History
from app.document.scene import Scene
from app.errors import UserError
from app.explorer.export.file_names import file_stem
from app.explorer.playback.controller import PlaybackController
from app.explorer.rendering.controller import RenderController
from app.explorer.rendering.model_loader import ModelLoader
from core.prompts import plain
from core.request import Frame, RenderRequest


class ExportSource:
    """Read-only view of what is shown, for everything that writes it to a file."""

    def __init__(
        self,
        history: History,
        playback: PlaybackController,
        rendering: RenderController,
        models: ModelLoader,
        is_temporary: Callable[[RenderRequest], bool],
    ) -> None:
        """`is_temporary` says whether a request names latents that exist only during a drag."""
        self._history = history
        self._playback = playback
        self._rendering = rendering
        self._models = models
        self.is_temporary = is_temporary

    @property
    def scene(self) -> Scene:
        return self._history.scene

    @property
    def info(self) -> Any:
        """The loaded model's `ModelInfo`; None until there is one."""
        return self._models.info

    @property
    def time(self) -> float | None:
        """The playhead in seconds; None while the controls are shown."""
        return self._playback.shown_time

    @property
    def checkpoint(self) -> str:
        """How a scene names the loaded model's file. Only while a model is loaded."""
        assert self._models.path is not None
        return self._models.name_of(self._models.path)

    def frame(self, verb: str, afterwards: str) -> Frame:
        """The picture on screen, to `verb` it. Raises `UserError` where there is none that can be reproduced."""
        frame = self._rendering.frame
        if frame is None:
            raise UserError(f"There is no picture to {verb} yet.")
        if self.is_temporary(frame.request):
            raise UserError(f"The picture is being dragged. Stop that, or wait for its end, then {afterwards}.")
        return frame

    def stem(self, request: RenderRequest) -> str:
        """File name, without suffix, for a picture: its subject, as far as the model takes one, and its seed."""
        info = self.info
        subject = {
            "text": plain(request.prompt),
            "class": f"class {class_title(request.label, info.class_names)}",
            "none": info.name,
        }[self._models.conditioning]
        return file_stem(subject, request)
