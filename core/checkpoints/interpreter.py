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

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from core.checkpoints.calls import Budget, arguments, at, entries, function, raw_bytes, what, wrong
from core.checkpoints.opcodes import DAMAGED, Call, Name, PublishedError
from core.checkpoints.storages import Archive
from core.checkpoints.tensors import (
    SCALARS,
    TENSORS,
    Array,
    read_dtype,
    read_scalar,
    read_tensor,
    without_parameter,
)

MAX_DEPTH = 100
PERSISTENCE_VERSION = 6
"""Of NVIDIA's `torch_utils.persistence`; no other was ever published."""

UNSUPPORTED = "Glissando does not know this kind of file: open one that its authors' own code saved."

_PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
_NETWORK = "dnnlib.tflib.network.Network"
_WRAPPED_HOOK = "torch.nn.modules.module._WrappedHook"

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

Json = Any


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
        raise PublishedError(f"{part}: expected a module or a dictionary of tensors, got {what(node)}. {UNSUPPORTED}")
    return Description({"layout": layout, "content": content, "dropped": dropped}, interpreter.arrays)


def _select(root: Any, part: str) -> tuple[Any, list[str]]:
    """The part asked for, and the names of what is left out."""
    pairs = entries(root)
    if pairs is not None:
        named = {key: value for key, value in pairs if isinstance(key, str)}
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
    raise PublishedError(f"expected a dictionary with an entry {part}, got {what(root)}. {UNSUPPORTED}")


