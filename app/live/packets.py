"""OSC 1.0 packets to messages and back.

Written here because packets come from outside: python-osc 1.10 never comes back from a bundle whose element has a
negative size. The tests hold this against python-osc for packets that are well formed.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

Argument = float | int | str | bool | None

BUNDLE = b"#bundle\0"
DEEPEST_BUNDLE = 4

# Sizes of the kinds of argument that are stepped over: time tag, character, colour, MIDI.
_SKIPPED = {"t": 8, "c": 4, "r": 4, "m": 4}
_NUMBERS = {"i": ">i", "h": ">q", "f": ">f", "d": ">d"}
_CONSTANTS: dict[str, Argument] = {"T": True, "F": False, "N": None, "I": True}


@dataclass(frozen=True)
class OscMessage:
    """An address and its arguments. What is neither number, text nor truth value is None."""

    address: str
    arguments: tuple[Argument, ...] = ()


def encode(address: str, *arguments: float | int | str) -> bytes:
    """One message. Floats go out in single precision, integers as 32 bits where they fit, else as 64."""
    tags, body = ",", b""
    for argument in arguments:
        if isinstance(argument, str):
            tags, body = tags + "s", body + _padded(argument)
        elif isinstance(argument, int):
            small = -(2**31) <= argument < 2**31
            tags, body = tags + ("i" if small else "h"), body + struct.pack(">i" if small else ">q", argument)
        else:
            tags, body = tags + "f", body + struct.pack(">f", argument)
    return _padded(address) + _padded(tags) + body


def _padded(text: str) -> bytes:
    data = text.replace("\0", " ").encode("utf-8", errors="replace") + b"\0"
    return data + b"\0" * (-len(data) % 4)


def decode(packet: bytes) -> list[OscMessage]:
    """The messages of a packet, bundles opened; time tags are not waited for, everything counts at once.

    Raises `ValueError`, one line, for anything that is not OSC.
    """
    messages: list[OscMessage] = []
    _decode(packet, messages, DEEPEST_BUNDLE)
    return messages


def _decode(packet: bytes, messages: list[OscMessage], depth: int) -> None:
    if not packet.startswith(BUNDLE):
        messages.append(_message(packet))
        return
    if depth == 0:
        raise ValueError(f"expected bundles at most {DEEPEST_BUNDLE} deep")
    position = len(BUNDLE) + 8
    if len(packet) < position:
        raise ValueError("a bundle ends inside its time tag")
    while position < len(packet):
        size = int(_number(">i", packet, position))
        position += 4
        if size <= 0 or position + size > len(packet):
            raise ValueError(f"a bundle's element has {size} bytes, {len(packet) - position} are there")
        _decode(packet[position : position + size], messages, depth - 1)
        position += size


def _message(packet: bytes) -> OscMessage:
    if not packet.startswith(b"/"):
        raise ValueError(f"expected an OSC message, which begins with /, got {packet[:16]!r}")
    address, position = _text(packet, 0)
    if position >= len(packet):
        return OscMessage(address)
    tags, position = _text(packet, position)
    if not tags.startswith(","):
        raise ValueError(f"{address[:80]}: expected a type tag such as ,f, got {tags!r:.40}")
    arguments: list[Argument] = []
    for tag in tags[1:]:
        if tag in _NUMBERS:
            value = _number(_NUMBERS[tag], packet, position)
            position += struct.calcsize(_NUMBERS[tag])
            arguments.append(shortest(value) if tag == "f" else value)
        elif tag in "sS":
            text, position = _text(packet, position)
            arguments.append(text)
        elif tag in _CONSTANTS:
            arguments.append(_CONSTANTS[tag])
        elif tag in _SKIPPED:
            position += _SKIPPED[tag]
            arguments.append(None)
        elif tag == "b":
            size = int(_number(">i", packet, position))
            if size < 0:
                raise ValueError(f"{address[:80]}: a blob has {size} bytes")
            position += 4 + size + -size % 4
            arguments.append(None)
        else:
            raise ValueError(f"{address[:80]}: an argument of type {tag!r} is not known here")
        if position > len(packet):
            raise ValueError(f"{address[:80]}: the message ends inside its arguments")
    return OscMessage(address, tuple(arguments))


def _number(kind: str, packet: bytes, position: int) -> float | int:
    try:
        value: float | int = struct.unpack_from(kind, packet, position)[0]
    except struct.error as error:
        raise ValueError("the packet ends inside a number") from error
    return value


def _text(packet: bytes, position: int) -> tuple[str, int]:
    end = packet.find(b"\0", position)
    if end < 0:
        raise ValueError("the packet ends inside a text")
    try:
        return packet[position:end].decode("utf-8"), end + 4 - end % 4
    except UnicodeDecodeError as error:
        raise ValueError(f"expected UTF-8, got {packet[position : position + 16]!r}") from error


def shortest(value: float) -> float:
    """The shortest decimal number that is this one in single precision: the 0.7 that somebody meant by 0.69999999."""
    if not math.isfinite(value):
        return value
    for digits in (6, 7, 8):
        near = float(f"{value:.{digits}g}")
        if single(near) == value:
            return near
    return value


def single(value: float) -> float:
    """`value` in single precision, as it goes over the wire."""
    try:
        near: float = struct.unpack(">f", struct.pack(">f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return near
