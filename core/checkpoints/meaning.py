"""From an inert graph to a description of modules and tensors: the second of two steps in reading a published file.

Here the names in a file get a meaning, all of them in `Interpreter.call`: containers, torch's tensors and modules,
numpy's arrays, NVIDIA's persistent classes and TensorFlow networks. Each is read by a function of ours from the
recorded arguments. A module's class is only a word, so any class will do, as long as its `__dict__` is a module's; any
other name is an error that says where it stands.

The description is JSON, because it crosses from the child process that reads the file to the one that asked. Whatever
JSON lacks is an object with a "kind": tuple, dict, set, bytes, float (not finite), tensor, module or network. Tensors
are numbered, and come as arrays beside it.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.checkpoints.opcodes import DAMAGED, UNSET, Call, Name, PersistentId, PublishedError
from core.checkpoints.storages import ITEM_BYTES, Archive, Storage, is_legacy, read_legacy

MAX_VALUES = 500_000
MAX_DEPTH = 100
MAX_RANK = 8
PERSISTENCE_VERSION = 6
"""Of NVIDIA's `torch_utils.persistence`; no other was ever published."""

UNSUPPORTED = "Glissando does not know this kind of file: open one that its authors' own code saved."

_PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
_NETWORK = "dnnlib.tflib.network.Network"
_DICTS = ("collections.OrderedDict", "dnnlib.util.EasyDict")
_DILL = ("dill._dill", "dill.dill")
_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMPY_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")

