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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from training.datasets.captions import CAPTION_FILES, caption_lines, decode_text, parse_captions, tidy
from training.datasets.config import TEMPLATE_FIELD
from training.datasets.errors import DataError
from training.datasets.labels import DATASET_FILE, UNLABELLED, DatasetFile, by_folder, numbered, read_dataset_file
from training.datasets.pictures import PICTURE_SUFFIXES, is_picture
from training.datasets.trees import Mark, Tree

CLASSES_FILE = "classes.json"
"""In a folder of classes: the folders' names to what they are called in captions."""
MAX_METADATA_BYTES = 4 << 30


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
    missing: int
    """Captions and classes for pictures that are not there."""
    unreadable: int
    """Rows of metadata files that could not be understood."""
    problem: DataError | None
    """Why a metadata file could not be used at all, if one could not."""
    fingerprint: str


@dataclass(kw_only=True)
class _Metadata:
    """What the metadata files of a tree say together; keys are full paths of pictures that are there."""

    files: list[str]
    captions: dict[str, list[str]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    labels_from: str = ""
    missing: int = 0
    unreadable: int = 0
    problem: DataError | None = None


def list_pictures(tree: Tree, *, only: str | None = None, template: str | None = None) -> Listing:
    """Find pictures, captions and classes. With `only`, captions come from that file alone.

    Raises `DataError` when there is no picture, or for a template where there are captions already.
    """
    files = tree.files()
    pictures = sorted(name for name in files if is_picture(name))
    label = os.path.join(tree.label, only) if only else tree.label
    if not pictures:
        raise DataError(f"{label}: no pictures found (looked for {', '.join(sorted(PICTURE_SUFFIXES))})")
    metadata = _read_metadata(tree, files, set(pictures), only)
    texts = {} if only else texts_beside(files, pictures)
    called = _class_titles(tree, files)
    rows = []
    for name in pictures:
        known = tuple(metadata.captions.get(name, ()))
        rows.append(Row(name, known, None if known else texts.get(name)))
    if template is not None:
        if any(row.captions or row.text is not None for row in rows):
            raise DataError(f"{label}: its pictures have captions of their own; leave the template away")
        rows = [row._replace(captions=_from_template(row.name, called, template)) for row in rows]
    labels = None
    try:
        labels = numbered(metadata.labels, f"{tree.label}/{metadata.labels_from}")
    except DataError as error:
        metadata.problem = metadata.problem or error
    if labels is None and DATASET_FILE not in metadata.files:
        labels = by_folder(pictures, called)
    if labels is not None:
        rows = [row._replace(class_number=labels.numbers.get(row.name, UNLABELLED)) for row in rows]
    return Listing(
        rows=tuple(rows),
        class_names=labels.class_names if labels is not None else (),
        classes_from=(metadata.labels_from or labels.origin) if labels is not None else "",
        missing=metadata.missing,
        unreadable=metadata.unreadable,
        problem=metadata.problem,
        fingerprint=_fingerprint(files, pictures, metadata.files, template),
    )


def captions_of_row(tree: Tree, row: Row) -> tuple[str, ...]:
    """The captions of a row, read where they are in a .txt; empty when there are none."""
    if row.text is None:
        return row.captions
    try:
        return tuple(caption_lines(tree.read(row.text)))
    except OSError:
        return ()


def digest(lines: Iterable[str]) -> str:
    """SHA-256 of lines of text, as hexadecimal digits."""
    made = hashlib.sha256()
    for line in lines:
        made.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return made.hexdigest()


def _read_metadata(tree: Tree, files: Mapping[str, Mark], pictures: set[str], only: str | None) -> _Metadata:
    chosen = [only] if only else [name for name in sorted(files) if posixpath.basename(name) in CAPTION_FILES]
    metadata = _Metadata(files=chosen)
    for name in chosen:
        label = f"{tree.label}/{name}"
        try:
            parsed = parse_captions(label, tree.read(name, MAX_METADATA_BYTES))
        except OSError as error:
            metadata.problem = metadata.problem or DataError(f"{label}: cannot read the captions: {error}")
            continue
        except DataError as error:
            metadata.problem = metadata.problem or error
            continue
        metadata.unreadable += parsed.unreadable
        folder = posixpath.dirname(name)
        for picture, lines in parsed.by_name.items():
            full = posixpath.join(folder, picture)
            if full in pictures:
                metadata.captions.setdefault(full, []).extend(lines)
            else:
                metadata.missing += 1
        for picture, text in parsed.labels.items():
            if (full := posixpath.join(folder, picture)) in pictures:
                metadata.labels[full] = text
                metadata.labels_from = name
            elif picture not in parsed.by_name:
                metadata.missing += 1
    if not only and DATASET_FILE in files:
        _read_dataset_file(tree, pictures, metadata)
    return metadata


def _read_dataset_file(tree: Tree, pictures: set[str], metadata: _Metadata) -> None:
    """StyleGAN's dataset.json at the top; it goes before labels of other files."""
    label = f"{tree.label}/{DATASET_FILE}"
    try:
        found = read_dataset_file(label, tree.read(DATASET_FILE, MAX_METADATA_BYTES))
    except OSError as error:
        metadata.problem = metadata.problem or DataError(f"{label}: cannot read the labels: {error}")
        return
    except DataError as error:
        metadata.problem = metadata.problem or error
        found = DatasetFile(labels={}, captions={})
    if found is None:
        return
    metadata.files.append(DATASET_FILE)
    metadata.missing += sum(name not in pictures for name in (*found.labels, *found.captions))
    labels = {name: text for name, text in found.labels.items() if name in pictures}
    if labels:
        metadata.labels, metadata.labels_from = labels, DATASET_FILE
    for name, lines in found.captions.items():
        if name in pictures:
            metadata.captions.setdefault(name, []).extend(lines)


def texts_beside(files: Mapping[str, Mark], pictures: Sequence[str]) -> dict[str, str]:
    """Of each picture that has one, the .txt of its name."""
    found = {}
    for name in pictures:
        text = posixpath.splitext(name)[0] + ".txt"
        if text in files:
            found[name] = text
    return found


def _class_titles(tree: Tree, files: Mapping[str, Mark]) -> dict[str, str]:
    """What classes.json calls the folders; empty without one."""
    if CLASSES_FILE not in files:
        return {}
    try:
        called = json.loads(decode_text(tree.read(CLASSES_FILE, 64 << 20)))
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
    files: Mapping[str, Mark], pictures: Sequence[str], metadata_files: Sequence[str], template: str | None
) -> str:
    texts = texts_beside(files, pictures)
    lines = [f"template {template!r}"]
    for name in metadata_files:
        lines.append(f"{name}\0{tuple(files.get(name, ()))}")
    for name in pictures:
        text = files.get(texts.get(name, ""))
        lines.append(f"{name}\0{tuple(files[name])}\0{tuple(text) if text else None}")
    return digest(lines)
