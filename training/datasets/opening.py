"""From a `DataConfig` to data that a trainer draws batches from.

Small sets are decoded once and kept as an array; a single one of these is dealt out row by row, as `load_folder`'s
always were. Everything else is read and decoded as it is needed, by worker processes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.words import words
from training.datasets.config import Condition, DataConfig, is_url
from training.datasets.decoded import FolderDataset, cache_folder, load_decoded
from training.datasets.errors import DataError
from training.datasets.findings import joined
from training.datasets.folder import BatchStream
from training.datasets.labels import UNLABELLED, merged
from training.datasets.listing import digest
from training.datasets.loader import Batch, Batches, Loader, Pool
from training.datasets.pictures import Look
from training.datasets.reading import Shard
from training.datasets.shards import ShardSource
from training.datasets.sources import ListedSource, open_source, relabelled

_CAPTIONS_FOR_WORDS = 100_000


@dataclass(frozen=True, kw_only=True)
class StreamedData:
    """Sources that are drawn from while they are read."""

    pools: tuple[Pool, ...]
    look: Look
    workers: int
    lanes: int
    cache: Path
    fingerprint: str
    """Changes when any file does, as far as is known without reading it."""
    order_key: str
    """Changes when the order does in which pictures are drawn."""
    condition: Condition = "captions"
    """What the pictures were chosen for."""
    class_names: tuple[str, ...] = ()
    """Of each class number."""

    @property
    def latents(self) -> None:
        """Not known: only a single decoded folder says what made its pictures."""
        return None

    def __len__(self) -> int:
        return sum(len(pool.source) for pool in self.pools)

    def skipped(self) -> str:
        """What was left out before anything was decoded, in words; empty when nothing was."""
        captionless = sum(pool.source.captionless for pool in self.pools)
        unlabelled = sum(pool.source.unlabelled for pool in self.pools)
        broken = sum(pool.source.broken for pool in self.pools if isinstance(pool.source, FolderDataset))
        empty = sum(pool.source.empty for pool in self.pools if isinstance(pool.source, ShardSource))
        counts = (
            (broken, "broken"),
            (captionless, "without a caption"),
            (unlabelled, "without a class"),
            (empty, f"shards without a {'captioned ' if self.condition == 'captions' else ''}picture"),
        )
        parts = [f"{count} {what}" for count, what in counts if count]
        notes: list[str] = []
        for source in (pool.source for pool in self.pools):
            notes += source.notes if isinstance(source, FolderDataset) else ()
            notes += source.findings.notes() if isinstance(source, ListedSource) else ()
        return joined(["skipped " + " and ".join(parts) if parts else "", *notes])


Data = FolderDataset | StreamedData


def open_data(
    config: DataConfig,
    resolution: int,
    *,
    condition: Condition = "captions",
    cache: Path | None = None,
    progress: bool = True,
) -> Data:
    """Find the pictures that have what `condition` asks for, and decode those of small sources.

    For "classes" the class numbers of several sources agree. Raises `DataError` when a source has no usable picture.
    """
    cache = cache if cache is not None else cache_folder()
    look = Look(resolution=resolution, crop=config.crop, mirror=config.mirror, resize=config.resize)
    sources = [open_source(spec, cache=cache, condition=condition, progress=progress) for spec in config.sources]
    class_names: tuple[str, ...] = ()
    if condition == "classes":
        class_names = merged([(source.label, source.class_names) for source in sources])
        sources = [relabelled(source, class_names) for source in sources]
    still = replace(look, mirror=False)
    pools = []
    for spec, source in zip(config.sources, sources, strict=True):
        kept: ListedSource | ShardSource | FolderDataset = source
        if isinstance(source, ListedSource) and look.crop == "centre":
            size = len(source) * 3 * resolution**2
            if size <= config.memory_gb * 1e9:
                kept = load_decoded(
                    source, still, condition, cache=cache, template=spec.template or "", progress=progress
                )
        pools.append(Pool(source=kept, weight=spec.weight))
    first = pools[0].source
    if len(pools) == 1 and isinstance(first, FolderDataset) and not look.mirror:
        return first
    keys = [
        digest(source.names) if isinstance(source, FolderDataset) else source.order_key
        for source in (pool.source for pool in pools)
    ]
    weights = [repr(pool.weight) for pool in pools]
    return StreamedData(
        pools=tuple(pools),
        look=look,
        workers=config.workers,
        lanes=config.lanes,
        cache=cache,
        fingerprint=digest([*(source.fingerprint for source in sources), *weights, repr(look)]),
        order_key=digest([*keys, *weights, str(config.lanes)]),
        condition=condition,
        class_names=class_names,
    )


def load_pictures(place: str | os.PathLike[str], resolution: int, *, progress: bool = True) -> FolderDataset:
    """The pictures of one folder or zip, decoded. Raises `DataError`, also for shards, which are not decoded whole."""
    data = open_data(replace(DataConfig.of(place), memory_gb=1e6), resolution, progress=progress)
    if not isinstance(data, FolderDataset):
        raise DataError(f"{os.fspath(place)}: expected a folder or a zip of captioned pictures, got shards")
    return data


def open_batches(data: Data, *, batch: int, seed: int, own: slice | None = None) -> Batches:
    """Batches of `batch` pictures in an order that hangs on the seed alone; `own` is the part of each that is wanted
    here, so that ranks together see what one alone would."""
    own = own if own is not None else slice(0, batch)
    if isinstance(data, FolderDataset):
        return DecodedBatches(data, BatchStream(len(data), batch, seed), own)
    return Loader(
        data.pools,
        data.look,
        batch=batch,
        seed=seed,
        cache=data.cache,
        key=data.order_key,
        own=own,
        condition=data.condition,
        workers=data.workers,
        lanes=data.lanes,
    )


def captions_of(data: Data) -> list[str] | None:
    """All captions; None where they cannot be known without fetching shards."""
    found: list[str] = []
    for source in [data] if isinstance(data, FolderDataset) else [pool.source for pool in data.pools]:
        if isinstance(source, FolderDataset):
            found += (caption for captions in source.captions for caption in captions)
        elif isinstance(source, ListedSource):
            found += (caption for row in range(len(source)) for caption in source.captions_of(row))
        elif is_url(source.places[0]):
            return None
        else:
            for place in source.places:
                found += (caption for one in Shard(place=place, spool=Path()).texts() for caption in one)
    return found


def vocabulary(data: Data) -> tuple[str, ...]:
    """The words of the captions, sorted; of very large sets those of many captions, or what their index lists."""
    found: set[str] = set()
    for source in [data] if isinstance(data, FolderDataset) else [pool.source for pool in data.pools]:
        if isinstance(source, ShardSource):
            found.update(source.vocabulary)
            continue
        if isinstance(source, FolderDataset):
            for captions in source.captions:
                found.update(word for caption in captions for word in words(caption))
            continue
        for row in range(0, len(source), max(1, len(source) // _CAPTIONS_FOR_WORDS)):
            found.update(word for caption in source.captions_of(row) for word in words(caption))
    return tuple(sorted(found))


class DecodedBatches:
    """Batches of one decoded set, each epoch in its own order."""

    def __init__(self, data: FolderDataset, stream: BatchStream, own: slice) -> None:
        self._data, self._stream, self._own = data, stream, own

    def ready(self, count: int) -> None:
        """They always are."""

    def next(self) -> Batch:
        rows = self._stream.next()[self._own]
        classes = self._data.classes
        known = self._data.latents
        return Batch(
            images=np.asarray(self._data.images[rows]),
            captions=[self._data.captions[row] for row in rows],
            classes=classes[rows] if classes is not None else np.full(len(rows), UNLABELLED, np.int64),
            latents=np.asarray(known.rows[rows]) if known is not None else None,
        )

    def state_dict(self) -> dict[str, Any]:
        return dict(self._stream.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._stream.load_state_dict(dict(state))

    def skipped(self) -> str:
        return ""

    def close(self) -> None:
        """Nothing to let go of."""
