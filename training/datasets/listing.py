"""The pictures of a folder or zip as rows, their captions and classes found in whichever way they are kept.

Captions, in this order: captions.json, metadata.jsonl, metadata.csv and the like, for the pictures beside and below
them; a .txt beside each picture; with a template, the name of the folder that a picture lies in. Classes, in this
order: StyleGAN's dataset.json; a column of a metadata file; the folder that a picture lies in.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from training.datasets.captions import TextCaptions, read_lines, tidy
from training.datasets.config import TEMPLATE_FIELD
from training.datasets.errors import DataError
from training.datasets.findings import Findings, MetadataFile, nothing_found
from training.datasets.labels import (
    DATASET_FILE,
    UNLABELLED,
    DatasetFile,
    Labels,
    by_folder,
    numbered,
    read_dataset_file,
)
from training.datasets.metadata import USUAL, Columns, is_metadata, parse_metadata
from training.datasets.paired import LATENTS_NAME
from training.datasets.pictures import is_picture, missing_extra
from training.datasets.text import decode_text
from training.datasets.trees import Mark, Tree

CLASSES_FILE = "classes.json"
"""In a folder of classes: the folders' names to what they are called in captions."""
MAX_METADATA_BYTES = 4 << 30
_TEXT_SUFFIXES = (".txt", ".caption")
_EXAMPLES = 3


class Row(NamedTuple):
    """A picture of a list."""

    name: str
    """Its path, with forward slashes."""
    captions: tuple[str, ...] = ()
    """Those that are known without reading another file."""
    text: str | None = None
    """Path of the .txt that holds its captions, if they are not known."""
    class_number: int = UNLABELLED


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All pictures of a folder or zip, in the order of their names."""

    rows: tuple[Row, ...]
    class_names: tuple[str, ...]
    classes_from: str
    findings: Findings
    problem: DataError | None
    """Why a metadata file could not be used at all, if one could not."""
    fingerprint: str


@dataclass(kw_only=True)
class _Gathered:
    """What the metadata files of a tree say together; keys are full paths of pictures that are there."""

    names: _Names
    paths: list[str] = field(default_factory=list)
    """Of the files that were looked at."""
    files: list[MetadataFile] = field(default_factory=list)
    captions: dict[str, list[str]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    labels_from: str = ""
    missing: int = 0
    missing_examples: list[str] = field(default_factory=list)
    problem: DataError | None = None

    def fail(self, name: str, error: DataError) -> None:
        """Note that a file cannot be used; the first one's error is raised if it matters."""
        self.files.append(MetadataFile(name=name, problem=str(error).partition(f"{name}: ")[2] or str(error)))
        self.problem = self.problem or error

    def find(self, name: str) -> str | None:
        """The picture that a name means; None, counted, when it is not there."""
        found = self.names.find(name)
        if found is None:
            self.missing += 1
            if len(self.missing_examples) < _EXAMPLES:
                self.missing_examples.append(name)
        return found


class _Names:
    """The pictures' paths, found by what metadata files call them."""

    def __init__(self, pictures: Sequence[str]) -> None:
        self._exact = set(pictures)
        self._pictures = pictures
        self._folded: dict[str, str | None] = {}

    def find(self, name: str) -> str | None:
        """The picture of exactly this path; else the only one that differs in case alone, or by an ending left out."""
        if name in self._exact:
            return name
        if not self._folded:
            for picture in self._pictures:
                for key in {picture.casefold(), posixpath.splitext(picture)[0].casefold()}:
                    self._folded[key] = None if key in self._folded else picture
        return self._folded.get(name.casefold())


