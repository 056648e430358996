"""`glissando data build`: any sources as WebDataset shards, shuffled once, cut and resized if wanted.

A shard is written beside its name and renamed when it is whole, and what it holds depends on the sources and the
settings alone: a build that was stopped goes on with the shards that are missing.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from core.words import words
from training.datasets.config import Condition, Resize, SourceSpec
from training.datasets.decoded import cache_folder
from training.datasets.decoding import spool_folder
from training.datasets.errors import DataError
from training.datasets.labels import UNLABELLED, merged
from training.datasets.listing import Row
from training.datasets.pictures import Look, open_rgb, square
from training.datasets.reading import Portion, RawSample, Rows, Shard, in_order
from training.datasets.shards import INDEX_FORMAT, INDEX_NAME, ShardSource
from training.datasets.sources import Source, holds, open_source, relabelled
from training.datasets.tar import FileReader, TarError, captions_of, index_tar
from training.datasets.trees import Tree

PLAN_NAME = "build.json"
_VERSION = 1
_WORDS = 50_000


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """How shards are made. Raises `DataError` for numbers out of range."""

    resolution: int = 0
    """Pictures are cut square and resized to this side; 0 keeps the files as they are."""
    resize: Resize = "area"
    quality: int = 0
    """Of JPEG, 1 to 100; 0 writes PNG, without loss. Only where pictures are resized."""
    pictures: int = 1000
    """In a shard. A source in shards keeps its own."""
    seed: int = 0
    """Of the shuffle."""

    def __post_init__(self) -> None:
        for name, least, most in (("resolution", 0, 1 << 14), ("quality", 0, 100), ("pictures", 1, 1 << 24)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise DataError(f"{name}: expected a whole number from {least} to {most}, got {value!r}")
        if type(self.seed) is not int or self.seed < 0:
            raise DataError(f"seed: expected a number from 0, got {self.seed!r}")


class Made(NamedTuple):
    """What one shard holds."""

    pictures: int
    """In it."""
    left_out: int
    """Broken, or without a caption or class."""
    words: Counter[str]


@dataclass(frozen=True, kw_only=True)
class Built:
    """What a build gave."""

    shards: int
    pictures: int
    left_out: int
    condition: Condition
    """What the pictures come with."""


@dataclass(frozen=True, kw_only=True)
class _Unit:
    """One shard to write."""

    number: int
    portions: tuple[Portion, ...]
    expected: int
    condition: Condition
    labelled: bool
    """Whether class numbers are written."""

    @property
    def name(self) -> str:
        return f"{self.number:05d}.tar"


def build(
    specs: Sequence[SourceSpec],
    out: Path,
    config: BuildConfig,
    *,
    workers: int = 1,
    progress: bool = True,
    cache: Path | None = None,
) -> Built:
    """Write 00000.tar and so on, and an index.json that says how many samples each has.

    Pictures are kept that have captions; where no source has captions, those that have a class; where none has classes
    either, all of them. Class numbers are written where every source has classes. Run again, it goes on.

    Raises `DataError` when `out` holds something else, when it cannot be written, and when there is nothing to write.
    """
    if any(spec.weight != 1 for spec in specs):
        raise DataError("weights belong to training: give the shards to `glissando train gan` with one")
    cache = cache if cache is not None else cache_folder()
    sources = [open_source(spec, cache=cache, condition=None, progress=progress) for spec in specs]
    held = [holds(source) for source in sources]
    condition: Condition = "captions" if "captions" in held else "classes" if "classes" in held else "none"
    class_names: tuple[str, ...] = ()
    if all(source.class_names for source in sources):
        class_names = merged([(source.label, source.class_names) for source in sources])
        sources = [relabelled(source, class_names) for source in sources]
    elif condition == "classes":
        without = next(source.label for source in sources if not source.class_names)
        raise DataError(f"{without}: has no classes, though other sources have; build shards of it alone")
    units = _units(sources, config, spool_folder(cache), condition, bool(class_names))
    _begin(out, {"version": _VERSION, **asdict(config), "sources": [source.fingerprint for source in sources]})
    made: list[Made] = []
    try:
        with tqdm(
            total=sum(unit.expected for unit in units), unit="picture", disable=None if progress else True
        ) as bar:
            for unit, result in zip(units, in_order(partial(_make, out, config), units, workers), strict=True):
                made.append(result)
                bar.update(unit.expected)
        pictures = sum(result.pictures for result in made)
        if not pictures:
            raise DataError(
                f"no usable picture in {', '.join(spec.place for spec in specs)}; `glissando data check` tells more"
            )
        counts = {unit.name: result.pictures for unit, result in zip(units, made, strict=True)}
        known: Counter[str] = Counter()
        for result in made:
            known.update(result.words)
        index = {
            "format": INDEX_FORMAT,
            "pictures": pictures,
            "shards": counts,
            "vocabulary": sorted(word for word, _ in known.most_common(_WORDS)),
        }
        if class_names:
            index["classes"] = class_names
        _write(out / INDEX_NAME, json.dumps(index, ensure_ascii=False).encode())
    except OSError as error:
        raise DataError(f"{out}: cannot write the shards: {error.strerror or error}; run it again to go on") from None
    return Built(
        shards=len(units), pictures=pictures, left_out=sum(result.left_out for result in made), condition=condition
    )


def _units(
    sources: Sequence[Source], config: BuildConfig, spool: Path, condition: Condition, labelled: bool
) -> list[_Unit]:
    rows: list[tuple[Tree, Row]] = []
    shards: list[tuple[Shard, int]] = []
    for source in sources:
        if isinstance(source, ShardSource):
            places = zip(source.places, source.counts, strict=True)
            shards += [(Shard(place=place, spool=spool), count) for place, count in places]
            continue
        usable = source.rows
        if condition == "captions":
            usable = tuple(row for row in usable if row.captions or row.text is not None)
        rows += ((source.tree, row) for row in usable)
    shuffled = [rows[row] for row in np.random.default_rng([config.seed, 1]).permutation(len(rows))]
    units: list[_Unit] = []

    def unit(portions: tuple[Portion, ...], expected: int) -> _Unit:
        return _Unit(number=len(units), portions=portions, expected=expected, condition=condition, labelled=labelled)

    for start in range(0, len(shuffled), config.pictures):
        part = shuffled[start : start + config.pictures]
        units.append(unit(tuple(Rows(tree=tree, rows=(row,)) for tree, row in part), len(part)))
    for number in np.random.default_rng([config.seed, 2]).permutation(len(shards)):
        shard, count = shards[number]
        units.append(unit((replace(shard, shuffle=(config.seed, 3, len(units))),), count))
    return units


def _begin(out: Path, plan: dict[str, Any]) -> None:
    """Make the folder, or find the same build in it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if (out / PLAN_NAME).exists():
            try:
                found = json.loads((out / PLAN_NAME).read_text(encoding="utf-8"))
            except ValueError:
                found = None
            if found != plan:
                raise DataError(
                    f"{out}: holds shards of other sources or settings (or the sources have changed); "
                    "choose another folder, or remove this one"
                )
        elif any(out.iterdir()):
            raise DataError(f"{out}: expected an empty folder, or one with a build to go on with; it holds other files")
        else:
            _write(out / PLAN_NAME, json.dumps(plan, indent=1).encode())
    except OSError as error:
        raise DataError(f"{out}: cannot write here: {error.strerror or error}") from None


