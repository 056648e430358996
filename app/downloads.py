"""Files from the web: a download that was cut goes on where it stopped, now or at the next try.

What is there already is asked for again only if the server says that it changed. A partial file is trusted only with
the server's own mark of the version it belongs to (ETag or Last-Modified).
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from app.errors import UserError, reason

TIMEOUT_SECONDS = 30.0
TRIES = 3
"""How many times in a row a try may bring nothing."""
PAUSE_SECONDS = 1.0

_CHUNK = 2**18
_TEMPORARY = (408, 429, 500, 502, 503, 504)

Progress = Callable[[str, int, int], None]


class _CutError(Exception):
    """The connection ended too early, or was not made; another try may go on."""


@dataclass(frozen=True)
class _Version:
    """Which version of a file the server sent."""

    etag: str = ""
    last_modified: str = ""

    @property
    def validator(self) -> str:
        """For If-Range, which takes no weak ETag."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Redirects lead to the web only."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise UserError(f"{_shown(req.full_url)}: expected a redirect to a web address, got another kind")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def is_url(text: str) -> bool:
    """Whether this names something on the web rather than a file here."""
    return re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", text) is not None


def download(url: str, folder: Path, progress: Progress) -> Path:
    """Fetches an http or https address into a folder of its own below `folder`, and returns the whole file's path.

    `progress` is called with ("downloading", bytes so far, bytes in all or 0). Raises `UserError`; what had come by
    then is kept for the next call.
    """
    _check(url)
    place = folder / hashlib.sha256(url.encode()).hexdigest()[:32]
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{place}: cannot make the folder: {reason(error)}") from error
    target = place / _file_name(url)
    part = target.with_name(target.name + ".part")
    idle = 0
    while True:
        before = _length(part)
        try:
            return _fetch(url, target, part, progress)
        except _CutError as error:
            idle = 0 if _length(part) > before else idle + 1
            if idle >= TRIES:
                kept = f"; {_length(part)} bytes are kept, run it again to go on" if _length(part) else ""
                raise UserError(f"{_shown(url)}: cannot download it: {error}{kept}") from None
            time.sleep(PAUSE_SECONDS)


def _fetch(url: str, target: Path, part: Path, progress: Progress) -> Path:
    version, offset = _recorded(target), _length(part)
    headers = {"User-Agent": "Glissando", "Accept-Encoding": "identity"}
    if offset and version.validator:
        headers |= {"Range": f"bytes={offset}-", "If-Range": version.validator}
    elif target.is_file():
        if version.etag:
            headers["If-None-Match"] = version.etag
        elif version.last_modified:
            headers["If-Modified-Since"] = version.last_modified
    try:
        request = urllib.request.Request(url, headers=headers)
        response = urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 304:
            return target
        if error.code == 416:  # the partial file is no beginning of what is there now
            part.unlink(missing_ok=True)
            raise _CutError("the server has another file than before") from None
        if error.code in _TEMPORARY:
            raise _CutError(f"the server answered {error.code}") from None
        raise UserError(f"{_shown(url)}: the server answered {error.code} {error.reason}; check the address") from None
    except urllib.error.URLError as error:
        why = reason(error.reason) if isinstance(error.reason, OSError) else str(error.reason)
        raise _CutError(why) from None
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(str(error) or type(error).__name__) from None
    with response:
        return _receive(url, response, target, part, offset, progress)


def _receive(url: str, response: Any, target: Path, part: Path, offset: int, progress: Progress) -> Path:
    """Writes an answer to the partial file, which becomes the file when its length is right."""
    found = response.headers
    total = int(found["Content-Length"]) if (found["Content-Length"] or "").isdecimal() else 0
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", (found["Content-Range"] or "").strip())
        if match is None or int(match[1]) != offset:
            part.unlink(missing_ok=True)
            raise _CutError("the server sent another range than was asked for")
        total = int(match[3])
    elif response.status == 200:
        offset = 0
    else:
        raise UserError(f"{_shown(url)}: expected a file, the server answered {response.status}")
    done = offset
    try:
        if not offset:
            version = _Version(found["ETag"] or "", found["Last-Modified"] or "")
            _record(target).write_text(json.dumps(asdict(version)), encoding="utf-8")
        with part.open("ab" if offset else "wb") as file:
            while chunk := _read(response):
                file.write(chunk)
                done += len(chunk)
                progress("downloading", done, total)
        if total and done != total:
            if done > total:
                part.unlink(missing_ok=True)
            raise _CutError(f"expected {total} bytes, got {done}")
        os.replace(part, target)
    except OSError as error:
        raise UserError(f"{part}: cannot write it: {reason(error)}; {done} bytes are kept") from error
    return target


def _read(response: Any) -> bytes:
    try:
        chunk: bytes = response.read(_CHUNK)
    except http.client.IncompleteRead as error:
        raise _CutError("the connection was cut") from error
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(str(error) or type(error).__name__) from error
    return chunk


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    if not whole or not url.isascii() or not url.isprintable() or " " in url:
        raise UserError(f"{_shown(url)}: expected an address that starts with http:// or https://")


def _file_name(url: str) -> str:
    """A harmless name from the address's last part."""
    last = unquote(urlsplit(url).path).rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]", "_", last).lstrip(".")[-100:] or "download"


def _shown(url: str) -> str:
    """An address for a message: without the query, which may hold a key."""
    return "".join(c if c.isprintable() else "?" for c in re.split(r"[?#]", url)[0])[:300]


def _record(target: Path) -> Path:
    return target.with_name(target.name + ".json")


def _recorded(target: Path) -> _Version:
    with contextlib.suppress(OSError, ValueError, TypeError):
        values = json.loads(_record(target).read_text(encoding="utf-8"))
        version = _Version(**values)
        if all(isinstance(value, str) and value.isprintable() for value in values.values()):
            return version
    return _Version()


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
