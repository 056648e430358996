"""Published generators: the .pkl files of StyleGAN2-ADA, StyleGAN3, StyleGAN-XL, Projected GAN, StyleGAN-T and the
TensorFlow StyleGANs, and torch's own .pt files.

Such a file is a program, and NVIDIA's carry source code that they run when they are loaded. Here nothing in a file is
ever run or imported, torch.load included. A child process with limits on memory and time reads it in three steps:

    opcodes     the pickle's opcodes -> an inert graph of names and recorded calls
    storages    torch's files of raw numbers
    meaning     the graph -> modules, tensors and plain values, by a short list of names (with `calls` and `tensors`)

and hands its answer over as JSON and safetensors (`sandbox`). Each way a file can be wrong gives one `PublishedError`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.checkpoints.opcodes import PublishedError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Limits",
    "Published",
    "PublishedError",
    "PublishedModule",
    "PublishedNetwork",
    "flat_kwargs",
    "read_published",
]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What reading a file may cost."""

    memory_bytes: int = 8 * 2**30
    """On top of what Python itself takes. A file is mapped, its payloads are read and the part asked for is written, so
    about three times the file's size is safe."""
    seconds: float = 300.0
    """Of wall clock, and of processor time where the system can limit that."""

    def __post_init__(self) -> None:
        if self.memory_bytes < 2**20 or self.seconds <= 0:
            raise ValueError(f"limits: expected at least a megabyte and a time above zero, got {self}")


@dataclass(frozen=True, kw_only=True, eq=False)
class PublishedModule:
    """A torch module as a file describes it. Plain values are what JSON has, and tuples, sets, bytes and tensors."""

    class_name: str
    """Of its class, "SynthesisLayer". Whose StyleGAN's it is shows in the attributes."""
    module: str
    """The Python module of its class; empty for a class that came as source code, which is not kept."""
    init_args: tuple[Any, ...]
    init_kwargs: dict[str, Any]
    parameters: dict[str, Tensor]
    """On the CPU, in their stored type; those that are None are left out, as among buffers and children."""
    buffers: dict[str, Tensor]
    attributes: dict[str, Any]
    """The rest of its `__dict__`."""
    children: dict[str, PublishedModule]
    hooks: tuple[str, ...]
    """What hooks it had: "an object of torch.nn.utils.spectral_norm.SpectralNorm" changes what the weights mean."""

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """All parameters and buffers by their dotted names, "mapping.fc0.weight"."""
        tensors = {prefix + name: tensor for name, tensor in (self.parameters | self.buffers).items()}
        for name, child in self.children.items():
            tensors |= child.state_dict(f"{prefix}{name}.")
        return tensors


@dataclass(frozen=True, kw_only=True, eq=False)
class PublishedNetwork:
    """A network of the TensorFlow StyleGANs. Convolution weights there are [kernel, kernel, in, out]."""

    name: str
    build_function: str
    """Name of the function that built it, "G_main". The source code is not kept."""
    static_kwargs: dict[str, Any]
    variables: dict[str, Tensor]
    """Its own, without those of its components: "lod", "dlatent_avg", "4x4/Const/const"."""
    components: dict[str, PublishedNetwork]

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """All variables, those of components under their names: "dlatent_avg", "synthesis/4x4/Const/const"."""
        tensors = {prefix + name: tensor for name, tensor in self.variables.items()}
        for name, component in self.components.items():
            tensors |= component.state_dict(f"{prefix}{name}/")
        return tensors


@dataclass(frozen=True, kw_only=True, eq=False)
class Published:
    """One part of a published file."""

    path: Path
    layout: Literal["pytorch", "tensorflow", "state_dict"]
    content: PublishedModule | PublishedNetwork | dict[str, Any]
    """A dictionary of tensors by name when the layout is "state_dict"."""
    dropped: tuple[str, ...]
    """The file's other entries: "augment_pipe", "training_set_kwargs", ..."""


def read_published(path: Path | str, *, part: str = "G_ema", limits: Limits | None = None) -> Published:
    """Reads one part of a published file without running anything it carries.

    `part` is an entry of the file's dictionary, mostly "G_ema", "G" or "D"; of a TensorFlow file's (G, D, Gs) "G_ema"
    is Gs. A file that holds a single network or state dict gives that. Raises `PublishedError`, and ends within
    `limits` whatever the file says.
    """
    path = Path(path).absolute()
    limits = limits or Limits()
    _check_kind(path)
    with tempfile.TemporaryDirectory(prefix="glissando-") as folder:
        try:
            return _read_answer(path, Path(folder), _run_child(path, part, Path(folder), limits))
        except PublishedError as error:
            # A file's own words may stand in the message.
            message = "".join(c if c.isprintable() else "?" for c in str(error))
            raise PublishedError(f"{path}: {message[:1000]}") from None