def _make(out: Path, config: BuildConfig, unit: _Unit) -> Made:
    """Write one shard, or look at it when it is there already."""
    path = out / unit.name
    if path.exists():
        return _look_at(path, unit.expected)
    pictures, read = 0, 0
    known: Counter[str] = Counter()
    partial_path = path.with_name(path.name + ".partial")
    with open(partial_path, "wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for found in (found for portion in unit.portions for found in portion.read()):
                read += 1
                encoded = _encode(found, config) if _is_wanted(found, unit.condition) else None
                if encoded is None:
                    continue
                data, suffix = encoded
                stem = f"{unit.number:05d}{pictures:06d}"
                _add(tar, f"{stem}.{suffix}", data)
                if found.captions:
                    _add(tar, f"{stem}.txt", "\n".join(found.captions).encode("utf-8", "replace"))
                if unit.labelled and found.class_number != UNLABELLED:
                    _add(tar, f"{stem}.cls", str(found.class_number).encode())
                known.update(word for caption in found.captions for word in words(caption))
                pictures += 1
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial_path, path)
    return Made(pictures, read - pictures, known)


def _is_wanted(found: RawSample, condition: Condition) -> bool:
    if found.problem or (condition == "captions" and not found.captions):
        return False
    return condition != "classes" or found.class_number != UNLABELLED


def _encode(found: RawSample, config: BuildConfig) -> tuple[bytes, str] | None:
    """A picture's bytes as they are written, and the ending of their name; None when it is broken."""
    try:
        if not config.resolution:
            open_rgb(io.BytesIO(found.data))
            with Image.open(io.BytesIO(found.data)) as opened:
                return found.data, "jpg" if opened.format in ("JPEG", "MPO") else str(opened.format).lower()
        look = Look(resolution=config.resolution, resize=config.resize)
        pixels = square(open_rgb(io.BytesIO(found.data), side=config.resolution), look)
        file = io.BytesIO()
        picture = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        if config.quality:
            picture.save(file, format="JPEG", quality=config.quality, subsampling=0)
            return file.getvalue(), "jpg"
        picture.save(file, format="PNG")
        return file.getvalue(), "png"
    except Exception:  # noqa: BLE001 - Pillow raises OSError, SyntaxError, struct.error and more for broken files
        return None


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)  # its time is 0: the same sources give the same shards
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _look_at(path: Path, expected: int) -> Made:
    known: Counter[str] = Counter()
    with open(path, "rb") as file:
        reader = FileReader(file)
        try:
            samples = index_tar(reader, None).samples
        except TarError:
            raise DataError(f"{path}: is no shard; remove it and run this again") from None
        for sample in samples:
            known.update(word for caption in captions_of(reader, sample) for word in words(caption))
    return Made(len(samples), expected - len(samples), known)


def _write(path: Path, data: bytes) -> None:
    partial_path = path.with_name(path.name + ".partial")
    with open(partial_path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial_path, path)
