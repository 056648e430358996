"""What a worker does: read a picture and its captions, decode it, and say what went wrong. It knows no torch.

A picture that is broken is answered with, not raised; a source that cannot be reached at all is told apart from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from training.datasets.config import Condition, is_url, place_shown
from training.datasets.errors import DataError
from training.datasets.labels import UNLABELLED
from training.datasets.listing import Row, captions_of_row
from training.datasets.mixing import look_rng, shard_order
from training.datasets.pictures import Look, decode
from training.datasets.remote import MissingError, RemoteError, fetch
from training.datasets.tar import FileReader, Sample, TarError, TarIndex, captions_of, class_of, index_tar, picture_of
from training.datasets.trees import Tree

ENOUGH_BROKEN = 1000
"""After so many unusable pictures in a row a shard counts as unusable, and a list as well."""
ENOUGH_EMPTY = 64
"""After so many unusable shards in a row their source counts as unusable."""

Status = Literal["fine", "broken", "empty", "gone", "ended"]
"""broken: this picture. empty: nothing in this shard can be used. gone: the whole source cannot be reached. ended: the
process that decoded it and what it was given with it."""


class RowTask(NamedTuple):
    """A picture of a list."""

    position: int
    source: int
    row: Row


class ShardTask(NamedTuple):
    """A sample of a shard."""

    position: int
    source: int
    place: str
    turn: int
    offset: int
    lane: int
    coming: str
    """The shard that follows in this lane, to be fetched meanwhile."""


Task = RowTask | ShardTask


class DecodeResult(NamedTuple):
    """What came of a task."""

    status: Status
    caption: str = ""
    problem: str = ""
    skipped: tuple[str, ...] = ()
    """Names of unusable samples of the shard that were passed over."""
    class_number: int = UNLABELLED


@dataclass(frozen=True, kw_only=True)
class DecodeResults:
    """What came of a list of tasks."""

    answers: list[DecodeResult]
    pixels: NDArray[np.uint8]
    """[N, 3, R, R], with zeros where there is no picture."""


@dataclass(frozen=True, kw_only=True)
class DecodeSettings:
    """What every task has in common; sent to a worker once."""

    trees: tuple[Tree | None, ...]
    """Of each source that is a list."""
    look: Look
    seed: int
    spool: Path
    """Folder for shards that come from a server."""
    condition: Condition = "captions"
    """What a picture must have to be used."""


@dataclass
class _Shard:
    file: IO[bytes]
    reader: FileReader
    index: TarIndex
    order: NDArray[np.int64]
    unusable: set[int] = field(default_factory=set)


class Decoder:
    """Does tasks; keeps the shards open that it is at."""

    def __init__(self, setting: DecodeSettings) -> None:
        self.setting = setting
        self._shards: dict[tuple[int, int, int, str], _Shard] = {}
        self._coming: dict[tuple[int, int], tuple[str, Future[IO[bytes]]]] = {}
        self._fetchers: ThreadPoolExecutor | None = None

    def run(self, tasks: Sequence[Task]) -> DecodeResults:
        """Do all of them."""
        side = self.setting.look.resolution
        pixels = np.zeros((len(tasks), 3, side, side), np.uint8)
        answers = [
            self._row(task, pixels[at]) if isinstance(task, RowTask) else self._sample(task, pixels[at])
            for at, task in enumerate(tasks)
        ]
        return DecodeResults(answers=answers, pixels=pixels)

    def close(self) -> None:
        """Let go of all files."""
        for shard in self._shards.values():
            shard.file.close()
        self._shards.clear()
        for _, fetching in self._coming.values():
            _drop(fetching)
        self._coming.clear()
        if self._fetchers is not None:
            self._fetchers.shutdown(wait=False, cancel_futures=True)

    def _row(self, task: RowTask, into: NDArray[np.uint8]) -> DecodeResult:
        tree = self.setting.trees[task.source]
        assert tree is not None
        rng = look_rng(self.setting.seed, task.position)
        captions = captions_of_row(tree, task.row)
        try:
            data = tree.read(task.row.name)
        except OSError as error:
            status: Status = "gone" if tree.gone() else "broken"
            return DecodeResult(status, problem=f"{tree.label}: {error}")
        lacking = self._lacking(captions, task.row.class_number)
        if lacking:
            return DecodeResult("broken", problem=lacking)
        problem = self._decode(data, rng, into)
        if problem:
            return DecodeResult("broken", problem=problem)
        return DecodeResult("fine", _choose(captions, rng), class_number=task.row.class_number)

    def _sample(self, task: ShardTask, into: NDArray[np.uint8]) -> DecodeResult:
        try:
            shard = self._open(task)
        except (MissingError, TarError) as error:
            return DecodeResult("empty", problem=str(error))
        except (RemoteError, DataError, OSError) as error:
            return DecodeResult("gone", problem=str(error))
        samples = shard.index.samples
        skipped: list[str] = []
        for step in range(min(len(samples), ENOUGH_BROKEN)):
            which = int(shard.order[(task.offset + step) % len(samples)])
            if which in shard.unusable:
                continue
            sample, rng = samples[which], look_rng(self.setting.seed, task.position)
            try:
                captions, number = self._condition_of(shard.reader, sample)
                data = b"" if self._lacking(captions, number) else picture_of(shard.reader, sample)
            except OSError:
                captions, number, data = (), UNLABELLED, b""
            if data and not self._decode(data, rng, into):
                return DecodeResult("fine", _choose(captions, rng), skipped=tuple(skipped), class_number=number)
            shard.unusable.add(which)
            skipped.append(f"{place_shown(task.place)}: {sample.key}")
        return DecodeResult("empty", problem="no usable picture", skipped=tuple(skipped))

    def _condition_of(self, reader: FileReader, sample: Sample) -> tuple[tuple[str, ...], int]:
        """A sample's captions or class number, whichever is asked for."""
        captions = captions_of(reader, sample) if self.setting.condition == "captions" else ()
        return captions, class_of(reader, sample) if self.setting.condition == "classes" else UNLABELLED

    def _lacking(self, captions: Sequence[str], class_number: int) -> str:
        """What a picture lacks to be used; empty when it has it."""
        if self.setting.condition == "captions" and not captions:
            return "no caption"
        if self.setting.condition == "classes" and class_number == UNLABELLED:
            return "no class"
        return ""

    def _decode(self, data: bytes, rng: np.random.Generator, into: NDArray[np.uint8]) -> str:
        """Decode into a place; returns what is wrong, or nothing."""
        try:
            into[:] = decode(data, self.setting.look, rng)
        except Exception as error:  # noqa: BLE001 - Pillow raises OSError, SyntaxError, struct.error and more for broken files
            return f"{type(error).__name__}: {error}"
        return ""

    def _open(self, task: ShardTask) -> _Shard:
        key = (task.source, task.lane, task.turn, task.place)
        shard = self._shards.get(key)
        if shard is None:
            file = self._file(task)
            try:
                reader = FileReader(cast(BinaryIO, file))
                index = index_tar(reader, self.setting.condition)
                if not index.samples:
                    captioned = "captioned " if self.setting.condition == "captions" else ""
                    raise TarError(f"no {captioned}pictures in it")
            except BaseException:
                file.close()
                raise
            order = shard_order(self.setting.seed, task.source, task.turn, len(index.samples))
            shard = self._shards[key] = _Shard(file, reader, index, order)
            for old in [k for k in self._shards if k[:2] == key[:2] and k != key]:
                self._shards.pop(old).file.close()
        if is_url(task.coming):
            self._expect(task)
        return shard

    def _file(self, task: ShardTask) -> IO[bytes]:
        if not is_url(task.place):
            return open(task.place, "rb")
        coming = self._coming.pop((task.source, task.lane), None)
        if coming is not None and coming[0] == task.place:
            return coming[1].result()
        if coming is not None:
            _drop(coming[1])
        return fetch(task.place, self.setting.spool)

    def _expect(self, task: ShardTask) -> None:
        """Begin to fetch the lane's next shard."""
        key = (task.source, task.lane)
        coming = self._coming.get(key)
        if coming is not None and coming[0] == task.coming:
            return
        if coming is not None:
            _drop(coming[1])
        if self._fetchers is None:
            self._fetchers = ThreadPoolExecutor(2, thread_name_prefix="fetch")
        self._coming[key] = (task.coming, self._fetchers.submit(fetch, task.coming, self.setting.spool))


def _choose(captions: tuple[str, ...], rng: np.random.Generator) -> str:
    return captions[int(rng.random() * len(captions))] if captions else ""


def _drop(fetching: Future[IO[bytes]]) -> None:
    def close(done: Future[IO[bytes]]) -> None:
        if not done.cancelled() and done.exception() is None:
            done.result().close()

    if not fetching.cancel():
        fetching.add_done_callback(close)


def spool_folder(cache: Path) -> Path:
    """Where shards from a server lie while they are read."""
    return cache / "spool"
