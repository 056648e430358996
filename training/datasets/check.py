"""`glissando data check`: what sources hold, before a run finds out: captions, classes or neither, broken and duplicate
pictures, sizes, and what the captions are like."""

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
from training.datasets.config import Condition, SourceSpec
from training.datasets.decoded import cache_folder
from training.datasets.decoding import spool_folder
from training.datasets.errors import DataError
from training.datasets.labels import UNLABELLED
from training.datasets.pictures import Look, open_rgb, picture_kind, square
from training.datasets.reading import Portion, RawSample, Rows, Shard, in_order
from training.datasets.shards import ShardSource
from training.datasets.sources import Source, open_source

PORTION = 64
TILE = 192
LONG = 55
"""Words above which a caption is likely to be cut by CLIP's tokenizer, which reads 77 tokens."""
_EXAMPLES = 10
_CLASSES_SHOWN = 5
_FOR: dict[Condition, str] = {
    "captions": "with captions",
    "classes": "by class, or without a condition (there are no captions)",
    "none": "without a condition (there are neither captions nor classes)",
}


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
    class_number: int
    encoding: str
    refused: int
    kind: str
    """How its pixels are stored."""
    animated: bool
    brightest: int
    """The largest value of a channel."""
    problem: str
    tile: NDArray[np.uint8] | None


