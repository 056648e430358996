"""Damages small files in thousands of ways and reads each: `python -m tests.core.checkpoints.fuzzing COUNT FILE...`.

Runs in a process of its own, under the reader's own limits, with everything that a file could want to reach closed.
Prints how many readings gave a result and how many the one error that is allowed; anything else ends it.
"""

from __future__ import annotations

import builtins
import codecs
import itertools
import json
import os
import pickletools
import random
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from core.checkpoints import sandbox
from core.checkpoints.opcodes import PublishedError

MEMORY_BYTES = 256 * 2**20
SEED = 20240229

# Opcodes that matter, some with arguments that lie.
SNIPPETS = [
    b"b", b"R", b"\x81", b"\x92", b"0", b"1", b"2", b"(", b".", b"t", b"d", b"l", b"u", b"s", b"e", b"a", b"o", b"Q",
    b"\x90", b"\x91", b"\x93", b"\x94", b"\x97", b"\x98", b")", b"]", b"}", b"\x8f", b"N", b"\x88",
    b"cos\nsystem\n", b"cbuiltins\neval\n", b"\x8c\x02os\x8c\x06system\x93", b"X\x04\x00\x00\x00exit", b"(ios\nexit\n",
    b"h\x00", b"q\x00", b"j\xff\xff\xff\x7f", b"r\xff\xff\xff\xff", b"B\xff\xff\xff\x7f", b"K\xff",
    b"J\xff\xff\xff\xff",
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x95\xff\xff\xff\xff\xff\xff\xff\xff", b"\x8b\xff\xff\xff\x7f",
    b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x82\x01", b"\x84\x01\x00\x00\x00", b"\x80\x05", b"Pid\n",
    b"G\x7f\xf0\x00\x00\x00\x00\x00\x00", b"I99999999999\n", b"S'\\x'\n",
]  # fmt: skip


def closed(*_args: Any, **_kwargs: Any) -> Any:
    """Stands where nothing may come."""
    os.write(2, b"a file reached something that runs\n")
    os._exit(3)


def close_everything() -> None:
    """Patches what runs things, and listens for the interpreter's own events besides. It cannot be undone."""
    builtins.exec = closed
    builtins.eval = closed
    os.system = closed
    subprocess.Popen = closed  # type: ignore[misc]
    socket.socket = closed  # type: ignore[misc]

    def audit(event: str, _args: Any) -> None:
        names = ("exec", "compile", "import", "open", "pickle.find_class", "marshal.loads", "os.system")
        if event in names or event.startswith(("subprocess.", "socket.", "os.exec", "os.spawn", "os.posix_spawn")):
            closed()

    sys.addaudithook(audit)


def split(data: bytes) -> list[bytes]:
    """A pickle's opcodes, each with its argument, and what follows the pickle; a file of another kind in one piece."""
    if not data.startswith(b"\x80"):
        return [data]
    places = [place or 0 for _, _, place in pickletools.genops(data)]
    return [data[start:end] for start, end in itertools.pairwise([*places, places[-1] + 1, len(data)])]


def damage_bytes(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """What a bad disk, a bad download or a blind attacker does."""
    place = chance.randrange(len(data))
    before, after = data[:place], data[place:]
    match chance.randrange(6):
        case 0:
            return before + bytes([after[0] ^ 1 << chance.randrange(8)]) + after[1:]
        case 1:
            return before + bytes([chance.randrange(256)]) + after[1:]
        case 2:
            return before
        case 3:
            return before + after[chance.randint(1, 8) :]
        case 4:
            other = chance.choice(others)
            start = chance.randrange(len(other))
            return before + other[start : start + chance.randint(1, 200)] + after
        case _:
            return before + chance.choice(SNIPPETS) + after


def damage_opcodes(opcodes: list[bytes], others: list[list[bytes]], chance: random.Random) -> list[bytes]:
    """What an attacker who knows pickles does: the opcodes stay whole, so the damage reaches deeper."""
    place = chance.randrange(len(opcodes))
    before, after = opcodes[:place], opcodes[place:]
    match chance.randrange(5):
        case 0:
            return before + after[1:]
        case 1:
            return [*before, after[0], *after]
        case 2:
            return [*before, chance.choice(opcodes), *after[1:]]
        case 3:
            return [*before, chance.choice(chance.choice(others)), *after]
        case _:
            return [*before, chance.choice(SNIPPETS), *after]


def mutate(files: list[bytes], opcodes: list[list[bytes]], chance: random.Random) -> bytes:
    """One file, damaged once to three times, as bytes or as opcodes."""
    which = chance.randrange(len(files))
    data, parts = files[which], opcodes[which]
    whole = chance.random() < 0.5
    for _ in range(chance.randint(1, 3)):
        if whole and parts:
            parts = damage_opcodes(parts, opcodes, chance)
        elif not whole and data:
            data = damage_bytes(data, files, chance)
    return b"".join(parts) if whole else data


def main(count: int, paths: list[str]) -> None:
    files = [Path(path).read_bytes() for path in paths]
    for data in files:  # whatever is imported at first use
        sandbox.read(data, part="G_ema", memory_bytes=MEMORY_BYTES)
    for name in ("ascii", "latin-1", "utf-8", "cp437", "raw-unicode-escape", "unicode-escape"):
        codecs.lookup(name)
    sandbox.limit(MEMORY_BYTES, 300)
    chance = random.Random(SEED)
    opcodes = [split(data) for data in files]
    results, refusals = 0, set()
    close_everything()
    for _ in range(count):
        try:
            sandbox.read(mutate(files, opcodes, chance), part="G_ema", memory_bytes=MEMORY_BYTES)
            results += 1
        except PublishedError as error:
            refusals.add(str(error)[:60])
    print(json.dumps({"results": results, "kinds of refusal": len(refusals)}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
