from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from core.checkpoints import CheckpointError, Header, bundled_checkpoint, load, native, read_header, save
from core.models import registry, stylegan2, stylegan3

Document = dict[str, Any]


def parts(path: Path) -> tuple[Document, bytes]:
    """A safetensors file's JSON and its data."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def write(path: Path, document: Document | bytes, data: bytes) -> Path:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    path.write_bytes(struct.pack("<Q", len(body)) + body + data)
    return path


def with_header(source: Path, target: Path, **changes: Any) -> Path:
    """A copy whose Glissando header has some fields changed, or taken out where the value is `...`."""
    document, data = parts(source)
    header = json.loads(document["__metadata__"]["glissando"])
    for name, value in changes.items():
        if value is ...:
            del header[name]
        else:
            header[name] = value
    document["__metadata__"]["glissando"] = json.dumps(header)
    return write(target, document, data)


def with_config(source: Path, target: Path, **changes: Any) -> Path:
    return with_header(source, target, config=read_header(source).config | changes)


def fault(path: Path) -> str:
    """The one message that a file is refused with."""
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path)), message
    assert "\n" not in message
    return message


def test_round_trip(tiny_checkpoint: Path, tmp_path: Path) -> None:
    first = load(tiny_checkpoint)
    header = replace(first.header, notes={"data": "雪", "figures": {"fid": 3.5}}, images_seen=7)
    path = tmp_path / "copy.safetensors"
    save(path, header, first.tensors)
    again = load(path)
    assert again.header == header == read_header(path)
    assert again.tensors.keys() == first.tensors.keys()
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in first.tensors.items())
    assert again.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode  # readable by whoever may read a plain file


def test_half_precision_stays_half_and_any_layout_is_stored_plainly(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = load(tiny_checkpoint)
    half = {name: tensor.to(torch.float16) for name, tensor in checkpoint.tensors.items()}
    name = "generator.blocks.0.layers.0.weight"
    half[name] = half[name].to(memory_format=torch.channels_last)
    save(tmp_path / "half.safetensors", checkpoint.header, half)
    again = load(tmp_path / "half.safetensors")
    assert {tensor.dtype for tensor in again.tensors.values()} == {torch.float16}
    assert torch.equal(again.tensors[name], half[name])
    assert (tmp_path / "half.safetensors").stat().st_size < 0.55 * tiny_checkpoint.stat().st_size


def test_part_removes_the_prefix(tiny_checkpoint: Path) -> None:
    checkpoint = load(tiny_checkpoint)
    assert torch.equal(checkpoint.part("generator")["mapping.f_avg"], checkpoint.tensors["generator.mapping.f_avg"])
    assert len(checkpoint.part("generator")) + len(checkpoint.part("text")) == len(checkpoint.tensors)


def test_reading_a_header_needs_no_torch(tiny_checkpoint: Path) -> None:
    code = (
        "import sys; from core.checkpoints import read_header; "
        "header = read_header(sys.argv[1]); assert header.name == 'tiny'; "
        "assert not {'torch', 'safetensors', 'numpy'} & sys.modules.keys()"
    )
    root = Path(native.__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, str(tiny_checkpoint)], check=True, cwd=root)


def test_missing_folder_and_pipe(tmp_path: Path) -> None:
    assert "no such file" in fault(tmp_path / "none.safetensors")
    assert "got a folder" in fault(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in fault(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="cannot open"):
        load("nul\0character")


@pytest.mark.parametrize("size", [0, 5, 8, 100, 2000, -1, -100_000])
def test_truncated(tiny_checkpoint: Path, tmp_path: Path, size: int) -> None:
    path = tmp_path / "short.safetensors"
    path.write_bytes(tiny_checkpoint.read_bytes()[:size])
    message = fault(path)
    assert any(word in message for word in ("empty or cut off", "cut off inside", "truncated"))
    assert "again" in message
    with pytest.raises(CheckpointError):
        read_header(path)


def test_bytes_after_the_end(tiny_checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.safetensors"
    path.write_bytes(tiny_checkpoint.read_bytes() + b"more")
    assert "4 bytes too many" in fault(path)


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"PK\x03\x04" + bytes(100),
        b"\x80\x02}q\x00." + bytes(100),
        bytes(64),
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 4) + b"\xff\xfe\x00\x00",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 60_000) + b'{"a":' * 12_000,
    ],
)
def test_something_else_than_safetensors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    assert "something else" in fault(path)


def test_a_safetensors_file_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path, metadata={"format": "pt"})
    assert "not one of Glissando's" in fault(path)
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path)
    assert "not one of Glissando's" in fault(path)


def test_a_newer_format(tiny_checkpoint: Path, tmp_path: Path) -> None:
    message = fault(with_header(tiny_checkpoint, tmp_path / "new.safetensors", format_version=2, surprise="field"))
    assert "format 2" in message
    assert "Update Glissando" in message


@pytest.mark.parametrize("version", [0, -1, "1", None, 1.0, True])
def test_a_nonsense_format(tiny_checkpoint: Path, tmp_path: Path, version: object) -> None:
    assert "format_version" in fault(with_header(tiny_checkpoint, tmp_path / "odd.safetensors", format_version=version))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", 3),
        ("family", None),
        ("config", []),
        ("text", "bundled"),
        ("images_seen", "many"),
        ("images_seen", True),
        ("images_seen", -1),
        ("vocabulary", "words"),
        ("vocabulary", [1, 2]),
        ("licence", {}),
        ("notes", 1),
        ("licence", ...),
        ("spare", 1),
    ],
)
def test_header_fields_are_checked(tiny_checkpoint: Path, tmp_path: Path, name: str, value: object) -> None:
    assert name in fault(with_header(tiny_checkpoint, tmp_path / "odd.safetensors", **{name: value}))


def test_notes_may_be_absent(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert load(with_header(tiny_checkpoint, tmp_path / "plain.safetensors", notes=...)).header.notes == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "nul", "[" * 100_000])
def test_a_damaged_header(tiny_checkpoint: Path, tmp_path: Path, text: str) -> None:
    document, data = parts(tiny_checkpoint)
    document["__metadata__"]["glissando"] = text
    assert "header" in fault(write(tmp_path / "odd.safetensors", document, data))


def test_an_unknown_family(tiny_checkpoint: Path, tmp_path: Path) -> None:
    message = fault(with_header(tiny_checkpoint, tmp_path / "odd.safetensors", family="os.system"))
    assert "stylegan_t" in message
    assert "os.system" in message


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"resolution": 48}, "resolution"),
        ({"resolution": 2**40}, "resolution"),
        ({"resolution": "64"}, "resolution"),
        ({"resolution": [64]}, "resolution"),
        ({"max_channels": 10**9}, "max_channels"),
        ({"convs_per_block": 10**6}, "convs_per_block"),
        ({"convs_per_block": 0}, "convs_per_block"),
        ({"z_dim": -1}, "z_dim"),
        ({"z_dim": 16.0}, "z_dim"),
        ({"text_dim": 10**12}, "text_dim"),
        ({"norm_groups": True}, "norm_groups"),
        ({"surprise": 1}, "surprise"),
        ({"surprise": 10**30}, "surprise"),
    ],
)
def test_configs_are_checked_before_anything_is_built(
    tiny_checkpoint: Path, tmp_path: Path, changes: Document, named: str
) -> None:
    assert named in fault(with_config(tiny_checkpoint, tmp_path / "odd.safetensors", **changes))


def test_a_config_larger_than_the_file_allocates_nothing(tiny_checkpoint: Path, tmp_path: Path) -> None:
    # The largest model the limits let through: terabytes of weights, if they were allocated.
    huge = {"resolution": 2048, "base_channels": 2**20, "max_channels": 8192, "convs_per_block": 16, "norm_groups": 1}
    message = fault(with_config(tiny_checkpoint, tmp_path / "huge.safetensors", **huge))
    assert "lacks tensors" in message


def test_missing_spare_and_misshapen_tensors(tiny_checkpoint: Path, tmp_path: Path) -> None:
    document, data = parts(tiny_checkpoint)
    name = "generator.mapping.f_avg"
    renamed = dict(document)
    renamed["generator.mapping.average"] = renamed.pop(name)
    message = fault(write(tmp_path / "renamed.safetensors", renamed, data))
    assert f"lacks tensors {name}" in message
    assert "has spare tensors generator.mapping.average" in message

    misshapen = dict(document)
    misshapen[name] = document[name] | {"shape": [4, 4]}
    message = fault(write(tmp_path / "shape.safetensors", misshapen, data))
    assert name in message
    assert "expected shape [16]" in message
    assert "got [4, 4]" in message

    retyped = dict(document)
    retyped[name] = document[name] | {"dtype": "I32"}
    assert "expected one of F16, BF16, F32, got I32" in fault(write(tmp_path / "type.safetensors", retyped, data))


def test_a_model_for_another_resolution(tiny_checkpoint: Path, tmp_path: Path) -> None:
    message = fault(with_config(tiny_checkpoint, tmp_path / "other.safetensors", resolution=64))
    assert "lacks tensors generator.blocks.3" in message


def test_a_missing_text_tower(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = load(tiny_checkpoint)
    only = {name: tensor for name, tensor in checkpoint.tensors.items() if name.startswith("generator.")}
    with pytest.raises(CheckpointError, match=r"lacks tensors text\.\*"):
        save(tmp_path / "mute.safetensors", checkpoint.header, only)
    named = replace(checkpoint.header, text={"kind": "open_clip", "model": "ViT-B-32", "pretrained": "openai"})
    with pytest.raises(CheckpointError, match=r"has spare tensors text\."):
        save(tmp_path / "both.safetensors", named, checkpoint.tensors)
    save(tmp_path / "named.safetensors", named, only)
    assert load(tmp_path / "named.safetensors").header == named


@pytest.mark.parametrize(
    "row",
    [
        None,
        {},
        {"dtype": "F32", "shape": [16], "data_offsets": [0]},
        {"dtype": "F32", "shape": [-16], "data_offsets": [0, 64]},
        {"dtype": "F32", "shape": [16], "data_offsets": [0, 60]},
        {"dtype": "F99", "shape": [16], "data_offsets": [0, 64]},
        {"dtype": "F32", "shape": [1e3], "data_offsets": [0, 64]},
        {"dtype": "F32", "shape": [2**47, 2**47], "data_offsets": [0, 64]},
        {"dtype": ["F32"], "shape": [16], "data_offsets": [0, 64]},
    ],
)
def test_a_damaged_table(tiny_checkpoint: Path, tmp_path: Path, row: object) -> None:
    document, data = parts(tiny_checkpoint)
    document["generator.mapping.f_avg"] = row
    assert "generator.mapping.f_avg" in fault(write(tmp_path / "odd.safetensors", document, data))


def test_overlapping_tensors(tiny_checkpoint: Path, tmp_path: Path) -> None:
    document, data = parts(tiny_checkpoint)
    first, second = [name for name in document if name.endswith("norm.weight")][:2]
    document[second] = document[first]
    assert "overlap" in fault(write(tmp_path / "odd.safetensors", document, data))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(tiny_checkpoint: Path, tmp_path: Path, value: float) -> None:
    checkpoint = load(tiny_checkpoint)
    tensors = dict(checkpoint.tensors)
    tensors["generator.mapping.f_avg"] = torch.full((16,), value)
    save(tmp_path / "nan.safetensors", checkpoint.header, tensors)
    assert "generator.mapping.f_avg holds values that are not finite" in fault(tmp_path / "nan.safetensors")


def test_places_that_cannot_be_written(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = load(tiny_checkpoint)
    with pytest.raises(CheckpointError, match="cannot write"):
        save(tmp_path / "no" / "such" / "folder.safetensors", checkpoint.header, checkpoint.tensors)
    with pytest.raises(CheckpointError, match="cannot write"):
        save(tiny_checkpoint / "below-a-file.safetensors", checkpoint.header, checkpoint.tensors)
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match="cannot write"):
        save(tmp_path / "folder", checkpoint.header, checkpoint.tensors)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    if Path("/dev/full").exists() and Path("/proc").exists():
        with pytest.raises(CheckpointError, match="cannot write"):
            save("/proc/checkpoint.safetensors", checkpoint.header, checkpoint.tensors)


def test_a_save_that_fails_leaves_the_old_file(
    tiny_checkpoint: Path, tmp_path: Path, make_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_checkpoint(tmp_path / "model.safetensors", seed=1)
    before = path.read_bytes()
    checkpoint = load(tiny_checkpoint)

    def fail(tensors: object, filename: Path, metadata: object = None) -> None:
        filename.write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", fail)
    with pytest.raises(CheckpointError, match="No space left"):
        save(path, checkpoint.header, checkpoint.tensors)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_only_the_current_format_is_written(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = load(tiny_checkpoint)
    with pytest.raises(CheckpointError, match="this version writes 1"):
        save(tmp_path / "x.safetensors", replace(checkpoint.header, format_version=2), checkpoint.tensors)


def test_the_header_is_plain_json(tiny_checkpoint: Path) -> None:
    document, _ = parts(tiny_checkpoint)
    stored = json.loads(document["__metadata__"]["glissando"])
    assert Header(**(stored | {"vocabulary": tuple(stored["vocabulary"])})) == read_header(tiny_checkpoint)
    # Without classes the header is what a reader from before there were classes takes.
    assert stored.keys() == asdict(read_header(tiny_checkpoint)).keys() - {"class_names"}


CLASSES: Document = {"resolution": 8, "z_dim": 4, "c_dim": 3, "w_dim": 5, "mapping_layers": 2, "max_channels": 6}


def class_checkpoint(path: Path, **changes: Any) -> Path:
    """A family without text: a tiny conditional StyleGAN2."""
    config = stylegan2.Config(**CLASSES)
    header = Header(
        name="classes",
        family="stylegan2",
        config=asdict(config),
        text=None,
        images_seen=0,
        vocabulary=(),
        licence="Apache-2.0",
        class_names=("cat", "dog", "wild"),
    )
    tensors = stylegan2.Generator(config).state_dict()
    save(path, replace(header, **changes), {f"generator.{name}": tensor for name, tensor in tensors.items()})
    return path


def test_a_family_without_text(tmp_path: Path) -> None:
    checkpoint = load(class_checkpoint(tmp_path / "classes.safetensors"))
    assert checkpoint.header.text is None
    assert checkpoint.header.class_names == ("cat", "dog", "wild")
    assert checkpoint.part("text") == {}
    generator = registry.build("stylegan2", checkpoint.header.config)
    generator.load_state_dict(checkpoint.part("generator"))
    assert load(class_checkpoint(tmp_path / "nameless.safetensors", class_names=())).header.class_names == ()


def test_text_and_classes_must_fit_the_family(tiny_checkpoint: Path, tmp_path: Path) -> None:
    path = class_checkpoint(tmp_path / "classes.safetensors")
    assert "expected no text encoder" in fault(with_header(path, tmp_path / "a", text={"kind": "bundled"}))
    assert "class_names: expected 3 or none, got 2" in fault(with_header(path, tmp_path / "b", class_names=["x", "y"]))
    assert "class_names: expected a tuple" in fault(with_header(path, tmp_path / "c", class_names=[1, 2, 3]))
    assert "expected a text encoder" in fault(with_header(tiny_checkpoint, tmp_path / "d", text=None))
    assert "class_names: expected 0" in fault(with_header(tiny_checkpoint, tmp_path / "e", class_names=["x"]))
    assert "resolution" in fault(with_config(path, tmp_path / "f", resolution=8.0))


LAYER: Document = {
    "in_channels": 4, "out_channels": 3, "in_size": [20, 20], "out_size": [16, 16], "in_rate": 16.0, "out_rate": 16.0,
    "in_cutoff": 2.0, "out_cutoff": 2.0, "in_half_width": 1.0, "out_half_width": 1.0, "kernel": 1, "critical": False,
    "radial": False, "rgb": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        (5, "layers: expected a list"),
        ([1], "LayerSpec: expected an object"),
        ([LAYER] * 1000, "at most 128"),
        ([LAYER | {"rgb": "yes"}], "rgb: expected true or false"),
        ([LAYER | {"surprise": 1}], "surprise"),
        ([LAYER | {"in_rate": float("nan")}], "in_rate"),
        # A filter of millions of taps, and its square if it is radial.
        (
            [LAYER | {"in_rate": 1.0, "out_rate": 65536.0, "in_cutoff": 0.4, "radial": True, "rgb": False}, LAYER],
            "taps",
        ),
    ],
)
def test_layers_are_checked_before_anything_is_built(tmp_path: Path, layers: object, named: str) -> None:
    path = class_checkpoint(tmp_path / "classes.safetensors")
    config = asdict(stylegan3.Config()) | {"layers": layers}
    message = fault(with_header(path, tmp_path / "odd", family="stylegan3", config=config, class_names=[]))
    assert named in message


def test_bundled_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import core.checkpoints as package

    monkeypatch.setattr(package.resources, "files", lambda name: tmp_path)
    with pytest.raises(CheckpointError, match="bundled checkpoint is missing"):
        bundled_checkpoint()
    (tmp_path / package.BUNDLED_NAME).write_bytes(b"x")
    assert bundled_checkpoint() == tmp_path / package.BUNDLED_NAME
