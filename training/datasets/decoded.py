"""Pictures decoded once and kept: one uint8 array [N, 3, R, R] in the user's cache folder, which the next start only
maps, with their captions and names in a JSON file beside it.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.datasets.paired import Latents
from training.datasets.pictures import Look, open_rgb, square
from training.datasets.sources import text_beside
from training.datasets.trees import Tree

# Below this many pictures the start of worker processes costs more than it saves.
WORKERS_FROM = 2000
CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class FolderDataset:
    """Decoded pictures and their captions, row by row."""

    images: NDArray[np.uint8]
    """[N, 3, R, R], RGB; read-only, usually mapped from the cache file."""
    captions: list[list[str]]
    """At least one caption for each row."""
    names: list[str]
    """Each picture's path relative to the folder, with forward slashes; sorted."""
    fingerprint: str
    """Changes when any file's name, size or time does, and with the resolution."""
    broken: int
    """Pictures left out because they could not be decoded."""
    captionless: int
    """Pictures left out because no caption stands beside them."""
    latents: Latents | None = None
    """What made the pictures, where the data say so."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def resolution(self) -> int:
        return int(self.images.shape[-1])

    def skipped(self) -> str:
        """What was left out, in words; empty when nothing was."""
        counts = ((self.broken, "broken"), (self.captionless, "without a caption"))
        parts = [f"{count} {what}" for count, what in counts if count]
        return "skipped " + " and ".join(parts) if parts else ""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """What came of one chunk of files."""

    images: NDArray[np.uint8]
    names: list[str]
    captions: list[list[str]]
    broken: int
    captionless: int


Row = tuple[str, tuple[str, ...] | None]
"""A picture's name, and its captions; None when a .txt lies beside it."""


