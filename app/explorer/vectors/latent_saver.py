"""Saves the styles of a picture as a latent. No GUI here."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from app.explorer.messages import Messages
from app.explorer.vectors.registry import Call
from app.explorer.vectors.store import VectorStore
from core.request import RenderRequest
from core.vectors import Vector, VectorError


class LatentSaver:
    """Asks the engine for styles and adds them to the store. Belongs to the UI thread; `tick` it once a frame."""

    def __init__(self, store: VectorStore, call: Call, messages: Messages) -> None:
        self._store, self._call, self._messages = store, call, messages
        self._under_way: list[tuple[str, Future[Any]]] = []

    @property
    def pending(self) -> int:
        """How many answers of the engine are awaited."""
        return len(self._under_way)

    def save(self, request: RenderRequest, name: str) -> None:
        """Save the styles of a request under a name. Only while a model is open."""
        info = self._store.info
        self._under_way.append((name, self._call(lambda engine: (engine.latent(request), info, request))))

    def forget(self) -> None:
        """Another model has come: wait for nothing more."""
        self._under_way = []

    def tick(self) -> None:
        """Take the engine's answers."""
        waiting = []
        for name, latent in self._under_way:
            if not latent.done():
                waiting.append((name, latent))
            elif latent.cancelled():
                continue
            elif (error := latent.exception()) is not None:
                self._messages.error(f"The latent was not saved: {error}")
            else:
                self._add(name, *latent.result())
        self._under_way = waiting

    def _add(self, name: str, values: Any, info: Any, request: RenderRequest) -> None:
        if info is not self._store.info:
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
        known = self._store.find(vector.id)
        if known is not None:
            self._messages.info(f"This latent is saved already, as {known.name}")
        elif self._store.add([vector]) and (saved := self._store.find(vector.id)) is not None:
            self._messages.info(f"Saved the latent {saved.name}")
