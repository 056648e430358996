"""One place that pictures come from, opened: a list of pictures in a folder or zip, or shards."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from training.datasets.config import Condition, SourceSpec, is_url
from training.datasets.errors import DataError
from training.datasets.findings import Findings
from training.datasets.labels import UNLABELLED
from training.datasets.listing import Listing, Row, captions_of_row, digest, list_pictures
from training.datasets.metadata import METADATA_SUFFIXES, Columns
from training.datasets.pictures import is_picture
from training.datasets.shards import ShardSource, is_captioned, is_shards, open_shards
from training.datasets.tar import BLOCK, is_tar
from training.datasets.trees import FolderTree, Tree, ZipTree


@dataclass(frozen=True, kw_only=True)
class ListedSource:
    """Pictures in the order of their names, each with what is known of it: captions, a class, or nothing."""

    label: str
    tree: Tree
    rows: tuple[Row, ...]
    fingerprint: str
    """Changes when any file's name, size or time does, or the template."""
    class_names: tuple[str, ...] = ()
    """Of each class number; empty when there are no classes."""
    classes_from: str = ""
    """Where the classes were found, for messages."""
    captionless: int = 0
    """Pictures left out because nothing gives them a caption."""
    unlabelled: int = 0
    """Pictures left out because they have no class."""
    findings: Findings = field(default_factory=Findings)
    """What else the place holds."""
    weight: float = 1.0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> tuple[str, ...]:
        """The pictures' paths."""
        return tuple(row.name for row in self.rows)

    @property
    def order_key(self) -> str:
        """Changes with the pictures' names."""
        return digest(self.names)

    @property
    def plain(self) -> bool:
        """Whether this is a folder whose captions all are in a .txt beside each picture."""
        return isinstance(self.tree, FolderTree) and all(row.text is not None for row in self.rows)

    def captions_of(self, row: int) -> tuple[str, ...]:
        """The captions of a picture; empty when its .txt holds none or cannot be read."""
        return captions_of_row(self.tree, self.rows[row])


Source = ListedSource | ShardSource

_ZIP_MARKS = (b"PK\x03\x04", b"PK\x05\x06")
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"(\xb5/\xfd": "Zstandard",
    b"7z\xbc\xaf": "7-Zip",
    b"Rar!": "RAR",
}


def open_source(
    spec: SourceSpec, *, cache: Path, condition: Condition | None = "captions", progress: bool = True
) -> Source:
    """The pictures of a place that have what `condition` asks for, with that alone; when it is None all of them, with
    all they have. Raises `DataError` when there is no such picture.
    """
    path = Path(spec.place)
    kind = _kind(spec.place)
    if kind == "shards":
        return open_shards(spec, cache=cache, condition=condition, progress=progress)
    only: str | None = None
    tree: Tree
    if kind == "folder":
        tree = FolderTree(path)
    elif kind == "zip":
        tree = ZipTree(path)
    else:
        tree, only = FolderTree(path.parent), path.name
    columns = Columns(spec.caption_column, spec.label_column)
    listing = list_pictures(tree, only=only, template=spec.template, columns=columns)
    source = ListedSource(
        label=os.path.join(tree.label, only) if only else tree.label,
        tree=tree,
        rows=listing.rows,
        fingerprint=listing.fingerprint,
        class_names=listing.class_names,
        classes_from=listing.classes_from,
        findings=listing.findings,
        weight=spec.weight,
    )
    if condition == "captions":
        return _with_captions(source, listing)
    if condition == "classes":
        return _with_classes(source, listing)
    if condition == "none":
        return replace(source, rows=tuple(Row(row.name) for row in source.rows), class_names=(), classes_from="")
    return source


