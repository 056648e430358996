"""The real pictures that generated ones are compared with, and their features, kept by content.

Features are cached under the fingerprint of the pictures (names, sizes and times of the files, how they are cropped and
resized, and which of them are taken) and the digest of the feature network: when either changes, they are worked out
anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import safetensors
import safetensors.numpy
import torch.distributed as dist
from numpy.typing import NDArray
from PIL import Image

from training.datasets.decoded import cache_folder
from training.datasets.errors import DataError
from training.datasets.pictures import is_picture, read_picture
from training.metrics.frechet import Gaussian, gaussian
from training.metrics.networks import FeatureExtractor
from training.metrics.shards import Drawn, Progress, evaluate_shard, gather, share

CACHE_KEY = "glissando-real-features"
PATIENCE_S = 0.5
"""Who waits for real pictures asks so often whether the run is to stop."""
_CACHE_VERSION = 1

Value = TypeVar("Value")


class RealPictures(Protocol):
    """Pictures by row."""

    fingerprint: str
    """Changes when any picture does, or how it is cropped and resized."""

    def __len__(self) -> int: ...

    def read(self, rows: Sequence[int]) -> Drawn:
        """Those rows, in rising order, without what cannot be read. Raises `DataError` when none can be any more."""
        ...

    def release(self) -> None:
        """Let go of open files; they are opened again when more is read."""
        ...


class ArrayPictures:
    """Decoded pictures [N, 3, R, R], such as a training run's."""

    def __init__(self, images_N3RR: NDArray[np.uint8], fingerprint: str) -> None:
        self._images = images_N3RR
        self.fingerprint = fingerprint

    def __len__(self) -> int:
        return len(self._images)

    def read(self, rows: Sequence[int]) -> Drawn:
        return Drawn(np.ascontiguousarray(self._images[list(rows)].transpose(0, 2, 3, 1)), 0)

    def release(self) -> None:
        """Nothing is open."""


class FilePictures:
    """Files, decoded as they are asked for.

    Cropped to the middle square and resized by averaging, as training data are; or, with `via`, to that size and then
    to `size`, both with Lanczos, as the zero-shot protocol asks.
    """

    def __init__(self, files: Sequence[Path], size: int, *, via: int | None = None) -> None:
        self._files, self._size, self._via = list(files), size, via
        digest = hashlib.sha256(f"{_CACHE_VERSION} {size} {via}\n".encode())
        for file in self._files:
            try:
                stat = file.stat()
            except OSError:
                continue  # it will count as broken
            digest.update(f"{file.name}\0{stat.st_size} {stat.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        self.fingerprint = digest.hexdigest()
        self._pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))

    def __len__(self) -> int:
        return len(self._files)

    def read(self, rows: Sequence[int]) -> Drawn:
        found = [picture for picture in self._pool.map(self._decode, rows) if picture is not None]
        empty = np.empty((0, self._size, self._size, 3), np.uint8)
        return Drawn(np.stack(found) if found else empty, len(rows) - len(found))

    def release(self) -> None:
        """Files are closed as soon as they are read."""

    def _decode(self, row: int) -> NDArray[np.uint8] | None:
        try:
            if self._via is None:
                return read_picture(self._files[row], self._size).transpose(1, 2, 0)
            return lanczos_square(self._files[row], self._via, self._size)
        except Exception:  # noqa: BLE001 - Pillow raises OSError, SyntaxError, struct.error and more for broken files
            return None


