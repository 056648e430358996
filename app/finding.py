"""Finds a checkpoint by its hash among the files within reach. Hashes are kept, so that each file is read once."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

log = logging.getLogger(__name__)

SUFFIXES = (".safetensors", ".pkl", ".pt")
MOST_KEPT = 2000


class Hashes:
    """SHA-256 of files, kept in one JSON file under path, size and time. Not for two threads at once."""

    def __init__(self, cache: Path | None) -> None:
        self._cache = cache
        self._known = _read(cache)

    def of(self, path: Path) -> str:
        """The hash of a file. Raises `OSError`."""
        status = path.stat()
        mark = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
        known = self._known.get(mark)
        if known is None:
            with path.open("rb") as file:
                known = hashlib.file_digest(file, "sha256").hexdigest()
            self._known[mark] = known
            self._keep()
        return known

    def _keep(self) -> None:
        if self._cache is None:
            return
        newest = dict(list(self._known.items())[-MOST_KEPT:])
        part = self._cache.with_name(f".{self._cache.name}.part")
        try:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(newest), encoding="utf-8")
            part.replace(self._cache)
        except OSError as error:
            log.warning("hashes are not kept: %s", error)


def has_hash(path: Path, sha256: str, hashes: Hashes) -> bool:
    """Whether a file is this model: itself, or as the published file that was imported to it. Raises `OSError`."""
    digest = hashes.of(path)
    if digest == sha256:
        return True
    if path.suffix.lower() in (".pkl", ".pt"):
        # An engine runs the import and tells that one's hash.
        imports = sorted(_imports_folder().glob(f"{digest}-*.safetensors"))
        return any(hashes.of(imported) == sha256 for imported in imports)
    return False


def find_checkpoint(sha256: str, files: Iterable[Path], folders: Sequence[Path], hashes: Hashes) -> Path | None:
    """The first of the files, then of those in the folders, that is this model; None when none is."""
    for path in dict.fromkeys([*files, *_inside(folders), *_inside([_imports_folder()])]):
        try:
            if path.is_file() and has_hash(path, sha256, hashes):
                return path
        except OSError as error:
            log.warning("%s was not looked at: %s", path, error)
    return None


def _inside(folders: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for folder in folders:
        try:
            found += sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        except OSError:
            continue  # a folder that has gone holds nothing
    return found


def _imports_folder() -> Path:
    from core.cache import cache_folder

    return cache_folder() / "imports"


def _read(cache: Path | None) -> dict[str, str]:
    try:
        data = json.loads(cache.read_text(encoding="utf-8")) if cache is not None else {}
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {key: value for key, value in data.items() if isinstance(value, str)}
