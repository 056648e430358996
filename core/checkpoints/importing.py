"""From a published file to a checkpoint of ours on disk, once: what was imported before is found again by its content.

Imports lie in a cache folder under the SHA-256 of the file that they were made from, so a renamed or copied file is
known too and no pickle is read twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.cache import cache_folder
from core.checkpoints import native
from core.checkpoints.native import Checkpoint, CheckpointError, Header
from core.checkpoints.opcodes import PublishedError
from core.checkpoints.pickles import Limits, PublishedModule, PublishedNetwork, read_published
from core.checkpoints.published import Conversion, convert

__all__ = [
    "ImportReport",
    "describe_published",
    "export_part",
    "import_file",
    "load_any",
    "read_part_header",
]

PART_KEY = "glissando_part"
UNKNOWN_LICENCE = "unknown: that of the file it was imported from"

# Of what the converters write: a file that an older one wrote is made again.
_CONVERTER_VERSION = 1

PUBLISHED_SUFFIXES = (".pkl", ".pickle", ".pt", ".pth")

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What an import gave."""

    path: Path
    """Of the checkpoint."""
    kind: str
    """What its authors call it, "StyleGAN3-R"."""
    family: str
    size: tuple[int, int]
    """(height, width) of its pictures in pixels."""
    classes: int
    """0 for a generator without."""
    parameters: int
    """Of the generator."""
    dropped: tuple[str, ...]
    """What the file held that the checkpoint does not."""
    assumed: tuple[str, ...]
    """What the file did not say and was taken to be as usual."""
    sha256: str
    """Of the file that was imported."""
    cached: bool
    """Whether it had been imported before."""


