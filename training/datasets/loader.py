"""Batches of pictures with a condition each, decoded ahead of the trainer.

The order is `Mixing`'s; a picture that cannot be used is counted, and its place taken by the next usable one of its
list or shard. That depends on the data alone, so a run that is resumed, by however many ranks, sees what an
uninterrupted one would have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training.datasets.config import Condition, place_shown
from training.datasets.decoded import FolderDataset
from training.datasets.decoding import (
    ENOUGH_BROKEN,
    ENOUGH_EMPTY,
    DecodeResult,
    DecodeSettings,
    RowTask,
    ShardTask,
    Task,
    spool_folder,
)
from training.datasets.errors import DataError
from training.datasets.labels import UNLABELLED
from training.datasets.mixing import Draw, ListShape, Mixing, ShardShape, look_rng
from training.datasets.pictures import Look
from training.datasets.shards import ShardSource
from training.datasets.sources import ListedSource
from training.datasets.worker_pool import Executor, InProcessExecutor, WorkerPool

_AHEAD = 3
"""Batches in work besides the one that is waited for."""
_EXAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The part of a batch that is wanted here."""

    images: NDArray[np.uint8]
    """[N, 3, R, R]."""
    captions: list[list[str]]
    """Of each picture those to choose from: one, where the choice is made already, none where it has none."""
    classes: NDArray[np.int64]
    """[N], the class number of each picture; `UNLABELLED` (-1) where it has none."""
    latents: NDArray[np.float32] | None = None
    """[N, D]: the latent that made each picture, where the data knows."""


class Batches(Protocol):
    """Where a trainer's batches come from."""

    def ready(self, count: int) -> None:
        """Wait until the next batches are there. Raises `DataError` when they cannot be had; the state then still is
        the one before them."""
        ...

    def next(self) -> Batch:
        """The next batch. Raises `DataError`."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Where the order stands; the same in every rank."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        ...

    def skipped(self) -> str:
        """What could not be used so far, in words; empty when there was nothing."""
        ...

    def close(self) -> None:
        """Let go of processes and files."""
        ...


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A source to draw from."""

    source: ListedSource | ShardSource | FolderDataset
    """A `FolderDataset` is one that is decoded already."""
    weight: float
    """Of one of its pictures, compared with other sources."""


@dataclass
class _Pending:
    """A batch in work."""

    before: dict[str, Any]
    """The order's state before it."""
    draws: list[Draw]
    images: NDArray[np.uint8]
    captions: list[str]
    classes: NDArray[np.int64]
    missing: int


@dataclass(frozen=True, kw_only=True)
class _Ticket:
    """What was asked of a worker."""

    pending: _Pending
    places: list[int]
    """In the rank's part of the batch."""
    items: list[int]
    """The row or shard asked for, at each."""