def list_pictures(
    tree: Tree, *, only: str | None = None, template: str | None = None, columns: Columns = USUAL
) -> Listing:
    """Find pictures, captions and classes. With `only`, captions come from that file alone.

    Raises `DataError` when there is no picture, or for a template where there are captions already.
    """
    files = tree.files()
    pictures = sorted(name for name in files if is_picture(name))
    label = os.path.join(tree.label, only) if only else tree.label
    texts = texts_beside(files, pictures)
    unused, extras = _unused(files, pictures, texts, only)
    if not pictures:
        raise DataError(nothing_found(label, unused, extras))
    gathered = _read_metadata(tree, files, _Names(pictures), only, columns)
    called = _class_titles(tree, files)
    rows = []
    for name in pictures:
        known = tuple(gathered.captions.get(name, ()))
        rows.append(Row(name, known, None if known or only else texts.get(name)))
    if template is not None:
        if any(row.captions or row.text is not None for row in rows):
            raise DataError(f"{label}: its pictures have captions of their own; leave the template away")
        rows = [row._replace(captions=_from_template(row.name, called, template)) for row in rows]
    labels = _labels(tree, pictures, called, gathered)
    if labels is not None:
        rows = [row._replace(class_number=labels.numbers.get(row.name, UNLABELLED)) for row in rows]
    return Listing(
        rows=tuple(rows),
        class_names=labels.class_names if labels is not None else (),
        classes_from=(gathered.labels_from or labels.origin) if labels is not None else "",
        findings=Findings(
            metadata=tuple(gathered.files),
            missing=gathered.missing,
            missing_examples=tuple(gathered.missing_examples),
            unused=unused,
            extras=extras,
        ),
        problem=gathered.problem,
        fingerprint=_fingerprint(files, pictures, texts, gathered.paths, template, columns),
    )


def captions_of_row(tree: Tree, row: Row) -> tuple[str, ...]:
    """The captions of a row, read where they are in a .txt; empty when there are none."""
    return text_of_row(tree, row).captions


def text_of_row(tree: Tree, row: Row) -> TextCaptions:
    """The captions of a row and how they were read."""
    if row.text is None:
        return TextCaptions(row.captions, "")
    try:
        return read_lines(tree.read(row.text))
    except OSError:
        return TextCaptions((), "")


def digest(lines: Iterable[str]) -> str:
    """SHA-256 of lines of text, as hexadecimal digits."""
    made = hashlib.sha256()
    for line in lines:
        made.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return made.hexdigest()


def texts_beside(files: Mapping[str, Mark], pictures: Sequence[str]) -> dict[str, str]:
    """Of each picture that has one, the file of captions beside it: a.txt, a.png.txt or a.caption for a.png.

    Where no name fits exactly, one that differs in case alone does, if there is only one.
    """
    folded: dict[str, str | None] = {}
    for name in files:
        if name.lower().endswith(_TEXT_SUFFIXES):
            key = name.casefold()
            folded[key] = None if key in folded else name
    found = {}
    for name in pictures:
        stem = posixpath.splitext(name)[0]
        candidates = (stem + ".txt", name + ".txt", stem + ".caption")
        text = next((candidate for candidate in candidates if candidate in files), None)
        text = text or next((fit for candidate in candidates if (fit := folded.get(candidate.casefold()))), None)
        if text is not None:
            found[name] = text
    return found


def _unused(
    files: Mapping[str, Mark], pictures: Sequence[str], texts: Mapping[str, str], only: str | None
) -> tuple[dict[str, int], dict[str, int]]:
    """(files that are not used, pictures that need another package), counted by the ending of their names."""
    used = {*pictures, *texts.values(), only, CLASSES_FILE, DATASET_FILE, LATENTS_NAME}
    unused: Counter[str] = Counter()
    extras: Counter[str] = Counter()
    for name in files:
        if name in used or is_metadata(name):
            continue
        suffix = posixpath.splitext(name)[1].lower()
        (extras if missing_extra(name) else unused)[suffix] += 1
    return dict(unused), dict(extras)


