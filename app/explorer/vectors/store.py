"""The directions and latents of the model that is open: what is saved, what the engine knows, what a scene may name.

A scene names them by id. What is not saved is left out of the picture, with one message, instead of leaving no picture.
No GUI here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.explorer.messages import Messages
from app.runs import run_id
from app.vectors import SavedVectors, keep_for_run, kept_path, read_for, run_path, saved_vectors
from core.request import RenderRequest
from core.vectors import Vector, VectorError, digest_of, free_name, load_vectors, merged, name_of, save_vectors

log = logging.getLogger(__name__)

Call = Callable[[Callable[[Any], Any]], "Future[Any]"]
"""Runs a function of the engine between frames."""


class VectorStore:
    """The vectors of one model after another. Belongs to the UI thread; `tick` it once a frame."""

    def __init__(self, folder: Path, call: Call, messages: Messages) -> None:
        """`folder` is that of the settings."""
        self._folder, self._call, self._messages = folder, call, messages
        self._info: Any = None
        self._path = Path()
        self._known = SavedVectors()
        self._earlier: set[str] = set()
        """Digests of what was made for an earlier snapshot of a run."""
        self._ids: dict[str, str] = {}
        """Digest to the id by which the engine knows it."""
        self._opening = False
        self._reported: set[str] = set()
        self._sent: list[tuple[dict[str, str], Future[None]]] = []
        self._saving: list[tuple[str, Future[Any]]] = []
        self._carrying: tuple[Vector, ...] = ()
        """What the model that is being loaded takes over."""
        self._carried: tuple[Vector, ...] = ()
        """What this model took over from the one whose file its own replaced."""
        self.to_export: tuple[Vector, ...] = ()
        """What the export dialog is about; empty means all."""

    # What there is

    @property
    def is_open(self) -> bool:
        """Whether a model is open."""
        return self._info is not None

    @property
    def checkpoint(self) -> Path:
        """The file that the model came from."""
        return self._path

    @property
    def path(self) -> Path:
        """The file that the person's own are kept in."""
        return kept_path(self._info.sha256, self._folder)

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

    def draws(self, vector: Vector) -> bool:
        """Whether the engine knows it by now, so that a picture with it can be drawn."""
        return vector.digest in self._ids

    @property
    def busy(self) -> bool:
        """Whether an answer of the engine is awaited."""
        return bool(self._sent or self._saving)

    # The model

    def opening(self) -> None:
        """Another model is asked for: what comes next is not drawn with what this one knows."""
        self._opening = True
        self._carrying = ()

    def carry(self) -> tuple[Vector, ...]:
        """The open model's file is loaded again, written anew: what to let the engine know before it draws.

        Directions and latents are saved for one file; those of a training run's last snapshot are nearly right for the
        next, and a scene goes on using them.
        """
        self._carrying = self.vectors
        return self._carrying

    def opened(self, info: Any, path: Path, *, more: bool) -> None:
        """A model has come, from the file `path`; `more` when yet another one is asked for."""
        self._info, self._path, self._opening = info, path, more
        self._carried, self._carrying = self._carrying, ()
        fitting = [vector for vector in self._carried if vector.fits(info.num_ws, info.w_dim)]
        self._ids = {vector.digest: vector.id for vector in fitting}
        self._sent, self._reported = [], set()
        self._saving = []
        self.refresh()

    def stayed(self, *, more: bool) -> None:
        """The model that was asked for did not load."""
        self._opening = more

    def refresh(self) -> None:
        """Read the files again, and let the engine know."""
        known = saved_vectors(self._path, self._info.sha256, self._folder)
        self._known = replace(known, given=(*known.given, *self._not_in(known.given)))
        self._earlier = {v.digest for v in (*known.earlier, *self._carried)} - {v.digest for v in known.own}
        for problem in self._known.problems:
            self._messages.error(problem)
        self._keep_for_run(known)
        fitting = [vector for vector in self.vectors if vector.fits(self._info.num_ws, self._info.w_dim)]
        if len(fitting) < len(self.vectors):
            names = {vector.name for vector in self.vectors} - {vector.name for vector in fitting}
            self._messages.error(f"Left out, because {self._info.name} has other styles: {_listed(names)}.")
            ids = {vector.id for vector in fitting}
            self._known = replace(
                self._known,
                own=tuple(vector for vector in self._known.own if vector.id in ids),
                earlier=tuple(vector for vector in self._known.earlier if vector.id in ids),
                given=tuple(vector for vector in self._known.given if vector.id in ids),
            )
        self._let_know(fitting)

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

    def _let_know(self, vectors: Iterable[Vector]) -> None:
        new: Mapping[str, Any] = {v.id: v.values for v in vectors if v.digest not in self._ids}
        if new:
            ids = {digest_of(name): name for name in new}
            self._sent.append((ids, self._call(lambda engine: engine.register(new))))

    def tick(self) -> None:
        """Take the engine's answers."""
        waiting = []
        for ids, future in self._sent:
            if not future.done():
                waiting.append((ids, future))
            elif future.cancelled() or future.exception() is not None:
                log.warning("the engine did not take %s", ", ".join(ids.values()))
            else:
                self._ids |= ids
        self._sent = waiting
        still = []
        for name, latent in self._saving:
            if not latent.done():
                still.append((name, latent))
            elif latent.cancelled():
                continue
            elif (error := latent.exception()) is not None:
                self._messages.error(f"The latent was not saved: {error}")
            else:
                self._add_latent(name, *latent.result())
        self._saving = still

    # Scenes

    def fitting(self, request: RenderRequest) -> RenderRequest:
        """`request` without what is not there; says once what that is. Ids come back as the engine knows them."""
        missing: dict[str, None] = {}
        result = self._fitted(request, {} if self._opening else self._ids, missing)
        if missing and self.is_open and not self._opening and not self._sent:
            new = [name for name in missing if name not in self._reported]
            if new:
                self._reported.update(new)
                names = _listed({name_of(name) for name in new})
                it = "it" if len(new) == 1 else "them"
                self._messages.error(
                    f"{self._info.name} has no saved {names}: the picture is drawn without {it}. "
                    f"Find or import {it} again, or remove {it} from the scene."
                )
        return result

    def fitting_call(self, request: RenderRequest) -> RenderRequest:
        """The same for a picture that is drawn by a call of the engine, which comes after what was sent before; in
        silence.
        """
        ids = dict(self._ids)
        for sent, _ in self._sent:
            ids |= sent
        return self._fitted(request, ids, {})

    def _fitted(self, request: RenderRequest, ids: Mapping[str, str], missing: dict[str, None]) -> RenderRequest:
        names_latent = any(mix.latent for mix in request.mixes)
        if not request.pushes and not names_latent and request.origin is None:
            return request
        changes: dict[str, Any] = {}
        if request.pushes:
            pushes = []
            for push in request.pushes:
                if (known := _id(push.direction, ids, missing)) is not None:
                    pushes.append(push if known == push.direction else replace(push, direction=known))
            changes["pushes"] = tuple(pushes)
        if names_latent:
            mixes = []
            for mix in request.mixes:
                known = _id(mix.latent, ids, missing) if mix.latent else ""
                if known is not None:
                    mixes.append(mix if known == mix.latent else replace(mix, latent=known))
            changes["mixes"] = tuple(mixes)
        if request.origin is not None:
            changes["origin"] = self._fitted(request.origin, ids, missing)
        return replace(request, **changes)

    # Changes

    def save_latent(self, request: RenderRequest, name: str) -> None:
        """Keep the styles of a request under a name."""
        info = self._info
        self._saving.append((name, self._call(lambda engine: (engine.latent(request), info, request))))

    def _add_latent(self, name: str, values: Any, info: Any, request: RenderRequest) -> None:
        if info is not self._info:
            return
        if values.shape == (info.num_ws, info.w_dim) and (values == values[:1]).all():
            values = values[0]
        subject = {"text": repr(request.prompt), "class": f"class {request.label}", "none": "a picture"}
        note = f"the styles of {subject[info.conditioning]} at seed {request.seed_x:g}, {request.seed_y:g}"
        try:
            vector = Vector(name=name, kind="latent", values=values, note=note[:500])
        except VectorError as error:
            self._messages.error(f"The latent was not saved: {error}")
            return
        known = self.find(vector.id)
        if known is not None:
            self._messages.info(f"This latent is saved already, as {known.name}")
        elif self.add([vector]) and (saved := self.find(vector.id)) is not None:
            self._messages.info(f"Saved the latent {saved.name}")

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
        """Take one of the person's own off the file. Until another model is opened, undo can still show it."""
        carried = self._carried
        self._carried = tuple(other for other in carried if other.digest != vector.digest)
        done = self._change(lambda own: tuple(other for other in own if other.digest != vector.digest))
        if not done:
            self._carried = carried
        return done

    def _change(self, change: Callable[[tuple[Vector, ...]], tuple[Vector, ...]]) -> bool:
        """Change the file of this model and, if it is a run's snapshot, that of the run too."""
        places = [(self.path, self._info.sha256)]
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

    # Files

    def import_file(self, path: Path) -> None:
        """Save a file's directions and latents with this model's, as far as they fit."""
        if not self.is_open:
            self._messages.error("Open the model first that the directions are for.")
            return
        try:
            found = load_vectors(path)
        except VectorError as error:
            self._messages.error(str(error))
            return
        vectors = [vector for vector in found.vectors if vector.fits(self._info.num_ws, self._info.w_dim)]
        if not vectors:
            self._messages.error(
                f"{path.name}: nothing in it fits {self._info.name}, which has {self._info.num_ws} styles of "
                f"{self._info.w_dim} numbers."
            )
            return
        if self.add(vectors):
            other = "" if found.checkpoint == self._info.sha256 else ", made for another model"
            left = len(found.vectors) - len(vectors)
            without = f"; {left} did not fit" if left else ""
            self._messages.info(f"Imported {_counted(vectors)} from {path.name}{other}{without}")

    def export_file(self, path: Path) -> None:
        """Write what was chosen, or all, to a file for somebody else."""
        vectors = self.to_export or self.vectors
        self.to_export = ()
        try:
            save_vectors(path, vectors, self._info.sha256)
        except VectorError as error:
            self._messages.error(str(error))
            return
        self._messages.info(f"Exported {_counted(vectors)} to {path}", path)


def _id(vector_id: str, ids: Mapping[str, str], missing: dict[str, None]) -> str | None:
    """What the engine calls a vector, by digest in `ids`; None, and noted in `missing`, if nothing."""
    known = ids.get(digest_of(vector_id))
    if known is None:
        missing[vector_id] = None
    return known


def _listed(names: Iterable[str]) -> str:
    """'a', 'b' and 3 more."""
    quoted = [f"'{name}'" for name in sorted(names)]
    if len(quoted) > 4:
        return f"{', '.join(quoted[:3])} and {len(quoted) - 3} more"
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else quoted[0]


def _counted(vectors: Sequence[Vector]) -> str:
    """ "2 directions and 1 latent"."""
    parts = []
    for kind in ("direction", "latent"):
        count = sum(vector.kind == kind for vector in vectors)
        if count:
            parts.append(f"{count} {kind}{'s' if count > 1 else ''}")
    return " and ".join(parts) or "nothing"