def _kind(place: str) -> Literal["shards", "folder", "zip", "metadata"]:
    """What a place is: of a file by what it holds, whatever its name. Raises `DataError` for what is none of these."""
    path = Path(place)
    if is_url(place) or not path.exists():
        if not is_shards(place):
            raise DataError(f"{path}: no such folder or file; expected pictures with captions")
        return "shards"
    if path.is_dir():
        return "shards" if is_shards(place) else "folder"
    if not path.is_file():
        raise DataError(f"{path}: expected a folder or a file, got a device or a pipe")
    try:
        with path.open("rb") as file:
            head = file.read(BLOCK)
    except OSError as error:
        raise DataError(f"{path}: cannot read it: {error.strerror or error}") from None
    if is_tar(head):
        return "shards"
    if head.startswith(_ZIP_MARKS):
        return "zip"
    packed = next((name for mark, name in _PACKED.items() if head.startswith(mark)), "")
    if packed:
        raise DataError(f"{path}: is packed with {packed}, not readable in place; unpack it and give the folder")
    suffix = path.suffix.lower()
    if suffix in (".tar", ".txt"):
        return "shards"
    if suffix == ".zip":
        return "zip"
    if suffix in METADATA_SUFFIXES:
        return "metadata"
    if is_picture(path.name):
        raise DataError(f"{path}: is one picture; give the folder that it lies in")
    raise DataError(
        f"{path}: expected a folder, a .zip, a .tar shard or a file of captions ({', '.join(METADATA_SUFFIXES)})"
    )


def holds(source: Source) -> Condition:
    """The most that a source opened without a condition can be used for; a few samples stand for a shard's others."""
    if isinstance(source, ListedSource):
        captioned = any(row.text is not None or row.captions for row in source.rows)
    else:
        captioned = is_captioned(source)
    if captioned:
        return "captions"
    return "classes" if source.class_names else "none"


def relabelled(source: Source, class_names: tuple[str, ...]) -> Source:
    """The source with its classes numbered as in `class_names`, which has all of its own.

    Raises `DataError` for shards, whose numbers stand in their files, where they would have to change.
    """
    if source.class_names == class_names[: len(source.class_names)]:
        return replace(source, class_names=class_names)
    if isinstance(source, ShardSource):
        raise DataError(
            f"{source.label}: its classes ({_some(source.class_names)}) are numbered otherwise than those of the data "
            "it is mixed with; build shards of all the data together"
        )
    numbers = np.array([class_names.index(name) for name in source.class_names])
    rows = tuple(
        row._replace(class_number=int(numbers[row.class_number])) if row.class_number != UNLABELLED else row
        for row in source.rows
    )
    return replace(source, rows=rows, class_names=class_names)


def _with_captions(source: ListedSource, listing: Listing) -> ListedSource:
    """The captioned rows; of a mixture of .txt and metadata those whose .txt is not empty."""
    rows = tuple(row for row in source.rows if row.text is not None or row.captions)
    if not rows and listing.problem is not None:
        raise listing.problem
    if not rows:
        missing_count = source.findings.missing
        classes = f"; it has {len(source.class_names)} classes ({source.classes_from})" if source.class_names else ""
        missing = f" ({missing_count} captions are for pictures that are not there)" if missing_count else ""
        raise DataError(
            f"{source.label}: none of its {len(source)} pictures has captions{classes}; put NAME.txt beside NAME.png, "
            "one caption a line, or a metadata.jsonl, captions.json or metadata.csv; for folders of classes give a "
            f"template such as 'a photo of a {{}}'{missing}"
        )
    if all(row.text is not None for row in rows):
        rows = tuple(row._replace(class_number=UNLABELLED) for row in rows)
    else:
        read = ((row.name, captions_of_row(source.tree, row)) for row in rows)
        rows = tuple(Row(name, captions) for name, captions in read if captions)
    return replace(source, rows=rows, captionless=len(source) - len(rows), class_names=(), classes_from="")


def _with_classes(source: ListedSource, listing: Listing) -> ListedSource:
    rows = tuple(Row(row.name, class_number=row.class_number) for row in source.rows if row.class_number != UNLABELLED)
    if not rows and listing.problem is not None:
        raise listing.problem
    if not rows:
        raise DataError(
            f"{source.label}: none of its {len(source)} pictures has a class; expected a folder for each class, "
            "StyleGAN's dataset.json, or a metadata.csv or .jsonl with the columns file_name and label"
        )
    return replace(source, rows=rows, unlabelled=len(source) - len(rows))


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