class Loader:
    """Batches from any mixture of sources."""

    def __init__(
        self,
        pools: Sequence[Pool],
        look: Look,
        *,
        batch: int,
        seed: int,
        cache: Path,
        key: str,
        own: slice,
        condition: Condition = "captions",
        workers: int = 0,
        lanes: int = 16,
    ) -> None:
        self._sources = [pool.source for pool in pools]
        self._look, self._seed = look, seed
        shapes = [
            ShardShape(counts=source.counts) if isinstance(source, ShardSource) else ListShape(rows=len(source))
            for source in self._sources
        ]
        weights = [pool.weight * len(pool.source) for pool in pools]
        self._mixing = Mixing(shapes, weights, batch=batch, seed=seed, lanes=lanes, key=key)
        self._own = own
        trees = tuple(source.tree if isinstance(source, ListedSource) else None for source in self._sources)
        setting = DecodeSettings(trees=trees, look=look, seed=seed, spool=spool_folder(cache), condition=condition)
        decoded = all(isinstance(source, FolderDataset) for source in self._sources)
        self._executor: Executor = (
            WorkerPool(setting, workers) if workers and not decoded else InProcessExecutor(setting)
        )
        self._ahead: deque[_Pending] = deque()
        self._tickets: dict[int, _Ticket] = {}
        self._ticket = 0
        self._bad: set[tuple[int, int]] = set()
        """Source and row, or shard."""
        self._bad_samples: set[tuple[int, str]] = set()
        self._examples: list[str] = []

    def next(self) -> Batch:
        self.ready(1)
        pending = self._ahead.popleft()
        self._fill(_AHEAD)
        captions = [[caption] if caption else [] for caption in pending.captions]
        return Batch(images=pending.images, captions=captions, classes=pending.classes)

    def ready(self, count: int) -> None:
        self._fill(count)
        for pending in list(self._ahead)[:count]:
            while pending.missing:
                self._collect()

    def state_dict(self) -> dict[str, Any]:
        return self._ahead[0].before if self._ahead else self._mixing.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._mixing.load_state_dict(state)
        self._ahead.clear()
        self._tickets.clear()  # answers still to come are of no interest

    @property
    def broken(self) -> int:
        """How many pictures this rank has found unusable so far."""
        rows = sum(not isinstance(self._sources[source], ShardSource) for source, _ in self._bad)
        return rows + len(self._bad_samples)

    @property
    def broken_shards(self) -> int:
        """How many shards this rank has found unusable so far."""
        return sum(isinstance(self._sources[source], ShardSource) for source, _ in self._bad)

    def skipped(self) -> str:
        counts = ((self.broken, "broken pictures"), (self.broken_shards, "broken shards"))
        parts = [f"{count} {what}" for count, what in counts if count]
        return f"skipped {' and '.join(parts)}, such as {'; '.join(self._examples)}" if parts else ""

    def close(self) -> None:
        self._executor.close()

    # --- giving out work --------------------------------------------------------------------------------------------

    def _fill(self, count: int) -> None:
        while len(self._ahead) < count:
            before = self._mixing.state_dict()
            draws = self._mixing.next()[self._own]
            side = self._look.resolution
            pending = _Pending(
                before=before,
                draws=draws,
                images=np.empty((len(draws), 3, side, side), np.uint8),
                captions=[""] * len(draws),
                classes=np.full(len(draws), UNLABELLED, np.int64),
                missing=len(draws),
            )
            self._ahead.append(pending)
            by_worker: dict[int, list[int]] = {}
            for place, draw in enumerate(draws):
                if isinstance(self._sources[draw.source], FolderDataset):
                    self._copy(pending, place)
                    continue
                by_worker.setdefault(self._worker_of(draw, place * self._executor.count // len(draws)), []).append(
                    place
                )
            for worker, places in by_worker.items():
                self._submit(pending, places, worker)

    def _worker_of(self, draw: Draw, otherwise: int) -> int:
        """All of a lane goes to one worker, which then is the only one to fetch and index its shards."""
        if isinstance(self._sources[draw.source], ShardSource):
            return (draw.source + draw.lane) % self._executor.count
        return otherwise

    def _submit(self, pending: _Pending, places: list[int], worker: int) -> None:
        items = [self._usable(pending.draws[place]) for place in places]
        tasks = [self._task(pending.draws[place], item) for place, item in zip(places, items, strict=True)]
        self._ticket += 1
        self._tickets[self._ticket] = _Ticket(pending=pending, places=places, items=items)
        self._executor.submit(worker, self._ticket, tasks)

    def _task(self, draw: Draw, item: int) -> Task:
        source = self._sources[draw.source]
        if isinstance(source, ListedSource):
            return RowTask(draw.position, draw.source, source.rows[item])
        assert isinstance(source, ShardSource)
        coming = self._mixing.shard_at(draw.source, draw.turn + self._mixing.lanes[draw.source])
        return ShardTask(
            draw.position,
            draw.source,
            source.places[item],
            draw.turn,
            draw.offset,
            draw.lane,
            source.places[coming],
        )

    def _usable(self, draw: Draw) -> int:
        """The row or shard drawn, or the first after it that is not known to be unusable."""
        source = self._sources[draw.source]
        count, tries, what = len(source), ENOUGH_BROKEN, "pictures"
        if isinstance(source, ShardSource):
            count, tries, what = len(source.places), ENOUGH_EMPTY, "shards"
        tries = min(tries, count)
        for step in range(tries):
            item = (draw.item + step) % count
            if (draw.source, item) not in self._bad:
                return item
        raise DataError(
            f"{self._label(draw.source)}: {tries} {what} in a row cannot be used: {'; '.join(self._examples)}; "
            "`glissando data check` tells more"
        )

    def _copy(self, pending: _Pending, place: int) -> None:
        """A picture that is decoded already."""
        draw = pending.draws[place]
        dataset = self._sources[draw.source]
        assert isinstance(dataset, FolderDataset)
        rng = look_rng(self._seed, draw.position)
        _, mirrored = rng.random(), rng.random() < 0.5
        image = dataset.images[draw.item]
        pending.images[place] = image[:, :, ::-1] if mirrored and self._look.mirror else image
        captions = dataset.captions[draw.item]
        pending.captions[place] = captions[int(rng.random() * len(captions))] if captions else ""
        if dataset.classes is not None:
            pending.classes[place] = dataset.classes[draw.item]
        pending.missing -= 1

    # --- taking answers ---------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Wait for some answers and put them where they belong."""
        number, answers = self._executor.take()
        ticket = self._tickets.pop(number, None)
        if ticket is None:
            return  # asked for before another state was loaded
        pending = ticket.pending
        for at, (place, answer) in enumerate(zip(ticket.places, answers.answers, strict=True)):
            source = pending.draws[place].source
            for name in answer.skipped:
                self._note(self._bad_samples, (source, name), name)
            if answer.status == "fine":
                pending.images[place] = answers.pixels[at]
                pending.captions[place] = answer.caption
                pending.classes[place] = answer.class_number
                pending.missing -= 1
            else:
                self._replace(pending, place, ticket.items[at], answer, alone=len(ticket.places) == 1)

    def _replace(self, pending: _Pending, place: int, item: int, answer: DecodeResult, *, alone: bool) -> None:
        """Ask for another picture in the place of one that is unusable."""
        draw = pending.draws[place]
        source = self._sources[draw.source]
        if answer.status == "gone":
            raise DataError(
                f"the data went away: {self._label(draw.source)} cannot be read any more ({answer.problem}); "
                "when it is back, the run can go on"
            )
        if answer.status != "ended" or (alone and isinstance(source, ListedSource)):
            assert not isinstance(source, FolderDataset)
            name = place_shown(source.places[item]) if isinstance(source, ShardSource) else source.rows[item].name
            self._note(self._bad, (draw.source, item), f"{name} ({answer.problem})")
        elif alone:
            # Which sample of the shard it was is not known here; the one after it is another.
            self._note(self._bad_samples, (draw.source, f"{item} {draw.turn} {draw.offset}"), answer.problem)
            pending.draws[place] = draw._replace(offset=draw.offset + 1)
        self._submit(pending, [place], self._worker_of(draw, 0))

    def _note(self, bad: set[Any], key: tuple[int, int] | tuple[int, str], example: str) -> None:
        if key not in bad:
            bad.add(key)
            if len(self._examples) < _EXAMPLES:
                self._examples.append(example.encode("utf-8", "replace").decode())

    def _label(self, source: int) -> str:
        found = self._sources[source]
        return "decoded pictures" if isinstance(found, FolderDataset) else found.label