@dataclass(kw_only=True)
class CheckReport:
    """What a check found. A broken picture is counted as that alone."""

    sources: list[dict[str, Any]] = field(default_factory=list)
    pictures: int = 0
    """All that were looked at."""
    condition: Condition = "none"
    """The most that the data can be used for: methods with captions, by class, or without either."""
    usable: int = 0
    """For `condition`."""
    broken: int = 0
    captioned: int = 0
    captionless: int = 0
    labelled: int = 0
    unlabelled: int = 0
    classes: dict[str, Any] = field(default_factory=dict)
    """`from`, where they were found, and `pictures`, how many each class name has, by source."""
    duplicates: int = 0
    """Whole pictures whose file is the same, byte for byte, as one before."""
    missing: int = 0
    """Captions and classes for pictures that are not there."""
    unreadable: int = 0
    """Rows of metadata files that could not be understood."""
    refused_lines: int = 0
    """Lines of .txt files with bytes that are no text."""
    encodings: dict[str, int] = field(default_factory=dict)
    """How many .txt files were read in which encoding."""
    kinds: dict[str, int] = field(default_factory=dict)
    """How many whole pictures have which kind of pixels, in Pillow's words."""
    animated: int = 0
    """Of which the first frame or page is used."""
    nearly_black: int = 0
    """Whole pictures without a pixel as bright as 1/16 of white: is their bit depth told rightly?"""
    findings: dict[str, Any] = field(default_factory=dict)
    """By source: how metadata files were read, and which files were not used."""
    empty_shards: int = 0
    bytes: int = 0
    width: dict[str, int] = field(default_factory=dict)
    """smallest, median and largest, in pixels."""
    height: dict[str, int] = field(default_factory=dict)
    not_square: int = 0
    captions: dict[str, Any] = field(default_factory=dict)
    found_lines: list[str] = field(default_factory=list)
    """The findings as lines."""
    dark_examples: list[str] = field(default_factory=list)
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
        self._sources: list[Source] = [open_source(spec, cache=self._cache, condition=None) for spec in specs]
        self.report = CheckReport()
        self.tiles: list[tuple[NDArray[np.uint8], str]] = []
        """Pictures [192, 192, 3] and a caption of each, the same ones every time."""
        self._sizes: list[tuple[int, int]] = []
        self._files: dict[bytes, str] = {}
        self._captions: Counter[str] = Counter()
        self._classes: Counter[int] = Counter()
        self._tiles: list[tuple[bytes, NDArray[np.uint8], str]] = []

    def run(self, *, workers: int = 1, progress: bool = True) -> CheckReport:
        """Look at everything. Raises `DataError` when a source cannot be reached."""
        total = sum(len(source) for source in self._sources)
        for source in self._sources:
            portions = self._portions(source)[:: self._every]
            share = min(1.0, 4 * self._sheet * self._every / max(1, total))
            before = dataclasses.replace(self.report)
            self._classes.clear()
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
        starts = range(0, len(source), PORTION)
        return [Rows(tree=source.tree, rows=source.rows[start : start + PORTION]) for start in starts]

    def _add(self, picture: CheckedPicture) -> None:
        report = self.report
        report.pictures += 1
        report.bytes += picture.size
        if picture.problem:
            report.broken += 1
            if len(report.broken_examples) < _EXAMPLES:
                report.broken_examples.append(f"{printable(picture.name)}: {printable(picture.problem)}")
            return
        report.kinds[picture.kind] = report.kinds.get(picture.kind, 0) + 1
        report.animated += picture.animated
        if picture.brightest < 16:
            report.nearly_black += 1
            if len(report.dark_examples) < _EXAMPLES:
                report.dark_examples.append(printable(picture.name))
        if picture.encoding:
            report.encodings[picture.encoding] = report.encodings.get(picture.encoding, 0) + 1
        report.refused_lines += picture.refused
        report.captioned += bool(picture.captions)
        report.captionless += not picture.captions
        report.labelled += picture.class_number != UNLABELLED
        report.unlabelled += picture.class_number == UNLABELLED
        self._classes[picture.class_number] += 1
        first = self._files.setdefault(picture.digest, picture.name)
        if first != picture.name:
            report.duplicates += 1
            if len(report.duplicate_examples) < _EXAMPLES:
                report.duplicate_examples.append(f"{printable(picture.name)} = {printable(first)}")
        report.not_square += picture.width != picture.height
        self._sizes.append((picture.width, picture.height))
        self._captions.update(picture.captions)
        if picture.tile is not None and first == picture.name:
            self._tiles.append((picture.digest, picture.tile, picture.captions[0] if picture.captions else ""))
            if len(self._tiles) > 2 * self._sheet:
                self._tiles = sorted(self._tiles, key=lambda tile: tile[0])[: self._sheet]

    def _end(self, source: Source, before: CheckReport) -> None:
        report = self.report
        if isinstance(source, ShardSource):
            report.empty_shards += source.empty
        else:
            report.missing += source.findings.missing
            report.unreadable += source.findings.unreadable
            report.findings[printable(source.label)] = source.findings.to_json()
            report.found_lines += map(printable, source.findings.describe())
        row: dict[str, Any] = {"place": printable(source.label)}
        if isinstance(source, ShardSource):
            row["shards"] = len(source.places) + source.empty
        for name in ("pictures", "broken", "captioned", "captionless", "labelled", "unlabelled", "duplicates"):
            row[name] = getattr(report, name) - getattr(before, name)
        if source.class_names:
            pictures = {name: self._classes[number] for number, name in enumerate(source.class_names)}
            report.classes[printable(source.label)] = {"from": source.classes_from, "pictures": pictures}
        report.sources.append(row)

    def _summarise(self) -> None:
        report, counts = self.report, self._captions
        report.condition = "captions" if report.captioned else "classes" if report.classes else "none"
        for row in report.sources:
            whole = row["captioned"] + row["captionless"]
            row["usable"] = {"captions": row["captioned"], "classes": row["labelled"], "none": whole}[report.condition]
        report.usable = sum(row["usable"] for row in report.sources)
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
                "a_picture": round(counts.total() / max(1, report.captioned), 2),
                "words": {"fewest": lengths[0], "median": int(statistics.median(lengths)), "most": lengths[-1]},
                "long": sum(length > LONG for length in lengths),
                "vocabulary": len(vocabulary),
                "most_frequent": [[printable(caption), count] for caption, count in counts.most_common(5)],
            }
        self.tiles = [
            (tile, caption) for _, tile, caption in sorted(self._tiles, key=lambda tile: tile[0])[: self._sheet]
        ]


def _look_at(share: float, portion: Portion) -> list[CheckedPicture]:
    return [_look_at_one(share, found) for found in portion.read()]


