"""Directions and latents in the space of styles, and the .npz files that keep them. No torch, and no pickle, here.

A file is what `numpy.savez` writes: `about`, a text with JSON, and `v0`, `v1`, ..., one array a vector. Reading trusts
nothing: sizes are checked before anything is unpacked, only plain float32 and text arrays are read, and whatever does
not fit is one `VectorError`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core import values as json_values
from core.request import AMOUNT_LIMIT, LAYER_LIMIT

Kind = Literal["direction", "latent"]

FORMAT = "glissando vectors"
VERSION = 1
NAME_LENGTH = 80
NOTE_LENGTH = 2000
WIDTH_LIMIT = 16384
MOST_VECTORS = 1000
# Of what a file unpacks to, in all. A thousand latents of StyleGAN2 at 1024 pixels take 37 MB.
MOST_BYTES = 2**28

_HEADER = re.compile(r"\{'descr': '<(f4|U\d{1,8})', 'fortran_order': False, 'shape': \(([\d, ]{0,40})\), \} *\n")


class VectorError(ValueError):
    """A vector that cannot be, or a file of vectors that cannot be read or written; the message says why."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Vector:
    """A step in the space of styles, or a place in it. Raises `VectorError` for what cannot be one.

    Values that are stored are a copy that cannot be written to.
    """

    name: str
    kind: Kind
    values: NDArray[np.float32]
    """[W], the same for every layer, or [L, W]. Of a direction: what is added at amount 1."""
    note: str = ""
    """How it was made."""
    first: int = 0
    stop: int = LAYER_LIMIT
    """The layers it was made for: `first` to `stop` - 1."""
    scale: float = 1.0
    """Of a direction: an amount at which its effect is plain to see without breaking the picture."""

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.kind not in ("direction", "latent"):
            raise VectorError(f"kind: expected direction or latent, got {self.kind!r}")
        if not isinstance(self.note, str) or len(self.note) > NOTE_LENGTH:
            raise VectorError(f"note: expected a text of at most {NOTE_LENGTH} characters")
        array = np.array(self.values, dtype="<f4", order="C")
        shape = array.shape
        if len(shape) not in (1, 2) or not array.size or shape[-1] > WIDTH_LIMIT:
            raise VectorError(f"{self.name}: expected [W] or [layers, W] numbers, got {list(shape)}")
        if len(shape) == 2 and shape[0] > LAYER_LIMIT:
            raise VectorError(f"{self.name}: expected at most {LAYER_LIMIT} layers, got {shape[0]}")
        if not np.isfinite(array).all():
            raise VectorError(f"{self.name}: holds values that are not finite")
        array.flags.writeable = False
        object.__setattr__(self, "values", array)
        whole = type(self.first) is int and type(self.stop) is int
        if not whole or not 0 <= self.first < self.stop <= LAYER_LIMIT:
            raise VectorError(f"layers: expected 0 <= first < stop <= {LAYER_LIMIT}, got {self.first!r}, {self.stop!r}")
        if not math.isfinite(self.scale) or not 0.0 < self.scale <= AMOUNT_LIMIT:
            raise VectorError(f"scale: expected a number above 0, at most {AMOUNT_LIMIT:g}, got {self.scale!r}")

    @cached_property
    def digest(self) -> str:
        """Twelve hexadecimal digits that tell these values from any others, whatever their name."""
        shape = "x".join(map(str, self.values.shape))
        return hashlib.sha256(shape.encode() + b"\n" + self.values.tobytes()).hexdigest()[:12]

    @property
    def id(self) -> str:
        """How requests name it: "name@digest"."""
        return f"{self.name}@{self.digest}"

    def fits(self, num_ws: int, w_dim: int) -> bool:
        """Whether a model with these styles can use it."""
        return self.values.shape in ((w_dim,), (num_ws, w_dim))


def check_name(name: object) -> None:
    """Raises `VectorError` unless `name` can be a vector's: one line, not empty, without "@"."""
    if not isinstance(name, str) or not name.strip() or len(name) > NAME_LENGTH or "@" in name:
        raise VectorError(f'name: expected 1 to {NAME_LENGTH} characters without "@", got {name!r:.120}')
    if not name.isprintable():
        raise VectorError(f"name: expected characters that can be shown, got {name!r:.120}")


def digest_of(vector_id: str) -> str:
    """The digest in an id."""
    return vector_id.rpartition("@")[2]


def name_of(vector_id: str) -> str:
    """The name in an id, "name@digest"."""
    return vector_id.rpartition("@")[0]


def merged(kept: Sequence[Vector], added: Iterable[Vector]) -> tuple[Vector, ...]:
    """Both, the new ones last. Values that are there already stay as they are called; a new vector whose name is taken
    gets a number.
    """
    result = list(kept)
    for vector in added:
        if all(other.digest != vector.digest for other in result):
            result.append(replace(vector, name=free_name(vector.name, {other.name for other in result})))
    return tuple(result)


def free_name(name: str, taken: Iterable[str]) -> str:
    """`name`, with " (2)" or a higher number behind it if it is taken."""
    taken = set(taken)
    number, free = 1, name
    while free in taken:
        number += 1
        suffix = f" ({number})"
        free = name[: NAME_LENGTH - len(suffix)] + suffix
    return free


