"""From a pickle's opcodes to an inert graph: the first of two steps in reading a published file.

A pickle is a program. This machine runs its stack and its memo, and nothing else: a global becomes a `Name`, a call of
any kind becomes a `Call` that records its target, its arguments and its state. No name is looked up, no callable of
Python's or of ours ever lies on the stack, so there is nothing that a file could run or change. What the names mean is
decided afterwards, in `meaning`, and only for the part of the file that was asked for.

The opcodes themselves are decoded by `pickletools.genops`, which checks every length against the data that is there.
"""

from __future__ import annotations

import pickletools
import warnings
from dataclasses import dataclass, field
from typing import IO, Any

HIGHEST_PROTOCOL = 5
MAX_OPCODES = 4_000_000
"""The largest published files hold some tens of thousands."""
MAX_INTEGER_BITS = 512

DAMAGED = "The file is damaged or made to mislead: download it again from its authors."


class PublishedError(ValueError):
    """A published file that cannot be used: what was expected, what came, what to do."""


class _Unset:
    """The state of a `Call` that no BUILD opcode has reached."""


UNSET = _Unset()


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that the file refers to. Only its name: it is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, repr=False, slots=True)
class Call:
    """An object that the file describes by a call. Nothing is called; equality is identity."""

    target: Name | Call
    args: tuple[Any, ...]
    kwargs: dict[Any, Any] = field(default_factory=dict)
    state: Any = UNSET
    """What BUILD gave, `UNSET` before."""
    elements: list[Any] = field(default_factory=list)
    """What APPEND and ADDITEMS gave."""
    items: list[tuple[Any, Any]] = field(default_factory=list)
    """What SETITEM gave."""


@dataclass(eq=False, repr=False, slots=True)
class PersistentId:
    """A reference to data that lies outside the pickle: a storage in a file of torch's."""

    value: Any