def flat_kwargs(module: PublishedModule) -> dict[str, Any]:
    """The keyword arguments that a generator was made with, in one level: older files nest those of the synthesis
    network in `synthesis_kwargs`, newer ones do not. `mapping_kwargs` stay nested, in both.

    Raises `PublishedError` when the two levels disagree.
    """
    flat = {name: value for name, value in module.init_kwargs.items() if name != "synthesis_kwargs"}
    nested = module.init_kwargs.get("synthesis_kwargs", {})
    if not isinstance(nested, dict):
        raise PublishedError(
            f"synthesis_kwargs: expected a dictionary, got {type(nested).__name__}. Choose another file."
        )
    for name, value in nested.items():
        if name in flat and flat[name] != value:
            raise PublishedError(f"{name}: expected one value, got {flat[name]!r} and {value!r}. Choose another file.")
        flat[name] = value
    return flat


def _check_kind(path: Path) -> None:
    """Tells from its first bytes what a file is, so that what is no pickle at all gets a message of its own."""
    if path.is_dir():
        raise PublishedError(f"{path}: expected a file, got a folder. Name the .pkl file inside it.")
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for ever
            raise PublishedError(f"{path}: expected a .pkl file, got something that is not a regular file.")
        with path.open("rb") as file:
            start = file.read(512)
    except FileNotFoundError:
        raise PublishedError(f"{path}: no such file. Check the path.") from None
    except PublishedError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise PublishedError(f"{path}: cannot open it ({error}).") from error
    if start.startswith((b"\x80", b"PK\x03\x04")):
        return
    came = "something else. Open a .pkl or .pt file of a published generator."
    if not start:
        came = "an empty file. Download it again."
    elif start[8:9] == b"{":
        came = "a safetensors file. Open it as a checkpoint, without importing it."
    elif start.startswith(b"\x1f\x8b"):
        came = "a compressed file. Unpack it first."
    elif start.lstrip().startswith(b"<"):
        came = "a web page: the download failed or asked for something first. Download it again in a browser."
    elif all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in start):
        came = f"text that starts with {start[:60].decode()!r}. Download the file itself again."
    raise PublishedError(f"{path}: expected a pickle, got {came}")


def _run_child(path: Path, part: str, folder: Path, limits: Limits) -> int:
    """Reads the file in a process of its own, and returns that process's exit code."""
    import core

    arguments = [str(path), part, str(folder), str(limits.memory_bytes), str(limits.seconds)]
    try:
        finished = subprocess.run(
            [sys.executable, "-m", "core.checkpoints.sandbox", *arguments],
            cwd=Path(core.__file__).parents[1],  # where -m looks for packages first
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=limits.seconds,
            check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except subprocess.TimeoutExpired:  # run() has killed it
        raise PublishedError(
            f"expected to read the file within {limits.seconds:g} s, got no end. Wait until the computer is less busy, "
            "or allow more time if you trust the file."
        ) from None
    except (OSError, ValueError) as error:
        raise PublishedError(f"cannot start the process that reads the file ({error}).") from error
    return finished.returncode


def _read_answer(path: Path, folder: Path, exit_code: int) -> Published:
    """What the child left: never a pickle, so a child that was taken over could not take over its parent."""
    import safetensors.torch
    from safetensors import SafetensorError

    from core.checkpoints import sandbox

    if (folder / sandbox.ERROR).exists():
        raise PublishedError(json.loads((folder / sandbox.ERROR).read_text(encoding="utf-8"))["message"])
    try:
        if exit_code:
            raise ValueError(f"exit code {exit_code}")
        document = json.loads((folder / sandbox.DOCUMENT).read_text(encoding="utf-8"))
        tensors = safetensors.torch.load_file(folder / sandbox.TENSORS)
    except (OSError, ValueError, SafetensorError) as error:
        raise PublishedError(
            f"expected the reading process to give an answer, got none ({error}). "
            "The file may need more memory or time than it was allowed, or be made to mislead."
        ) from None
    return Published(
        path=path,
        layout=document["layout"],
        content=_decode(document["content"], tensors),
        dropped=tuple(document["dropped"]),
    )


def _decode(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `meaning.Interpreter.value`."""
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value

    def decoded(section: str) -> dict[str, Any]:
        return {name: _decode(item, tensors) for name, item in value[section].items()}

    match value["kind"]:
        case "tuple":
            return tuple(_decode(item, tensors) for item in value["items"])
        case "dict":
            return {_decode(key, tensors): _decode(item, tensors) for key, item in value["items"]}
        case "set":
            return {_decode(item, tensors) for item in value["items"]}
        case "bytes":
            return bytes.fromhex(value["value"])
        case "float":
            return float(value["value"])
        case "tensor":
            return tensors[str(value["index"])]
        case "module":
            return PublishedModule(
                class_name=value["class_name"],
                module=value["module"],
                init_args=_decode(value["init_args"], tensors),
                init_kwargs=_decode(value["init_kwargs"], tensors),
                parameters=decoded("parameters"),
                buffers=decoded("buffers"),
                attributes=decoded("attributes"),
                children=decoded("children"),
                hooks=tuple(value["hooks"]),
            )
        case "network":
            return PublishedNetwork(
                name=value["name"],
                build_function=value["build_function"],
                static_kwargs=_decode(value["static_kwargs"], tensors),
                variables=decoded("variables"),
                components=decoded("components"),
            )
    raise AssertionError(f"unknown kind {value['kind']}")