@dataclass(frozen=True, kw_only=True)
class VectorFile:
    """What a file holds."""

    checkpoint: str
    """SHA-256 of the checkpoint file that the vectors belong to."""
    vectors: tuple[Vector, ...]


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A vector's line in the JSON: all but its values."""

    name: str
    kind: Kind
    note: str = ""
    first: int = 0
    stop: int = LAYER_LIMIT
    scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class _About:
    format: str
    version: int
    checkpoint: str
    vectors: tuple[_Entry, ...]

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format: expected {FORMAT!r}, got {self.format!r:.80}")
        if self.version != VERSION:
            raise ValueError(f"version: this program reads {VERSION}, the file has {self.version}; update Glissando")
        if not re.fullmatch(r"[0-9a-f]{64}", self.checkpoint):
            raise ValueError(f"checkpoint: expected a SHA-256 in 64 digits, got {self.checkpoint!r:.80}")


def save_vectors(path: Path, vectors: Sequence[Vector], checkpoint: str) -> None:
    """Write vectors of the checkpoint whose file has this SHA-256, whole or not at all. Raises `VectorError`."""
    if len(vectors) > MOST_VECTORS:
        raise VectorError(f"{path}: expected at most {MOST_VECTORS} vectors, got {len(vectors)}; delete some")
    entries = tuple(
        _Entry(name=v.name, kind=v.kind, note=v.note, first=v.first, stop=v.stop, scale=v.scale) for v in vectors
    )
    try:
        about = _About(format=FORMAT, version=VERSION, checkpoint=checkpoint, vectors=entries)
    except ValueError as error:
        raise VectorError(str(error)) from error
    arrays = {f"v{index}": vector.values for index, vector in enumerate(vectors)}
    text = np.array(json.dumps(json_values.to_json(about), ensure_ascii=True))
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            np.savez(file, about=text, **arrays)  # type: ignore[arg-type]  # its flags come after the arrays
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise VectorError(f"{path}: cannot write it: {error.strerror or error}; choose another place") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def load_vectors(path: Path) -> VectorFile:
    """What `save_vectors` wrote. Raises `VectorError` for everything else; nothing in a file is run."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            return _read(archive)
    except zipfile.BadZipFile as error:
        raise VectorError(f"{path}: expected a .npz file of directions or latents, got something else") from error
    except OSError as error:
        raise VectorError(f"{path}: cannot read it: {error.strerror or error}") from error
    except (ValueError, EOFError, RuntimeError, NotImplementedError, OverflowError, zlib.error) as error:
        # RuntimeError and NotImplementedError are zipfile's, for encryption and compression it does not know.
        why = " ".join(str(error).split()) or type(error).__name__
        raise VectorError(f"{path}: expected a .npz file of directions or latents: {why}") from error


def _read(archive: zipfile.ZipFile) -> VectorFile:
    members = archive.infolist()
    if len(members) > MOST_VECTORS + 1:
        raise ValueError(f"expected at most {MOST_VECTORS} vectors, it has {len(members) - 1}")
    names = [member.filename for member in members]
    if sorted(names) != sorted(["about.npy", *(f"v{index}.npy" for index in range(len(names) - 1))]):
        raise ValueError(f"expected about, v0, v1, ... in it, got {', '.join(names)[:200] or 'nothing'}")
    total = sum(member.file_size for member in members)
    if total > MOST_BYTES:
        raise ValueError(f"it unpacks to {total / 2**20:,.0f} MB, expected at most {MOST_BYTES / 2**20:.0f}")
    text = _array(archive.read("about.npy"), "U", ndims=(0,))
    about = json_values.from_json(_About, _json(str(text)), "about")
    if len(about.vectors) != len(names) - 1:
        raise ValueError(f"it describes {len(about.vectors)} vectors and holds {len(names) - 1}")
    vectors = []
    for index, entry in enumerate(about.vectors):
        array = _array(archive.read(f"v{index}.npy"), "f", ndims=(1, 2)).astype(np.float32)
        fields = {field: getattr(entry, field) for field in ("name", "kind", "note", "first", "stop", "scale")}
        vectors.append(Vector(values=array, **fields))
    return VectorFile(checkpoint=about.checkpoint, vectors=tuple(vectors))


def _array(data: bytes, kind: Literal["U", "f"], ndims: tuple[int, ...]) -> NDArray[np.generic]:
    """The array of a .npy member, which numpy's own reader would allocate by what its header claims."""
    if data[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError("expected arrays in numpy's format 1.0")
    start = 10 + int.from_bytes(data[8:10], "little")
    header = _HEADER.fullmatch(data[10:start].decode("latin-1"))
    if header is None:
        raise ValueError("expected plain arrays of float32 numbers or text")
    dtype = np.dtype(f"<{header[1]}")
    shape = tuple(int(side) for side in header[2].split(",") if side.strip())
    if dtype.kind != kind or len(shape) not in ndims or len(data) - start != dtype.itemsize * math.prod(shape):
        raise ValueError(f"expected another array than {dtype} of {list(shape)} in {len(data) - start} bytes")
    if dtype.kind == "U":
        return np.array(data[start:].decode("utf-32-le").rstrip("\0"))
    return np.frombuffer(data, dtype=dtype, offset=start).reshape(shape)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("about: nested too deeply") from error