def _read_metadata(
    tree: Tree, files: Mapping[str, Mark], names: _Names, only: str | None, columns: Columns
) -> _Gathered:
    gathered = _Gathered(names=names, paths=[only] if only else [name for name in sorted(files) if is_metadata(name)])
    for name in gathered.paths:
        label = f"{tree.label}/{name}"
        try:
            read = parse_metadata(label, tree.read(name, MAX_METADATA_BYTES), columns)
        except OSError as error:
            gathered.fail(name, DataError(f"{label}: cannot read the captions: {error}"))
            continue
        except DataError as error:
            gathered.fail(name, error)
            continue
        gathered.files.append(MetadataFile.of(name, read))
        folder = posixpath.dirname(name)
        for called in dict.fromkeys((*read.captions, *read.labels)):
            picture = gathered.find(posixpath.join(folder, called))
            if picture is None:
                continue
            known = gathered.captions.setdefault(picture, [])
            known.extend(caption for caption in read.captions.get(called, ()) if caption not in known)
            if called in read.labels:
                gathered.labels[picture], gathered.labels_from = read.labels[called], name
    if not only and DATASET_FILE in files:
        _read_dataset_file(tree, gathered)
    return gathered


def _read_dataset_file(tree: Tree, gathered: _Gathered) -> None:
    """StyleGAN's dataset.json at the top; it goes before labels of other files."""
    label = f"{tree.label}/{DATASET_FILE}"
    try:
        found = read_dataset_file(label, tree.read(DATASET_FILE, MAX_METADATA_BYTES))
    except OSError as error:
        gathered.fail(DATASET_FILE, DataError(f"{label}: cannot read the labels: {error}"))
        return
    except DataError as error:
        gathered.fail(DATASET_FILE, error)
        found = DatasetFile(labels={}, captions={})
    if found is None:
        return
    gathered.paths.append(DATASET_FILE)
    labels = {picture: text for name, text in found.labels.items() if (picture := gathered.find(name))}
    if labels:
        gathered.labels, gathered.labels_from = labels, DATASET_FILE
    for name, lines in found.captions.items():
        if picture := gathered.find(name):
            gathered.captions.setdefault(picture, []).extend(lines)


def _labels(tree: Tree, pictures: Sequence[str], called: Mapping[str, str], gathered: _Gathered) -> Labels | None:
    labels = None
    try:
        labels = numbered(gathered.labels, f"{tree.label}/{gathered.labels_from}")
    except DataError as error:
        gathered.fail(gathered.labels_from, error)
    if labels is None and DATASET_FILE not in gathered.paths:
        labels = by_folder(pictures, called)
    return labels


def _class_titles(tree: Tree, files: Mapping[str, Mark]) -> dict[str, str]:
    """What classes.json calls the folders; empty without one."""
    if CLASSES_FILE not in files:
        return {}
    try:
        called = json.loads(decode_text(tree.read(CLASSES_FILE, 64 << 20)).text)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{tree.label}/{CLASSES_FILE}: expected JSON, could not read it: {error}") from None
    if not isinstance(called, dict):
        raise DataError(f"{tree.label}/{CLASSES_FILE}: expected folder names with the classes' names")
    return {folder: word for folder, word in called.items() if isinstance(word, str)}


def _from_template(name: str, called: Mapping[str, str], template: str) -> tuple[str, ...]:
    """The caption by the folder that a picture lies in; none for pictures at the top."""
    folder = posixpath.basename(posixpath.dirname(name))
    if not folder:
        return ()
    word = called.get(folder, folder.replace("_", " ").replace("-", " "))
    caption = tidy(template.replace(TEMPLATE_FIELD, word))
    return (caption,) if caption else ()


def _fingerprint(
    files: Mapping[str, Mark],
    pictures: Sequence[str],
    texts: Mapping[str, str],
    metadata_files: Sequence[str],
    template: str | None,
    columns: Columns,
) -> str:
    lines = [f"template {template!r}"]
    if any(columns):
        lines.append(f"columns {tuple(columns)!r}")
    for name in metadata_files:
        lines.append(f"{name}\0{tuple(files.get(name, ()))}")
    for name in pictures:
        text = files.get(texts.get(name, ""))
        lines.append(f"{name}\0{tuple(files[name])}\0{tuple(text) if text else None}")
    return digest(lines)
