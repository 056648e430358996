"""Where shards are: a folder of .tar files, names with braces, a list in a .txt, on disk or on a web server; and how
many samples each is taken to hold.

Shards on disk are counted, once for each size and time. Of remote ones nobody wants to read all before the start: an
index.json beside them, as `glissando data build` writes it, says how many samples each has; without one, all are taken
to be as large as the first. A shard with more gives other samples each time round; one with fewer repeats some.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import urllib.parse
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from training.datasets.config import Condition, SourceSpec, is_url, place_shown
from training.datasets.errors import DataError
from training.datasets.labels import UNLABELLED
from training.datasets.remote import MissingError, RefusedError, RemoteError, small, stream
from training.datasets.tar import BLOCK, FileReader, StreamReader, TarError, captions_of, class_of, index_tar, is_tar
from training.datasets.text import decode_text

INDEX_NAME = "index.json"
INDEX_FORMAT = "glissando-shards"
MAX_SHARDS = 1_000_000
_MAX_INDEX_BYTES = 256 << 20
_FIRST_TRIES = 20
_SAMPLES_TO_TRY = 100


@dataclass(frozen=True, kw_only=True)
class ShardSource:
    """Shards that can be drawn from, in a fixed order."""

    label: str
    places: tuple[str, ...]
    """Paths or addresses of the shards that are not empty."""
    counts: tuple[int, ...]
    """How many samples each is taken to hold; 1 or more."""
    fingerprint: str
    """Changes when any shard does, as far as is known without reading it."""
    order_key: str
    """Changes when the order does in which samples are drawn."""
    empty: int
    """Shards left out because they hold no captioned picture, or are no shards."""
    captionless: int
    """Pictures in them without a caption, as far as they were counted."""
    unlabelled: int = 0
    """Pictures in them without a class, as far as they were counted."""
    class_names: tuple[str, ...] = ()
    """Of each class number; empty when there are no classes."""
    classes_from: str = ""
    """Where the classes were found, for messages."""
    vocabulary: tuple[str, ...]
    """Words of the captions, when an index lists them."""
    weight: float = 1.0

    def __len__(self) -> int:
        return sum(self.counts)


def is_shards(place: str) -> bool:
    """Whether a place names shards rather than a folder of pictures or a zip."""
    if is_url(place) or place.lower().endswith((".tar", ".txt")):
        return True
    path = Path(place)
    return path.is_dir() and next(path.glob("*.tar"), None) is not None


@dataclass(frozen=True, kw_only=True)
class ShardCount:
    """What one shard holds."""

    samples: int
    alone: int
    """Pictures that lack what was asked for."""
    classes: int = 0
    """The highest class number and one; 0 without classes."""


def open_shards(
    spec: SourceSpec, *, cache: Path, condition: Condition | None = "captions", progress: bool = True
) -> ShardSource:
    """Find the shards and how many samples they hold that have what `condition` asks for. Raises `DataError`."""
    places = find_shards(spec.place)
    remote = is_url(places[0])
    if any(is_url(place) != remote for place in places):
        raise DataError(f"{spec.place}: expected shards on disk or on a server, got both; give two sources")
    index = _read_index(places[0], remote)
    counts: list[int]
    empty = alone = 0
    class_names = _indexed_classes(index) if condition in ("classes", None) else ()
    if remote:
        counts = _remote_counts(places, index, condition)
        marks = list(map(str, counts))
        if condition == "classes" and not class_names:
            raise DataError(
                f"{place_shown(spec.place)}: how many classes there are is not known; shards on a server need an "
                f"{INDEX_NAME} with their classes, as `glissando data build` writes it"
            )
    else:
        marks, found = _local_counts(spec.place, places, cache, condition, progress)
        counts = [count.samples for count in found]
        alone = sum(count.alone for count in found)
        empty = counts.count(0)
        highest = max(count.classes for count in found)
        if highest > len(class_names):
            class_names = tuple(map(str, range(highest)))
    used = [(place, count) for place, count in zip(places, counts, strict=True) if count]
    if not used or (condition == "classes" and not class_names):
        wanted = {"captions": "a captioned picture", "classes": "a picture with a class"}.get(condition or "")
        beside = {"captions": " and NAME.txt or NAME.json", "classes": " and its number in NAME.cls"}
        raise DataError(
            f"{place_shown(spec.place)}: none of {len(places)} shards holds {wanted or 'a picture'}; "
            f"expected tar files with NAME.jpg (or .png, .webp){beside.get(condition or '', '')}"
        )
    names = [_base(place) for place, _ in used]
    vocabulary = index.get("vocabulary", ()) if isinstance(index.get("vocabulary"), list) else ()
    return ShardSource(
        label=place_shown(spec.place),
        places=tuple(place for place, _ in used),
        counts=tuple(count for _, count in used),
        fingerprint=_digest([f"{_base(place)} {mark}" for place, mark in zip(places, marks, strict=True)]),
        order_key=_digest([f"{name} {count}" for name, (_, count) in zip(names, used, strict=True)]),
        empty=empty,
        captionless=alone if condition == "captions" else 0,
        unlabelled=alone if condition == "classes" else 0,
        class_names=class_names,
        classes_from="the shards" if class_names else "",
        vocabulary=tuple(word for word in vocabulary if isinstance(word, str)),
        weight=spec.weight,
    )


def is_captioned(source: ShardSource) -> bool:
    """Whether the first shard has captions; shards on a server are taken to."""
    if is_url(source.places[0]):
        return True
    try:
        with open(source.places[0], "rb") as file:
            reader = FileReader(file)
            return any(captions_of(reader, sample) for sample in index_tar(reader).samples[:_SAMPLES_TO_TRY])
    except (OSError, TarError):
        return False


def find_shards(place: str) -> list[str]:
    """The paths or addresses that a place names. Raises `DataError` when there is none."""
    if not is_url(place) and Path(place).is_dir():
        return sorted(str(path) for path in Path(place).glob("*.tar"))
    if not is_url(place) and place.lower().endswith(".txt"):
        try:
            lines = decode_text(Path(place).read_bytes()).text.splitlines()
        except OSError as error:
            raise DataError(f"{place}: cannot read this list of shards: {error.strerror or error}") from None
        listed = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not listed:
            raise DataError(f"{place}: expected the path or address of a shard on each line, got none")
        base = Path(place).parent
        return [
            shard
            for line in listed
            for shard in expand_braces(line if is_url(line) else str(base / line))  # an absolute one stays as it is
        ]
    if not is_url(place) and Path(place).is_file():
        with open(place, "rb") as file:
            if is_tar(file.read(BLOCK)):
                return [place]
    shards = [place] if not is_url(place) and Path(place).is_file() else expand_braces(place)
    for shard in shards:
        path = urllib.parse.urlsplit(shard).path if is_url(shard) else shard
        if not path.lower().endswith(".tar"):
            raise DataError(f"{place_shown(shard)}: expected a shard, a .tar file that is not compressed")
    return shards


def expand_braces(text: str) -> list[str]:
    """a{00..02}b -> a00b, a01b, a02b; {x,y} gives both. Raises `DataError` for braces that do not fit together, and
    for very many."""
    results = [""]
    at = 0
    for match in re.finditer(r"\{([^{}]*)\}", text):
        choices = _choices(text, match[1])
        if len(results) * len(choices) > MAX_SHARDS:
            raise DataError(f"{text}: names more than {MAX_SHARDS} shards")
        results = [begun + text[at : match.start()] + choice for begun in results for choice in choices]
        at = match.end()
    if "{" in text[at:] or "}" in text[at:]:
        raise DataError(f"{text}: expected braces like {{00000..00099}}, not within each other")
    return [begun + text[at:] for begun in results]


def _choices(text: str, inside: str) -> list[str]:
    span = re.fullmatch(r"(\d+)\.\.(\d+)", inside)
    if span is None:
        if "," not in inside:
            raise DataError(f"{text}: expected {{first..last}} or {{one,other}}, got {{{inside}}}")
        return inside.split(",")
    first, last = int(span[1]), int(span[2])
    if last < first or last - first >= MAX_SHARDS:
        raise DataError(f"{text}: expected at most {MAX_SHARDS} shards in rising order, got {{{inside}}}")
    width = len(span[1]) if span[1].startswith("0") else 0
    return [f"{number:0{width}d}" for number in range(first, last + 1)]


# --- how many samples -----------------------------------------------------------------------------------------------


def count_file(path: str, condition: Condition | None = "captions") -> ShardCount:
    """What a shard on disk holds; nothing for what is no tar. Classes are only looked at when captions are not what is
    asked for. Raises `OSError` when it cannot be read."""
    with open(path, "rb") as file:
        reader = FileReader(file)
        try:
            index = index_tar(reader, condition)
        except TarError:
            return ShardCount(samples=0, alone=0)
        highest = UNLABELLED
        if condition in ("classes", None):
            highest = max((class_of(reader, sample) for sample in index.samples), default=UNLABELLED)
    return ShardCount(samples=len(index.samples), alone=index.pictures_alone, classes=highest + 1)


def _local_counts(
    label: str, places: Sequence[str], cache: Path, condition: Condition | None, progress: bool
) -> tuple[list[str], list[ShardCount]]:
    try:
        stats = [os.stat(place) for place in places]
    except OSError as error:
        raise DataError(f"{error.filename}: cannot read this shard: {error.strerror or error}") from None
    marks = [f"{stat.st_size} {stat.st_mtime_ns}" for stat in stats]
    asked = "" if condition == "captions" else f" {condition}"
    stored = cache / f"shards-{_digest([label + asked])[:16]}.json"
    known = _read_counts(stored)
    keys = [f"{os.path.abspath(place)} {mark}" for place, mark in zip(places, marks, strict=True)]
    missing = [(key, place) for key, place in zip(keys, places, strict=True) if key not in known]
    if missing:
        with (
            ThreadPoolExecutor(4) as pool,
            tqdm(total=len(missing), desc="counting shards", disable=None if progress else True, leave=False) as bar,
        ):
            try:
                count = partial(count_file, condition=condition)
                for (key, _), counted in zip(missing, pool.map(count, [place for _, place in missing]), strict=True):
                    known[key] = counted
                    bar.update()
            except OSError as error:
                raise DataError(f"{label}: cannot read a shard: {error}") from None
        with contextlib.suppress(OSError):  # counting again is all it costs
            cache.mkdir(parents=True, exist_ok=True)
            unfinished = stored.with_name(f"{stored.name}.{os.getpid()}.partial")
            counts = {key: (known[key].samples, known[key].alone, known[key].classes) for key in keys}
            unfinished.write_text(json.dumps(counts), encoding="utf-8")
            os.replace(unfinished, stored)
    return marks, [known[key] for key in keys]


def _indexed_classes(index: dict[str, Any]) -> tuple[str, ...]:
    names = index.get("classes")
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _read_counts(stored: Path) -> dict[str, ShardCount]:
    try:
        values = json.loads(stored.read_text(encoding="utf-8"))
        return {
            str(key): ShardCount(samples=int(count), alone=int(alone), classes=int(classes))
            for key, (count, alone, classes) in values.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _read_index(place: str, remote: bool) -> dict[str, Any]:
    """The index.json beside a shard; empty when there is none or it is none of ours."""
    try:
        if remote:
            parts = urllib.parse.urlsplit(place)
            path = parts.path.rpartition("/")[0] + "/" + INDEX_NAME
            data = small(urllib.parse.urlunsplit(parts._replace(path=path)), _MAX_INDEX_BYTES)
        else:
            data = (Path(place).parent / INDEX_NAME).read_bytes()
        values = json.loads(decode_text(data).text)
    except RefusedError:
        return {}  # a server may refuse what it does not have
    except RemoteError as error:
        raise DataError(f"{error}; check the address and the network") from None
    except (OSError, ValueError, RecursionError, MissingError):
        return {}
    return values if isinstance(values, dict) and values.get("format") == INDEX_FORMAT else {}


def _remote_counts(places: Sequence[str], index: dict[str, Any], condition: Condition | None) -> list[int]:
    listed = index.get("shards")
    if isinstance(listed, dict):
        counts = [listed.get(_base(place)) for place in places]
        if all(type(count) is int and count >= 0 for count in counts):
            return [count for count in counts if count is not None]
    problem = ""
    for place in places[:_FIRST_TRIES]:
        try:
            with stream(place) as response:
                count = len(index_tar(StreamReader(response), condition).samples)
        except TarError:
            problem = f"{_base(place)} is no tar file"
            continue
        except MissingError as error:
            problem = str(error)
            continue
        except RemoteError as error:
            raise DataError(f"{error}; check the address and the network") from None
        if count:
            return [count] * len(places)
        problem = f"{_base(place)} holds no " + ("captioned picture" if condition == "captions" else "such picture")
    raise DataError(
        f"{place_shown(places[0])}: none of the first {min(_FIRST_TRIES, len(places))} shards can be used: {problem}"
    )


def _base(place: str) -> str:
    """A shard's name without its folder, so that shards may be moved."""
    path = urllib.parse.urlsplit(place).path if is_url(place) else place
    return re.split(r"[/\\]", path)[-1]


def _digest(lines: Iterator[str] | Sequence[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()
