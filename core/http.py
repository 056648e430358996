"""Files over http and https. A transfer that was cut goes on where it stopped, as long as the server's own mark of the
version (ETag or Last-Modified) says that it is the same file. Redirects lead to the web only.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

TIMEOUT_SECONDS = 30.0
PAUSES = (0.5, 1.5, 4.5, 13.5)
"""Seconds before each further try of a transfer that brings nothing."""

_CHUNK = 1 << 18
_MISSING = (404, 410)
_TEMPORARY = (408, 425, 429)

Progress = Callable[[int, int], None]
"""Called with (bytes so far, bytes in all or 0)."""


class HttpError(Exception):
    """A file that cannot be had; the message has no address, which may be secret."""


class InterruptedTransferError(HttpError):
    """The connection ended too early, or was not made, or the server is busy: another try may go on."""


class RefusedError(HttpError):
    """The server's answer is no; another try gets the same."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def missing(self) -> bool:
        """Whether the server says that there is no such file."""
        return self.status in _MISSING


class AddressError(HttpError):
    """An address that is none, or a redirect to something that is not on the web."""


class TooLargeError(HttpError):
    """More bytes than the limit."""


class DigestError(HttpError):
    """Other bytes than were wanted."""


@dataclass(frozen=True)
class Version:
    """Which version of a file a server sent."""

    etag: str = ""
    last_modified: str = ""

    @property
    def validator(self) -> str:
        """For If-Range, which takes no weak ETag."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified


NO_VERSION = Version()

Started = Callable[[Version, int, int], None]
"""Called with (version, bytes that are there, bytes in all or 0) before the first byte is written."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urllib.parse.urlsplit(newurl).scheme not in ("http", "https"):
            raise AddressError("expected a redirect to a web address, got another kind")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def open_url(url: str, headers: Mapping[str, str] | None = None) -> Iterator[http.client.HTTPResponse]:
    """The server's answer, also 304 and 416. Raises `HttpError`, also for what goes wrong while it is read."""
    request_headers = {"User-Agent": "glissando", "Accept-Encoding": "identity", **(headers or {})}
    try:
        request = urllib.request.Request(url, headers=request_headers)
        response = urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        said = f"{error.code} {error.reason}".strip()
        if error.code in _TEMPORARY or error.code >= 500:
            raise InterruptedTransferError(f"the server answered {said}") from None
        raise RefusedError(error.code, f"the server answered {said}") from None
    except urllib.error.URLError as error:
        raise InterruptedTransferError(_reason(error.reason)) from None
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, http.client.InvalidURL):
            raise AddressError(str(error)) from None
        raise InterruptedTransferError(_reason(error)) from None
    except ValueError as error:
        raise AddressError(str(error)) from None
    with response:
        yield response


def read_part(response: http.client.HTTPResponse, size: int = _CHUNK) -> bytes:
    """Up to `size` bytes of an answer; nothing at its end. Raises `InterruptedTransferError`."""
    try:
        return response.read(size)
    except http.client.IncompleteRead as error:
        raise InterruptedTransferError("the connection was cut") from error
    except (OSError, http.client.HTTPException) as error:
        raise InterruptedTransferError(_reason(error)) from error


def read_small(url: str, limit: int) -> bytes:
    """A small file whole, in one try. Raises `HttpError`."""
    parts, have = [], 0
    with open_url(url) as response:
        while part := read_part(response, limit + 1 - have):
            parts.append(part)
            have += len(part)
            if have > limit:
                raise TooLargeError(f"larger than {limit} bytes")
    return b"".join(parts)


