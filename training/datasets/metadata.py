"""Metadata files: one file with the captions or classes of many pictures, as CSV, TSV, JSON or JSON lines.

Rows that cannot be understood are refused and counted by their reason; nothing is repaired. Names in such files are
only ever compared with the names of pictures that are there.
"""

from __future__ import annotations

import ast
import csv
import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from training.datasets.captions import tidy
from training.datasets.errors import DataError
from training.datasets.text import DAMAGED, UNKNOWN, decode_text

METADATA_STEMS = ("captions", "metadata")
METADATA_SUFFIXES = (".json", ".jsonl", ".csv", ".tsv")

NAME_KEYS = ("file_name", "filename", "file", "image", "path", "name", "image_path", "filepath", "img")
CAPTION_KEYS = (
    *("captions", "caption", "text", "prompt", "description", "title"),
    *("texts", "prompts", "additional_feature"),
)
LABEL_KEYS = ("label", "class", "class_id", "class_name", "category", "labels")

_MAX_RECORD_LINES = 200
"""A quoted field that goes on for longer is one whose closing quote is missing."""
_MAX_LIST = 1 << 20
_EXAMPLES = 5
_DELIMITERS = ",;\t|"
_WHOLE = re.compile(r"\d+\.0+")


class Columns(NamedTuple):
    """Which columns or keys to read, where the usual names are not meant; empty is the usual ones."""

    caption: str = ""
    label: str = ""


USUAL = Columns()


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a metadata file says. Pictures' names are as the file gives them, with forward slashes."""

    captions: Mapping[str, list[str]]
    """At least one caption for each."""
    labels: Mapping[str, str]
    """The class of each, a name or a number."""
    encoding: str
    columns: tuple[str, ...]
    """All columns or keys, as the file calls them."""
    caption_columns: tuple[str, ...]
    """Those whose texts were taken as captions."""
    label_columns: tuple[str, ...]
    rows: int
    """Rows read, refused ones among them."""
    refused: Mapping[str, int]
    """How many rows were refused, by reason."""
    examples: tuple[str, ...]
    """Some of them, by line or number."""


class _Row(NamedTuple):
    """A row as it was read."""

    place: str
    """Where it stands, for messages."""
    values: Mapping[str, Any] | None
    problem: str = ""


def is_metadata(name: str) -> bool:
    """Whether a file's name says that it holds captions for the pictures beside it and below."""
    stem, suffix = posixpath.splitext(posixpath.basename(name).lower())
    return stem in METADATA_STEMS and suffix in METADATA_SUFFIXES


def parse_metadata(label: str, data: bytes, chosen: Columns = USUAL) -> Metadata:
    """Read a metadata file, whichever kind its content says it is.

    Raises `DataError` that names the columns found when it is no such file as a whole.
    """
    text, encoding = decode_text(data)
    if encoding == UNKNOWN:
        raise DataError(f"{label}: its text is neither UTF-8, UTF-16 nor Windows-1252; save it as UTF-8")
    suffix = posixpath.splitext(label)[1].lower()
    begins = text.lstrip()[:1]
    if begins and begins in "{[" and suffix not in (".csv", ".tsv"):
        rows = list(_json_rows(label, text, lines=suffix == ".jsonl"))
    elif suffix in (".json", ".jsonl"):
        raise DataError(f"{label}: expected JSON, could not read it: it begins with {text.strip()[:20]!r}")
    else:
        rows = list(_table(label, text, chosen))
    return _gather(label, rows, encoding, chosen)


# --- JSON -----------------------------------------------------------------------------------------------------------


def _json_rows(label: str, text: str, *, lines: bool) -> Iterator[_Row]:
    """The rows of JSON, or of JSON lines whatever the file is called."""
    if lines and text.lstrip().startswith("{"):
        yield from _json_lines(text)
        return
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if "Extra data" in str(error) and isinstance(_one(text.lstrip().split("\n", 1)[0]), dict):
            yield from _json_lines(text)
            return
        raise DataError(f"{label}: expected JSON, could not read it: {error}") from None
    for number, row in enumerate(_rows_of(label, value)):
        yield _Row(f"entry {number}", row) if isinstance(row, dict) else _Row(f"entry {number}", None, "no object")


