"""Pictures decoded once and kept: one uint8 array [N, 3, R, R] in the user's cache folder, which the next start only
maps, with their captions and names in a JSON file beside it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.datasets.config import Condition
from training.datasets.errors import DataError
from training.datasets.findings import joined
from training.datasets.listing import Row, captions_of_row, digest, texts_beside
from training.datasets.paired import Latents, read_latents
from training.datasets.pictures import Look, is_picture, open_rgb, square
from training.datasets.sources import ListedSource
from training.datasets.trees import FolderTree, Tree

# Below this many pictures the start of worker processes costs more than it saves.
WORKERS_FROM = 2000
CHUNK = 256

# Raise when what is cached for given files would differ: they are part of the fingerprint.
_PLAIN_VERSION = 1
_DECODED_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class FolderDataset:
    """Decoded pictures with their captions and classes, row by row."""

    images: NDArray[np.uint8]
    """[N, 3, R, R], RGB; read-only, usually mapped from the cache file."""
    captions: list[list[str]]
    """Of each row at least one; none where data were not opened for captions."""
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
    unlabelled: int = 0
    """Pictures left out because they have no class."""
    classes: NDArray[np.int64] | None = None
    """[N], the class number of each row, `UNLABELLED` where it has none; None is that for all."""
    class_names: tuple[str, ...] = ()
    """Of each class number."""
    condition: Condition = "captions"
    """What the rows were chosen for."""
    notes: tuple[str, ...] = ()
    """What a person should know about the data, a line each."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def resolution(self) -> int:
        return int(self.images.shape[-1])

    def skipped(self) -> str:
        """What was left out, in words; empty when nothing was."""
        counts = (
            (self.broken, "broken"),
            (self.captionless, "without a caption"),
            (self.unlabelled, "without a class"),
        )
        parts = [f"{count} {what}" for count, what in counts if count]
        return joined(["skipped " + " and ".join(parts) if parts else "", *self.notes])


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """What came of one chunk of files."""

    images: NDArray[np.uint8]
    names: list[str]
    captions: list[list[str]]
    broken: int
    captionless: int


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
    source: ListedSource,
    look: Look,
    condition: Condition,
    *,
    cache: Path,
    template: str = "",
    workers: int | None = None,
    progress: bool = True,
) -> FolderDataset:
    """The usable pictures of a source from the cache, or decoded into it.

    When the cache cannot be written the array stays in memory. Raises `DataError` when no picture can be used.
    """
    stem, fingerprint = _keys(source, look, condition, template)
    dataset = _read_cache(cache, stem, fingerprint)
    if dataset is None:
        shape = (len(source), 3, look.resolution, look.resolution)
        decode = partial(decode_rows, source.tree, look=look, condition=condition)
        dataset = _store(cache, stem, shape, fingerprint, _decode(decode, source.rows, workers, progress))
    numbers = {row.name: row.class_number for row in source.rows}
    dataset = replace(
        dataset,
        captionless=dataset.captionless + source.captionless,
        unlabelled=source.unlabelled,
        classes=np.array([numbers[name] for name in dataset.names], np.int64),
        class_names=source.class_names,
        condition=condition,
        notes=source.findings.notes(),
    )
    if not len(dataset):
        others = {
            "captions": f", {dataset.captionless} without a caption",
            "classes": f", {dataset.unlabelled} without a class",
            "none": "",
        }
        raise DataError(
            f"{source.label}: no usable picture: {dataset.broken} broken{others[condition]}; "
            "`glissando data check` tells more"
        )
    return replace(dataset, latents=_latents(source, dataset.names, condition))


def _latents(source: ListedSource, names: Sequence[str], condition: Condition) -> Latents | None:
    """What made the pictures of these names; None unless the data are a captioned folder that says so."""
    if condition != "captions" or not source.plain or not isinstance(source.tree, FolderTree):
        return None
    latents = read_latents(source.tree.root, len(source))
    if latents is None or len(names) == len(source):
        return latents
    places = {row.name: number for number, row in enumerate(source.rows)}
    return replace(latents, rows=latents.rows[[places[name] for name in names]])


def decode_rows(tree: Tree, rows: Sequence[Row], look: Look, condition: Condition = "captions") -> Chunk:
    """Every usable picture of the rows; of large JPEGs every pixel counts."""
    images: list[NDArray[np.uint8]] = []
    names: list[str] = []
    captions: list[list[str]] = []
    captionless = 0
    for row in rows:
        lines = captions_of_row(tree, row)
        if condition == "captions" and not lines:
            captionless += 1
            continue
        try:
            images.append(square(open_rgb(io.BytesIO(tree.read(row.name))), look))
        except Exception:  # noqa: BLE001 - Pillow raises OSError, SyntaxError, struct.error and more for broken files
            continue
        names.append(row.name)
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


def _keys(source: ListedSource, look: Look, condition: Condition, template: str) -> tuple[str, str]:
    """(name of the cached files, fingerprint of what they hold)."""
    if condition == "captions" and source.plain and look == Look(resolution=look.resolution):
        place = str(Path(source.label).resolve())
        stem = hashlib.sha256(place.encode()).hexdigest()[:16] + f"-{look.resolution}"
        return stem, _plain_fingerprint(source.tree, look.resolution)
    named = [] if condition == "captions" else [condition]
    stem = digest([os.path.abspath(source.label), template, repr(look), *named])[:24]
    return stem, digest([repr((_DECODED_VERSION, look, source.fingerprint)), *named])


def _plain_fingerprint(tree: Tree, resolution: int) -> str:
    """Of a folder with a .txt beside each picture: as runs begun by earlier versions know it."""
    files = tree.files()
    pictures = sorted(name for name in files if is_picture(name))
    texts = texts_beside(files, pictures)
    made = hashlib.sha256(f"{_PLAIN_VERSION} {resolution}\n".encode())
    for name in pictures:
        text = files.get(texts.get(name, ""))
        marks = (*files[name], *(text if text is not None else (-1, -1)))
        made.update(f"{name}\0{marks}\n".encode("utf-8", "surrogateescape"))
    return made.hexdigest()


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
