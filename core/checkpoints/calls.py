"""Reading recorded calls: what `meaning` and `tensors` share. Everything here checks before it believes, and every
disappointment is a `PublishedError` that says where it stands.
"""

from __future__ import annotations

import math
import re
from typing import Any

from core.checkpoints.opcodes import DAMAGED, UNSET, Call, Name, PublishedError

MAX_VALUES = 200_000
MAX_RANK = 8

DILL_MODULES = ("dill._dill", "dill.dill")

_DICTS = ("collections.OrderedDict", "dnnlib.util.EasyDict")
# dill refers to some types by a word instead of a global.
_DILL_TYPES = {"set": "builtins.set", "frozenset": "builtins.frozenset", "bytes": "builtins.bytes"}


class Budget:
    """What a description may still hold. Shared objects unfold into trees, so it counts what comes out, not what the
    file holds.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._bytes_left = size
        self._values_left = MAX_VALUES

    def count(self, where: str) -> None:
        """One value more."""
        self._values_left -= 1
        if self._values_left < 0:
            raise PublishedError(f"{where}: expected at most {MAX_VALUES} values, got more. {DAMAGED}")

    def spend(self, size: int, where: str) -> None:
        """So many bytes of tensors or text more; asked before they are allocated."""
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise PublishedError(
                f"{where}: expected tensors and text of at most {self.size} bytes, got more. "
                "If you trust the file, allow more memory."
            )


def function(target: Any) -> str:
    """The full name of what a call names, or nothing."""
    if isinstance(target, Name):
        return str(target)
    if isinstance(target, Call) and str(target.target) in [f"{module}._load_type" for module in DILL_MODULES]:
        match target.args:
            case (str(name),):
                return _DILL_TYPES.get(name, "")
    return ""


def arguments(node: Call, where: str, least: int, most: int | None = None) -> tuple[Any, ...]:
    """The arguments of a call that nothing was added to afterwards."""
    added = node.kwargs or node.elements or node.items or node.state is not UNSET
    if added or not least <= len(node.args) <= (most or least):
        raise PublishedError(f"{where}: expected other arguments, got {what(node)} with wrong ones. {DAMAGED}")
    return node.args


def entries(node: Any) -> list[tuple[Any, Any]] | None:
    """The items of a dictionary or of one of the dictionary classes that published files use, else None."""
    if isinstance(node, dict):
        return list(node.items())
    if isinstance(node, Call) and function(node.target) in _DICTS:
        initial = node.args[0] if len(node.args) == 1 else []  # Python 2 gave OrderedDict a list of pairs
        pairs = isinstance(initial, list) and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in initial)
        if pairs and all(isinstance(key, str | int) for key, _ in initial):
            return [*map(tuple, initial), *node.items]
    return None


def raw_bytes(node: Any, where: str) -> bytes:
    """Bytes as protocol 3 and later write them, or as protocol 2 does: text to be encoded in latin1."""
    if isinstance(node, Call) and function(node.target) == "_codecs.encode":
        text, encoding = arguments(node, where, 2)
        if encoding != "latin1":
            raise wrong("text in latin1", encoding, where)
        node = text
    elif isinstance(node, Call) and function(node.target) in ("builtins.bytes", "__builtin__.bytes"):
        arguments(node, where, 0)
        return b""
    try:
        if isinstance(node, str):
            return node.encode("latin1")
    except UnicodeEncodeError:
        raise wrong("text in latin1", node, where) from None
    if isinstance(node, bytes | bytearray):
        return bytes(node)
    raise wrong("bytes", node, where)


def whole_numbers(node: Any, where: str) -> tuple[int, ...]:
    """At most `MAX_RANK` whole numbers from zero: a shape, or a stride."""
    if isinstance(node, Call) and function(node.target) == "torch.Size":
        (node,) = arguments(node, where, 1)
    few = isinstance(node, tuple | list) and len(node) <= MAX_RANK
    if few and all(type(n) is int and 0 <= n < 2**48 for n in node):
        return tuple(node)
    raise wrong(f"at most {MAX_RANK} whole numbers from zero", node, where)


def shape(node: Any, where: str) -> tuple[int, ...]:
    """A shape that numpy can express, whether or not it is empty."""
    sizes = whole_numbers(node, where)
    if math.prod(size or 1 for size in sizes) >= 2**48:
        raise wrong("a shape that fits in memory", node, where)
    return sizes


def wrong(expected: str, came: Any, where: str) -> PublishedError:
    """The error for a value of the wrong kind."""
    return PublishedError(f"{where}: expected {expected}, got {what(came)}. {DAMAGED}")


def what(node: Any) -> str:
    """A value in a few words, for a message; never more of the file than that."""
    if isinstance(node, Name):
        return str(node)[:100]
    if isinstance(node, Call):
        return f"an object of {function(node.target)[:100] or 'an unknown kind'}"
    if isinstance(node, str):
        return repr(node[:60])
    if node is None or isinstance(node, bool | int | float):
        return repr(node)
    return f"a {type(node).__name__}"


def at(where: str, key: Any) -> str:
    """Where an entry stands, for a message."""
    return f"{where}.{key}" if isinstance(key, str) and re.fullmatch(r"[\w/-]{1,80}", key) else f"{where}[{what(key)}]"
