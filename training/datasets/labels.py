"""Classes of pictures: read from StyleGAN's dataset.json, a column of a metadata file, or folders of classes."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.datasets.captions import tidy
from training.datasets.errors import DataError
from training.datasets.text import decode_text

DATASET_FILE = "dataset.json"
"""As StyleGAN's dataset_tool writes it: {"labels": [["00000/img00000000.png", 3], ...]}, or {"labels": null}."""
UNLABELLED = -1
"""The class number of a picture that has no class."""
MAX_CLASSES = 1 << 20

_NUMBER = re.compile(r"\d{1,18}")
_CHUNK_FOLDER = re.compile(r"\d{5,}")
"""Folders such as 00000 and 00001 part large sets in pieces; they are no classes."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The class number of each picture by its name, in [0, classes)."""

    numbers: Mapping[str, int]
    class_names: tuple[str, ...]
    """One for each class; "0", "1" ... where the data give numbers only."""
    origin: str
    """Where the classes were found, for messages."""


@dataclass(frozen=True, kw_only=True)
class DatasetFile:
    """What a dataset.json says. Both are empty where its labels are null."""

    labels: Mapping[str, str]
    captions: Mapping[str, list[str]]
    """Where labels are texts rather than numbers."""


def read_dataset_file(label: str, data: bytes) -> DatasetFile | None:
    """Parse a dataset.json; None for a JSON object without `labels`, which is another program's (or Postcards' own).

    Raises `DataError` when it is damaged, or its labels are vectors.
    """
    expected = 'expected {"labels": [["NAME.png", 3], ...]} or {"labels": null}, as StyleGAN\'s dataset_tool writes it'
    try:
        values = json.loads(decode_text(data).text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{label}: {expected}, could not read it: {error}") from None
    if not isinstance(values, dict):
        raise DataError(f"{label}: {expected}, got {type(values).__name__}")
    if "labels" not in values:
        return None
    rows = values["labels"]
    if rows is None:
        return DatasetFile(labels={}, captions={})
    if isinstance(rows, dict):
        rows = list(rows.items())
    if not isinstance(rows, list):
        raise DataError(f"{label}: {expected}, got labels of type {type(rows).__name__}")
    labels: dict[str, str] = {}
    captions: dict[str, list[str]] = {}
    for at, row in enumerate(rows):
        name, value = row if isinstance(row, list | tuple) and len(row) == 2 else (None, None)
        if not isinstance(name, str):
            raise DataError(f"{label}: {expected}; entry {at} of labels is {str(row)[:80]}")
        name = posixpath.normpath(name.replace("\\", "/"))
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            labels[name] = str(value)
        elif isinstance(value, str) and tidy(value):
            captions[name] = [tidy(value)]
        else:
            raise DataError(
                f"{label}: expected a class number from 0 for each picture, got {str(value)[:80]} for {name}; "
                "labels that are vectors cannot be trained on"
            )
    return DatasetFile(labels=labels, captions=captions)


def numbered(by_name: Mapping[str, str], origin: str) -> Labels | None:
    """Class numbers for classes given as texts: their own numbers where all are numbers, else in the order of names.

    None without any class. Raises `DataError` for absurdly large numbers.
    """
    found = set(by_name.values())
    if not found:
        return None
    if all(_NUMBER.fullmatch(text) for text in found):
        top = max(int(text) for text in found)
        if top >= MAX_CLASSES:
            raise DataError(f"{origin}: expected class numbers below {MAX_CLASSES}, got {top}; is it another column?")
        numbers = {name: int(text) for name, text in by_name.items()}
        return Labels(numbers=numbers, class_names=tuple(map(str, range(top + 1))), origin=origin)
    names = tuple(sorted(found))
    order = {name: number for number, name in enumerate(names)}
    return Labels(numbers={name: order[text] for name, text in by_name.items()}, class_names=names, origin=origin)


def by_folder(pictures: Sequence[str], called: Mapping[str, str]) -> Labels | None:
    """Classes by the folder that each picture lies in; None unless there are two or more such folders.

    `called` gives some folders another name. Pictures at the top have no class.
    """
    folders = {name: posixpath.basename(posixpath.dirname(name)) for name in pictures}
    folders = {name: folder for name, folder in folders.items() if folder}
    distinct = sorted(set(folders.values()))
    if len(distinct) < 2 or all(_CHUNK_FOLDER.fullmatch(folder) for folder in distinct):
        return None
    order = {folder: number for number, folder in enumerate(distinct)}
    return Labels(
        numbers={name: order[folder] for name, folder in folders.items()},
        class_names=tuple(called.get(folder, folder) for folder in distinct),
        origin="folders",
    )


def merged(sources: Sequence[tuple[str, tuple[str, ...]]]) -> tuple[str, ...]:
    """The classes of several sources, each given as its label and its class names: numbers stay, names are united."""
    every = [names for _, names in sources]
    if all(names == every[0] for names in every):
        return every[0]
    for label, names in sources:
        if len(set(names)) != len(names):
            raise DataError(f"{label}: two of its classes have one name, so they cannot be mixed with other sources")
    union = {name for names in every for name in names}
    if all(_NUMBER.fullmatch(name) for name in union):
        return tuple(map(str, range(max(map(int, union)) + 1)))
    return tuple(sorted(union))


def parse_number(data: bytes) -> int:
    """The class number in a shard's .cls file; `UNLABELLED` when it holds none."""
    text = decode_text(data).text.strip()
    return int(text) if _NUMBER.fullmatch(text) and int(text) < MAX_CLASSES else UNLABELLED


def number_in(row: Mapping[str, Any]) -> int:
    """The class number in a sample's JSON; `UNLABELLED` when it holds none."""
    for key in ("label", "class", "cls", "class_id"):
        value = row.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_CLASSES:
            return value
    return UNLABELLED
