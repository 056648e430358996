"""Files made to mislead: each ends in one clear error, in time, in memory, and nothing runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.checkpoints.pickles import Limits, PublishedError, read_published
from tests.core.checkpoints import lookalikes
from tests.core.checkpoints.lookalikes import EasyDict, Sneaky, dumps, generator, network, snapshot

LIMITS = Limits(memory_bytes=128 * 2**20, seconds=300)
ROOT = Path(__file__).parents[3]


def in_g_ema(body: bytes) -> bytes:
    """A file whose G_ema is what these opcodes leave on the stack."""
    return b"\x80\x04}X\x05\x00\x00\x00G_ema" + body + b"s."


def call(name: str, args: bytes = b")") -> bytes:
    module, _, function = name.rpartition(".")
    return f"c{module}\n{function}\n".encode() + args + b"R"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def storage(count: int = 4) -> bytes:
    stream = io.BytesIO()
    untyped = torch.zeros(count).untyped_storage()
    typed = torch.storage.TypedStorage(wrap_storage=untyped, dtype=torch.float32, _internal=True)
    torch.save(typed, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def tensor(shape: Any, stride: Any, offset: Any = 0, data: bytes | None = None) -> bytes:
    """A file whose G_ema is a dictionary with one such view of four numbers."""
    source = Sneaky(torch.storage._load_from_bytes, storage() if data is None else data)
    view = Sneaky(torch._utils._rebuild_tensor_v2, source, offset, shape, stride, False, OrderedDict())
    return dumps({"G_ema": {"w": view}})


def array(**changes: Any) -> bytes:
    """A file whose G_ema is a dictionary with one numpy array whose state is changed."""
    function, args, state = np.zeros(3, np.float32).__reduce__()
    fields = dict(zip(("version", "shape", "dtype", "fortran", "raw"), state, strict=True)) | changes
    return dumps({"G_ema": {"w": Sneaky(function, *args, state=tuple(fields.values()))}}, 3)


def zipped(**changes: Any) -> bytes:
    """A torch zip rewritten with compression."""
    stream, out = io.BytesIO(), io.BytesIO()
    torch.save({"w": torch.zeros(100)}, stream)
    with zipfile.ZipFile(stream) as source, zipfile.ZipFile(out, "w", **changes) as target:
        for info in source.infolist():
            target.writestr(info.filename, source.read(info))
    return out.getvalue()


def nested_lists(levels: int) -> bytes:
    """Each list holds the one before twice: two to the power of `levels` leaves."""
    body = b"]q\x00"
    for level in range(levels):
        body += b"0](h" + bytes([level]) + b"h" + bytes([level]) + b"eq" + bytes([level + 1])
    return body


def nested_tuples(levels: int) -> bytes:
    body = b")q\x00"
    for level in range(levels):
        body += b"0h" + bytes([level]) + b"h" + bytes([level]) + b"\x86q" + bytes([level + 1])
    return body


def persistent(**changes: Any) -> bytes:
    meta = {"type": "class", "version": 6, "module_src": lookalikes.SOURCE, "class_name": "G", "state": {}} | changes
    return dumps({"G_ema": Sneaky(lookalikes.reconstruct, meta)})


def cyclic() -> bytes:
    model = generator()
    model.owner = [model]  # type: ignore[assignment]
    return dumps(snapshot(model))


MODULE = text("_parameters") + b"}" + text("_modules") + b"}"

HOSTILE: dict[str, tuple[bytes, str]] = {
    # Calls of what runs things
    "system": (dumps({"G_ema": Sneaky(os.system, "touch ran")}), "got an object of posix.system"),
    "system at the top": (dumps(Sneaky(os.system, "touch ran")), "an object of posix.system"),
    "system as a module": (
        in_g_ema(call("os.system", text("touch ran") + b"\x85") + b"}(" + MODULE + b"ub"),
        "got an object of os.system",
    ),
    "inst": (in_g_ema(b"(" + text("touch ran") + b"ios\nsystem\n"), "got an object of os.system"),
    "obj": (in_g_ema(b"(cos\nsystem\n" + text("touch ran") + b"o"), "got an object of os.system"),
    "newobj_ex": (in_g_ema(b"cos\nsystem\n" + text("touch ran") + b"\x85}\x92"), "got an object of os.system"),
    "dotted name": (
        in_g_ema(text("collections") + text("OrderedDict.__init__.__globals__") + b"\x93)R"),
        "OrderedDict.__init__.__globals__",
    ),
    "dotted name that joins to a known one": (
        in_g_ema(text("torch._utils") + text("_rebuild_tensor_v2.__call__") + b"\x93)R"),
        "_rebuild_tensor_v2.__call__",
    ),
    "getattr": (
        in_g_ema(call("builtins.getattr", b"cos\n__dict__\n" + text("system") + b"\x86") + b")R"),
        "got an object of an unknown kind",
    ),
    "a bare function": (in_g_ema(b"cos\nsystem\n"), "got os.system"),
    "a global without text": (in_g_ema(b"K\x01K\x02\x93"), "a global whose name is not text"),
    "a call of a list": (in_g_ema(b"])R"), "a call of a list"),
    "dill's eval": (in_g_ema(call("dill._dill._load_type", text("FunctionType") + b"\x85") + b")R"), "unknown kind"),
    "codec": (
        in_g_ema(call("_codecs.encode", text("x") + text("zip") + b"\x86")),
        "expected text in latin1, got 'zip'",
    ),
    "inside a module": (
        dumps(snapshot(generator(z_dim=Sneaky(os.system, "touch ran")))),
        "G_ema.init_kwargs.z_dim: expected a plain value, a tensor or a module, got an object of posix.system",
    ),
    # Changing what is shared
    "build on a name": (
        in_g_ema(b"ccollections\nOrderedDict\n}(" + text("x") + b"K\x01ub"),
        "a state for something that cannot take one",
    ),
    "build on torch's function": (in_g_ema(b"ctorch._utils\n_rebuild_tensor_v2\n}b"), "cannot take one"),
    "build on a list": (in_g_ema(b"]}b"), "cannot take one"),
    "build twice": (in_g_ema(call("collections.OrderedDict") + b"}b}b"), "cannot take one"),
    "items on a name": (in_g_ema(b"ccollections\nOrderedDict\nK\x01K\x02s"), "items for a Name"),
    "state on a tensor": (
        in_g_ema(b"}" + text("w") + call("torch._utils._rebuild_tensor_v2", b"(NNNNNNt") + b"}bs"),
        "expected other arguments",
    ),
    # Opcodes that no published file uses
    "extension registry 1": (in_g_ema(b"\x82\x01"), "extension registry"),
    "extension registry 2": (in_g_ema(b"\x83\x01\x00"), "extension registry"),
    "extension registry 4": (in_g_ema(b"\x84\x01\x00\x00\x00"), "extension registry"),
    "persistent id": (in_g_ema(b"Pstorage\n"), "persistent id"),
    "binary persistent id": (in_g_ema(b"NQ"), "persistent id"),
    "next buffer": (in_g_ema(b"\x97"), "a buffer outside the file"),
    "protocol 9": (b"\x80\x09N.", "pickle protocol 9"),
    # Sizes that lie
    "long_binput": (in_g_ema(b"Nr\xff\xff\xff\xff"), "expected a module"),
    "long_binget": (in_g_ema(b"j\xff\xff\xff\x7f"), "memo slot"),
    "binbytes8": (in_g_ema(b"\x8e\x00\x00\x00\x00\x00\x01\x00\x00"), "breaks off"),
    "binunicode8": (in_g_ema(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff"), "breaks off"),
    "bytearray8": (in_g_ema(b"\x96\x00\x00\x00\x00\x00\x01\x00\x00"), "breaks off"),
    "long4": (in_g_ema(b"\x8b\xff\xff\xff\x7f"), "breaks off"),
    "long4 negative": (in_g_ema(b"\x8b\xff\xff\xff\xff"), "breaks off"),
    "frame": (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f", "breaks off"),
    "huge integer": (in_g_ema(b"\x8b" + struct.pack("<i", 10**6) + b"\x7f" * 10**6), "an integer of 7999999 bits"),
    "no stop": (b"\x80\x04}", "breaks off"),
    "nothing on the stack": (b"\x80\x04.", "more values than there are"),
    "many opcodes": (b"\x80\x04" + b"N0" * 2_100_000 + b".", "opcodes, got more"),
    "deep lists": (in_g_ema(b"]" * 200_000 + b"a" * 199_999), "at most 100 levels"),
    "deep tuples": (in_g_ema(b")" + b"\x85" * 200_000), "at most 100 levels"),
    "deep calls": (in_g_ema(b"ca\nb\n" + b")R" * 200_000), "unknown kind"),
    "deep tuple as a key": (in_g_ema(b"})" + b"\x85" * 200_000 + b"Ns"), "key or a set element"),
    "doubling lists": (in_g_ema(nested_lists(60)), "values, got more"),
    "doubling tuples": (in_g_ema(nested_tuples(60)), "values, got more"),
    "doubling tuple as a key": (in_g_ema(b"}" + nested_tuples(60) + b"Ns"), "key or a set element"),
    "long text many times": (
        in_g_ema(b"](" + text("x" * 2**20) + b"2" * 1000 + b"e"),
        "expected tensors and text of at most",
    ),
    "a list in itself": (in_g_ema(b"]2a"), "contains itself"),
    "a module in itself": (cyclic(), "G_ema.owner.*contains itself"),
    "a list as a key": (in_g_ema(b"}]Ns"), "key or a set element"),
    # Tensors
    "stride 0 for terabytes": (tensor((2**40,), (0,)), r"shape \[1099511627776\], stride \[0\]"),
    "stride 0": (tensor((2, 2), (0, 1)), r"stride \[0, 1\]"),
    "overlap for terabytes": (tensor((2, 2, 2, 2), (1, 1, 0, 0)), "expected a view"),
    "more elements than the storage": (tensor((3, 2), (1, 1)), "expected a view of a storage with 4 numbers"),
    "beyond the storage": (tensor((5,), (1,)), r"shape \[5\]"),
    "offset beyond the storage": (tensor((2,), (1,), 3), "offset 3"),
    "negative offset": (tensor((2,), (1,), -1), "whole numbers from zero"),
    "negative stride": (tensor((2,), (-1,), 3), "whole numbers from zero"),
    "negative size": (tensor((-2,), (1,)), "whole numbers from zero"),
    "a bool as a size": (tensor((True,), (1,)), "whole numbers from zero"),
    "many dimensions": (tensor((1,) * 40, (1,) * 40), "at most 8 whole numbers"),
    "an empty shape too large for numpy": (tensor((2**40, 2**40, 0), (1, 1, 1)), "fits in memory"),
    "shape and stride differ": (tensor((2, 2), (1,)), "one stride for each of 2 sizes"),
    "cut storage": (tensor((4,), (1,), data=storage()[:-1]), "expected 4 numbers in tensor storage"),
    "storage count": (
        tensor((4,), (1,), data=storage()[:-24] + struct.pack("<q", 2**40) + b"\0" * 16),
        "expected 4 numbers in tensor storage",
    ),
    "nested load": (
        tensor((4,), (1,), data=storage()[:15] + pickle.dumps(Sneaky(os.system, "touch ran"), 2) * 4),
        "expected torch's magic number",
    ),
    "nested load of an object": (
        tensor(
            (4,),
            (1,),
            data=storage().split(b"\x80\x02(X\x07")[0] + dumps(Sneaky(os.system, "touch ran"), 2) + b"\x80\x02].",
        ),
        "expected a single storage, got an object of posix.system",
    ),
    "nested load of a pickle": (
        tensor((4,), (1,), data=pickle.dumps(Sneaky(os.system, "touch ran"), 2)),
        "expected a storage in torch's old layout",
    ),
    "unknown storage type": (
        tensor((4,), (1,), data=storage().replace(b"FloatStorage", b"QuantStorage")),
        "known type",
    ),
    # numpy
    "object array": (dumps({"G_ema": {"w": np.array([None, {}])}}, 3), "a numpy type for numbers"),
    "array too large": (array(shape=(2**40,)), "got 12 bytes"),
    "array negative": (array(shape=(-3,)), "whole numbers from zero"),
    "array of a subclass": (
        in_g_ema(call("numpy.core.multiarray._reconstruct", b"cos\nsystem\nK\x00\x85" + text("b") + b"\x87")),
        "expected a plain numpy array, got another kind",
    ),
    "array with text for bytes": (array(raw="\u0100" * 3), "text in latin1"),
    # Persistent classes and networks
    "persistence version": (persistent(version=7), "version 6, got 'class' in version 7"),
    "persistence type": (persistent(type="function"), "got 'function' in version 6"),
    "persistence without a dictionary": (persistent(state=[1]), "expected a dictionary, got a list"),
    "persistence with a list as name": (persistent(class_name=["G"]), "persistent class"),
    "parameters that are not tensors": (
        persistent(state={"_parameters": {"w": 1}, "_modules": {}}),
        "G_ema.w: expected a tensor, got 1",
    ),
    "children that are not modules": (
        persistent(state={"_modules": {"m": [1]}}),
        "G_ema.m: expected a module, got a list",
    ),
    "not a network": (
        dumps((network("G", 0), EasyDict(), network("Gs", 0))),
        "expected a dictionary with an entry G_ema",
    ),
    # torch files
    "compressed zip": (zipped(compression=zipfile.ZIP_DEFLATED), "expected a zip file without compression"),
    "zip with a damaged entry": (zipped().replace(b"\0" * 200, b"\0" * 199 + b"\1"), "got it damaged"),
    "another zip": (zipped().replace(b"data.pkl", b"data.txt"), "another kind of zip"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_each_ends_in_one_clear_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where "touch ran" would leave its mark
    data, message = HOSTILE[name]
    path = tmp_path / "hostile.pkl"
    path.write_bytes(data)
    with pytest.raises(PublishedError, match=message) as caught:
        read_published(path, limits=LIMITS)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 1500
    assert str(caught.value).isprintable()
    assert [entry.name for entry in tmp_path.iterdir()] == ["hostile.pkl"]
    assert not (ROOT / "ran").exists()


def test_memory_is_limited_where_counting_does_not_help(tmp_path: Path) -> None:
    """A few megabytes of opcodes that make a dictionary each."""
    pytest.importorskip("resource")
    path = tmp_path / "hostile.pkl"
    path.write_bytes(b"\x80\x04(" + b"}" * 3_000_000 + b"l.")
    with pytest.raises(PublishedError, match="got one that needs more"):
        read_published(path, limits=Limits(memory_bytes=64 * 2**20))


def test_a_file_larger_than_its_memory_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    path = tmp_path / "large.pkl"
    path.write_bytes(b"\x80\x04" + bytes(3 * 2**20))
    with pytest.raises(PublishedError, match="read in 2097152 bytes of memory, got one that needs more"):
        read_published(path, limits=Limits(memory_bytes=2 * 2**20))


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    data = dumps(snapshot(generator()))
    path = tmp_path / "cut.pkl"
    for size in np.linspace(2, len(data) - 1, 8).astype(int):
        path.write_bytes(data[:size])
        with pytest.raises(PublishedError, match="breaks off"):
            read_published(path, limits=LIMITS)


def test_thousands_of_damaged_files_run_nothing(tmp_path: Path) -> None:
    linear = torch.nn.Linear(1, 1)
    samples: list[bytes] = [dumps(snapshot(lookalikes.Layer(1)), protocol) for protocol in (2, 4, 5)]
    samples.append(dumps(snapshot(lookalikes.Layer(1)), 3, dill=True))
    samples.append(dumps((network("G", 0),) * 3))
    for new in (False, True):
        stream = io.BytesIO()
        torch.save(linear.state_dict(), stream, _use_new_zipfile_serialization=new)
        samples.append(stream.getvalue())
    paths = [tmp_path / f"{i}.pkl" for i in range(len(samples))]
    for path, data in zip(paths, samples, strict=True):
        path.write_bytes(data)
    count = 3000
    done = subprocess.run(
        [sys.executable, "-m", "tests.core.checkpoints.fuzzing", str(count), *map(str, paths)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    summary = json.loads(done.stdout)
    # Both kinds of end, and the damage goes deeper than the first check.
    assert 0 < summary["results"] < count
    assert summary["kinds of refusal"] > 50
