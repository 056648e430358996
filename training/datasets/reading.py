"""Going through everything that sources hold, a portion at a time, in worker processes.

A portion is some rows of a list or a whole shard. What is done with its pictures is the caller's: `check` looks at
them, `build` writes them into shards.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar, cast

import numpy as np

from training.datasets.config import is_url
from training.datasets.errors import DataError
from training.datasets.labels import UNLABELLED
from training.datasets.listing import Row, text_of_row
from training.datasets.remote import MissingError, RemoteError, fetch
from training.datasets.tar import FileReader, TarError, captions_of, class_of, index_tar, picture_of, text_of
from training.datasets.trees import Tree

Item = TypeVar("Item")
Result = TypeVar("Result")
_AHEAD = 3


class RawSample(NamedTuple):
    """A picture's file and what is known of it, not decoded."""

    name: str
    data: bytes
    problem: str
    """Why the file could not be read; empty when it could."""
    class_number: int = UNLABELLED
    captions: tuple[str, ...] = ()
    encoding: str = ""
    """Of the .txt that its captions were read from; empty without one."""
    refused: int = 0
    """Lines of that .txt with bytes that are no text."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Some rows of a list."""

    tree: Tree
    rows: tuple[Row, ...]

    def read(self) -> Iterator[RawSample]:
        """Every one of them. Raises `DataError` when the whole source is gone."""
        for row in self.rows:
            data, problem = b"", ""
            try:
                data = self.tree.read(row.name)
            except OSError as error:
                if self.tree.gone():
                    raise DataError(f"{self.tree.label}: cannot be read any more: {error}") from None
                problem = str(error)
            yield RawSample(row.name, data, problem, row.class_number, *text_of_row(self.tree, row))


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A shard, on disk or on a server."""

    place: str
    spool: Path
    shuffle: tuple[int, ...] | None = None
    """Seeds of the order in which samples are read; None is as they come."""

    def read(self) -> Iterator[RawSample]:
        """Every sample with a picture; nothing when the shard is missing or none. Raises `DataError` when it cannot be
        reached."""
        try:
            file = fetch(self.place, self.spool) if is_url(self.place) else open(self.place, "rb")  # noqa: SIM115
        except MissingError:
            return
        except (RemoteError, OSError) as error:
            raise DataError(f"{error}") from None
        with file:
            reader = FileReader(cast(BinaryIO, file))
            try:
                index = index_tar(reader, None)
            except TarError:
                return
            order: Sequence[int] = range(len(index.samples))
            if self.shuffle is not None:
                order = np.random.default_rng(self.shuffle).permutation(len(index.samples)).tolist()
            for sample in (index.samples[at] for at in order):
                data, problem = b"", ""
                try:
                    data = picture_of(reader, sample)
                except OSError as error:
                    problem = str(error)
                yield RawSample(sample.key, data, problem, class_of(reader, sample), *text_of(reader, sample))

    def texts(self) -> Iterator[tuple[str, ...]]:
        """The captions of every sample of a shard on disk. Raises `DataError` when it cannot be read."""
        try:
            with open(self.place, "rb") as file:
                reader = FileReader(file)
                for sample in index_tar(reader).samples:
                    yield captions_of(reader, sample)
        except (OSError, TarError) as error:
            raise DataError(f"{self.place}: cannot read the captions: {error}") from None


Portion = Rows | Shard


def in_order(work: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """What work(item) gives, in the order of the items, done by processes side by side; within this one when there is
    only one."""
    if workers <= 1 or len(items) <= 1:
        yield from map(work, items)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(items)), mp_context=context, initializer=_ignore_interrupt) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > _AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _ignore_interrupt() -> None:
    # Ctrl-C is for the parent, which ends the pool.
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