def _look_at_one(share: float, found: RawSample) -> CheckedPicture:
    digest = hashlib.blake2b(found.data, digest_size=16).digest()
    width = height = brightest = 0
    kind, animated = "", False
    problem, tile = found.problem, None
    if not problem:
        try:
            picture = open_rgb(io.BytesIO(found.data))
            width, height = picture.size
            brightest = int(np.max(picture.getextrema()))
            kind, animated = picture_kind(found.data)
            if int.from_bytes(digest[:4], "big") < share * 2**32:
                tile = square(picture, Look(resolution=TILE)).transpose(1, 2, 0)
        except Exception as error:  # noqa: BLE001 - Pillow raises OSError, SyntaxError, struct.error and more for broken files
            problem = str(error) if not isinstance(error, OSError) else "no picture that can be read"
            problem = problem or type(error).__name__
    return CheckedPicture(
        name=found.name,
        size=len(found.data),
        width=width,
        height=height,
        digest=digest,
        captions=found.captions,
        class_number=found.class_number,
        encoding=found.encoding,
        refused=found.refused,
        kind=kind,
        animated=animated,
        brightest=brightest,
        problem=problem,
        tile=tile,
    )


def describe(report: CheckReport) -> str:
    """The report as text."""
    lines = []
    for row in report.sources:
        shards = f" in {row['shards']} shards" if "shards" in row else ""
        lines.append(f"{row['place']}: {row['pictures']} pictures{shards}, {row['usable']} usable")
    lines.append("")
    lines.append(f"pictures      {report.pictures}, of which {report.usable} can be used ({report.bytes / 1e6:.1f} MB)")
    lines.append(f"              for methods {_FOR[report.condition]}")
    for name, text in (
        ("broken", "broken"),
        ("captionless", "without a caption"),
        ("unlabelled", "without a class"),
        ("duplicates", "duplicates"),
        ("empty_shards", "shards without a picture"),
        ("missing", "captions or classes for pictures that are not there"),
        ("unreadable", "rows of metadata that cannot be understood"),
    ):
        if name == "unlabelled" and not report.classes:
            continue
        if getattr(report, name) or name in ("broken", "captionless", "duplicates"):
            lines.append(f"              {getattr(report, name)} {text}")
    if report.kinds.keys() - {"RGB"}:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.kinds.items(), key=lambda item: -item[1]))
        lines.append(f"pixels        {kinds}")
    if report.animated:
        lines.append(f"              {report.animated} animated or of several pages: the first is used")
    if report.nearly_black:
        lines.append(f"              {report.nearly_black} nearly black, such as {', '.join(report.dark_examples[:3])}")
    if report.found_lines:
        lines.append(f"files         {report.found_lines[0]}")
        lines += [f"              {line}" for line in report.found_lines[1:]]
    if report.encodings.keys() - {"utf-8"} or report.refused_lines:
        encodings = ", ".join(f"{count} {encoding}" for encoding, count in sorted(report.encodings.items()))
        refused = f"; {report.refused_lines} lines refused, which are no text" if report.refused_lines else ""
        lines.append(f"texts         {encodings}{refused}")
    if report.width:
        square_or_not = f"; {report.not_square} are not square" if report.not_square else ""
        lines.append(f"size          {_span(report.width)} wide, {_span(report.height)} high{square_or_not}")
    for found in report.classes.values():
        lines.append(f"classes       {len(found['pictures'])}, from {printable(found['from'])}")
        lines += [f"              {line}" for line in _class_counts(found["pictures"])]
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


def _class_counts(pictures: dict[str, int]) -> list[str]:
    """The largest and smallest classes."""
    ordered = sorted(pictures.items(), key=lambda item: (-item[1], item[0]))
    shown = ordered if len(ordered) <= 2 * _CLASSES_SHOWN else ordered[:_CLASSES_SHOWN] + ordered[-_CLASSES_SHOWN:]
    lines = [f"{count} x {printable(name)}" for name, count in shown]
    if len(shown) < len(ordered):
        lines.insert(_CLASSES_SHOWN, f"... {len(ordered) - len(shown)} more ...")
    return lines


def _span(side: dict[str, int]) -> str:
    if side["smallest"] == side["largest"]:
        return str(side["largest"])
    return f"{side['smallest']} to {side['largest']} (median {side['median']})"


def printable(text: str) -> str:
    """A name or caption that a terminal takes whatever it is."""
    safe = text.encode("utf-8", "replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in safe)