# What torch.nn.Module keeps in its __dict__ for itself.
_BOOKKEEPING = frozenset(
    (
        "_parameters",
        "_buffers",
        "_modules",
        "_init_args",
        "_init_kwargs",
        "training",
        "_non_persistent_buffers_set",
        "_is_full_backward_hook",
        "_forward_hooks_with_kwargs",
        "_forward_hooks_always_called",
        "_forward_pre_hooks_with_kwargs",
        "_backend",
    )
)
_HOOKS = (
    "_forward_pre_hooks",
    "_forward_hooks",
    "_backward_pre_hooks",
    "_backward_hooks",
    "_state_dict_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
_DTYPE_NAMES = frozenset(
    f"torch.{name}"
    for name in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
)
_NUMPY_DTYPES = {
    "f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8",
    "u8": "U64", "u4": "U32", "u2": "U16", "u1": "U8", "b1": "BOOL",
}  # fmt: skip
# The element type in memory. A bfloat16, which numpy lacks, travels as its bits.
_ARRAY_DTYPES = {code: "<" + name for name, code in _NUMPY_DTYPES.items()} | {"BF16": "<u2"}

Json = Any
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Description:
    """What a file says: JSON, and the arrays that its tensors refer to by number, with their safetensors types."""

    document: dict[str, Json]
    arrays: list[tuple[str, Array]]


def describe(archive: Archive, *, part: str, budget_bytes: int) -> Description:
    """Finds a part ("G_ema", "G", "D" or another entry of the file's dictionary) and describes it.

    The document has layout ("pytorch", "tensorflow" or "state_dict"), content, and dropped: the names of the file's
    other entries. Tensors and text together may take `budget_bytes`. Raises `PublishedError`.
    """
    interpreter = Interpreter(archive, budget_bytes)
    node, dropped = _select(archive.root, part)
    content = interpreter.value(node, part)
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind == "dict" and all(isinstance(name, str) and _is_tensor(value) for name, value in content["items"]):
        layout = "state_dict"
    elif kind in ("module", "network"):
        layout = {"module": "pytorch", "network": "tensorflow"}[kind]
    else:
        raise PublishedError(f"{part}: expected a module or a dictionary of tensors, got {_what(node)}. {UNSUPPORTED}")
    return Description({"layout": layout, "content": content, "dropped": dropped}, interpreter.arrays)


def _select(root: Any, part: str) -> tuple[Any, list[str]]:
    """The part asked for, and the names of what is left out."""
    entries = _entries(root)
    if entries is not None:
        named = {key: value for key, value in entries if isinstance(key, str)}
        # Others' state dicts: {"g_ema": ...} or {"state_dict": ...}.
        for key in (part, part.lower(), "state_dict"):
            if key in named:
                return named[key], [name for name in named if name != key]
        if named and all(_is_tensor_call(value) for value in named.values()):
            return root, []
        names = ", ".join(list(named)[:10]) or "nothing"
        raise PublishedError(f"expected an entry {part}, got a file with {names}. Name one of these.")
    networks = ("G", "D", "G_ema")  # TensorFlow's (G, D, Gs)
    if isinstance(root, tuple | list) and len(root) == len(networks) and all(map(_is_network, root)):
        if part not in networks:
            raise PublishedError(
                f"expected one of {', '.join(networks)} to be asked for, got {part}. Name one of these."
            )
        return root[networks.index(part)], [name for name in networks if name != part]
    if isinstance(root, Call):
        return root, []
    raise PublishedError(f"expected a dictionary with an entry {part}, got {_what(root)}. {UNSUPPORTED}")


class Interpreter:
    """Gives the names in one graph their meaning. `arrays` collects the tensors met, each once."""

    def __init__(self, archive: Archive, budget_bytes: int) -> None:
        self.archive = archive
        self.arrays: list[tuple[str, Array]] = []
        self._budget_bytes = self._bytes_left = budget_bytes
        self._values_left = MAX_VALUES
        self._path: list[int] = []
        # A tensor met again, as tied weights are, is the same tensor. The graph outlives this, so ids stay valid.
        self._tensors: dict[int, Json] = {}

    def value(self, node: Any, where: str) -> Json:
        """The description of any value; `where` says where it stands, for messages."""
        self._count(where)
        if node is None or isinstance(node, bool | int):
            return node
        if isinstance(node, float):
            return node if math.isfinite(node) else {"kind": "float", "value": repr(node)}
        if isinstance(node, str):
            self._spend(len(node), where)
            return node
        if isinstance(node, bytes | bytearray):
            self._spend(2 * len(node), where)
            return {"kind": "bytes", "value": node.hex()}
        if isinstance(node, Name):
            if str(node) in _DTYPE_NAMES:
                return str(node)
            raise self._unknown(node, where)
        with self._inside(node, where):
            match node:
                case list():
                    return [self.value(item, f"{where}[{i}]") for i, item in enumerate(node)]
                case tuple():
                    items = [self.value(item, f"{where}[{i}]") for i, item in enumerate(node)]
                    return {"kind": "tuple", "items": items}
                case set() | frozenset():
                    return {"kind": "set", "items": [self.key(item, where) for item in node]}
                case dict():
                    return self.dictionary(list(node.items()), where)
                case Call():
                    return self.call(node, where)
        raise self._unknown(node, where)

    def dictionary(self, pairs: list[tuple[Any, Any]], where: str) -> Json:
        items = [[self.key(key, where), self.value(value, _at(where, key))] for key, value in pairs]
        return {"kind": "dict", "items": items}

    def key(self, node: Any, where: str) -> Json:
        """A dictionary key or an element of a set: a plain value or a tuple of them."""
        value = self.value(node, where)
        parts = value["items"] if isinstance(value, dict) and value["kind"] == "tuple" else [value]
        if any(isinstance(p, list) or (isinstance(p, dict) and p["kind"] not in ("bytes", "float")) for p in parts):
            raise PublishedError(f"{where}: expected a plain value as a key, got {_what(node)}. {DAMAGED}")
        return value

    def call(self, node: Call, where: str) -> Json:
        """Every name that means something. Nothing else in a file does."""
        name = _function(node.target)
        module, _, function = name.rpartition(".")
        match name:
            case "collections.OrderedDict" | "dnnlib.util.EasyDict":
                return self.dictionary(self._pairs(node, where), where)
            case "builtins.set" | "__builtin__.set" | "builtins.frozenset" | "__builtin__.frozenset":
                (items,) = self._args(node, where, 0, 1) or ([],)
                if not isinstance(items, list | tuple):
                    raise self._wrong("a list of elements", items, where)
                return {"kind": "set", "items": [self.key(item, where) for item in items]}
            case "_codecs.encode" | "builtins.bytes" | "__builtin__.bytes":
                return self.value(self._bytes(node, where), where)
            case "torch.Size":
                (items,) = self._args(node, where, 1)
                return self.value(items, where)
            case "torch.device":
                return ":".join(str(self.value(part, where)) for part in self._args(node, where, 1, 2))
            case "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_parameter":
                return self.tensor(node, where)
            case "numpy.dtype":
                return self._numpy_dtype(node, where).str
        match function:
            case "_reconstruct" | "_create_array" | "_frombuffer" if module in _NUMPY + _NUMPY_NUMERIC + _DILL:
                return self.tensor(node, where)
            case "scalar" if module in _NUMPY:
                return self.value(self._numpy_scalar(node, where), where)
        if _is_network(node):
            return self.network(node, where)
        if _is_module(node):
            return self.module(node, where)
        raise self._unknown(node, where)

    # Modules and networks

    def module(self, node: Call, where: str) -> Json:
        """A module by its `__dict__`, whether its class came as source (which is left unread) or by name."""
        module, class_name, state = self._module_state(node, where)

        def section(name: str) -> list[tuple[str, Any]]:
            return [(key, value) for key, value in self._names(state.pop(name, {}), where) if value is not None]

        tensors = {
            kind: {key: self.tensor(value, _at(where, key)) for key, value in section("_" + kind)}
            for kind in ("parameters", "buffers")
        }
        children = {}
        for key, value in section("_modules"):
            if not isinstance(value, Call) or not _is_module(value):
                raise self._wrong("a module", value, _at(where, key))
            children[key] = self.value(value, _at(where, key))
        hooks = [
            self.value(_what(hook[0] if isinstance(hook, tuple) and hook else hook), where)
            for name in _HOOKS
            for _, hook in _entries(state.pop(name, {})) or []
        ]
        init_args, init_kwargs = state.pop("_init_args", ()), state.pop("_init_kwargs", {})
        if not isinstance(init_args, tuple | list) or _entries(init_kwargs) is None:
            raise self._wrong("the arguments that the module was made with", init_kwargs, where)
        return {
            "kind": "module",
            "module": self.value(module, where),
            "class_name": self.value(class_name, where),
            "init_args": self.value(tuple(init_args), f"{where}.init_args"),
            "init_kwargs": self.dictionary(self._names(init_kwargs, where), f"{where}.init_kwargs"),
            **tensors,
            "attributes": {key: self.value(v, _at(where, key)) for key, v in state.items() if key not in _BOOKKEEPING},
            "children": children,
            "hooks": hooks,
        }

    def _module_state(self, node: Call, where: str) -> tuple[str, str, dict[str, Any]]:
        if _function(node.target) != _PERSISTENT:
            target = node.target
            assert isinstance(target, Name)
            return target.module, target.name, dict(self._names(node.state, where))
        (meta,) = self._args(node, where, 1)
        fields = dict(self._names(meta, where))
        kind, version, class_name = fields.get("type"), fields.get("version"), fields.get("class_name")
        if kind != "class" or version != PERSISTENCE_VERSION or not isinstance(class_name, str):
            raise PublishedError(
                f"{where}: expected a persistent class in version {PERSISTENCE_VERSION}, "
                f"got {_what(kind)} in version {_what(version)}. {UNSUPPORTED}"
            )
        state = fields.get("state")
        return "", class_name, {} if state is None else dict(self._names(state, where))

    def network(self, node: Call, where: str) -> Json:
        """A TensorFlow network: its variables by name, and its parts."""
        state = dict(self._names(node.state, where))
        variables = {}
        pairs = state.get("variables") or []
        if not isinstance(pairs, list | tuple):
            raise self._wrong("a list of variables", pairs, where)
        for pair in pairs:
            match pair:
                case (str(name), array):
                    variables[name] = self.tensor(array, _at(where, name))
                case _:
                    raise self._wrong("a variable's name and array", pair, where)
        components = {}
        for key, value in self._names(state.get("components") or {}, where):
            if not _is_network(value):
                raise self._wrong("a network", value, _at(where, key))
            components[key] = self.value(value, _at(where, key))
        title, function = state.get("name"), state.get("build_func_name")
        if not isinstance(title, str) or not isinstance(function, str | None):
            raise self._wrong("a network's name", title, where)
        return {
            "kind": "network",
            "name": self.value(title, where),
            "build_function": self.value(function or "", where),
            "static_kwargs": self.dictionary(self._names(state.get("static_kwargs") or {}, where), where),
            "variables": variables,
            "components": components,
        }

    # Tensors

    def tensor(self, node: Any, where: str) -> Json:
        """A reference to a torch tensor's or a numpy array's place in `arrays`."""
        self._count(where)
        if not isinstance(node, Call):
            raise self._wrong("a tensor", node, where)
        if id(node) not in self._tensors:
            name = _function(node.target)
            module, _, function = name.rpartition(".")
            if name == "torch._utils._rebuild_parameter":
                with self._inside(node, where):
                    self._tensors[id(node)] = self.tensor(self._args(node, where, 1, 3)[0], where)
            else:
                if name == "torch._utils._rebuild_tensor_v2":
                    code, array = self._torch_tensor(node, where)
                elif function in ("_reconstruct", "_create_array") and module in _NUMPY + _DILL:
                    code, array = self._numpy_array(node, where)
                elif function == "_frombuffer" and module in _NUMPY_NUMERIC:
                    raw, dtype, shape, order = self._args(node, where, 4, 5)[:4]
                    code, array = self._array(raw, dtype, shape, order, where)
                else:
                    raise self._wrong("a tensor", node, where)
                self.arrays.append((code, array))
                self._tensors[id(node)] = {"kind": "tensor", "index": len(self.arrays) - 1}
        return self._tensors[id(node)]

    def _torch_tensor(self, node: Call, where: str) -> tuple[str, Array]:
        source, offset, shape, stride = self._args(node, where, 6, 7)[:4]
        storage = self._storage(source, where)
        sizes, steps = self._shape(shape, where), self._numbers(stride, where)
        (first,) = self._numbers((offset,), where)
        count = math.prod(sizes)
        # The last element a view reaches. With no negative number and no zero step (which would repeat an element for
        # ever) this and the number of elements bound what a view can ask for.
        last = first + sum((size - 1) * step for size, step in zip(sizes, steps, strict=False))
        repeats = any(step == 0 and size > 1 for size, step in zip(sizes, steps, strict=False))
        inside = count == 0 or (last < storage.count and count <= storage.count)
        if len(sizes) != len(steps) or repeats or not inside:
            raise PublishedError(
                f"{where}: expected a view of a storage with {storage.count} numbers, got shape {list(sizes)}, "
                f"stride {list(steps)}, offset {first}. {DAMAGED}"
            )
        width = ITEM_BYTES[storage.dtype]
        self._spend(count * width, where)
        dtype = np.dtype(_ARRAY_DTYPES[storage.dtype])
        if count == 0:
            return storage.dtype, np.empty(sizes, dtype)
        strides = [step * width for step in steps]
        array: Array = np.ndarray(sizes, dtype, storage.data, first * width, strides)
        return storage.dtype, _plain(array)

    def _storage(self, source: Any, where: str) -> Storage:
        if isinstance(source, PersistentId):
            return self.archive.storage(source)
        if not isinstance(source, Call) or _function(source.target) != "torch.storage._load_from_bytes":
            raise self._wrong("a tensor's storage", source, where)
        data = self._bytes(self._args(source, where, 1)[0], where)
        stream = io.BytesIO(data)  # shares the bytes, without a copy
        if not is_legacy(stream):
            raise PublishedError(f"{where}: expected a storage in torch's old layout, got another. {DAMAGED}")
        archive = read_legacy(stream, memoryview(data))
        if not isinstance(archive.root, PersistentId):
            raise self._wrong("a single storage", archive.root, where)
        return archive.storage(archive.root)

    def _numpy_array(self, node: Call, where: str) -> tuple[str, Array]:
        """numpy's own layout, `_reconstruct(ndarray, ...)` with a state; dill passes both to one function."""
        args, state = node.args, node.state
        if _function(node.target).endswith("._create_array"):
            function, args, state = (*self._args(node, where, 3, 4), None)[:3]
            if not isinstance(function, Name) or str(function) not in [f"{m}._reconstruct" for m in _NUMPY]:
                raise self._wrong("a numpy array", function, where)
        if not isinstance(args, tuple) or len(args) != 3 or _function(args[0]) != "numpy.ndarray":
            raise self._wrong("a numpy array", args, where)
        if not isinstance(state, tuple) or len(state) != 5:
            raise self._wrong("a numpy array's contents", state, where)
        _, shape, dtype, fortran, raw = state
        return self._array(raw, dtype, shape, "F" if fortran is True else "C", where)

    def _array(self, raw: Any, dtype: Any, shape: Any, order: Any, where: str) -> tuple[str, Array]:
        kind, sizes, data = self._numpy_dtype(dtype, where), self._shape(shape, where), self._bytes(raw, where)
        if math.prod(sizes) * kind.itemsize != len(data) or order not in ("C", "F"):
            raise PublishedError(
                f"{where}: expected an array of shape {list(sizes)} and type {kind.str}, "
                f"got {len(data)} bytes. {DAMAGED}"
            )
        self._spend(len(data), where)
        flat: Array = np.frombuffer(data, kind)
        return _NUMPY_DTYPES[kind.str[1:]], _plain(flat.reshape(sizes, order="F" if order == "F" else "C"))

    def _numpy_scalar(self, node: Call, where: str) -> bool | int | float:
        dtype, raw = self._args(node, where, 2)
        kind, data = self._numpy_dtype(dtype, where), self._bytes(raw, where)
        if len(data) != kind.itemsize:
            raise PublishedError(f"{where}: expected a number of {kind.itemsize} bytes, got {len(data)}. {DAMAGED}")
        number: bool | int | float = np.frombuffer(data, kind)[0].item()
        return number

    def _numpy_dtype(self, node: Any, where: str) -> np.dtype[Any]:
        """Numbers and bools only: never objects, records or text."""
        if isinstance(node, Call) and _function(node.target) == "numpy.dtype" and node.args:
            name, order = node.args[0], "<"
            if isinstance(node.state, tuple) and len(node.state) > 1:
                order = node.state[1]
            if isinstance(name, str) and name in _NUMPY_DTYPES and isinstance(order, str) and order in set("<>|="):
                return np.dtype(name).newbyteorder(">" if order == ">" else "<")
        raise self._wrong("a numpy type for numbers", node, where)

    # Checks

    def _count(self, where: str) -> None:
        """Shared lists unfold into trees, so this counts what comes out, not what the file holds."""
        self._values_left -= 1
        if self._values_left < 0:
            raise PublishedError(f"{where}: expected at most {MAX_VALUES} values, got more. {DAMAGED}")

    def _spend(self, size: int, where: str) -> None:
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise PublishedError(
                f"{where}: expected tensors and text of at most {self._budget_bytes} bytes, got more. "
                "If you trust the file, allow more memory."
            )

    @contextmanager
    def _inside(self, node: Any, where: str) -> Iterator[None]:
        if id(node) in self._path:
            raise PublishedError(f"{where}: expected a tree, got an object that contains itself. {DAMAGED}")
        if len(self._path) >= MAX_DEPTH:
            raise PublishedError(f"{where}: expected at most {MAX_DEPTH} levels, got more. {DAMAGED}")
        self._path.append(id(node))
        try:
            yield
        finally:
            self._path.pop()

    def _args(self, node: Call, where: str, least: int, most: int | None = None) -> tuple[Any, ...]:
        """The arguments of a call that nothing was added to afterwards."""
        added = node.kwargs or node.elements or node.items or node.state is not UNSET
        if added or not least <= len(node.args) <= (most or least):
            raise PublishedError(f"{where}: expected {_what(node)} with other arguments. {DAMAGED}")
        return node.args

    def _pairs(self, node: Any, where: str) -> list[tuple[Any, Any]]:
        pairs = _entries(node)
        if pairs is None:
            raise self._wrong("a dictionary", node, where)
        return pairs

    def _names(self, node: Any, where: str) -> list[tuple[str, Any]]:
        """A dictionary's items, whose keys must be text."""
        pairs = self._pairs(node, where)
        for key, _ in pairs:
            if not isinstance(key, str):
                raise self._wrong("a name", key, where)
            self._count(where)
            self._spend(len(key), where)
        return pairs

    def _shape(self, node: Any, where: str) -> tuple[int, ...]:
        """A shape that numpy can hold, empty ones included."""
        sizes = self._numbers(node, where)
        if math.prod(size or 1 for size in sizes) >= 2**48:
            raise self._wrong("a shape that fits in memory", node, where)
        return sizes

    def _numbers(self, node: Any, where: str) -> tuple[int, ...]:
        """Whole numbers from zero: a shape, or a stride."""
        if isinstance(node, Call) and _function(node.target) == "torch.Size":
            (node,) = self._args(node, where, 1)
        few = isinstance(node, tuple | list) and len(node) <= MAX_RANK
        if few and all(type(n) is int and 0 <= n < 2**48 for n in node):
            return tuple(node)
        raise self._wrong(f"at most {MAX_RANK} whole numbers from zero", node, where)

    def _bytes(self, node: Any, where: str) -> bytes:
        """Bytes as protocol 3 and later write them, or as protocol 2 does: text to be encoded in latin1."""
        if isinstance(node, Call) and _function(node.target) == "_codecs.encode":
            text, encoding = self._args(node, where, 2)
            if encoding != "latin1":
                raise self._wrong("text in latin1", encoding, where)
            node = text
        elif isinstance(node, Call) and _function(node.target) in ("builtins.bytes", "__builtin__.bytes"):
            self._args(node, where, 0)
            return b""
        try:
            if isinstance(node, str):
                return node.encode("latin1")
        except UnicodeEncodeError:
            raise self._wrong("text in latin1", node, where) from None
        if isinstance(node, bytes | bytearray):
            return bytes(node)
        raise self._wrong("bytes", node, where)

    def _wrong(self, expected: str, came: Any, where: str) -> PublishedError:
        return PublishedError(f"{where}: expected {expected}, got {_what(came)}. {DAMAGED}")

    def _unknown(self, node: Any, where: str) -> PublishedError:
        return PublishedError(
            f"{where}: expected a plain value, a tensor or a module, got {_what(node)}. {UNSUPPORTED}"
        )


def _function(target: Any) -> str:
    """The full name of what a call names, or nothing. dill names some types through a function of its own."""
    if isinstance(target, Name):
        return str(target)
    if isinstance(target, Call) and str(target.target) in [f"{module}._load_type" for module in _DILL]:
        match target.args:
            case (str(name),):
                return {"set": "builtins.set", "frozenset": "builtins.frozenset", "bytes": "builtins.bytes"}.get(
                    name, ""
                )
    return ""


def _entries(node: Any) -> list[tuple[Any, Any]] | None:
    """The items of a dictionary or of one of the dictionary classes that published files use, else None."""
    if isinstance(node, dict):
        return list(node.items())
    if isinstance(node, Call) and _function(node.target) in _DICTS:
        initial = node.args[0] if len(node.args) == 1 else []  # protocol 2 of Python 2: a list of pairs
        pairs = isinstance(initial, list) and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in initial)
        if pairs and all(isinstance(key, str | int) for key, _ in initial):
            return [*map(tuple, initial), *node.items]
    return None