def cache_folder() -> Path:
    """Where decoded data sets are kept: `GLISSANDO_CACHE`, else `glissando` in the user's cache folder."""
    chosen = os.environ.get("GLISSANDO_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "glissando"


def load_decoded(
    tree: Tree,
    rows: Sequence[Row],
    look: Look,
    *,
    cache: Path,
    stem: str,
    fingerprint: str,
    workers: int | None = None,
    progress: bool = True,
) -> FolderDataset:
    """The rows' usable pictures from the cache, where `stem` names them, or decoded into it.

    When the cache cannot be written the array stays in memory.
    """
    dataset = _read_cache(cache, stem, fingerprint)
    if dataset is None:
        shape = (len(rows), 3, look.resolution, look.resolution)
        chunks = _decode(partial(decode_rows, tree, look=look), rows, workers, progress)
        dataset = _store(cache, stem, shape, fingerprint, chunks)
    return dataset


def decode_rows(tree: Tree, rows: Sequence[Row], look: Look) -> Chunk:
    """Every usable picture of the rows; of large JPEGs every pixel counts."""
    images: list[NDArray[np.uint8]] = []
    names: list[str] = []
    captions: list[list[str]] = []
    captionless = 0
    for name, known in rows:
        lines = known if known is not None else text_beside(tree, name)
        if not lines:
            captionless += 1
            continue
        try:
            images.append(square(open_rgb(io.BytesIO(tree.read(name))), look))
        except Exception:  # noqa: BLE001 - Pillow raises OSError, SyntaxError, struct.error and more for broken files
            continue
        names.append(name)
        captions.append(list(lines))
    stacked = np.stack(images) if images else np.empty((0, 3, look.resolution, look.resolution), np.uint8)
    broken = len(rows) - len(names) - captionless
    return Chunk(images=stacked, names=names, captions=captions, broken=broken, captionless=captionless)


def _decode(
    decode: Callable[[Sequence[Row]], Chunk], rows: Sequence[Row], workers: int | None, progress: bool
) -> Iterator[Chunk]:
    """Decode the rows in order, a chunk at a time, in worker processes when there are enough of them."""
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    count = workers if workers is not None else min(8, os.cpu_count() or 1)
    with tqdm(total=len(rows), desc="decoding", unit="picture", disable=not progress, dynamic_ncols=True) as bar:
        if count > 1 and len(rows) >= WORKERS_FROM:
            # spawn, because the parent may hold torch's threads, which a fork would not carry over.
            with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
                try:
                    for chunk, result in zip(chunks, pool.map(decode, chunks), strict=True):
                        yield result
                        bar.update(len(chunk))
                finally:
                    pool.shutdown(cancel_futures=True)
        else:
            for chunk in chunks:
                yield decode(chunk)
                bar.update(len(chunk))


# --- the cache ------------------------------------------------------------------------------------------------------


def _store(cache: Path, stem: str, shape: tuple[int, ...], fingerprint: str, chunks: Iterator[Chunk]) -> FolderDataset:
    """Gather the chunks into the cache; into memory where the cache cannot be written."""
    unfinished = cache / f"{stem}.{os.getpid()}.partial"
    images: NDArray[np.uint8]
    try:
        cache.mkdir(parents=True, exist_ok=True)
        images = np.memmap(unfinished, np.uint8, "w+", shape=shape)
        _reserve(unfinished, images.nbytes)
        on_disk = True
    except OSError:
        _remove(unfinished)
        images = np.empty(shape, np.uint8)
        on_disk = False
    names: list[str] = []
    captions: list[list[str]] = []
    broken = captionless = 0
    try:
        for chunk in chunks:
            images[len(names) : len(names) + len(chunk.names)] = chunk.images
            names += chunk.names
            captions += chunk.captions
            broken += chunk.broken
            captionless += chunk.captionless
    except BaseException:
        _remove(unfinished)
        raise
    images = images[: len(names)]
    dataset = FolderDataset(
        images=images, captions=captions, names=names, fingerprint=fingerprint, broken=broken, captionless=captionless
    )
    if not on_disk or not names:
        _remove(unfinished)
        images.flags.writeable = False
        return dataset
    try:
        _write_cache(cache, stem, unfinished, dataset)
    except OSError:
        _remove(unfinished)
        return dataset
    return _read_cache(cache, stem, fingerprint) or dataset


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _reserve(path: Path, size: int) -> None:
    """Ask for the file's blocks now: a mapped file on a full disk would end the process when it is touched."""
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, max(size, 1))


def _write_cache(cache: Path, stem: str, unfinished: Path, dataset: FolderDataset) -> None:
    """Put the pixels in place, then the index that names them; what an older index named is removed."""
    if isinstance(dataset.images.base, np.memmap):
        dataset.images.base.flush()
    pixels = cache / f"{stem}-{dataset.fingerprint[:16]}.u8"
    os.replace(unfinished, pixels)
    index = {
        "fingerprint": dataset.fingerprint,
        "pixels": pixels.name,
        "shape": list(dataset.images.shape),
        "names": dataset.names,
        "captions": dataset.captions,
        "broken": dataset.broken,
        "captionless": dataset.captionless,
    }
    temporary = cache / f"{stem}.{os.getpid()}.json.partial"
    temporary.write_text(json.dumps(index), encoding="utf-8")
    os.replace(temporary, cache / f"{stem}.json")
    for old in cache.glob(f"{stem}-*.u8"):
        if old != pixels:
            # Windows keeps files that another process has mapped; they go the next time.
            _remove(old)


def _read_cache(cache: Path, stem: str, fingerprint: str) -> FolderDataset | None:
    """The cached data set when it is whole and of this fingerprint, else None."""
    try:
        index: dict[str, Any] = json.loads((cache / f"{stem}.json").read_text(encoding="utf-8"))
        if index["fingerprint"] != fingerprint:
            return None
        images = np.memmap(cache / index["pixels"], np.uint8, "r", shape=tuple(index["shape"]))
        return FolderDataset(
            images=images,
            captions=index["captions"],
            names=index["names"],
            fingerprint=fingerprint,
            broken=index["broken"],
            captionless=index["captionless"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None  # missing, cut short or foreign: decode again
