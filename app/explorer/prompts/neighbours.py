"""Words of the model's vocabulary by cosine similarity of their text embeddings to a word.

Computed on the render thread a few words at a time between frames, and kept for as long as the model stays. No GUI and
no torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.words import words

CHUNK = 8
"""Words a call: few enough that no frame waits for long."""
NEAREST = 12

# Encoders of short captions find these near to everything; they are only swapped for each other.
FUNCTION_WORDS = frozenset(
    words(
        "a about above across after against all along also amid among an and any are around as at be behind below "
        "beneath beside between beyond but by during each every for from has have he her here his in inside into is "
        "it its near neither no nor not of off on onto or our out over she some such than that the their there "
        "these they this those through to toward towards under until up upon was we were while with within without "
        "you your"
    )
)

Rows = NDArray[np.float32]


class Calls(Protocol):
    """The part of the render thread that is used here."""

    def call(self, function: Callable[[Any], Any]) -> Future[Any]: ...


class Neighbours:
    """The nearest words of a vocabulary. Belongs to the UI thread; `tick` it once a frame."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._model = ""
        self._words: tuple[str, ...] = ()
        self._rows: list[Rows] = []
        self._others: dict[str, Rows] = {}
        self._wanted: list[str] = []
        self._call: Future[tuple[str, tuple[str, ...], Rows]] | None = None
        self._begun = False

    def follow(self, model: str, vocabulary: Sequence[str]) -> None:
        """Another model, named by its hash, with other words."""
        if model == self._model:
            return
        self._model, self._words = model, tuple(sorted(vocabulary))
        self._rows, self._others, self._wanted, self._begun = [], {}, [], False

    @property
    def busy(self) -> bool:
        return self._call is not None or bool(self._wanted) or (self._begun and not self._complete)

    @property
    def progress(self) -> float:
        """The share of the vocabulary that is embedded, 0 to 1."""
        return sum(map(len, self._rows)) / len(self._words) if self._words else 1.0

    @property
    def _complete(self) -> bool:
        return sum(map(len, self._rows)) >= len(self._words)

    def nearest(self, word: str) -> tuple[str, ...] | None:
        """Other words, nearest first; None while they are still being computed, which this call begins."""
        if not self._words:
            return ()
        self._begun = True
        if word not in self._others:
            if word not in self._wanted:
                self._wanted.append(word)
            return None
        if not self._complete:
            return None
        likeness = np.concatenate(self._rows) @ self._others[word][0]
        order = np.argsort(-likeness, kind="stable")
        others = (self._words[i] for i in order if self._words[i] != word.lower())
        kind = word.lower() in FUNCTION_WORDS
        return tuple(other for other in others if (other in FUNCTION_WORDS) == kind)[:NEAREST]

    def tick(self) -> None:
        """Take what was computed, and ask for more."""
        if self._call is not None:
            if not self._call.done():
                return
            call, self._call = self._call, None
            if call.cancelled():
                return
            if call.exception() is not None:
                self._give_up()
                return
            self._take(*call.result())
        chunk = self._next()
        if chunk:
            self._call = self._calls.call(lambda engine: (engine.info.sha256, chunk, engine.embeddings(chunk)))

    def _next(self) -> tuple[str, ...]:
        if self._wanted:
            return (self._wanted[0],)
        if not self._begun or self._complete:
            return ()
        done = sum(map(len, self._rows))
        return self._words[done : done + CHUNK]

    def _take(self, model: str, chunk: tuple[str, ...], rows: Rows) -> None:
        if model != self._model:
            return  # of a model that has gone
        if self._wanted and chunk == (self._wanted[0],):
            self._others[self._wanted.pop(0)] = rows
        elif chunk[0] == self._words[sum(map(len, self._rows))]:
            self._rows.append(rows)

    def _give_up(self) -> None:
        """The model has no text embeddings: offer nothing."""
        self._words, self._rows, self._wanted, self._begun = (), [], [], False
