"""Glissando's own checkpoint: one safetensors file whose metadata carries a JSON header.

Tensors are named "generator.*" (the state dict of the family's generator) and "text.*" (the state dict of the text
tower, when the checkpoint brings its own, or how the embeddings of one that lies beside it are spread). The header says
how to build both, what the model was trained on, and under which licence it may be used.

A file is untrusted. The layout is checked with the standard library before anything is allocated, every tensor is
compared with what the header's config asks for, and each way a file can be wrong gives one `CheckpointError`: what was
expected, what came, what to do. torch is imported only to read or write tensors, so `read_header` is cheap enough for a
file dialog.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.registry import Generator

FORMAT_VERSION = 1
HEADER_KEY = "glissando"
KINDS_WITH_TENSORS = ("bundled", "minilm")
"""Kinds of text encoders of which a checkpoint holds tensors: the whole tower, or how its embeddings are spread."""

_MAX_JSON_BYTES = 16 * 2**20
_DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_FLOAT_DTYPES = ("F16", "BF16", "F32")
_INTEGER_DTYPES = ("I64", "I32", "I16", "I8", "U8", "BOOL")


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file, the fault and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a checkpoint says about itself. Raises `CheckpointError` for a field of the wrong type."""

    name: str
    """What to call it in a window title."""
    family: str
    """Key of `core.models.registry.FAMILIES`."""
    config: dict[str, Any]
    """Fields of the family's Config."""
    text: dict[str, Any] | None
    """How to build the text encoder, see `core.text.load_text_encoder`; None for a family without text."""
    images_seen: int
    """Pictures shown to the discriminator so far, real ones."""
    vocabulary: tuple[str, ...]
    """Lower-case words of the training captions; empty when they are not known, or there were none."""
    licence: str
    format_version: int = FORMAT_VERSION
    notes: dict[str, Any] = field(default_factory=dict)
    """Free JSON: data, recipe, commit, figures."""
    class_names: tuple[str, ...] = ()
    """One for each class; empty when they are not known, or there are no classes."""

    def __post_init__(self) -> None:
        for name in ("name", "family", "licence"):
            _expect(name, getattr(self, name), str)
        for name in ("images_seen", "format_version"):
            _expect(name, getattr(self, name), int)
        for name in ("config", "notes"):
            _expect(name, getattr(self, name), dict)
        if self.text is not None:
            _expect("text", self.text, dict)
        for name in ("vocabulary", "class_names"):
            words = getattr(self, name)
            if not isinstance(words, tuple) or not all(isinstance(word, str) for word in words):
                raise CheckpointError(f"{name}: expected a tuple of words")
        if self.images_seen < 0:
            raise CheckpointError(f"images_seen: expected zero or more, got {self.images_seen}")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint in memory: its header, its tensors as stored (half precision stays half), and the file's SHA-256."""

    path: Path
    header: Header
    tensors: dict[str, Tensor]
    sha256: str
    """64 hexadecimal digits."""

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under "PREFIX.", with the prefix removed: `part("generator")` is the generator's state dict."""
        return {k[len(prefix) + 1 :]: v for k, v in self.tensors.items() if k.startswith(prefix + ".")}


@dataclass(frozen=True)
class _Entry:
    """One row of the safetensors table."""

    dtype: str
    shape: tuple[int, ...]


def read_header(path: Path | str) -> Header:
    """The header alone, without torch. Checks the file's layout (so a truncated file is found here), not the tensors'
    values.
    """
    path = Path(path)
    with _open(path) as file:
        header, _ = _read_layout(path, file)
    return header


def load(path: Path | str) -> Checkpoint:
    """Reads a checkpoint and checks every generator tensor against the header's config. Tensors come on the CPU in
    their stored dtype.
    """
    path = Path(path)
    with _open(path) as file:
        header, table = _read_layout(path, file)
        _check_tensors(path, header, table)
        file.seek(0)
        digest = _sha256(file)

    import safetensors.torch
    import torch
    from safetensors import SafetensorError

    try:
        tensors = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: cannot read the tensors ({error}). Download or copy the file again.") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{path}: tensor {name} holds values that are not finite, so every picture would be empty. "
                "The training run that wrote it had diverged: take an earlier checkpoint."
            )
    return Checkpoint(path=path, header=header, tensors=tensors, sha256=digest)


