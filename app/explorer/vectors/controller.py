"""Directions and saved latents of the open model: saving one, searching for more. No GUI here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.explorer.export.source import ExportSource
from app.explorer.messages import Messages
from app.explorer.rendering.controller import RenderController
from app.explorer.vectors.direction_search import DirectionSearch, SearchOptions
from app.explorer.vectors.files import VectorFiles
from app.explorer.vectors.latent_saver import LatentSaver
from app.explorer.vectors.registry import Call
from app.explorer.vectors.store import VectorStore


class VectorController:
    """Belongs to the UI thread; `tick` it once a frame, `close` it."""

    def __init__(
        self,
        store: VectorStore,
        rendering: RenderController,
        source: ExportSource,
        call: Call,
        messages: Messages,
        command: tuple[str, ...],
    ) -> None:
        """`command` is that of the search for directions."""
        self._rendering = rendering
        self._source = source
        self._messages = messages
        self.store = store
        self.files = VectorFiles(store, messages)
        self.search = DirectionSearch(command)
        self._latents = LatentSaver(store, call, messages)

    def save_latent(self, name: str = "") -> None:
        """Save the styles of the picture under a name; without one, under its subject and seed."""
        if self._rendering.frame is None or not self.store.is_open:
            self._messages.error("There is no picture to keep the latent of yet.")
            return
        request = self._rendering.wanted
        self._latents.save(request, name.strip() or self._source.stem(request))

    def find(self, options: SearchOptions) -> None:
        """Search for directions of the open model in the background."""
        if self.store.is_open and not self.search.running:
            self.search.start(self.store.checkpoint, self.store.path, options)

    @property
    def pending_latents(self) -> int:
        """How many latents are being saved."""
        return self._latents.pending

    @property
    def busy(self) -> bool:
        """Whether an answer of the engine or of the search is awaited."""
        return self.store.registry.busy or self._latents.pending > 0 or self.search.running

    def tick(self) -> None:
        """Take the answers of the engine and of the search."""
        self.store.registry.tick()
        self._latents.tick()
        result = self.search.take_result()
        if result is None:
            return
        if result.problem is not None:
            self._messages.error(f"No directions were found: {result.problem}")
            return
        before = len(self.store.directions)
        if result.checkpoint == self.store.checkpoint:
            self.store.found(result.out)
            self._messages.info(f"Found directions: there are {len(self.store.directions)} now, {before} before")

    def model_loaded(self, info: Any, path: Path, *, more: bool) -> None:
        """A model has come, from the file `path`; `more` when yet another one is asked for."""
        self._latents.forget()
        self.store.opened(info, path, more=more)

    def close(self) -> None:
        self.search.close()
