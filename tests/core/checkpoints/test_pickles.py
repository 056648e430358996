"""Published files read back bit for bit, whatever their layout, and without a line of theirs being run."""

from __future__ import annotations

import gzip
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from core.checkpoints.opcodes import read_graph
from core.checkpoints.pickles import (
    Limits,
    Published,
    PublishedError,
    PublishedModule,
    PublishedNetwork,
    flat_kwargs,
    read_published,
)
from tests.core.checkpoints import lookalikes
from tests.core.checkpoints.lookalikes import EasyDict, dumps, generator, network, snapshot

LIMITS = Limits(memory_bytes=256 * 2**20, seconds=300)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Published]:
    """Writes bytes to a file and reads it as published."""

    def write_and_read(data: bytes, *, part: str = "G_ema", limits: Limits = LIMITS) -> Published:
        path = tmp_path / "model.pkl"
        path.write_bytes(data)
        return read_published(path, part=part, limits=limits)

    return write_and_read


def same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b) and a.is_contiguous()


def assert_equal_states(found: dict[str, Tensor], module: nn.Module) -> None:
    expected = module.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert same(found[name], tensor), name


@pytest.mark.parametrize(("protocol", "dill"), [(2, False), (3, False), (4, False), (5, False), (3, True), (4, True)])
def test_a_snapshot_reads_back_bit_for_bit(read: Callable[..., Published], protocol: int, dill: bool) -> None:
    model = generator()
    published = read(dumps(snapshot(model), protocol, dill=dill))
    assert published.layout == "pytorch"
    assert published.dropped == ("G", "D", "augment_pipe", "training_set_kwargs")
    root = published.content
    assert isinstance(root, PublishedModule)
    assert_equal_states(root.state_dict(), model)

    assert (root.class_name, root.module) == ("Generator", "")
    assert root.init_kwargs == lookalikes.NEW_KWARGS
    assert root.attributes == {"z_dim": 4}
    assert list(root.children) == ["mapping", "synthesis", "plain"]
    layer = root.children["synthesis"]
    assert (layer.class_name, layer.init_args, layer.init_kwargs) == ("Layer", (4,), {"use_noise": False})
    assert list(layer.parameters) == ["weight"]
    assert list(layer.buffers) == ["noise_const", "steps"]
    taps = layer.attributes.pop("taps")
    assert same(taps, torch.from_numpy(np.ascontiguousarray(model.synthesis.taps)))
    assert layer.attributes == {
        "features": 4,
        "shape": (4, None),
        "gain": 1.5,
        "seen": {1, 2},
        "clamp": float("inf"),
    }
    plain = root.children["plain"]
    assert (plain.class_name, plain.module) == ("Plain", "published.networks")
    assert plain.parameters["scale"].dtype == torch.bfloat16
    linear = plain.children["stack"].children["0"]
    assert (linear.class_name, linear.module) == ("Linear", "torch.nn.modules.linear")
    assert linear.attributes == {"in_features": 2, "out_features": 1}


def test_the_stubs_do_run_when_python_reads_them() -> None:
    """Otherwise "nothing ran" would say nothing."""
    data = dumps(snapshot(generator()))
    with lookalikes.published_names(), pytest.raises(RuntimeError, match="ran"):
        pickle.loads(data)


def test_other_parts_are_read_on_request(read: Callable[..., Published]) -> None:
    ema, raw = generator(0), generator(1)
    data = dumps(snapshot(ema) | {"G": raw})
    published = read(data, part="G")
    assert_equal_states(published.content.state_dict(), raw)  # type: ignore[union-attr]
    assert "G_ema" in published.dropped
    with pytest.raises(PublishedError, match=r"expected an entry E, got a file with G, D, G_ema"):
        read(data, part="E")
    with pytest.raises(PublishedError, match=r"D: expected a module or a dictionary of tensors, got None"):
        read(data, part="D")


def test_old_and_new_keyword_arguments_are_the_same_when_flat(read: Callable[..., Published]) -> None:
    old = read(dumps(snapshot(generator(**lookalikes.OLD_KWARGS)))).content
    new = read(dumps(snapshot(generator(**lookalikes.NEW_KWARGS)))).content
    assert isinstance(old, PublishedModule)
    assert isinstance(new, PublishedModule)
    assert old.init_kwargs != new.init_kwargs
    assert flat_kwargs(old) == flat_kwargs(new) == lookalikes.NEW_KWARGS
    old.init_kwargs["channel_base"] = 32
    with pytest.raises(PublishedError, match="channel_base: expected one value, got 32 and 64"):
        flat_kwargs(old)


class Holder(nn.Module):
    """Any tensors as buffers, pickled by name."""

    __module__ = "published.networks"

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)


@pytest.fixture
def holder(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Tensor]], Holder]:
    """Makes a module with these buffers, in a class that pickle can name."""
    monkeypatch.setattr(lookalikes, "Plain", Holder)
    return Holder


