"""`glissando data check`: what sources hold, before a run finds out: broken, duplicate and captionless pictures, sizes,
and what the captions are like."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from core.words import words
from training.datasets.config import SourceSpec
from training.datasets.decoded import cache_folder
from training.datasets.decoding import spool_folder
from training.datasets.errors import DataError
from training.datasets.pictures import Look, open_rgb, square
from training.datasets.reading import Portion, Shard, in_order, portions_of
from training.datasets.shards import ShardSource
from training.datasets.sources import Source, open_source

PORTION = 64
TILE = 192
LONG = 55
"""Words above which a caption is likely to be cut by CLIP's tokenizer, which reads 77 tokens."""
_EXAMPLES = 10


class CheckedPicture(NamedTuple):
    """One picture as it was found."""

    name: str
    size: int
    """Of the file, in bytes."""
    width: int
    height: int
    """Upright; 0 by 0 when it is broken."""
    digest: bytes
    captions: tuple[str, ...]
    problem: str
    tile: NDArray[np.uint8] | None


@dataclass(kw_only=True)
class CheckReport:
    """What a check found. Pictures that cannot be used are counted once, as the first of what is wrong with them."""

    sources: list[dict[str, Any]] = field(default_factory=list)
    pictures: int = 0
    """All that were looked at."""
    usable: int = 0
    broken: int = 0
    captionless: int = 0
    duplicates: int = 0
    """Usable pictures whose file is the same, byte for byte, as one before."""
    missing: int = 0
    """Captions for pictures that are not there."""
    unreadable: int = 0
    """Rows of caption files that could not be understood."""
    empty_shards: int = 0
    bytes: int = 0
    width: dict[str, int] = field(default_factory=dict)
    """smallest, median and largest, in pixels."""
    height: dict[str, int] = field(default_factory=dict)
    not_square: int = 0
    captions: dict[str, Any] = field(default_factory=dict)
    broken_examples: list[str] = field(default_factory=list)
    duplicate_examples: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


