"""Shards on a web server: fetched once each into an unnamed file, which goes on where a connection broke.

Only http and https are ever asked, also after a redirect.
"""

from __future__ import annotations

import http.client
import io
import os
import re
import shutil
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from training.datasets.config import place_shown
from training.datasets.errors import DataError

TIMEOUT_S = 30.0
TRIES = 5
_PART = 1 << 20
_KEEP_FREE = 256 << 20
_MISSING = (404, 410)
_AGAIN = (408, 425, 429)


class MissingError(Exception):
    """The server says that there is no such file."""


class RemoteError(Exception):
    """The server cannot be reached, or does not answer as it should, also after several tries."""


def fetch(url: str, folder: Path, *, sleep: Callable[[float], None] = time.sleep) -> IO[bytes]:
    """The whole file at `url`, in an unnamed file in `folder` that is gone when it is closed.

    Raises `MissingError`, `RemoteError`, and `DataError` when the disk has no room.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise DataError(f"{folder}: cannot keep shards here ({error.strerror or error}); set GLISSANDO_CACHE") from None
    try:
        tags: list[str] = []
        for wait in _waits():
            try:
                _append(url, file, folder, tags)
                file.flush()
                file.seek(0)
                return file
            except urllib.error.HTTPError as error:
                if error.code == 416 and file.tell():
                    file.truncate(0)  # what is there is not of this file any more
                    file.seek(0)
                    problem = "it changed while it was read"
                else:
                    problem = _refused(error)
            except (OSError, http.client.HTTPException) as error:
                problem = _words(error)
            if wait is None:
                raise RemoteError(f"{place_shown(url)}: {problem} (tried {TRIES} times)")
            sleep(wait)
        raise AssertionError("the last wait is None")
    except BaseException:
        file.close()
        raise


@contextmanager
def stream(url: str) -> Iterator[io.BufferedIOBase]:
    """The file at `url` as it comes in. Raises `MissingError` and `RemoteError`, also while it is read."""
    try:
        with _open(url, {}) as response:
            yield response
    except urllib.error.HTTPError as error:
        raise RemoteError(f"{place_shown(url)}: {_refused(error)}") from None
    except (OSError, http.client.HTTPException) as error:
        raise RemoteError(f"{place_shown(url)}: {_words(error)}") from None


def small(url: str, limit: int, *, sleep: Callable[[float], None] = time.sleep) -> bytes:
    """A small file whole. Raises `MissingError`, `RemoteError`."""
    for wait in _waits():
        try:
            with stream(url) as response:
                data = response.read(limit + 1)
            if len(data) > limit:
                raise RemoteError(f"{place_shown(url)}: larger than {limit} bytes")
            return data
        except RemoteError:
            if wait is None:
                raise
            sleep(wait)
    raise AssertionError("the last wait is None")


def _append(url: str, file: IO[bytes], folder: Path, tags: list[str]) -> None:
    """Read on from where the file ends. `tags` is what the server called this state of its file, if it did."""
    have = file.seek(0, os.SEEK_END)
    headers = {}
    if have and tags:
        headers = {"Range": f"bytes={have}-", "If-Range": tags[0]}
    with _open(url, headers) as response:
        total: int | None = None
        length = response.headers.get("Content-Length", "")
        expected = int(length) if length.isascii() and length.isdigit() else None
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", "").strip())
        if response.status == 206 and match and int(match[1]) == have:
            total = int(match[2])
        else:
            file.seek(0)
            file.truncate()
            have, total = 0, expected
        tag = response.headers.get("ETag", "")
        tag = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
        tags[:] = [tag] if tag else []
        _check_room(folder, (total or 0) - have, url)
        checked = have
        while part := response.read(_PART):
            file.write(part)
            have += len(part)
            if have - checked > 64 * _PART:
                _check_room(folder, 0, url)
                checked = have
    if total is not None and have < total:
        raise OSError(f"the connection ended after {have} of {total} bytes")


def _check_room(folder: Path, size: int, url: str) -> None:
    free = shutil.disk_usage(folder).free
    if free < size + _KEEP_FREE:
        raise DataError(
            f"{folder}: {place_shown(url)} needs {size / 2**20:.0f} MiB and some room beside it, "
            f"but only {free / 2**20:.0f} MiB are free; set GLISSANDO_CACHE to a folder on a larger disk"
        )


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urllib.parse.urlsplit(newurl).scheme not in ("http", "https"):
            raise urllib.error.URLError("it redirects to something that is no http address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, headers: dict[str, str]) -> Any:
    opener = urllib.request.build_opener(_Redirects)
    request = urllib.request.Request(url, headers={"User-Agent": "glissando", **headers})
    try:
        return opener.open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code in _MISSING:
            error.close()
            raise MissingError(f"{place_shown(url)}: {error.code} {error.reason}") from None
        raise
    except ValueError as error:  # http.client.InvalidURL and others of an address that is none
        raise RemoteError(f"{place_shown(url)}: {error}") from None


def _refused(error: urllib.error.HTTPError) -> str:
    """What went wrong; raises at once when trying again cannot help."""
    problem = f"the server answers {error.code} {error.reason}"
    error.close()
    if 400 <= error.code < 500 and error.code not in _AGAIN:
        raise RemoteError(f"{place_shown(error.url or '')}: {problem}") from None
    return problem


def _words(error: BaseException) -> str:
    reason = getattr(error, "reason", error)
    return str(reason) or type(reason).__name__


def _waits() -> Iterator[float | None]:
    """Seconds before each further try; None after the last."""
    yield from (0.5 * 3**number for number in range(TRIES - 1))
    yield None