def _rows_of(label: str, value: Any) -> Iterable[object]:
    if isinstance(value, dict) and isinstance(value.get("annotations"), list) and isinstance(value.get("images"), list):
        return _coco(value)
    if isinstance(value, dict):
        tables = [rows for rows in value.values() if isinstance(rows, list) and rows and isinstance(rows[0], dict)]
        if len(tables) == 1 and _pick(tables[0][0], NAME_KEYS) is not None:
            return list(tables[0])
        return (
            {**entry, "file_name": name} if isinstance(entry, dict) else {"file_name": name, "captions": entry}
            for name, entry in value.items()
        )
    if isinstance(value, list):
        # Rows, or pairs of a name and its captions.
        return (
            {"file_name": row[0], "captions": row[1]} if isinstance(row, list) and len(row) == 2 else row
            for row in value
        )
    raise DataError(
        f"{label}: expected names with captions, or a list of rows with "
        f"{NAME_KEYS[0]} and {CAPTION_KEYS[1]}, got {type(value).__name__}"
    )


def _coco(value: Mapping[str, Any]) -> Iterator[object]:
    """The rows of COCO's captions_*.json."""
    names = {
        image.get("id"): image.get("file_name")
        for image in value["images"]
        if isinstance(image, dict) and isinstance(image.get("id"), int | str)
    }
    for annotation in value["annotations"]:
        if isinstance(annotation, dict) and isinstance(annotation.get("image_id"), int | str):
            yield {"file_name": names.get(annotation["image_id"]), "caption": annotation.get("caption")}


