"""What the person works on directions and latents with: those of the open model, saving one, finding more. No GUI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.explorer.services import Services
from app.explorer.vectors.direction_search import DirectionSearch, SearchOptions
from app.explorer.vectors.store import VectorStore

if TYPE_CHECKING:
    from pathlib import Path

    from app.explorer.session import Session


class VectorController:
    """Belongs to a session; `tick` it once a frame, `close` it. `folder` is that of the settings."""

    def __init__(self, session: Session, folder: Path, services: Services) -> None:
        self._session = session
        self.store = VectorStore(folder, session.render.call, session)
        self.search = DirectionSearch(services.find_directions)

    def save_latent(self, name: str = "") -> None:
        """Keep where the picture is under a name; without one, under its subject and seed."""
        session = self._session
        if session.frame is None or not self.store.is_open:
            session.tell_error("There is no picture to keep the latent of yet.")
            return
        request = session.wanted
        self.store.save_latent(request, name.strip() or session.file_writer.stem(request))

    def find(self, search: SearchOptions) -> None:
        """Look for directions of the open model in the background."""
        if self.store.is_open and not self.search.running:
            self.search.start(self.store.checkpoint, self.store.path, search)

    def tick(self) -> None:
        """Take the answers of the engine and of the search."""
        self.store.tick()
        result = self.search.take_result()
        if result is None:
            return
        if result.problem is not None:
            self._session.tell_error(f"No directions were found: {result.problem}")
            return
        before = len(self.store.directions)
        if result.checkpoint == self.store.checkpoint:
            self.store.found(result.out)
            self._session.tell(f"Found directions: there are {len(self.store.directions)} now, {before} before")

    def close(self) -> None:
        self.search.close()
