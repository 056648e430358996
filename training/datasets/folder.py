"""A folder of captioned pictures as arrays: every picture has a .txt of captions beside it, one caption a line.

Pictures are decoded once, by a few worker processes, cropped and resized, and kept as one uint8 array [N, 3, R, R] in
the user's cache folder, keyed by the names, sizes and times of the files; the next start only maps that file.
`BatchStream` deals out the rows in an order that depends on a seed alone and can be resumed at any batch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tqdm import tqdm

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})

# Raise when what is cached for a given folder would differ: it is part of the fingerprint.
CACHE_VERSION = 1

# Below this many pictures the start of worker processes costs more than it saves.
_WORKERS_FROM = 2000
_CHUNK = 256


class FolderError(ValueError):
    """A folder that cannot be trained on; the message says what was expected, what was found and what to do."""


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


def load_folder(
    folder: str | os.PathLike[str],
    resolution: int,
    *,
    workers: int | None = None,
    cache: Path | None = None,
    progress: bool = True,
) -> FolderDataset:
    """Read every captioned picture below `folder` as uint8 [3, resolution, resolution].

    Pictures that are not square lose their longer side's ends; larger ones are averaged down (area), smaller ones
    enlarged bicubically. Broken and captionless pictures are left out and counted. `cache` is the folder for the
    decoded array (default: the user's cache folder, or `GLISSANDO_CACHE`); when it cannot be written the array stays
    in memory. `workers` is the number of decoding processes.

    Raises `FolderError` when the folder is missing or has no usable picture.
    """
    root = Path(folder)
    if not root.exists():
        raise FolderError(f"{root}: no such folder; expected pictures with a .txt of captions beside each")
    if not root.is_dir():
        raise FolderError(f"{root}: expected a folder of pictures with a .txt of captions beside each, got a file")
    if resolution < 1:
        raise FolderError(f"expected a resolution of 1 or more, got {resolution}")
    names, captionless, fingerprint = _scan(root, resolution)
    if not names and not captionless:
        raise FolderError(
            f"{root}: no pictures found (looked for {', '.join(sorted(PICTURE_SUFFIXES))}, in subfolders too)"
        )
    if not names:
        raise FolderError(
            f"{root}: none of its {captionless} pictures has captions; put NAME.txt beside NAME.png, one caption a line"
        )

    cache = cache if cache is not None else cache_folder()
    stem = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16] + f"-{resolution}"
    dataset = _read_cache(cache, stem, fingerprint)
    if dataset is None:
        shape = (len(names), 3, resolution, resolution)
        dataset = _store(cache, stem, shape, fingerprint, _decode(root, names, resolution, workers, progress))
    dataset = replace(dataset, captionless=dataset.captionless + captionless)
    if not len(dataset):
        raise FolderError(
            f"{root}: no usable picture: {dataset.broken} broken, "
            f"{dataset.captionless} without a caption; check that the files are whole"
        )
    return dataset


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


def order(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The rows of epoch `epoch` in the order they are seen: a permutation of range(n) that depends on the three
    numbers alone."""
    return np.random.default_rng([seed, epoch]).permutation(n).astype(np.int64)


class BatchStream:
    """Endless batches of row numbers, each epoch in its own order; a batch may reach over the end of an epoch.

    The state is two numbers, so a resumed run sees exactly the batches an uninterrupted one would have. Raises
    `ValueError` for numbers below 1 and for the state of another data set.
    """

    def __init__(self, n: int, batch: int, seed: int) -> None:
        if n < 1 or batch < 1:
            raise ValueError(
                f"expected at least one row and a batch of at least 1, got {n} rows and a batch of {batch}"
            )
        self.n, self.batch, self.seed = n, batch, seed
        self.epoch = 0
        self.position = 0
        self._order = order(n, seed, 0)

    def next(self) -> NDArray[np.int64]:
        """The next batch: int64 [batch], in [0, n)."""
        parts: list[NDArray[np.int64]] = []
        missing = self.batch
        while missing > 0:
            if self.position == self.n:
                self.epoch, self.position = self.epoch + 1, 0
                self._order = order(self.n, self.seed, self.epoch)
            part = self._order[self.position : self.position + missing]
            parts.append(part)
            self.position += len(part)
            missing -= len(part)
        return np.concatenate(parts)

    def state_dict(self) -> dict[str, int]:
        return {"n": self.n, "seed": self.seed, "epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        if state["n"] != self.n:
            raise ValueError(
                f"the data has changed: the saved state is of {state['n']} pictures, "
                f"now there are {self.n}; start a new run"
            )
        if state["seed"] != self.seed:
            raise ValueError(f"the saved state is of seed {state['seed']}, this run's is {self.seed}")
        self.epoch, self.position = state["epoch"], state["position"]
        self._order = order(self.n, self.seed, self.epoch)


# --- finding the files ----------------------------------------------------------------------------------------------


def _scan(root: Path, resolution: int) -> tuple[list[str], int, str]:
    """(relative paths of the pictures that have a .txt, how many have none, fingerprint of all of it)."""
    pictures: list[tuple[str, os.stat_result]] = []
    texts: dict[str, os.stat_result] = {}
    for relative, stat in _files(root, ""):
        stem, suffix = os.path.splitext(relative)
        if suffix.lower() in PICTURE_SUFFIXES:
            pictures.append((relative, stat))
        elif suffix.lower() == ".txt":
            texts[stem] = stat
    pictures.sort(key=lambda item: item[0])
    digest = hashlib.sha256(f"{CACHE_VERSION} {resolution}\n".encode())
    captioned: list[str] = []
    for relative, stat in pictures:
        text = texts.get(os.path.splitext(relative)[0])
        if text is not None:
            captioned.append(relative)
        marks = (stat.st_size, stat.st_mtime_ns, text.st_size if text else -1, text.st_mtime_ns if text else -1)
        digest.update(f"{relative}\0{marks}\n".encode("utf-8", "surrogateescape"))
    return captioned, len(pictures) - len(captioned), digest.hexdigest()


def _files(root: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every file below `root`: its path with forward slashes, and its stat. Hidden folders and unreadable entries are
    passed over."""
    with os.scandir(root / prefix) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_dir():
                    yield from _files(root, prefix + entry.name + "/")
                elif entry.is_file():
                    yield prefix + entry.name, entry.stat()
            except OSError:
                continue


# --- decoding -------------------------------------------------------------------------------------------------------


def read_picture(path: str | os.PathLike[str], resolution: int) -> NDArray[np.uint8]:
    """One picture, centre-cropped to a square and resized: uint8 [3, resolution, resolution].

    The camera's orientation mark is obeyed; transparency becomes white. Raises what Pillow raises for a broken file.
    """
    with warnings.catch_warnings():
        # Pillow warns about very large or slightly odd files that it reads all the same.
        warnings.simplefilter("ignore")
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            picture = picture.convert("RGB")
    width, height = picture.size
    side = min(width, height)
    if (width, height) != (resolution, resolution):
        left, top = (width - side) // 2, (height - side) // 2
        method = Image.Resampling.BOX if side >= resolution else Image.Resampling.BICUBIC
        picture = picture.resize((resolution, resolution), method, box=(left, top, left + side, top + side))
    return np.ascontiguousarray(np.asarray(picture, dtype=np.uint8).transpose(2, 0, 1))


def read_captions(path: str | os.PathLike[str]) -> list[str]:
    """The captions of a .txt: one a line, blank lines left out. Bytes that are not UTF-8 are replaced."""
    text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


@dataclass(frozen=True, kw_only=True)
class _Chunk:
    """What came of one chunk of files."""

    images: NDArray[np.uint8]
    names: list[str]
    captions: list[list[str]]
    broken: int
    captionless: int


def _decode_chunk(root: str, names: Sequence[str], resolution: int) -> _Chunk:
    images: list[NDArray[np.uint8]] = []
    kept: list[str] = []
    captions: list[list[str]] = []
    captionless = 0
    for name in names:
        path = os.path.join(root, name)
        try:
            lines = read_captions(os.path.splitext(path)[0] + ".txt")
        except OSError:
            lines = []
        if not lines:
            captionless += 1
            continue
        try:
            images.append(read_picture(path, resolution))
        except Exception:  # noqa: BLE001 - Pillow raises OSError, SyntaxError, struct.error and more for broken files
            continue
        kept.append(name)
        captions.append(lines)
    stacked = np.stack(images) if images else np.empty((0, 3, resolution, resolution), np.uint8)
    broken = len(names) - len(kept) - captionless
    return _Chunk(images=stacked, names=kept, captions=captions, broken=broken, captionless=captionless)


def _decode(root: Path, names: list[str], resolution: int, workers: int | None, progress: bool) -> Iterator[_Chunk]:
    """Decode `names` in order, a chunk at a time, in worker processes when there are enough of them."""
    decode = partial(_decode_chunk, str(root), resolution=resolution)
    chunks = [names[start : start + _CHUNK] for start in range(0, len(names), _CHUNK)]
    count = workers if workers is not None else min(8, os.cpu_count() or 1)
    with tqdm(total=len(names), desc="decoding", unit="picture", disable=not progress, dynamic_ncols=True) as bar:
        if count > 1 and len(names) >= _WORKERS_FROM:
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


def _store(cache: Path, stem: str, shape: tuple[int, ...], fingerprint: str, chunks: Iterator[_Chunk]) -> FolderDataset:
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