def save(path: Path | str, header: Header, tensors: Mapping[str, Tensor]) -> None:
    """Writes a checkpoint atomically: a temporary file beside it, flushed, then renamed over `path`.

    Raises `CheckpointError` when the place cannot be written or a tensor does not belong to the config in the header.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    path = Path(path)
    if header.format_version != FORMAT_VERSION:
        raise CheckpointError(f"format_version: this version writes {FORMAT_VERSION}, got {header.format_version}")
    # A copy of each: safetensors refuses tensors that share memory, and a channels_last weight must be stored in the
    # plain order.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    names = {str(dtype): code for code, dtype in _torch_dtypes().items()}
    table = {name: _Entry(names.get(str(t.dtype), str(t.dtype)), tuple(t.shape)) for name, t in plain.items()}
    _check_tensors(path, header, table)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        safetensors.torch.save_file(plain, temporary, metadata={HEADER_KEY: _header_json(header)})
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(mode)  # safetensors leaves the file to its owner alone
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: cannot write the checkpoint ({error}). Choose a folder that exists and has room."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # it is gone already, or its folder never was one
            temporary.unlink()


def _header_json(header: Header) -> str:
    values = asdict(header)
    if not header.class_names:  # readers from before there were classes refuse a field that they do not know
        del values["class_names"]
    return json.dumps(values, ensure_ascii=False)


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(2**20):
        digest.update(chunk)
    return digest.hexdigest()


def _expect(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise CheckpointError(f"{name}: expected {kind.__name__}, got {type(value).__name__}")


def _torch_dtypes() -> dict[str, Any]:
    import torch

    return {
        "F64": torch.float64,
        "F32": torch.float32,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "I64": torch.int64,
        "I32": torch.int32,
        "I16": torch.int16,
        "I8": torch.int8,
        "U8": torch.uint8,
        "BOOL": torch.bool,
    }


def _open(path: Path) -> BinaryIO:
    if path.is_dir():
        raise CheckpointError(
            f"{path}: expected a checkpoint file, got a folder. Name the .safetensors file inside it."
        )
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for ever
            raise CheckpointError(f"{path}: expected a checkpoint file, got something that is not a regular file.")
        return path.open("rb")
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file. Check the path.") from None
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise CheckpointError(f"{path}: cannot open it ({error}).") from error


def _read_layout(path: Path, file: BinaryIO) -> tuple[Header, dict[str, _Entry]]:
    """Parses and checks the safetensors layout: an 8-byte length, that much JSON, then the tensors without gaps."""
    size = os.fstat(file.fileno()).st_size
    foreign = (
        f"{path}: expected a Glissando checkpoint (a safetensors file), got something else. "
        "Open a .safetensors file that Glissando saved."
    )
    start = file.read(8)
    if len(start) < 8:
        raise CheckpointError(
            f"{path}: the file is empty or cut off after {len(start)} bytes. Download or copy it again."
        )
    (length,) = struct.unpack("<Q", start)
    if not 2 <= length <= _MAX_JSON_BYTES:
        raise CheckpointError(foreign)
    raw = file.read(length)
    if raw and not raw.startswith(b"{"):
        raise CheckpointError(foreign)
    if len(raw) < length:
        raise CheckpointError(f"{path}: the file is cut off inside its header. Download or copy it again.")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise CheckpointError(foreign) from None
    if not isinstance(document, dict):
        raise CheckpointError(foreign)
    metadata = document.pop("__metadata__", {})
    table = _read_table(path, document, size - 8 - length)
    if not isinstance(metadata, dict) or not isinstance(metadata.get(HEADER_KEY), str):
        raise CheckpointError(
            f"{path}: a safetensors file, but not one of Glissando's: its metadata has no {HEADER_KEY!r} entry, "
            "so the model it belongs to is not known. Open a checkpoint that Glissando saved."
        )
    return _parse_header(path, metadata[HEADER_KEY]), table


def _read_table(path: Path, document: dict[str, Any], data_bytes: int) -> dict[str, _Entry]:
    table: dict[str, _Entry] = {}
    spans: list[tuple[int, int]] = []
    for name, row in document.items():
        try:
            dtype, shape, (begin, end) = row["dtype"], row["shape"], row["data_offsets"]
            numbers = [begin, end, *shape]
            sound = all(type(n) is int and 0 <= n < 2**48 for n in numbers)
            sound = sound and end - begin == _DTYPE_BYTES[dtype] * math.prod(shape)
        except (KeyError, TypeError, ValueError):
            sound = False
        if not sound:
            raise CheckpointError(
                f"{path}: the entry of tensor {name!r} is damaged or of an unknown type. Download or copy it again."
            )
        table[name] = _Entry(dtype, tuple(shape))
        spans.append((begin, end))
    position = 0
    for begin, end in sorted(spans):
        if begin != position:
            raise CheckpointError(
                f"{path}: the tensors overlap or leave gaps; the file is damaged. Download or copy it again."
            )
        position = end
    if data_bytes < position:
        raise CheckpointError(
            f"{path}: the file is truncated: expected {position} bytes of tensors, got {data_bytes}. "
            "Download or copy it again."
        )
    if data_bytes > position:
        raise CheckpointError(
            f"{path}: {data_bytes - position} bytes too many after the tensors; the file is damaged. "
            "Download or copy it again."
        )
    return table


def _parse_header(path: Path, text: str) -> Header:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise CheckpointError(
            f"{path}: the Glissando header is not JSON; the file is damaged. Download or copy it again."
        ) from None
    if not isinstance(document, dict):
        raise CheckpointError(f"{path}: the Glissando header: expected an object, got {type(document).__name__}.")
    version = document.get("format_version")
    if type(version) is not int or version < 1:
        raise CheckpointError(f"{path}: format_version: expected a whole number from 1, got {version!r}.")
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: written in format {version}, but this Glissando reads formats up to {FORMAT_VERSION}. "
            "Update Glissando to open it."
        )
    known = {f.name for f in fields(Header)}
    missing = sorted(known - {"notes", "class_names"} - document.keys())
    spare = sorted(document.keys() - known)
    if missing or spare:
        raise CheckpointError(
            f"{path}: the Glissando header{_difference('fields', missing, spare)}. Save the checkpoint again."
        )
    for name in ("vocabulary", "class_names"):
        if isinstance(document.get(name), list):
            document[name] = tuple(document[name])
    try:
        return Header(**document)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: the Glissando header: {error}.") from None


def _check_tensors(path: Path, header: Header, table: Mapping[str, _Entry]) -> None:
    """Compares the table with the model the header describes, built on the meta device: nothing is allocated whatever
    the file says.
    """
    generator = _meta_generator(path, header)
    _check_condition(path, header, generator)
    expected = {
        f"generator.{name}": (tuple(t.shape), t.is_floating_point()) for name, t in generator.state_dict().items()
    }
    wants_text = header.text is not None and header.text.get("kind") in KINDS_WITH_TENSORS
    names = [name for name in table if not (wants_text and name.startswith("text."))]
    missing = sorted(expected.keys() - set(names))
    spare = sorted(set(names) - expected.keys())
    if wants_text and not any(name.startswith("text.") for name in table):
        missing.append("text.*")
    if missing or spare:
        raise CheckpointError(
            f"{path}: the file{_difference('tensors', missing, spare)} "
            f"for a {header.family} model with config {_shortened(header.config)}. "
            "The header and the tensors come from different models: save the checkpoint again."
        )
    for name, (shape, is_float) in expected.items():
        entry = table[name]
        if entry.shape != shape:
            raise CheckpointError(
                f"{path}: tensor {name}: expected shape {list(shape)} from the config, got {list(entry.shape)}. "
                "The header and the tensors come from different models: save the checkpoint again."
            )
        allowed = _FLOAT_DTYPES if is_float else _INTEGER_DTYPES
        if entry.dtype not in allowed:
            raise CheckpointError(f"{path}: tensor {name}: expected one of {', '.join(allowed)}, got {entry.dtype}.")
    for name in names:
        if not re.fullmatch(r"[\w.]+", name):
            raise CheckpointError(f"{path}: tensor name {name!r}: expected letters, digits, dots and underscores.")


def _meta_generator(path: Path, header: Header) -> Generator:
    """The generator without memory. What a config may ask for is the family's own to say."""
    import torch

    from core.models import registry

    try:
        with torch.device("meta"):
            return registry.build(header.family, header.config)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise CheckpointError(f"{path}: the model in the header cannot be built: {error}") from error


def _check_condition(path: Path, header: Header, generator: Generator) -> None:
    """A text encoder where the generator takes text and none elsewhere; a name for each class or none at all."""
    if (generator.conditioning == "text") != (header.text is not None):
        wanted, got = ("a", "none") if header.text is None else ("no", "one")
        raise CheckpointError(f"{path}: text: expected {wanted} text encoder for family {header.family}, got {got}.")
    classes = generator.c_dim if generator.conditioning == "class" else 0
    if header.class_names and len(header.class_names) != classes:
        raise CheckpointError(f"{path}: class_names: expected {classes} or none, got {len(header.class_names)}.")


def _shortened(config: dict[str, Any]) -> str:
    text = str(config)
    return text if len(text) <= 300 else text[:300] + " ..."


def _difference(what: str, missing: list[str], spare: list[str]) -> str:
    """For a message: " lacks tensors a, b and has spare tensors c"."""

    def names(items: list[str]) -> str:
        shown = ", ".join(items[:3])
        return shown + (f" and {len(items) - 3} more" if len(items) > 3 else "")

    parts = []
    if missing:
        parts.append(f" lacks {what} {names(missing)}")
    if spare:
        parts.append(f" has spare {what} {names(spare)}")
    return " and".join(parts)