class Interpreter:
    """Gives the names in one graph their meaning. `arrays` collects the tensors met, each once."""

    def __init__(self, archive: Archive, budget_bytes: int) -> None:
        self.archive = archive
        self.arrays: list[tuple[str, Array]] = []
        self._budget = Budget(budget_bytes)
        self._path: list[int] = []
        # A tensor met again, as tied weights are, is the same tensor. The graph outlives this, so ids stay valid.
        self._tensors: dict[int, Json] = {}

    def value(self, node: Any, where: str) -> Json:
        """The description of any value; `where` says where it stands, for messages."""
        self._budget.count(where)
        if node is None or isinstance(node, bool | int):
            return node
        if isinstance(node, float):
            return node if math.isfinite(node) else {"kind": "float", "value": repr(node)}
        if isinstance(node, str):
            self._budget.spend(len(node), where)
            return node
        if isinstance(node, bytes | bytearray):
            self._budget.spend(2 * len(node), where)
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
        items = [[self.key(key, where), self.value(value, at(where, key))] for key, value in pairs]
        return {"kind": "dict", "items": items}

    def key(self, node: Any, where: str) -> Json:
        """A dictionary key or an element of a set: a plain value or a tuple of them."""
        value = self.value(node, where)
        parts = value["items"] if isinstance(value, dict) and value["kind"] == "tuple" else [value]
        if any(isinstance(p, list) or (isinstance(p, dict) and p["kind"] not in ("bytes", "float")) for p in parts):
            raise PublishedError(f"{where}: expected a plain value as a key, got {what(node)}. {DAMAGED}")
        return value

    def call(self, node: Call, where: str) -> Json:
        """Every name that means something. Nothing else in a file does."""
        name = function(node.target)
        if name in TENSORS:
            return self.tensor(node, where)
        if name in SCALARS:
            return self.value(read_scalar(node, where), where)
        match name:
            case "collections.OrderedDict" | "dnnlib.util.EasyDict":
                return self.dictionary(_pairs(node, where), where)
            case "builtins.set" | "__builtin__.set" | "builtins.frozenset" | "__builtin__.frozenset":
                (items,) = arguments(node, where, 0, 1) or ([],)
                if not isinstance(items, list | tuple):
                    raise wrong("a list of elements", items, where)
                return {"kind": "set", "items": [self.key(item, where) for item in items]}
            case "_codecs.encode" | "builtins.bytes" | "__builtin__.bytes":
                return self.value(raw_bytes(node, where), where)
            case "torch.Size":
                (items,) = arguments(node, where, 1)
                return self.value(items, where)
            case "torch.device":
                return ":".join(str(self.value(part, where)) for part in arguments(node, where, 1, 2))
            case "numpy.dtype":
                return read_dtype(node, where).str
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
            kind: {key: self.tensor(value, at(where, key)) for key, value in section("_" + kind)}
            for kind in ("parameters", "buffers")
        }
        children = {}
        for key, value in section("_modules"):
            if not isinstance(value, Call) or not _is_module(value):
                raise wrong("a module", value, at(where, key))
            children[key] = self.value(value, at(where, key))
        hooks = [
            self.value(what(_unwrapped(hook)), where)
            for name in _HOOKS
            for _, hook in entries(state.pop(name, {})) or []
        ]
        init_args, init_kwargs = state.pop("_init_args", ()), state.pop("_init_kwargs", {})
        if not isinstance(init_args, tuple | list) or entries(init_kwargs) is None:
            raise wrong("the arguments that the module was made with", init_kwargs, where)
        return {
            "kind": "module",
            "module": self.value(module, where),
            "class_name": self.value(class_name, where),
            "init_args": self.value(tuple(init_args), f"{where}.init_args"),
            "init_kwargs": self.dictionary(self._names(init_kwargs, where), f"{where}.init_kwargs"),
            **tensors,
            "attributes": {key: self.value(v, at(where, key)) for key, v in state.items() if key not in _BOOKKEEPING},
            "children": children,
            "hooks": hooks,
        }

    def _module_state(self, node: Call, where: str) -> tuple[str, str, dict[str, Any]]:
        if function(node.target) != _PERSISTENT:
            target = node.target
            assert isinstance(target, Name)
            return target.module, target.name, dict(self._names(node.state, where))
        (meta,) = arguments(node, where, 1)
        fields = dict(self._names(meta, where))
        kind, version, class_name = fields.get("type"), fields.get("version"), fields.get("class_name")
        if kind != "class" or version != PERSISTENCE_VERSION or not isinstance(class_name, str):
            raise PublishedError(
                f"{where}: expected a persistent class in version {PERSISTENCE_VERSION}, "
                f"got {what(kind)} in version {what(version)}. {UNSUPPORTED}"
            )
        state = fields.get("state")
        return "", class_name, {} if state is None else dict(self._names(state, where))

    def network(self, node: Call, where: str) -> Json:
        """A TensorFlow network: its variables by name, and its parts."""
        state = dict(self._names(node.state, where))
        variables = {}
        pairs = state.get("variables") or []
        if not isinstance(pairs, list | tuple):
            raise wrong("a list of variables", pairs, where)
        for pair in pairs:
            match pair:
                case (str(name), array):
                    variables[name] = self.tensor(array, at(where, name))
                case _:
                    raise wrong("a variable's name and array", pair, where)
        components = {}
        for key, value in self._names(state.get("components") or {}, where):
            if not _is_network(value):
                raise wrong("a network", value, at(where, key))
            components[key] = self.value(value, at(where, key))
        title, builder = state.get("name"), state.get("build_func_name")
        if not isinstance(title, str) or not isinstance(builder, str | None):
            raise wrong("a network's name", title, where)
        return {
            "kind": "network",
            "name": self.value(title, where),
            "build_function": self.value(builder or "", where),
            "static_kwargs": self.dictionary(self._names(state.get("static_kwargs") or {}, where), where),
            "variables": variables,
            "components": components,
        }

    # Tensors

    def tensor(self, node: Any, where: str) -> Json:
        """A reference to a torch tensor's or a numpy array's place in `arrays`."""
        self._budget.count(where)
        node = without_parameter(node, where)
        if id(node) not in self._tensors:
            self.arrays.append(read_tensor(node, self.archive, self._budget, where))
            self._tensors[id(node)] = {"kind": "tensor", "index": len(self.arrays) - 1}
        return self._tensors[id(node)]

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

    def _names(self, node: Any, where: str) -> list[tuple[str, Any]]:
        """A dictionary's items, whose keys must be text."""
        pairs = _pairs(node, where)
        for key, _ in pairs:
            if not isinstance(key, str):
                raise wrong("a name", key, where)
            self._budget.count(where)
            self._budget.spend(len(key), where)
        return pairs

    def _unknown(self, node: Any, where: str) -> PublishedError:
        return PublishedError(f"{where}: expected a plain value, a tensor or a module, got {what(node)}. {UNSUPPORTED}")


def _pairs(node: Any, where: str) -> list[tuple[Any, Any]]:
    pairs = entries(node)
    if pairs is None:
        raise wrong("a dictionary", node, where)
    return pairs


def _unwrapped(hook: Any) -> Any:
    """The hook itself: torch keeps some in tuples, and since 1.11 some in an object."""
    if isinstance(hook, tuple) and hook:
        return hook[0]
    if isinstance(hook, Call) and function(hook.target) == _WRAPPED_HOOK:
        return dict(entries(hook.state) or []).get("hook", hook)
    return hook


def _is_module(node: Call) -> bool:
    if function(node.target) == _PERSISTENT:
        return True
    names = dict(entries(node.state) or []) if isinstance(node.target, Name) and not node.args else {}
    return "_parameters" in names and "_modules" in names


def _is_network(node: Any) -> bool:
    return (
        isinstance(node, Call)
        and function(node.target) == _NETWORK
        and not node.args
        and entries(node.state) is not None
    )


def _is_tensor(value: Json) -> bool:
    return isinstance(value, dict) and value["kind"] == "tensor"


def _is_tensor_call(node: Any) -> bool:
    return isinstance(node, Call) and function(node.target).startswith("torch._utils._rebuild_")