class Check:
    """Goes through sources and gathers a report and some pictures for a contact sheet."""

    def __init__(
        self, specs: Sequence[SourceSpec], *, every: int = 1, sheet: int = 36, cache: Path | None = None
    ) -> None:
        """`every` looks at every so many-th portion of the pictures only. Raises `DataError` as opening does."""
        if every < 1:
            raise DataError(f"every: expected a whole number from 1, got {every}")
        self._cache = cache if cache is not None else cache_folder()
        self._every, self._sheet = every, sheet
        self._sources: list[Source] = [open_source(spec, cache=self._cache) for spec in specs]
        self.report = CheckReport()
        self.tiles: list[tuple[NDArray[np.uint8], str]] = []
        """Pictures [192, 192, 3] and a caption of each, the same ones every time."""
        self._sizes: list[tuple[int, int]] = []
        self._files: dict[bytes, str] = {}
        self._captions: Counter[str] = Counter()
        self._tiles: list[tuple[bytes, NDArray[np.uint8], str]] = []

    def run(self, *, workers: int = 1, progress: bool = True) -> CheckReport:
        """Look at everything. Raises `DataError` when a source cannot be reached."""
        total = sum(len(source) for source in self._sources)
        for source in self._sources:
            portions = self._portions(source)[:: self._every]
            share = min(1.0, 4 * self._sheet * self._every / max(1, total))
            before = dataclasses.replace(self.report)
            with tqdm(total=len(source) // self._every, unit="picture", disable=None if progress else True) as bar:
                for seen in in_order(partial(_look_at, share), portions, workers):
                    for picture in seen:
                        self._add(picture)
                    bar.update(len(seen))
            self._end(source, before)
        self._summarise()
        return self.report

    def _portions(self, source: Source) -> Sequence[Portion]:
        if isinstance(source, ShardSource):
            return [Shard(place=place, spool=spool_folder(self._cache)) for place in source.places]
        rows = [
            (source.tree, name, source.captions[row] if source.captions is not None else None)
            for row, name in enumerate(source.names)
        ]
        return portions_of(rows, PORTION)

    def _add(self, picture: CheckedPicture) -> None:
        report = self.report
        report.pictures += 1
        report.bytes += picture.size
        if picture.problem:
            report.broken += 1
            if len(report.broken_examples) < _EXAMPLES:
                report.broken_examples.append(f"{printable(picture.name)}: {printable(picture.problem)}")
            return
        if not picture.captions:
            report.captionless += 1
            return
        report.usable += 1
        first = self._files.setdefault(picture.digest, picture.name)
        if first != picture.name:
            report.duplicates += 1
            if len(report.duplicate_examples) < _EXAMPLES:
                report.duplicate_examples.append(f"{printable(picture.name)} = {printable(first)}")
        report.not_square += picture.width != picture.height
        self._sizes.append((picture.width, picture.height))
        self._captions.update(picture.captions)
        if picture.tile is not None and first == picture.name:
            self._tiles.append((picture.digest, picture.tile, picture.captions[0]))
            if len(self._tiles) > 2 * self._sheet:
                self._tiles = sorted(self._tiles, key=lambda tile: tile[0])[: self._sheet]

    def _end(self, source: Source, before: CheckReport) -> None:
        report = self.report
        report.captionless += source.captionless
        if isinstance(source, ShardSource):
            report.empty_shards += source.empty
        else:
            report.missing += source.missing
            report.unreadable += source.unreadable
            report.pictures += source.captionless
        row: dict[str, Any] = {"place": printable(source.label)}
        if isinstance(source, ShardSource):
            row["shards"] = len(source.places) + source.empty
        for name in ("pictures", "usable", "broken", "captionless", "duplicates"):
            row[name] = getattr(report, name) - getattr(before, name)
        report.sources.append(row)

    def _summarise(self) -> None:
        report, counts = self.report, self._captions
        if self._sizes:
            for at, name in enumerate(("width", "height")):
                sides = [size[at] for size in self._sizes]
                setattr(
                    report,
                    name,
                    {"smallest": min(sides), "median": int(statistics.median(sides)), "largest": max(sides)},
                )
        if counts:
            lengths = sorted(len(words(caption)) for caption in counts)
            vocabulary = Counter(word for caption in counts for word in set(words(caption)))
            report.captions = {
                "all": counts.total(),
                "different": len(counts),
                "a_picture": round(counts.total() / max(1, report.usable), 2),
                "words": {"fewest": lengths[0], "median": int(statistics.median(lengths)), "most": lengths[-1]},
                "long": sum(length > LONG for length in lengths),
                "vocabulary": len(vocabulary),
                "most_frequent": [[printable(caption), count] for caption, count in counts.most_common(5)],
            }
        self.tiles = [
            (tile, caption) for _, tile, caption in sorted(self._tiles, key=lambda tile: tile[0])[: self._sheet]
        ]


def _look_at(share: float, portion: Portion) -> list[CheckedPicture]:
    seen = []
    for found in portion.read():
        digest = hashlib.blake2b(found.data, digest_size=16).digest()
        if found.problem:
            seen.append(CheckedPicture(found.name, 0, 0, 0, digest, found.captions, found.problem, None))
            continue
        try:
            picture = open_rgb(io.BytesIO(found.data))
        except Exception as error:  # noqa: BLE001 - Pillow raises OSError, SyntaxError, struct.error and more for broken files
            problem = str(error) if not isinstance(error, OSError) else "no picture that can be read"
            problem = problem or type(error).__name__
            seen.append(CheckedPicture(found.name, len(found.data), 0, 0, digest, found.captions, problem, None))
            continue
        tile = None
        if int.from_bytes(digest[:4], "big") < share * 2**32:
            tile = square(picture, Look(resolution=TILE)).transpose(1, 2, 0)
        width, height = picture.size
        seen.append(CheckedPicture(found.name, len(found.data), width, height, digest, found.captions, "", tile))
    return seen


def describe(report: CheckReport) -> str:
    """The report as text."""
    lines = []
    for row in report.sources:
        shards = f" in {row['shards']} shards" if "shards" in row else ""
        lines.append(f"{row['place']}: {row['pictures']} pictures{shards}, {row['usable']} usable")
    lines.append("")
    lines.append(f"pictures      {report.pictures}, of which {report.usable} can be used ({report.bytes / 1e6:.1f} MB)")
    for name, text in (
        ("broken", "broken"),
        ("captionless", "without a caption"),
        ("duplicates", "duplicates"),
        ("empty_shards", "shards without a captioned picture"),
        ("missing", "captions for pictures that are not there"),
        ("unreadable", "rows of captions that cannot be understood"),
    ):
        if getattr(report, name) or name in ("broken", "captionless", "duplicates"):
            lines.append(f"              {getattr(report, name)} {text}")
    if report.width:
        square_or_not = f"; {report.not_square} are not square" if report.not_square else ""
        lines.append(f"size          {_span(report.width)} wide, {_span(report.height)} high{square_or_not}")
    captions = report.captions
    if captions:
        length = captions["words"]
        lines.append(
            f"captions      {captions['all']}, {captions['different']} different, {captions['a_picture']} a picture"
        )
        lines.append(f"              {length['fewest']} to {length['most']} words long (median {length['median']}),")
        lines.append(
            f"              {captions['long']} over {LONG} words, {captions['vocabulary']} different words in all"
        )
        for caption, count in captions["most_frequent"]:
            if count > 1:
                lines.append(f"              {count} x {caption[:80]}")
    for name, examples in (("broken", report.broken_examples), ("duplicates", report.duplicate_examples)):
        lines += [f"{name if at == 0 else '':13} {example}" for at, example in enumerate(examples)]
    return "\n".join(lines)


def _span(side: dict[str, int]) -> str:
    if side["smallest"] == side["largest"]:
        return str(side["largest"])
    return f"{side['smallest']} to {side['largest']} (median {side['median']})"


def printable(text: str) -> str:
    """A name or caption that a terminal takes whatever it is."""
    safe = text.encode("utf-8", "replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in safe)
