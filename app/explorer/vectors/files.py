"""Imports and exports files of directions and latents. No GUI here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from app.explorer.messages import Messages
from app.explorer.vectors.store import VectorStore
from core.vectors import Vector, VectorError, load_vectors, save_vectors


class VectorFiles:
    """Files that are shared with others. Belongs to the UI thread."""

    def __init__(self, store: VectorStore, messages: Messages) -> None:
        self._store, self._messages = store, messages
        self.to_export: tuple[Vector, ...] = ()
        """What the export dialog is about; empty means all."""

    def import_from(self, path: Path) -> None:
        """Add a file's directions and latents to those of the open model, as far as they fit."""
        if not self._store.is_open:
            self._messages.error("Open the model first that the directions are for.")
            return
        try:
            found = load_vectors(path)
        except VectorError as error:
            self._messages.error(str(error))
            return
        info = self._store.info
        vectors = [vector for vector in found.vectors if vector.fits(info.num_ws, info.w_dim)]
        if not vectors:
            self._messages.error(
                f"{path.name}: nothing in it fits {info.name}, which has {info.num_ws} styles of {info.w_dim} numbers."
            )
            return
        if self._store.add(vectors):
            other = "" if found.checkpoint == self._store.info.sha256 else ", made for another model"
            left = len(found.vectors) - len(vectors)
            without = f"; {left} did not fit" if left else ""
            self._messages.info(f"Imported {_counted(vectors)} from {path.name}{other}{without}")

    def export_to(self, path: Path) -> None:
        """Write `to_export`, or all, to a file."""
        vectors = self.to_export or self._store.vectors
        self.to_export = ()
        try:
            save_vectors(path, vectors, self._store.info.sha256)
        except VectorError as error:
            self._messages.error(str(error))
            return
        self._messages.info(f"Exported {_counted(vectors)} to {path}", path)


def _counted(vectors: Sequence[Vector]) -> str:
    """Counts for a message: "2 directions and 1 latent"."""
    parts = []
    for kind in ("direction", "latent"):
        count = sum(vector.kind == kind for vector in vectors)
        if count:
            parts.append(f"{count} {kind}{'s' if count > 1 else ''}")
    return " and ".join(parts) or "nothing"
