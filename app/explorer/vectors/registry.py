"""Which directions and latents the engine knows, and requests that name no others. No GUI here.

A scene names vectors by id. A vector that the engine lacks is left out of the picture, with one message, instead of
leaving no picture.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from app.explorer.messages import Messages
from core.request import RenderRequest
from core.vectors import Vector, digest_of, name_of

log = logging.getLogger(__name__)

Call = Callable[[Callable[[Any], Any]], "Future[Any]"]
"""Runs a function of the engine between frames."""


class VectorRegistry:
    """The vectors registered with the engine of the open model. Belongs to the UI thread; `tick` it once a frame."""

    def __init__(self, call: Call, messages: Messages) -> None:
        self._call, self._messages = call, messages
        self._model: str | None = None
        """Name of the open model."""
        self._loading = False
        """Whether another model was asked for, which knows nothing of these."""
        self._ids: dict[str, str] = {}
        """Digest to the id by which the engine knows the vector."""
        self._sent: list[tuple[dict[str, str], Future[None]]] = []
        self._reported: set[str] = set()

    @property
    def busy(self) -> bool:
        """Whether the engine has still to take some."""
        return bool(self._sent)

    def knows(self, vector: Vector) -> bool:
        """Whether a picture with this vector can be rendered by now."""
        return vector.digest in self._ids

    def model_loading(self) -> None:
        """Another model was asked for."""
        self._loading = True

    def model_loaded(self, model: str, vectors: Iterable[Vector], *, more: bool) -> None:
        """A model called `model` has come, which knows `vectors`; `more` when yet another one is asked for."""
        self._model, self._loading = model, more
        self._ids = {vector.digest: vector.id for vector in vectors}
        self._sent, self._reported = [], set()

    def model_failed(self, *, more: bool) -> None:
        """The model that was asked for did not load; `more` when yet another one is asked for."""
        self._loading = more

    def register(self, vectors: Iterable[Vector]) -> None:
        """Let the engine know those that it lacks."""
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

    def fitting(self, request: RenderRequest) -> RenderRequest:
        """`request` without unknown vectors, of which one message tells. Ids become those that the engine knows."""
        missing: dict[str, None] = {}
        result = self._fitted(request, {} if self._loading else self._ids, missing)
        if missing and self._model is not None and not self._loading and not self._sent:
            new = [name for name in missing if name not in self._reported]
            if new:
                self._reported.update(new)
                names = listed({name_of(name) for name in new})
                it = "it" if len(new) == 1 else "them"
                self._messages.error(
                    f"{self._model} has no saved {names}: the picture is drawn without {it}. "
                    f"Find or import {it} again, or remove {it} from the scene."
                )
        return result

    def fitting_call(self, request: RenderRequest) -> RenderRequest:
        """The same, without a message, for a call of the engine: it comes after every vector that was sent before."""
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


def _id(vector_id: str, ids: Mapping[str, str], missing: dict[str, None]) -> str | None:
    """What the engine calls a vector, by digest in `ids`; None, and noted in `missing`, if nothing."""
    known = ids.get(digest_of(vector_id))
    if known is None:
        missing[vector_id] = None
    return known


def listed(names: Iterable[str]) -> str:
    """Names for a message: 'a', 'b', 'c' and 3 more."""
    quoted = [f"'{name}'" for name in sorted(names)]
    if len(quoted) > 4:
        return f"{', '.join(quoted[:3])} and {len(quoted) - 3} more"
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else quoted[0]
