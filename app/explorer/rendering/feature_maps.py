"""Asks the engine for the feature maps of a layer and makes them into pictures, off the UI thread. No GUI here."""

from __future__ import annotations

from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from app.explorer.rendering.feature_colours import LayerPicture, Maps, look
from app.explorer.rendering.model_loader import ModelLoader
from app.explorer.rendering.render_thread import RenderThread
from app.explorer.ui_state import UiState
from core.request import RenderRequest


@dataclass(frozen=True, kw_only=True)
class FeatureMapQuery:
    """Which feature maps to show."""

    request: RenderRequest
    layer: str
    channel: int | None = None
    """One channel, or None for a sheet of the strongest."""
    count: int = 25
    """How many channels a sheet has."""


class FeatureMapViewer:
    """Newest query wins; the last picture stays until the next is ready. Belongs to the UI thread."""

    def __init__(self, thread: RenderThread, models: ModelLoader, ui: UiState) -> None:
        self._thread = thread
        self._models = models
        self._ui = ui
        self._model: Any = None
        self._maps: tuple[RenderRequest, str, Maps] | None = None
        self._fetching: tuple[RenderRequest, str, Future[Maps]] | None = None
        self._looking: tuple[FeatureMapQuery, Future[LayerPicture]] | None = None
        self._types: Future[dict[str, str]] | None = None
        self._failed: tuple[RenderRequest, str] | None = None
        self._worker: ThreadPoolExecutor | None = None
        self.shown: tuple[FeatureMapQuery, LayerPicture] | None = None
        """The last answer, and to what."""
        self.problem: str | None = None
        """Why there is none to the last question."""

    @property
    def types(self) -> dict[str, str]:
        """Data type of each layer's output; empty until known."""
        done = self._types is not None and self._types.done() and not self._types.cancelled()
        return self._types.result() if done and self._types is not None and self._types.exception() is None else {}

    def ask(self, question: FeatureMapQuery) -> None:
        """Once a frame, while somebody looks."""
        if self._models.info is not self._model:
            self._model = self._models.info
            self._maps = self._fetching = self._looking = self._types = self._failed = self.shown = None
            self.problem = None
        self._collect()
        source = (question.request, question.layer)
        if (self.shown is not None and self.shown[0] == question) or source == self._failed:
            return
        self._ui.keep_awake()
        if self._types is None:
            self._types = self._thread.call(lambda engine: engine.layer_types())
        if self._maps is not None and self._maps[:2] == source:
            if self._looking is None:
                if self._worker is None:
                    self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="layers")
                maps = self._maps[2]
                channel = question.channel if question.channel is None or question.channel < len(maps) else None
                self._looking = (question, self._worker.submit(look, maps, channel=channel, count=question.count))
        elif self._fetching is None:
            request, layer = source
            answer = self._thread.call(lambda engine: engine.features(request, layer))
            self._fetching = (request, layer, answer)

    def _collect(self) -> None:
        if self._fetching is not None and self._fetching[2].done():
            request, layer, maps = self._fetching
            self._fetching = None
            try:
                self._maps = (request, layer, maps.result())
                self.problem = None
            except (ValueError, OSError, RuntimeError, CancelledError) as error:
                self._failed = (request, layer)
                self.problem = str(error)
        if self._looking is not None and self._looking[1].done():
            question, picture = self._looking
            self._looking = None
            self.shown = (question, picture.result())