def _is_module(node: Call) -> bool:
    if _function(node.target) == _PERSISTENT:
        return True
    names = dict(_entries(node.state) or []) if isinstance(node.target, Name) and not node.args else {}
    return "_parameters" in names and "_modules" in names


def _is_network(node: Any) -> bool:
    return (
        isinstance(node, Call)
        and _function(node.target) == _NETWORK
        and not node.args
        and _entries(node.state) is not None
    )


def _is_tensor(value: Json) -> bool:
    return isinstance(value, dict) and value["kind"] == "tensor"


def _is_tensor_call(node: Any) -> bool:
    return isinstance(node, Call) and _function(node.target).startswith("torch._utils._rebuild_")


def _plain(array: Array) -> Array:
    """Contiguous and little-endian; bools are 0 or 1 whatever their bytes were."""
    if array.dtype.kind == "b":
        array = array.view(np.uint8) != 0
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)


def _what(node: Any) -> str:
    """A few words for a message; never more of the file than that."""
    if isinstance(node, Name):
        return str(node)[:100]
    if isinstance(node, Call):
        target = node.target
        return f"an object of {_function(target)[:100] or 'an unknown kind'}"
    if isinstance(node, str):
        return repr(node[:60])
    if node is None or isinstance(node, bool | int | float):
        return repr(node)
    return f"a {type(node).__name__}"


def _at(where: str, key: Any) -> str:
    """Where an entry stands."""
    return f"{where}.{key}" if isinstance(key, str) and re.fullmatch(r"[\w/-]{1,80}", key) else f"{where}[{_what(key)}]"
