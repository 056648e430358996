"""Files by name, in a folder or in a zip, read without unpacking anything.

Names inside an archive are keys and nothing else: no path is ever made of one, so it does not matter where they point.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from training.datasets.errors import DataError
from training.datasets.pictures import MAX_FILE_BYTES


class Mark(NamedTuple):
    """What tells that a file has changed."""

    size: int
    time: int
    """Of the last change in a folder, in nanoseconds; of a zip's entry, its checksum."""


class Tree(Protocol):
    """Where files are read from; it is sent to worker processes as it is."""

    @property
    def label(self) -> str:
        """What messages call it."""
        ...

    def files(self) -> dict[str, Mark]:
        """Every file, its path with forward slashes. Raises `DataError`."""
        ...

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        """A file whole. Raises `OSError` when it cannot be read or is larger than `limit`."""
        ...

    def gone(self) -> bool:
        """Whether the whole of it can no longer be reached."""
        ...


@dataclass(frozen=True)
class FolderTree:
    """A folder and everything below it but what is hidden."""

    root: Path

    @property
    def label(self) -> str:
        return str(self.root)

    def files(self) -> dict[str, Mark]:
        try:
            return {name: Mark(stat.st_size, stat.st_mtime_ns) for name, stat in walk(self.root)}
        except OSError as error:
            raise DataError(f"{self.root}: cannot list this folder: {error.strerror or error}") from None

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        with open(os.path.join(self.root, name), "rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise OSError(f"larger than {limit} bytes")
        return data

    def gone(self) -> bool:
        # A disk that is no longer mounted leaves an empty folder behind.
        try:
            with os.scandir(self.root) as entries:
                return next(entries, None) is None
        except OSError:
            return True


def walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every file below `root`: its path with forward slashes, and its stat.

    Hidden folders, unreadable entries and links back to a folder above are passed over.
    """
    yield from _walk(root, "", ())


def _walk(root: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, os.stat_result]]:
    folder = os.stat(root / prefix)
    here = (folder.st_dev, folder.st_ino)
    if here in above and folder.st_ino:
        return
    with os.scandir(root / prefix) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_dir():
                    yield from _walk(root, prefix + entry.name + "/", (*above, here))
                elif entry.is_file():
                    yield prefix + entry.name, entry.stat()
            except OSError:
                continue


class ZipTree:
    """A zip file, opened anew in each process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: zipfile.ZipFile | None = None
        self._entries: dict[str, zipfile.ZipInfo] = {}

    def __getstate__(self) -> Path:
        return self.path

    def __setstate__(self, path: Path) -> None:
        self.path, self._opened, self._entries = path, None, {}

    @property
    def label(self) -> str:
        return str(self.path)

    def files(self) -> dict[str, Mark]:
        try:
            self._zip()
            return {name: Mark(info.file_size, info.CRC) for name, info in self._entries.items()}
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
            raise DataError(f"{self.path}: expected a zip file, could not read it: {error}") from None

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        try:
            # What an entry says about its size is not believed: it is read to the limit and no further.
            opened = self._zip()
            with opened.open(self._entries[name]) as file:
                data = file.read(limit + 1)
        except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, NotImplementedError, RuntimeError, EOFError) as e:
            raise OSError(f"{name}: {e}") from None
        if len(data) > limit:
            raise OSError(f"{name}: larger than {limit} bytes")
        return data

    def gone(self) -> bool:
        return not self.path.is_file()

    def _zip(self) -> zipfile.ZipFile:
        if self._opened is None:
            self._opened = zipfile.ZipFile(self.path)
            self._entries = {
                info.filename.replace("\\", "/"): info  # as some programs on Windows part their folders
                for info in self._opened.infolist()
                if not info.is_dir() and not _is_hidden(info.filename)
            }
        return self._opened


def _is_hidden(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return "__MACOSX" in parts or any(part.startswith(".") and part not in (".", "..") for part in parts)