def read_graph(stream: IO[bytes], *, persistent: list[PersistentId] | None = None) -> Any:
    """Reads one pickle from the stream's position up to its STOP opcode and returns what it describes: plain Python
    values, lists, tuples, dicts and sets, `Name`, `Call` and `PersistentId`. The graph may be cyclic and shared.

    Persistent ids are refused unless a list is given, which receives them. Raises `PublishedError`.
    """
    machine = _Machine(persistent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape in a protocol 0 string
        try:
            for count, (opcode, argument, position) in enumerate(pickletools.genops(stream)):
                if count >= MAX_OPCODES:
                    raise PublishedError(f"expected at most {MAX_OPCODES} pickle opcodes, got more. {DAMAGED}")
                machine.where = f"{opcode.name} at byte {position}"
                if opcode.name == "STOP":
                    break
                machine.step(opcode.name, argument)
        except PublishedError:
            raise
        except ValueError as error:  # from genops: the end of the data, an unknown opcode, a bad literal
            raise PublishedError(
                f"expected a whole pickle, got one that breaks off or is garbled ({error}). {DAMAGED}"
            ) from None
    return machine.pop()


_LITERALS = frozenset([
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
])  # fmt: skip
_TUPLE_LENGTHS = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """The pickle machine's stack, marks and memo."""

    def __init__(self, persistent: list[PersistentId] | None) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        # A dict, not an array: an opcode that names slot four billion costs one entry.
        self.memo: dict[int, Any] = {}
        self.persistent = persistent
        self.where = "the start"

    def step(self, opcode: str, argument: Any) -> None:
        """Carries out one opcode."""
        if opcode in _LITERALS:
            if isinstance(argument, int) and argument.bit_length() > MAX_INTEGER_BITS:
                raise self.refuse(f"an integer of {argument.bit_length()} bits")
            self.stack.append(argument)
            return
        match opcode:
            case "PROTO":
                if argument > HIGHEST_PROTOCOL:
                    raise self.refuse(f"pickle protocol {argument}, newer than {HIGHEST_PROTOCOL}")
            case "FRAME":
                pass  # a hint for buffering
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.top()
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.top()
            case "GET" | "BINGET" | "LONG_BINGET":
                if argument not in self.memo:
                    raise self.refuse(f"a memo slot that nothing was put into ({argument})")
                self.stack.append(self.memo[argument])
            case "MARK":
                self.marks.append(len(self.stack))
            case "POP":
                if self.marks and self.marks[-1] == len(self.stack):
                    self.marks.pop()
                else:
                    self.pop()
            case "POP_MARK":
                self.pop_to_mark()
            case "DUP":
                self.stack.append(self.top())
            case "NONE":
                self.stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                self.stack.append(opcode == "NEWTRUE")
            case "EMPTY_TUPLE":
                self.stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = [self.pop() for _ in range(_TUPLE_LENGTHS[opcode])]
                self.stack.append(tuple(reversed(items)))
            case "TUPLE":
                self.stack.append(tuple(self.pop_to_mark()))
            case "EMPTY_LIST":
                self.stack.append([])
            case "LIST":
                self.stack.append(self.pop_to_mark())
            case "APPEND":
                self.extend([self.pop()])
            case "APPENDS" | "ADDITEMS":
                self.extend(self.pop_to_mark())
            case "EMPTY_DICT":
                self.stack.append({})
            case "DICT":
                pairs = self.pop_to_mark()
                self.stack.append({})
                self.set_items(pairs)
            case "SETITEM":
                value, key = self.pop(), self.pop()
                self.set_items([key, value])
            case "SETITEMS":
                self.set_items(self.pop_to_mark())
            case "EMPTY_SET":
                self.stack.append(set())
            case "FROZENSET":
                self.stack.append(frozenset(self.key(item) for item in self.pop_to_mark()))
            case "GLOBAL":
                module, _, name = argument.partition(" ")
                self.stack.append(Name(module, name))
            case "STACK_GLOBAL":
                name, module = self.pop(), self.pop()
                if not isinstance(name, str) or not isinstance(module, str):
                    raise self.refuse("a global whose name is not text")
                self.stack.append(Name(module, name))
            case "REDUCE" | "NEWOBJ":
                args, target = self.pop(), self.pop()
                self.call(target, args, {})
            case "NEWOBJ_EX":
                kwargs, args, target = self.pop(), self.pop(), self.pop()
                self.call(target, args, kwargs)
            case "INST":
                module, _, name = argument.partition(" ")
                self.call(Name(module, name), tuple(self.pop_to_mark()), {})
            case "OBJ":
                target, *rest = self.pop_to_mark() or [None]
                self.call(target, tuple(rest), {})
            case "BUILD":
                state = self.pop()
                target = self.top()
                # Two BUILDs on one object, or one on a name, are how a file would change what others share.
                if not isinstance(target, Call) or target.state is not UNSET:
                    raise self.refuse("a state for something that cannot take one")
                target.state = state
            case "BINPERSID" if self.persistent is not None:
                self.persistent.append(PersistentId(self.pop()))
                self.stack.append(self.persistent[-1])
            case "PERSID" | "BINPERSID":
                raise self.refuse("a reference to data outside the file (a persistent id)")
            case "EXT1" | "EXT2" | "EXT4":
                raise self.refuse("an entry of Python's extension registry")
            case "NEXT_BUFFER" | "READONLY_BUFFER":
                raise self.refuse("a buffer outside the file")
            case _:
                raise self.refuse("an opcode that no published file uses")

    def refuse(self, came: str) -> PublishedError:
        return PublishedError(f"expected a pickle of plain data and modules, got {came} ({self.where}). {DAMAGED}")

    def top(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.refuse("an opcode that takes more values than there are")
        return self.stack[-1]

    def pop(self) -> Any:
        self.top()
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        if not self.marks:
            raise self.refuse("an opcode that needs a mark where there is none")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def key(self, value: Any) -> Any:
        """A dictionary key or an element of a set. Nested tuples are refused: hashing them can overflow C's stack or
        take for ever.
        """
        parts = value if isinstance(value, tuple) else (value,)
        if not all(part is None or isinstance(part, bool | int | float | str | bytes | Name | Call) for part in parts):
            raise self.refuse("a dictionary key or a set element that is not a plain value")
        return value

    def extend(self, items: list[Any]) -> None:
        target = self.top()
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, set):
            target.update([self.key(item) for item in items])
        elif isinstance(target, Call):
            target.elements.extend(items)
        else:
            raise self.refuse(f"elements for a {type(target).__name__}")

    def set_items(self, flat: list[Any]) -> None:
        if len(flat) % 2:
            raise self.refuse("a dictionary key without its value")
        pairs = [(self.key(key), value) for key, value in zip(flat[::2], flat[1::2], strict=True)]
        target = self.top()
        if isinstance(target, dict):
            target.update(pairs)
        elif isinstance(target, Call):
            target.items.extend(pairs)
        else:
            raise self.refuse(f"items for a {type(target).__name__}")

    def call(self, target: Any, args: Any, kwargs: Any) -> None:
        if not isinstance(target, Name | Call):
            raise self.refuse(f"a call of a {type(target).__name__}")
        if not isinstance(args, tuple) or not isinstance(kwargs, dict):
            raise self.refuse("a call whose arguments are not a tuple")
        self.stack.append(Call(target, args, kwargs))