def transfer(
    url: str,
    file: IO[bytes],
    *,
    version: Version = NO_VERSION,
    known: Version | None = None,
    limit: int | None = None,
    started: Started | None = None,
    progress: Progress | None = None,
) -> Version | None:
    """Read on from where `file` ends, in one try; returns the version of the file, which then is whole.

    `version` is that of the bytes which are there; without it they are read again. `known` is a version that need not
    be sent: then nothing is, and None returned. Raises `HttpError` with what came by then left in `file`, and `OSError`
    when that cannot be written.
    """
    have = file.seek(0, os.SEEK_END)
    headers = {}
    if have and version.validator:
        headers = {"Range": f"bytes={have}-", "If-Range": version.validator}
    elif known is not None and known.etag:
        headers = {"If-None-Match": known.etag}
    elif known is not None and known.last_modified:
        headers = {"If-Modified-Since": known.last_modified}
    try:
        with open_url(url, headers) as response:
            return _receive(response, file, have if "Range" in headers else 0, limit, started, progress)
    except RefusedError as error:
        if error.status == 304:
            return None
        if error.status == 416 and have:
            file.truncate(0)
            raise InterruptedTransferError("the server has another file than before") from None
        raise


def _receive(
    response: http.client.HTTPResponse,
    file: IO[bytes],
    have: int,
    limit: int | None,
    started: Started | None,
    progress: Progress | None,
) -> Version:
    found = response.headers
    length = found.get("Content-Length") or ""
    total = int(length) if length.isascii() and length.isdigit() else 0
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", (found.get("Content-Range") or "").strip())
        if match is None or int(match[1]) != have:
            file.truncate(0)
            raise InterruptedTransferError("the server sent another range than was asked for")
        total = int(match[3])
    elif response.status == 200:
        file.truncate(0)
        file.seek(0)
        have = 0
    else:
        raise RefusedError(response.status, f"expected a file, the server answered {response.status}")
    if limit is not None and total > limit:
        raise TooLargeError(f"larger than {limit} bytes")
    sent = Version(found.get("ETag") or "", found.get("Last-Modified") or "")
    if started is not None:
        started(sent, have, total)
    while part := read_part(response):
        file.write(part)
        have += len(part)
        if limit is not None and have > limit:
            raise TooLargeError(f"larger than {limit} bytes")
        if progress is not None:
            progress(have, total)
    if total and have != total:
        if have > total:
            file.truncate(0)
        raise InterruptedTransferError(f"expected {total} bytes, got {have}")
    return sent


def fetch(
    url: str,
    file: IO[bytes],
    *,
    version: Version = NO_VERSION,
    known: Version | None = None,
    limit: int | None = None,
    sha256: str = "",
    pauses: Sequence[float] = PAUSES,
    sleep: Callable[[float], None] = time.sleep,
    started: Started | None = None,
    progress: Progress | None = None,
) -> Version | None:
    """`transfer` until the file is whole: a try that is interrupted is followed by another, after a pause.

    As many tries in a row may bring nothing as there are pauses, and one more. With `sha256` the whole file is checked.
    """

    def begun(sent: Version, have: int, total: int) -> None:
        nonlocal version
        version = sent
        if started is not None:
            started(sent, have, total)

    idle = 0
    while True:
        before = file.seek(0, os.SEEK_END)
        try:
            result = transfer(url, file, version=version, known=known, limit=limit, started=begun, progress=progress)
        except InterruptedTransferError:
            idle = 0 if file.seek(0, os.SEEK_END) > before else idle + 1
            if idle > len(pauses):
                raise
            sleep(pauses[max(0, idle - 1)] if pauses else 0.0)
            continue
        if sha256 and result is not None:
            check_digest(file, sha256)
        return result


def check_digest(file: IO[bytes], sha256: str) -> None:
    """Raises `DigestError` unless the file's SHA-256, as hexadecimal digits, begins with the ones wanted."""
    file.seek(0)
    found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    if not found.startswith(sha256.lower()):
        raise DigestError(f"expected the SHA-256 {sha256}, got {found}; it is damaged or another file")


def without_secrets(url: str) -> str:
    """An address for messages: without user, query and fragment, and what is not printable."""
    bare = re.split(r"[?#]", url)[0]
    scheme, slashes, rest = bare.partition("://")
    host, slash, path = rest.partition("/")
    bare = f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}" if slashes else bare
    return "".join(letter if letter.isprintable() else "?" for letter in bare)[:300]


def _reason(error: object) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)[:1].lower() + str(text)[1:] if isinstance(error, OSError) else str(text)
