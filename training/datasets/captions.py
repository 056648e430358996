"""Captions as people keep them: a .txt beside a picture, or one file for many (JSON, JSON lines, CSV).

Text is read as UTF-8, or UTF-16 with its mark; bytes that are neither are replaced. Names in such files are only ever
compared with the names of pictures that are there.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.datasets.errors import DataError

MAX_CAPTION = 4000
"""Characters of a caption that are kept: far more than any text encoder reads."""
MAX_TEXT_BYTES = 1 << 20
"""Of a .txt beside a picture, or of a sample's JSON."""

CAPTION_FILES = frozenset(
    f"{stem}.{suffix}" for stem in ("captions", "metadata") for suffix in ("json", "jsonl", "csv", "tsv")
)
"""Names of files that hold captions for the pictures beside them and below."""
CAPTION_SUFFIXES = (".json", ".jsonl", ".csv", ".tsv")

NAME_KEYS = ("file_name", "filename", "file", "image", "path", "name")
CAPTION_KEYS = ("captions", "caption", "text", "prompt", "description", "title")
LABEL_KEYS = ("label", "class", "class_id", "class_name", "category", "labels")

_CONTROLS = dict.fromkeys([*range(9), *range(14, 32), 127], " ")


@dataclass(frozen=True, kw_only=True)
class Captions:
    """What a file of captions and classes says. Pictures' names are as the file gives them, with forward slashes."""

    by_name: Mapping[str, list[str]]
    """At least one caption for each."""
    labels: Mapping[str, str]
    """The class of each, a name or a number."""
    unreadable: int
    """Rows that are neither a caption nor a class of a picture."""


def decode_text(data: bytes) -> str:
    """Bytes as text, whatever they are."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    return data.decode("utf-8-sig", errors="replace")


def tidy(caption: str) -> str:
    """A caption without control characters and spaces around it, of a bearable length."""
    return caption[:MAX_CAPTION].translate(_CONTROLS).strip()


def caption_lines(data: bytes) -> list[str]:
    """The captions of a .txt: one a line, blank lines left out."""
    return [line for line in map(tidy, decode_text(data).splitlines()) if line]


def read_captions(path: str | os.PathLike[str]) -> list[str]:
    """The captions of the .txt at `path`; of a very long one those at its start."""
    with Path(path).open("rb") as file:
        return caption_lines(file.read(MAX_TEXT_BYTES))


def captions_of_sample(data: bytes) -> list[str]:
    """The captions in one picture's own JSON, as img2dataset writes it; none when it is no such thing."""
    return captions_in(json_of_sample(data))


def json_of_sample(data: bytes) -> dict[str, Any]:
    """A sample's JSON object; empty when it is none."""
    try:
        value = json.loads(decode_text(data))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def captions_in(row: Mapping[str, Any]) -> list[str]:
    """The captions of a row, under the first of the usual names that has some."""
    for key in CAPTION_KEYS:
        found = _as_captions(row.get(key))
        if found:
            return found
    return []


def parse_captions(label: str, data: bytes) -> Captions:
    """Read a file of captions by its name's ending. Raises `DataError` when it is no such file as a whole."""
    suffix = posixpath.splitext(label)[1].lower()
    text = decode_text(data)
    if suffix == ".jsonl":
        return _gather(_json_lines(text))
    if suffix in (".csv", ".tsv"):
        return _gather(_table(label, text, "\t" if suffix == ".tsv" else None))
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{label}: expected JSON, could not read it: {error}") from None
    return _from_json(label, value)


def _from_json(label: str, value: Any) -> Captions:
    if isinstance(value, dict) and isinstance(value.get("annotations"), list) and isinstance(value.get("images"), list):
        return _gather(_coco(value))
    if isinstance(value, dict):
        return _gather(
            {**entry, "file_name": name} if isinstance(entry, dict) else {"name": name, "captions": entry}
            for name, entry in value.items()
        )
    if isinstance(value, list):
        # Rows, or pairs of a name and its captions.
        return _gather(
            {"name": row[0], "captions": row[1]} if isinstance(row, list) and len(row) == 2 else row for row in value
        )
    raise DataError(
        f"{label}: expected names with captions, or a list of rows with "
        f"{NAME_KEYS[0]} and {CAPTION_KEYS[1]}, got {type(value).__name__}"
    )


def _coco(value: Mapping[str, Any]) -> Iterable[object]:
    """The rows of COCO's captions_*.json."""
    names = {
        image.get("id"): image.get("file_name")
        for image in value["images"]
        if isinstance(image, dict) and isinstance(image.get("id"), int | str)
    }
    for annotation in value["annotations"]:
        if isinstance(annotation, dict) and isinstance(annotation.get("image_id"), int | str):
            yield {"name": names.get(annotation["image_id"]), "caption": annotation.get("caption")}


def _json_lines(text: str) -> Iterable[object]:
    for line in text.split("\n"):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                yield None


def _table(label: str, text: str, delimiter: str | None) -> Iterable[object]:
    text = text.replace("\0", " ")
    first = text.split("\n", 1)[0]
    if delimiter is None:
        delimiter = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = [column.strip().lower() for column in next(rows, [])]
        if not (set(columns) & set(NAME_KEYS) and set(columns) & {*CAPTION_KEYS, *LABEL_KEYS}):
            raise DataError(
                f"{label}: expected a first line with the columns {NAME_KEYS[0]} and {CAPTION_KEYS[1]} "
                f"(or {', '.join(NAME_KEYS[1:])}; {', '.join(CAPTION_KEYS[2:])}), got {first.strip()[:120]!r}"
            )
        for row in rows:
            if row:
                yield dict(zip(columns, row, strict=False))
    except csv.Error as error:
        raise DataError(f"{label}: line {rows.line_num}: {error}") from None


def _gather(rows: Iterable[object]) -> Captions:
    by_name: dict[str, list[str]] = {}
    labels: dict[str, str] = {}
    unreadable = 0
    for row in rows:
        name, label, captions = "", None, []
        if isinstance(row, dict):
            name = next((row[key] for key in NAME_KEYS if isinstance(row.get(key), str)), "")
            captions, label = captions_in(row), label_in(row)
        if not name or not (captions or label is not None):
            unreadable += 1
            continue
        name = posixpath.normpath(name.replace("\\", "/"))
        if label is not None:
            labels[name] = label
        if captions:
            kept = by_name.setdefault(name, [])
            kept.extend(caption for caption in captions if caption not in kept)
    return Captions(by_name=by_name, labels=labels, unreadable=unreadable)


def label_in(row: Mapping[str, Any]) -> str | None:
    """The class of a row, a name or a whole number as text, under the first of the usual names that has one."""
    for key in LABEL_KEYS:
        value = row.get(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, str | int) and not isinstance(value, bool) and (text := tidy(str(value))):
            return text
    return None


def _as_captions(value: object) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    return [caption for caption in (tidy(text) for text in texts if isinstance(text, str)) if caption]
