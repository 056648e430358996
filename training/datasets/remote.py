"""Shards on a web server: fetched once each into an unnamed file, which goes on where a connection broke."""

from __future__ import annotations

import io
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import IO

from core import http
from training.datasets.config import place_shown
from training.datasets.errors import DataError

PAUSES = http.PAUSES
"""Seconds before each further try."""
_KEEP_FREE = 256 << 20
_CHECK_EVERY = 64 << 20


class MissingError(Exception):
    """The server says that there is no such file."""


class RemoteError(Exception):
    """The server cannot be reached, or does not answer as it should, also after several tries."""


class RefusedError(RemoteError):
    """The server can be reached and refuses the file."""


def fetch(url: str, folder: Path, *, sleep: Callable[[float], None] = time.sleep) -> IO[bytes]:
    """The whole file at `url`, in an unnamed file in `folder` that is gone when it is closed.

    Raises `MissingError`, `RemoteError`, and `DataError` when the disk has no room.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise DataError(f"{folder}: cannot keep shards here ({error.strerror or error}); set GLISSANDO_CACHE") from None
    room = _Room(url, folder)
    try:
        try:
            http.fetch(url, file, pauses=PAUSES, sleep=sleep, started=room.started, progress=room.progress)
        except http.HttpError as error:
            raise _translated(url, error, tries=len(PAUSES) + 1) from None
        except OSError as error:
            raise DataError(f"{folder}: cannot write here ({error.strerror or error}); set GLISSANDO_CACHE") from None
        file.flush()
        file.seek(0)
        return file
    except BaseException:
        file.close()
        raise


class _Room:
    """Looks whether the disk has room for what comes."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder, self._checked = url, folder, 0

    def started(self, version: http.Version, have: int, total: int) -> None:
        self._check(max(0, total - have))
        self._checked = have

    def progress(self, have: int, total: int) -> None:
        if have - self._checked > _CHECK_EVERY:
            self._check(0)
            self._checked = have

    def _check(self, size: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if free < size + _KEEP_FREE:
            raise DataError(
                f"{self._folder}: {place_shown(self._url)} needs {size / 2**20:.0f} MiB and some room beside it, "
                f"but only {free / 2**20:.0f} MiB are free; set GLISSANDO_CACHE to a folder on a larger disk"
            )


@contextmanager
def stream(url: str) -> Iterator[io.BufferedIOBase]:
    """The file at `url` as it comes in. Raises `MissingError` and `RemoteError`, also while it is read."""
    try:
        with http.open_url(url) as response:
            yield response
    except http.HttpError as error:
        raise _translated(url, error) from None
    except (OSError, HTTPException) as error:
        raise RemoteError(f"{place_shown(url)}: {error}") from None


def small(url: str, limit: int, *, sleep: Callable[[float], None] = time.sleep) -> bytes:
    """A small file whole. Raises `MissingError`, `RemoteError`."""
    file = io.BytesIO()
    try:
        http.fetch(url, file, limit=limit, pauses=PAUSES, sleep=sleep)
    except http.HttpError as error:
        raise _translated(url, error) from None
    return file.getvalue()


def _translated(url: str, error: http.HttpError, tries: int = 0) -> MissingError | RemoteError:
    """The same in the words of this module."""
    if isinstance(error, http.RefusedError):
        kind = MissingError if error.missing else RefusedError
        return kind(f"{place_shown(url)}: {error}")
    tried = f" (tried {tries} times)" if tries and isinstance(error, http.InterruptedTransferError) else ""
    return RemoteError(f"{place_shown(url)}: {error}{tried}")
