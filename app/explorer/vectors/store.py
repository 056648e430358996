"""The saved directions and latents of the open model: reading, adding, renaming and deleting them. No GUI here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.explorer.messages import Messages
from app.explorer.vectors.registry import VectorRegistry, listed
from app.runs import run_id
from app.vectors import SavedVectors, keep_for_run, kept_path, read_for, run_path, saved_vectors
from core.vectors import Vector, VectorError, digest_of, free_name, load_vectors, merged, save_vectors


class VectorStore:
    """The vectors of one model after another. Belongs to the UI thread."""

    def __init__(self, folder: Path, registry: VectorRegistry, messages: Messages) -> None:
        """`folder` is that of the settings."""
        self._folder, self._messages = folder, messages
        self.registry = registry
        self.info: Any = None
        """The open model's `ModelInfo`; None until there is one."""
        self._path = Path()
        self._known = SavedVectors()
        self._earlier: set[str] = set()
        """Digests of what was made for an earlier snapshot of a run."""
        self._carrying: tuple[Vector, ...] = ()
        """What the model that is being loaded takes over."""
        self._carried: tuple[Vector, ...] = ()
        """What this model took over from the one whose file its own replaced."""

    # What there is

    @property
    def is_open(self) -> bool:
        """Whether a model is open."""
        return self.info is not None

    @property
    def checkpoint(self) -> Path:
        """The file that the model came from."""
        return self._path

    @property
    def path(self) -> Path:
        """The file that the person's own are kept in."""
        return kept_path(self.info.sha256, self._folder)

    @property
    def vectors(self) -> tuple[Vector, ...]:
        """The person's own first, then those of the run's earlier snapshots, then those that came with the model."""
        own = (*self._known.own, *self._known.earlier)
        digests = {vector.digest for vector in own}
        return (*own, *(vector for vector in self._known.given if vector.digest not in digests))

    @property
    def directions(self) -> tuple[Vector, ...]:
        return tuple(vector for vector in self.vectors if vector.kind == "direction")

    @property
    def latents(self) -> tuple[Vector, ...]:
        return tuple(vector for vector in self.vectors if vector.kind == "latent")

    def is_own(self, vector: Vector) -> bool:
        """Whether the person saved it, and may rename and delete it."""
        return any(vector.id == other.id for other in (*self._known.own, *self._known.earlier))

    def is_earlier(self, vector: Vector) -> bool:
        """Whether it was made for an earlier snapshot of the run whose snapshot is open."""
        return vector.digest in self._earlier

    def find(self, vector_id: str) -> Vector | None:
        """The vector that an id in a scene means: by its values, whatever it is called now."""
        digest = digest_of(vector_id)
        return next((vector for vector in self.vectors if vector.digest == digest), None)

    # The model

    def opening(self) -> None:
        """Another model is asked for."""
        self._carrying = ()
        self.registry.model_loading()

    def carry(self) -> tuple[Vector, ...]:
        """The open model's file is loaded again, written anew: the vectors to register before its first picture.

        Directions and latents are saved for one file; those of a training run's last snapshot are nearly right for the
        next, and a scene goes on using them.
        """
        self._carrying = self.vectors
        return self._carrying

    def opened(self, info: Any, path: Path, *, more: bool) -> None:
        """A model has come, from the file `path`; `more` when yet another one is asked for."""
        self.info, self._path = info, path
        self._carried, self._carrying = self._carrying, ()
        fitting = [vector for vector in self._carried if vector.fits(info.num_ws, info.w_dim)]
        self.registry.model_loaded(info.name, fitting, more=more)
        self.refresh()

    def refresh(self) -> None:
        """Read the files again and register their vectors with the engine."""
        known = saved_vectors(self._path, self.info.sha256, self._folder)
        self._known = replace(known, given=(*known.given, *self._not_in(known.given)))
        self._earlier = {v.digest for v in (*known.earlier, *self._carried)} - {v.digest for v in known.own}
        for problem in self._known.problems:
            self._messages.error(problem)
        self._keep_for_run(known)
        fitting = [vector for vector in self.vectors if vector.fits(self.info.num_ws, self.info.w_dim)]
        if len(fitting) < len(self.vectors):
            names = {vector.name for vector in self.vectors} - {vector.name for vector in fitting}
            self._messages.error(f"Left out, because {self.info.name} has other styles: {listed(names)}.")
            ids = {vector.id for vector in fitting}
            self._known = replace(
                self._known,
                own=tuple(vector for vector in self._known.own if vector.id in ids),
                earlier=tuple(vector for vector in self._known.earlier if vector.id in ids),
                given=tuple(vector for vector in self._known.given if vector.id in ids),
            )
        self.registry.register(fitting)

    def found(self, out: Path) -> None:
        """A search has added to the file `out`: this model's, or that of the snapshot that was open when it began."""
        if out != self.path:
            try:
                keep_for_run(self._path, load_vectors(out).vectors, self._folder)
            except VectorError as error:
                self._messages.error(str(error))
        self.refresh()

    def _keep_for_run(self, known: SavedVectors) -> None:
        """What was saved for this snapshot, also by the command line, is there for the next one."""
        try:
            keep_for_run(self._path, known.own, self._folder)
        except VectorError as error:
            if str(error) not in known.problems:
                self._messages.error(f"The run's next snapshot will lack what is saved for this one: {error}")

    def _not_in(self, given: tuple[Vector, ...]) -> list[Vector]:
        """What was taken over and has not come with the model besides."""
        there = {vector.digest for vector in given}
        return [vector for vector in self._carried if vector.digest not in there]

    # Changes

    def add(self, vectors: Sequence[Vector]) -> bool:
        """Save these beside the others; False when that did not work."""
        return self._change(lambda own: merged(own, vectors))

    def rename(self, vector: Vector, name: str) -> bool:
        """Call one of the person's own by another name; scenes that use it find it all the same."""

        def change(own: tuple[Vector, ...]) -> tuple[Vector, ...]:
            free = free_name(name.strip(), {other.name for other in own if other.digest != vector.digest})
            return tuple(replace(other, name=free) if other.digest == vector.digest else other for other in own)

        return self._change(change)

    def delete(self, vector: Vector) -> bool:
        """Remove one of the person's own from the file. Until another model is opened, undo can still show it."""
        carried = self._carried
        self._carried = tuple(other for other in carried if other.digest != vector.digest)
        done = self._change(lambda own: tuple(other for other in own if other.digest != vector.digest))
        if not done:
            self._carried = carried
        return done

    def _change(self, change: Callable[[tuple[Vector, ...]], tuple[Vector, ...]]) -> bool:
        """Change the file of this model and, if it is a run's snapshot, that of the run too."""
        places = [(self.path, self.info.sha256)]
        run = run_id(self._path)
        if run is not None:
            places.append((run_path(run, self._folder), run))
        try:
            # As they are now: the command line, or another window, may have added to them.
            before = [read_for(path, owner) if path.is_file() else () for path, owner in places]
            for (path, owner), vectors in zip(places, before, strict=True):
                changed = change(vectors)
                if changed != vectors:
                    save_vectors(path, changed, owner)
        except VectorError as error:
            self._messages.error(f"Nothing was changed: {error}")
            return False
        self.refresh()
        return True