@pytest.mark.parametrize("protocol", [2, 4])
def test_every_element_type_and_view(
    read: Callable[..., Published], holder: Callable[[dict[str, Tensor]], Holder], protocol: int
) -> None:
    base = torch.arange(60)
    kinds = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16]
    tensors = {str(kind).replace("torch.", "of_"): base.to(kind) for kind in [*kinds, torch.int8, torch.uint8]}
    tensors["of_bool"] = base % 3 == 0
    shared = torch.randn(5, 6)
    tensors |= {
        "whole": shared,
        "transposed": shared.T,
        "inner": shared[1:4, ::2],
        "diagonal": shared.diagonal(),
        "channels_last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "scalar": shared[2, 3],
        "empty": torch.empty(0, 7),
        "nan": torch.tensor([float("nan"), -0.0]).view(torch.int32),
    }
    content = read(dumps(snapshot(holder(tensors)), protocol)).content
    assert isinstance(content, PublishedModule)
    assert content.buffers.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert same(content.buffers[name], tensor.contiguous()), name


def test_tied_weights_stay_one_tensor(
    read: Callable[..., Published], holder: Callable[[dict[str, Tensor]], Holder]
) -> None:
    weight = torch.randn(3)
    content = read(dumps(snapshot(holder({"a": weight, "b": weight})))).content
    assert isinstance(content, PublishedModule)
    assert content.buffers["a"].data_ptr() == content.buffers["b"].data_ptr()


def test_hooks_are_named(read: Callable[..., Published], holder: Callable[[dict[str, Tensor]], Holder]) -> None:
    model = holder({"a": torch.ones(1)})
    model._forward_pre_hooks[0] = EasyDict()  # type: ignore[assignment]
    content = read(dumps(snapshot(model))).content
    assert isinstance(content, PublishedModule)
    assert content.hooks == ("an object of dnnlib.util.EasyDict",)


@pytest.mark.parametrize("protocol", [2, 4])
def test_tensorflow_networks(read: Callable[..., Published], protocol: int) -> None:
    data = dumps(tuple(network(name, seed) for seed, name in enumerate(("G", "D", "Gs"))), protocol)
    if protocol == 2:  # as numpy 1 wrote it
        data = data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    for part, name, seed in [("G_ema", "Gs", 2), ("G", "G", 0)]:
        published = read(data, part=part)
        assert published.layout == "tensorflow"
        net = published.content
        assert isinstance(net, PublishedNetwork)
        assert (net.name, net.build_function, net.static_kwargs) == (name, "G_main", {"fused_modconv": True})
        values = np.random.RandomState(seed)
        const = torch.from_numpy(values.randn(1, 2, 4, 4).astype(np.float32))
        average = torch.from_numpy(values.randn(3).astype(np.float32))
        assert list(net.variables) == ["dlatent_avg"]
        assert same(net.variables["dlatent_avg"], average)
        part_of_it = net.components["synthesis"]
        assert same(part_of_it.variables["4x4/Const/const"], const)
        assert same(part_of_it.variables["lod"], torch.tensor(0.5))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"g_ema": s, "latent_avg": None}, lambda s: {"state_dict": s}])
def test_state_dicts_of_torch(
    read: Callable[..., Published], zipped: bool, wrap: Callable[[dict[str, Tensor]], dict[str, Any]]
) -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)).half()
    stream = io.BytesIO()
    torch.save(wrap(model.state_dict()), stream, _use_new_zipfile_serialization=zipped)
    published = read(stream.getvalue())
    assert published.layout == "state_dict"
    assert isinstance(published.content, dict)
    assert_equal_states(published.content, model)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_reads_as_python_reads_it(protocol: int) -> None:
    value = {
        "a": [1, -2, 2**40, -(2**200), 1.5, True, None],
        "b": ("é\ud800", (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        3: [[[]], {}, {"x": {}}],
        (1, "k"): list(range(1500)),
        "long": "x" * 300,
    }
    if protocol >= 4:
        value |= {"s": {1, 2}, "f": frozenset("ab"), "bytes": b"\x00\xff" * 200}
    assert read_graph(io.BytesIO(pickle.dumps(value, protocol))) == value


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "an empty file"),
        (b"\n<!DOCTYPE html><html>Quota exceeded</html>", "a web page"),
        (b"Access denied. Try again later.", "text that starts with 'Access denied"),
        (safetensors.torch.save({"a": torch.ones(1)}), "a safetensors file"),
        (gzip.compress(b"x", mtime=0), "a compressed file"),
        (b"\x00\x01\x02\x03" * 9, "something else"),
        (b"PK\x03\x04" + b"\0" * 60, "a whole zip file"),
    ],
)
def test_what_is_not_a_pickle_is_told_apart(read: Callable[..., Published], data: bytes, message: str) -> None:
    with pytest.raises(PublishedError, match=message):
        read(data)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(PublishedError, match="no such file"):
        read_published(tmp_path / "none.pkl")
    with pytest.raises(PublishedError, match="got a folder"):
        read_published(tmp_path)


def test_a_file_that_takes_too_long_is_stopped(read: Callable[..., Published]) -> None:
    with pytest.raises(PublishedError, match=r"expected to read the file within 0\.01 s, got no end"):
        read(dumps(snapshot(generator())), limits=Limits(seconds=0.01))


def test_unreasonable_limits_are_refused() -> None:
    with pytest.raises(ValueError, match="at least a megabyte"):
        Limits(memory_bytes=10)