def picture_files(folder: Path) -> list[Path]:
    """Every picture below `folder`, sorted. Raises `DataError` when there is none."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected one with pictures")
    files = sorted(path for path in folder.rglob("*") if is_picture(path.name) and path.is_file())
    if not files:
        raise DataError(f"{folder}: no pictures found in it or below")
    return files


def lanczos_square(path: Path, via: int, size: int) -> NDArray[np.uint8]:
    """[size, size, 3]: the middle square at `via` pixels, then at `size`, both by Lanczos."""
    with Image.open(path) as file:
        picture = file.convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    picture = picture.crop((left, top, left + side, top + side))
    for target in (via, size):
        if picture.size != (target, target):
            picture = picture.resize((target, target), Image.Resampling.LANCZOS)
    return np.asarray(picture)


@dataclass(frozen=True, kw_only=True, eq=False)
class RealFeatures:
    """The features of real pictures in one network."""

    features: NDArray[np.float32]
    """[N, D]"""
    gaussian: Gaussian
    broken: int
    """Pictures left out because they could not be read."""


def real_features(
    pictures: RealPictures,
    extractor: FeatureExtractor,
    *,
    most: int,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress | None = None,
    stopped: Callable[[], bool] | None = None,
) -> RealFeatures | None:
    """The features of the pictures, or of `most` of them drawn at random: from the cache, or worked out and kept.

    Ranks of a run share the work, and must all call this; the result is rank 0's, None elsewhere, and None when
    `stopped` said so before all was done. `cache` is a folder; one that cannot be written is done without. Raises
    `DataError`, on all ranks alike, when the pictures cannot be had or none of them can be read.
    """
    rows = chosen_rows(len(pictures), most, seed)
    folder = cache if cache is not None else cache_folder() / "metrics"
    key = hashlib.sha256(
        f"{_CACHE_VERSION} {pictures.fingerprint} {extractor.digest} {len(pictures)} {len(rows)} {seed}".encode()
    ).hexdigest()
    path = folder / f"{key[:32]}.safetensors"
    rank, world = share()
    found = _read(path, key) if rank == 0 else None
    known = found is not None
    known = _from_first(known)
    if not known:
        shard = gather(
            evaluate_shard(
                rank,
                world,
                draw=lambda wanted: _read_patiently(pictures, rows[wanted.start : wanted.stop].tolist(), stopped),
                measures={"features": lambda x, _: extractor.features(x)},
                count=len(rows),
                progress=None if progress is None else lambda done, total: progress("real pictures", done, total),
                stopped=stopped,
            )
        )
        pictures.release()
        problem = shard.problem if shard is not None else ""
        if shard is not None and shard.whole and not shard.blocks:
            problem = f"none of the {len(rows)} real pictures could be read; check that the files are whole"
        problem = _from_first(problem)
        if problem:
            raise DataError(problem)
        if shard is None or not shard.whole:
            return None
        features_ND = shard.rows("features")
        found = RealFeatures(features=features_ND, gaussian=gaussian(features_ND), broken=shard.broken)
        _write(path, key, found)
    return found


def chosen_rows(total: int, most: int, seed: int) -> NDArray[np.int64]:
    """All rows, or `most` of them, drawn at random from `seed` and sorted."""
    if total <= most:
        return np.arange(total)
    return np.sort(np.random.default_rng((seed, 71)).choice(total, most, replace=False))


def _from_first(mine: Value) -> Value:
    """Rank 0's answer, on every rank: its cache is the one that counts, and it knows how all have fared."""
    if share()[1] == 1:
        return mine
    answer = [mine]
    dist.broadcast_object_list(answer, src=0)
    return answer[0]


def _read_patiently(pictures: RealPictures, rows: Sequence[int], stopped: Callable[[], bool] | None) -> Drawn | None:
    """The rows, or None when `stopped` says so first: a server may be slow, and a run that is to stop cannot wait."""
    if stopped is None:
        return pictures.read(rows)
    answer: Future[Drawn] = Future()

    def work() -> None:
        try:
            answer.set_result(pictures.read(rows))
        except BaseException as error:  # noqa: BLE001 - raised again where the answer is asked for
            answer.set_exception(error)

    threading.Thread(target=work, name="real pictures", daemon=True).start()
    while not wait([answer], timeout=PATIENCE_S).done:
        if stopped():
            return None
    return answer.result()


def _read(path: Path, key: str) -> RealFeatures | None:
    """What is kept under `key`, if it is whole."""
    try:
        with safetensors.safe_open(path, framework="np") as file:
            notes = json.loads((file.metadata() or {})[CACHE_KEY])
            tensors = {name: file.get_tensor(name) for name in ("features", "mean", "covariance")}
    except (safetensors.SafetensorError, OSError, ValueError, KeyError):
        return None  # missing, cut short or foreign: work it out again
    if notes.get("key") != key or not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        return None
    return RealFeatures(
        features=tensors["features"],
        gaussian=Gaussian(mean=tensors["mean"], covariance=tensors["covariance"]),
        broken=int(notes["broken"]),
    )


def _write(path: Path, key: str, found: RealFeatures) -> None:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.partial")
    tensors: dict[str, NDArray[Any]] = {
        "features": np.ascontiguousarray(found.features),
        "mean": np.ascontiguousarray(found.gaussian.mean),
        "covariance": np.ascontiguousarray(found.gaussian.covariance),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        safetensors.numpy.save_file(
            tensors, unfinished, metadata={CACHE_KEY: json.dumps({"key": key, "broken": found.broken})}
        )
        os.replace(unfinished, path)
    except (OSError, safetensors.SafetensorError):
        with contextlib.suppress(OSError):
            unfinished.unlink()
