"""Pictures with captions as a list: a folder or a zip, its captions found in whichever way they are kept.

In this order: captions.json, metadata.jsonl, metadata.csv and the like, for the pictures beside and below them; a .txt
beside each picture; with a template, the name of the folder that a picture lies in.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from training.datasets.captions import (
    CAPTION_FILES,
    CAPTION_SUFFIXES,
    caption_lines,
    decode_text,
    parse_captions,
    tidy,
)
from training.datasets.config import TEMPLATE_FIELD, SourceSpec
from training.datasets.errors import DataError
from training.datasets.pictures import PICTURE_SUFFIXES, is_picture
from training.datasets.shards import ShardSource, is_shards, open_shards
from training.datasets.trees import FolderTree, Mark, Tree, ZipTree

CLASSES_FILE = "classes.json"
"""In a folder of classes: the folders' names to what they are called in captions."""
MAX_CAPTIONS_BYTES = 4 << 30


@dataclass(frozen=True, kw_only=True)
class ListedSource:
    """Captioned pictures, in the order of their names."""

    label: str
    tree: Tree
    names: tuple[str, ...]
    captions: tuple[tuple[str, ...], ...] | None
    """Of each picture, at least one; None when a .txt lies beside each, which is read with it."""
    captionless: int
    """Pictures left out because nothing gives them a caption."""
    missing: int
    """Captions for pictures that are not there."""
    unreadable: int
    """Rows of caption files that could not be understood."""
    fingerprint: str
    """Changes when any file's name, size or time does, or the template."""
    order_key: str
    """Changes with the pictures' names."""
    weight: float = 1.0

    def __len__(self) -> int:
        return len(self.names)

    @property
    def plain(self) -> bool:
        """A folder with a .txt beside each picture."""
        return self.captions is None and isinstance(self.tree, FolderTree)

    def captions_of(self, row: int) -> tuple[str, ...]:
        """The captions of a picture; empty when its .txt holds none or cannot be read."""
        if self.captions is not None:
            return self.captions[row]
        return text_beside(self.tree, self.names[row])


Source = ListedSource | ShardSource


def open_source(spec: SourceSpec, *, cache: Path, progress: bool = True) -> Source:
    """Find out what a place holds. Raises `DataError` when it holds no captioned picture."""
    if is_shards(spec.place):
        return open_shards(spec, cache=cache, progress=progress)
    path = Path(spec.place)
    if not path.exists():
        raise DataError(f"{path}: no such folder or file; expected pictures with captions")
    only: str | None = None
    tree: Tree
    if path.is_dir():
        tree = FolderTree(path)
    elif path.suffix.lower() == ".zip":
        tree = ZipTree(path)
    elif path.suffix.lower() in CAPTION_SUFFIXES:
        tree, only = FolderTree(path.parent), path.name
    else:
        raise DataError(
            f"{path}: expected a folder, a .zip, a .tar shard or a file of captions ({', '.join(CAPTION_SUFFIXES)})"
        )
    return _list(spec, tree, only)


def text_beside(tree: Tree, name: str) -> tuple[str, ...]:
    """The captions in the .txt beside a picture; empty when there are none."""
    try:
        return tuple(caption_lines(tree.read(posixpath.splitext(name)[0] + ".txt")))
    except OSError:
        return ()


def _list(spec: SourceSpec, tree: Tree, only: str | None) -> ListedSource:
    files = tree.files()
    pictures = sorted(name for name in files if is_picture(name))
    label = os.path.join(tree.label, only) if only else tree.label
    if not pictures:
        raise DataError(f"{label}: no pictures found (looked for {', '.join(sorted(PICTURE_SUFFIXES))})")
    known: dict[str, list[str]] = {}
    captions_files = [only] if only else [name for name in sorted(files) if posixpath.basename(name) in CAPTION_FILES]
    missing = unreadable = 0
    problem: DataError | None = None
    there = set(pictures)
    for name in captions_files:
        try:
            parsed = parse_captions(f"{tree.label}/{name}", tree.read(name, MAX_CAPTIONS_BYTES))
        except OSError as error:
            problem = problem or DataError(f"{tree.label}/{name}: cannot read the captions: {error}")
            continue
        except DataError as error:
            problem = problem or error
            continue
        unreadable += parsed.unreadable
        folder = posixpath.dirname(name)
        for picture, lines in parsed.by_name.items():
            full = posixpath.join(folder, picture)
            if full in there:
                known.setdefault(full, []).extend(lines)
            else:
                missing += 1
    names: list[str] = []
    texts: list[tuple[str, ...] | None] = []
    for name in pictures:
        text: tuple[str, ...] | None = tuple(known.get(name, ()))
        if not text and not only and posixpath.splitext(name)[0] + ".txt" in files:
            text = None
        if text is None or text:
            names.append(name)
            texts.append(text)
    if spec.template is not None:
        if known or any(text is None for text in texts):
            raise DataError(f"{label}: its pictures have captions of their own; leave the template away")
        names, texts = _from_classes(tree, files, pictures, spec.template)
    if not names and problem is not None:
        raise problem
    if not names:
        raise DataError(
            f"{label}: none of its {len(pictures)} pictures has captions; put NAME.txt beside NAME.png, one caption a "
            f"line, or a metadata.jsonl, captions.json or metadata.csv; for folders of classes give a template such as "
            f"'a photo of a {{}}'" + (f" ({missing} captions are for pictures that are not there)" if missing else "")
        )
    captions: tuple[tuple[str, ...], ...] | None = None
    if not all(text is None for text in texts):
        read = [
            (name, text_beside(tree, name) if text is None else text) for name, text in zip(names, texts, strict=True)
        ]
        names = [name for name, text in read if text]
        captions = tuple(text for _, text in read if text)
    return ListedSource(
        label=label,
        tree=tree,
        names=tuple(names),
        captions=captions,
        captionless=len(pictures) - len(names),
        missing=missing,
        unreadable=unreadable,
        fingerprint=_fingerprint(files, pictures, captions_files, spec.template),
        order_key=_digest(names),
        weight=spec.weight,
    )


def _from_classes(
    tree: Tree, files: Mapping[str, Mark], pictures: list[str], template: str
) -> tuple[list[str], list[tuple[str, ...] | None]]:
    """Captions by the folder that each picture lies in; pictures at the top have no class."""
    called: Mapping[str, object] = {}
    if CLASSES_FILE in files:
        try:
            called = json.loads(decode_text(tree.read(CLASSES_FILE, 64 << 20)))
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{tree.label}/{CLASSES_FILE}: expected JSON, could not read it: {error}") from None
        if not isinstance(called, dict):
            raise DataError(f"{tree.label}/{CLASSES_FILE}: expected folder names with the classes' names")
    names, texts = [], []
    for name in pictures:
        folder = posixpath.basename(posixpath.dirname(name))
        if not folder:
            continue
        word = called.get(folder)
        word = word if isinstance(word, str) else folder.replace("_", " ").replace("-", " ")
        caption = tidy(template.replace(TEMPLATE_FIELD, word))
        if caption:
            names.append(name)
            texts.append((caption,))
    return names, list(texts)


def _fingerprint(
    files: Mapping[str, Mark], pictures: list[str], captions_files: list[str], template: str | None
) -> str:
    lines = [f"template {template!r}"]
    for name in captions_files:
        lines.append(f"{name}\0{tuple(files.get(name, ()))}")
    for name in pictures:
        text = files.get(posixpath.splitext(name)[0] + ".txt")
        lines.append(f"{name}\0{tuple(files[name])}\0{tuple(text) if text else None}")
    return _digest(lines)


def _digest(lines: list[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()
