"""OSC packets, held against python-osc, and against anything that may come from a network."""

from __future__ import annotations

import random
import struct

import pytest
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.osc_packet import OscPacket

from app.live.packets import BUNDLE, OscMessage, decode, encode, shortest, single


def build(address: str, *arguments: object) -> OscMessageBuilder:
    builder = OscMessageBuilder(address=address)
    for argument in arguments:
        builder.add_arg(argument)
    return builder


@pytest.mark.parametrize(
    "arguments",
    [(), (0.7,), (3,), (2**40,), ("snowy 🏔 mountains",), ("",), (True, False, None), (1, -2.5, "four"), ("abc", 1)],
)
def test_what_python_osc_writes_is_read(arguments: tuple[object, ...]) -> None:
    assert decode(build("/glissando/psi", *arguments).build().dgram) == [OscMessage("/glissando/psi", arguments)]


@pytest.mark.parametrize("arguments", [(), (0.5, -1e-3), (7, 2**40, -(2**31)), ("a house", "ü", ""), ("abcd", 1.0)])
def test_what_we_write_is_read_by_python_osc(arguments: tuple[float | int | str, ...]) -> None:
    packet = OscPacket(encode("/glissando/list", *arguments))
    (timed,) = packet.messages
    assert timed.message.address == "/glissando/list"
    assert timed.message.params == [single(value) if isinstance(value, float) else value for value in arguments]
    assert decode(encode("/x", *arguments)) == [OscMessage("/x", tuple(map(_wire, arguments)))]


def _wire(value: float | int | str) -> float | int | str:
    return shortest(single(value)) if isinstance(value, float) else value


def test_bundles_are_opened_and_time_tags_are_not_waited_for() -> None:
    inner = OscBundleBuilder(2.08e9)  # the year 2035
    inner.add_content(build("/b", 2).build())
    outer = OscBundleBuilder(IMMEDIATELY)
    outer.add_content(build("/a", 1).build())
    outer.add_content(inner.build())
    outer.add_content(build("/c", "x").build())
    assert [message.address for message in decode(outer.build().dgram)] == ["/a", "/b", "/c"]


def test_a_float_is_the_number_that_was_meant() -> None:
    for value in (0.7, 0.1, -1.25, 123.456, 1e-7, 0.0, 3.0):
        assert decode(encode("/x", value))[0].arguments == (value,)
    for _ in range(2000):
        (value,) = struct.unpack(">f", random.randbytes(4))
        if value == value and abs(value) < 1e38:
            assert single(shortest(value)) == value


def test_arguments_of_other_kinds_are_stepped_over() -> None:
    packet = b"/x\0\0,bti\0\0\0\0" + struct.pack(">i", 3) + b"abc\0" + b"\0" * 8 + struct.pack(">i", 5)
    assert decode(packet) == [OscMessage("/x", (None, None, 5))]


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"hello",
        b"/no-end",
        b"/x\0\0hello\0\0\0",
        b"/x\0\0,i\0\0",
        b"/x\0\0,f\0\0\0\0",
        b"/x\0\0,s\0\0abc",
        b"/x\0\0,[\0\0",
        b"/x\0\0,b\0\0" + struct.pack(">i", -8),
        b"/x\0\0,b\0\0" + struct.pack(">i", 2**31 - 1),
        b"/\xff\0\0",
        BUNDLE,
        BUNDLE + b"\0" * 8 + struct.pack(">i", -4),  # python-osc 1.10 reads this one for ever
        BUNDLE + b"\0" * 8 + struct.pack(">i", 0),
        BUNDLE + b"\0" * 8 + struct.pack(">i", 100),
    ],
)
def test_what_is_no_osc_is_one_message(packet: bytes) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        decode(packet)


def test_bundles_in_bundles_end_somewhere() -> None:
    packet = encode("/x")
    for _ in range(200):
        packet = BUNDLE + b"\0" * 8 + struct.pack(">i", len(packet)) + packet
    with pytest.raises(ValueError, match="deep"):
        decode(packet)


def test_garbage_is_read_or_refused_and_nothing_else() -> None:
    rng = random.Random(5)
    good = [encode("/glissando/psi", 0.5, "text", 7), BUNDLE + b"\0" * 8 + struct.pack(">i", 4) + b"/a\0\0"]
    refused = 0
    for _ in range(20_000):
        packet = bytearray(rng.choice([*good, rng.randbytes(rng.randrange(64))]))
        for _ in range(rng.randrange(4)):
            if packet:
                packet[rng.randrange(len(packet))] = rng.randrange(256)
        try:
            decode(bytes(packet[: rng.randrange(len(packet) + 1)]))
        except ValueError:
            refused += 1
    assert refused > 1000
