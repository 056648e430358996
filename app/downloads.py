"""Files from the web: a download that was cut goes on where it stopped, now or at the next try.

What is there already is asked for again only if the server says that it changed. A partial file is trusted only with
the server's own mark of the version it belongs to (ETag or Last-Modified).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from urllib.parse import unquote, urlsplit

from app.errors import UserError, reason
from core import http

TRIES = 3
"""How many times in a row a try may bring nothing."""
PAUSE_SECONDS = 1.0

Progress = Callable[[str, int, int], None]


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
    try:
        return _fetch(url, target, part, progress)
    except http.RefusedError as error:
        advice = "; check the address" if error.missing or error.status < 400 or error.status in (401, 403) else ""
        raise UserError(f"{_shown(url)}: {error}{advice}") from None
    except http.InterruptedTransferError as error:
        if not _length(part):
            part.unlink(missing_ok=True)
        kept = f"; {_length(part)} bytes are kept, run it again to go on" if _length(part) else ""
        raise UserError(f"{_shown(url)}: cannot download it: {error}{kept}") from None
    except http.HttpError as error:
        raise UserError(f"{_shown(url)}: {error}") from None
    except OSError as error:
        raise UserError(f"{part}: cannot write it: {reason(error)}; {_length(part)} bytes are kept") from error


def _fetch(url: str, target: Path, part: Path, progress: Progress) -> Path:
    """Fetch into the partial file, which becomes the file when it is whole; what is there already is not sent again."""

    def started(version: http.Version, have: int, total: int) -> None:
        if not have:
            _record(target).write_text(json.dumps(asdict(version)), encoding="utf-8")

    version = _recorded(target)
    part.touch()
    with part.open("r+b") as file:
        sent = http.fetch(
            url,
            file,
            version=version,
            known=version if target.is_file() else None,
            pauses=(PAUSE_SECONDS,) * (TRIES - 1),
            started=started,
            progress=lambda done, total: progress("downloading", done, total),
        )
    if sent is None:
        part.unlink(missing_ok=True)
    else:
        os.replace(part, target)
    return target


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
    return http.without_secrets(url)


def _record(target: Path) -> Path:
    return target.with_name(target.name + ".json")


def _recorded(target: Path) -> http.Version:
    with contextlib.suppress(OSError, ValueError, TypeError):
        values = json.loads(_record(target).read_text(encoding="utf-8"))
        version = http.Version(**values)
        if all(isinstance(value, str) and value.isprintable() for value in values.values()):
            return version
    return http.Version()


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