def _json_lines(text: str) -> Iterator[_Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            value = _one(line)
            yield _Row(f"line {number}", value if isinstance(value, dict) else None, "no JSON object")


def _one(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


# --- tables ---------------------------------------------------------------------------------------------------------


def _table(label: str, text: str, chosen: Columns) -> Iterator[_Row]:
    """The rows of a table whose first line names the columns; the separator is the one that parts these."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    at = next((number for number, line in enumerate(lines) if line.strip()), 0)
    delimiter, columns = _header(label, lines[at], chosen)
    number = at + 1
    while number < len(lines):
        if not lines[number].strip():
            number += 1
            continue
        fields, used, problem = _record(lines, number, delimiter)
        place, number = f"line {number + 1}", number + used
        if not problem and len(fields) != len(columns):
            problem = (
                f"another number of fields than columns ({len(columns)}); a text with {_word(delimiter)} in it "
                "has to stand in double quotes"
            )
        yield _Row(place, None if problem else dict(zip(columns, fields, strict=True)), problem)


def _header(label: str, line: str, chosen: Columns) -> tuple[str, list[str]]:
    """(separator, names of the columns). Raises `DataError` when no separator gives columns that are known."""
    tried: list[tuple[str, list[str]]] = []
    for delimiter in _DELIMITERS:
        try:
            columns = [column.strip() for column in next(csv.reader([line], delimiter=delimiter, strict=True), [])]
        except csv.Error:
            continue
        lowered = {column.lower() for column in columns}
        wanted = {key.lower() for key in chosen if key} or {*CAPTION_KEYS, *LABEL_KEYS}
        if lowered & set(NAME_KEYS) and lowered & wanted:
            return delimiter, columns
        tried.append((delimiter, columns))
    columns = max((columns for _, columns in tried), key=len, default=[])
    found = ", ".join(repr(column[:40]) for column in columns[:20]) or "nothing"
    raise DataError(
        f"{label}: expected a first line that names the columns, one for the picture ({', '.join(NAME_KEYS)}) and one "
        f"for the caption ({', '.join(CAPTION_KEYS)}) or the class ({', '.join(LABEL_KEYS)}); got {found}. Another "
        "column is named by --caption-column or --label-column"
    )


def _record(lines: Sequence[str], start: int, delimiter: str) -> tuple[list[str], int, str]:
    """(fields, lines used, what is wrong) of the record that begins at a line; a broken one uses that line alone."""
    if '"' not in lines[start]:
        return lines[start].split(delimiter), 1, ""
    problem = "a double quote that is not closed"
    for used in range(1, min(_MAX_RECORD_LINES, len(lines) - start) + 1):
        try:
            record = list(csv.reader(_with_ends(lines[start : start + used]), delimiter=delimiter, strict=True))
        except csv.Error as error:
            if "unexpected end" in str(error):
                continue
            too_long = "field larger" in str(error)
            problem = str(error) if too_long else "a double quote within a field, where it has to be doubled"
            break
        return record[0], used, "" if len(record) == 1 else problem
    return [], 1, problem


def _with_ends(lines: Sequence[str]) -> list[str]:
    return [f"{line}\n" for line in lines]


def _word(delimiter: str) -> str:
    return {",": "a comma", ";": "a semicolon", "\t": "a tab"}.get(delimiter, "the separator")


# --- what rows say --------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class _Gathered:
    """What the rows gave so far."""

    captions: dict[str, list[str]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    columns: dict[str, None] = field(default_factory=dict)
    caption_columns: Counter[str] = field(default_factory=Counter)
    label_columns: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def refuse(self, row: _Row, reason: str) -> None:
        self.refused[reason] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{row.place}: {reason}")


def _gather(label: str, rows: Sequence[_Row], encoding: str, chosen: Columns) -> Metadata:
    made = _Gathered()
    for row in rows:
        if row.values is None:
            made.refuse(row, row.problem)
            continue
        made.columns.update(dict.fromkeys(map(str, row.values)))
        problem = _take(row.values, chosen, made)
        if problem:
            made.refuse(row, problem)
    if rows and not made.captions and not made.labels:
        columns = ", ".join(repr(column[:40]) for column in list(made.columns)[:20])
        found = f"its columns are {columns}" if columns else f"{made.examples[0]}"
        raise DataError(
            f"{label}: none of its {len(rows)} rows names a picture ({', '.join(NAME_KEYS)}) with a caption "
            f"({', '.join(CAPTION_KEYS)}) or a class ({', '.join(LABEL_KEYS)}); {found}. Another column is named by "
            "--caption-column or --label-column"
        )
    return Metadata(
        captions=made.captions,
        labels=made.labels,
        encoding=encoding,
        columns=tuple(made.columns),
        caption_columns=tuple(made.caption_columns),
        label_columns=tuple(made.label_columns),
        rows=len(rows),
        refused=dict(made.refused),
        examples=tuple(made.examples),
    )


def _take(values: Mapping[str, Any], chosen: Columns, made: _Gathered) -> str:
    """Add what a row says; why it cannot be used, or nothing."""
    name_key = _pick(values, NAME_KEYS)
    name = values[name_key] if name_key is not None else None
    if not isinstance(name, str) or not name.strip():
        return "no picture named"
    caption_key, captions = _captions(values, chosen)
    label_key, label = _label(values, chosen)
    if any(DAMAGED in text for text in (name, *captions)):
        return "bytes that are no text"
    if caption_key is None and label_key is None:
        return "neither a caption nor a class"
    name = posixpath.normpath(name.strip().replace("\\", "/"))
    if caption_key is not None:
        made.caption_columns[caption_key] += 1
        kept = made.captions.setdefault(name, [])
        kept.extend(caption for caption in captions if caption not in kept)
    if label_key is not None and label is not None:
        made.label_columns[label_key] += 1
        made.labels[name] = label
    return ""


def captions_of_sample(data: bytes) -> list[str]:
    """The captions in one picture's own JSON, as img2dataset writes it; none when it is no such thing."""
    return captions_in(json_of_sample(data))


def json_of_sample(data: bytes) -> dict[str, Any]:
    """A sample's JSON object; empty when it is none."""
    value = _one(decode_text(data).text)
    return value if isinstance(value, dict) else {}


def captions_in(values: Mapping[str, Any]) -> list[str]:
    """The captions of a row or a sample's JSON, under the first of the usual keys that has some."""
    return _captions(values, Columns())[1]


def _captions(values: Mapping[str, Any], chosen: Columns) -> tuple[str | None, list[str]]:
    """(key, captions) of a row."""
    wanted = (chosen.caption.lower(),) if chosen.caption else CAPTION_KEYS
    for key in _keys(values, wanted):
        if found := _as_captions(values[key]):
            return key, found
    return None, []


def _as_captions(value: object) -> list[str]:
    """A text, a list of texts, or a text that is written as such a list."""
    if isinstance(value, str) and value[:1] == "[" and value[-1:] == "]" and len(value) <= _MAX_LIST:
        try:
            parsed = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            parsed = _one(value)
        if isinstance(parsed, list) and parsed and all(isinstance(text, str) for text in parsed):
            value = parsed
    texts = value if isinstance(value, list) else [value]
    return [caption for caption in (tidy(text) for text in texts if isinstance(text, str)) if caption]


def _label(values: Mapping[str, Any], chosen: Columns) -> tuple[str | None, str | None]:
    """(key, class) of a row: a name, or a whole number as text."""
    wanted = (chosen.label.lower(),) if chosen.label else LABEL_KEYS
    for key in _keys(values, wanted):
        value = values[key]
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
            value = value.strip().split(".")[0]  # as programs write whole numbers of a column with gaps
        if isinstance(value, str | int) and not isinstance(value, bool) and (text := tidy(str(value))):
            return key, text
    return None, None


def _pick(values: Mapping[str, Any], wanted: Sequence[str]) -> str | None:
    """The first of some keys that a row has, in any case."""
    return next(_keys(values, wanted), None)


def _keys(values: Mapping[str, Any], wanted: Sequence[str]) -> Iterator[str]:
    """Those of some keys that a row has, in any case, in the order in which they are wanted."""
    by_lower = {str(key).strip().lower(): key for key in values}
    return (by_lower[key] for key in wanted if key in by_lower)