def import_file(
    path: Path | str,
    out: Path | str | None = None,
    *,
    overwrite: bool = False,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Converts a published generator (a .pkl, or a .pt state dict) to a checkpoint of ours, without running anything
    the file carries; in the cache folder, or at `out`, which must not exist yet unless `overwrite`.

    Raises `PublishedError` for a file that cannot be imported, `CheckpointError` for a place that cannot be written.
    """
    path = Path(path).absolute()
    progress = progress or _silent
    target = None if out is None else _free(Path(out).absolute(), overwrite)
    digest = _digest(path, progress)
    cached = cache_folder() / "imports" / f"{digest}-{_CONVERTER_VERSION}.safetensors"
    header = _earlier(cached)
    if header is not None:
        if target is not None:
            _copy(cached, target)
        return _report(target or cached, header, digest, cached=True)

    progress("reading", 0, 1)
    published = read_published(path, limits=limits)
    try:
        conversion = convert(published)
    except PublishedError as error:
        raise PublishedError(f"{path}: {_printable(error)}") from None
    target = target or cached
    header = _header(path, digest, conversion, published.dropped)
    tensors = {f"generator.{name}": tensor for name, tensor in conversion.generator.items()}
    tensors |= {f"text.{name}": tensor for name, tensor in conversion.text_tensors.items()}
    _make_folder(target.parent)
    progress("writing", 0, 1)
    native.save(target, header, tensors)
    progress("writing", 1, 1)
    return _report(target, header, digest, cached=False)


def load_any(path: Path | str, progress: Progress | None = None) -> Checkpoint:
    """A checkpoint of ours, or a published file (by its suffix) imported into the cache folder.

    Raises `CheckpointError` and `PublishedError`.
    """
    if Path(path).suffix.lower() in PUBLISHED_SUFFIXES:
        path = import_file(path, progress=progress).path
    return native.load(path)


def export_part(
    path: Path | str,
    part: str,
    out: Path | str,
    *,
    overwrite: bool = False,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes a part of a published file that Glissando builds no model for, such as "D", as plain safetensors: the
    tensors by their names, and a JSON header under "glissando_part", which is returned.

    Raises as `import_file` does.
    """
    import safetensors.torch

    path, target = Path(path).absolute(), _free(Path(out).absolute(), overwrite)
    digest = _digest(path, progress or _silent)
    published = read_published(path, part=part, limits=limits)
    content = published.content
    if isinstance(content, PublishedModule):
        tensors, class_name = content.state_dict(), content.class_name
    elif isinstance(content, PublishedNetwork):
        tensors, class_name = content.state_dict(), content.build_function
    else:
        tensors, class_name = content, ""
    header = {
        "part": part,
        "class_name": class_name,
        "tensors": len(tensors),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "source": path.name,
        "source_sha256": digest,
    }
    # A copy of each: tied weights share memory, which safetensors refuses.
    plain = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    _make_folder(target.parent)
    _place(target, lambda temporary: safetensors.torch.save_file(plain, temporary, {PART_KEY: json.dumps(header)}))
    return header


def read_part_header(path: Path | str) -> dict[str, Any] | None:
    """The header that `export_part` wrote; None for any other file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(PART_KEY)
        header = json.loads(text) if text is not None else None
    except (SafetensorError, OSError, ValueError, RecursionError):
        return None
    return header if isinstance(header, dict) else None


def describe_published(path: Path | str, *, limits: Limits | None = None) -> dict[str, Any]:
    """What a published file is, for people to read; nothing is written.

    Raises `PublishedError` for a file that cannot be read; one that can be read and not imported says why in "import".
    """
    path = Path(path).absolute()
    published = read_published(path, limits=limits)
    values: dict[str, Any] = {"layout": published.layout, "other_entries": list(published.dropped)}
    content = published.content
    if isinstance(content, PublishedModule):
        values |= {"class": content.class_name, "parts": list(content.children)}
    elif isinstance(content, PublishedNetwork):
        values |= {"class": content.build_function, "parts": list(content.components)}
    try:
        conversion = convert(published)
    except PublishedError as error:
        return values | {"import": _printable(error)}
    return values | {
        "kind": conversion.kind,
        "family": conversion.family,
        "size": f"{conversion.size[1]}x{conversion.size[0]}",
        "classes": conversion.classes,
        "parameters": conversion.parameters,
        "dropped": list(conversion.dropped),
        "assumed": list(conversion.assumed),
        "import": "glissando import makes a checkpoint of it",
    }


def _header(path: Path, digest: str, conversion: Conversion, entries: tuple[str, ...]) -> Header:
    return Header(
        name=_printable(path.stem)[:100],
        family=conversion.family,
        config=conversion.config,
        text=conversion.text,
        images_seen=0,
        vocabulary=(),
        licence=UNKNOWN_LICENCE,
        notes={
            "imported": {
                "source": _printable(path.name),
                "sha256": digest,
                "kind": conversion.kind,
                "size": list(conversion.size),
                "classes": conversion.classes,
                "parameters": conversion.parameters,
                "dropped": [_printable(name) for name in (*entries, *conversion.dropped)],
                "assumed": list(conversion.assumed),
            }
        },
    )


def _report(path: Path, header: Header, digest: str, *, cached: bool) -> ImportReport:
    notes = header.notes["imported"]
    return ImportReport(
        path=path,
        kind=notes["kind"],
        family=header.family,
        size=(notes["size"][0], notes["size"][1]),
        classes=notes["classes"],
        parameters=notes["parameters"],
        dropped=tuple(notes["dropped"]),
        assumed=tuple(notes["assumed"]),
        sha256=digest,
        cached=cached,
    )


def _earlier(cached: Path) -> Header | None:
    """The header of an import made before, unless it is not there or not whole."""
    try:
        header = native.read_header(cached)
    except CheckpointError:
        return None
    notes = header.notes.get("imported")
    wanted = {"kind", "size", "classes", "parameters", "dropped", "assumed"}
    return header if isinstance(notes, dict) and wanted <= notes.keys() else None


def _free(target: Path, overwrite: bool) -> Path:
    """An import replaces no file unasked: that might be somebody's only copy of a training run."""
    if target.is_dir():
        raise CheckpointError(f"{target}: expected a file to write, got a folder. Name a .safetensors file in it.")
    if "\0" in str(target):
        raise CheckpointError(f"{_printable(target)}: cannot write the checkpoint (a path holds no NUL character).")
    if os.path.lexists(target) and not overwrite:
        raise CheckpointError(f"{target}: there is a file already. Name another one, or remove it first.")
    return target


def _digest(path: Path, progress: Progress) -> str:
    if not path.is_file():
        read_published(path)  # tells what it is instead
    try:
        total, done, digest = path.stat().st_size, 0, hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(2**22):
                digest.update(chunk)
                done += len(chunk)
                progress("hashing", done, total)
    except OSError as error:
        raise PublishedError(f"{path}: cannot read it ({error}).") from error
    return digest.hexdigest()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot make the folder ({error}). Choose another place.") from error


def _copy(source: Path, target: Path) -> None:
    _make_folder(target.parent)
    _place(target, lambda temporary: shutil.copyfile(source, temporary))


def _place(target: Path, write: Callable[[Path], object]) -> None:
    """Writes under another name and renames, so that what has the name is whole."""
    from safetensors import SafetensorError

    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        write(temporary)
        temporary.chmod(mode)  # safetensors leaves the file to its owner alone
        os.replace(temporary, target)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{target}: cannot write the file ({error}). Choose a folder that exists and has room."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _printable(text: object) -> str:
    """A file's own words may stand in a message or a header."""
    return "".join(c if c.isprintable() else "?" for c in str(text))[:1000]


def _silent(stage: str, done: int, total: int) -> None:
    pass
