"""A run's saved states: folders state-000001, state-000002, ... of which the last whole one counts.

A state is written by all ranks together with torch.distributed.checkpoint, as safetensors, each rank a share of the
tensors; it loads on any number of ranks. What is not a tensor stands in values.json. Nothing in it is a pickle, so a
run's folder from elsewhere can be gone on with.

A new state is written beside the old one under another name, brought to the disk (fsync) and only then renamed; the old
one goes last. Whenever a process dies or the disk is full, one whole state is left.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from training.engine.distributed import Ranks
from training.errors import RunError
from training.methods.registry import from_version_4

VERSION = 5
"""Of what is in a state: `Trainer.state_dict`."""
_STYLEGAN_T_ALONE = 4
"""The version from when StyleGAN-T was the only method."""
OLD_FILE = "state.pt"
"""What runs saved before there were folders; it is still read."""
_NAME = re.compile(r"state-(\d{6,})")
_VALUES = "values.json"
_UNFINISHED = ".new"
_SMALL = 16384
"""Numbers in a tensor that is saved together with others."""


class StateError(RunError):
    """A state that cannot be read or written; the message says which and what to do."""


def saved_state(run: Path) -> Path | None:
    """The state that the run in this folder goes on from, if it has saved any."""
    numbered = _numbered(run)
    if numbered:
        return numbered[-1]
    old = run / OLD_FILE
    return old if old.exists() else None


def save_state(run: Path, state: dict[str, Any], ranks: Ranks) -> Path:
    """Write a state, the same on all ranks, all of which must call this. Raises `StateError` on all of them when it
    could not be written; the one before is then still there."""
    before = _numbered(run)
    number = int(before[-1].name.partition("-")[2]) + 1 if before else 1
    path = run / f"state-{number:06d}"
    unfinished = path.with_name(path.name + _UNFINISHED)
    tensors: dict[str, Tensor] = {}
    small: dict[str, list[Tensor]] = {}
    values = _pack(state, "", tensors, small)
    tensors |= {kind: torch.cat(together) for kind, together in small.items()}
    trouble = ""
    try:
        if ranks.first:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            _write(unfinished / _VALUES, json.dumps({"version": VERSION, "state": values}))
    except OSError as error:
        trouble = _reason(error)
    if not ranks.agree(bool(trouble))[0]:
        try:
            _write_tensors(unfinished, tensors, ranks)
        except (CheckpointException, OSError, RuntimeError) as error:
            trouble = _reason(error)
    if not ranks.agree(bool(trouble))[0] and ranks.first:
        try:
            for file in unfinished.iterdir():
                _sync(file)
            _sync(unfinished)
            os.rename(unfinished, path)
            _sync(run)
        except OSError as error:
            trouble = _reason(error)
    if ranks.agree(bool(trouble))[0]:
        if ranks.first:
            shutil.rmtree(unfinished, ignore_errors=True)
        kept = f"; {before[-1].name} is as it was" if before else ""
        raise StateError(f"{path}: could not be saved ({trouble or 'on another rank'}){kept}")
    if ranks.first:
        for other in before:
            shutil.rmtree(other, ignore_errors=True)
        (run / OLD_FILE).unlink(missing_ok=True)
    ranks.barrier()
    return path


def load_state(path: Path) -> dict[str, Any]:
    """What was given to `save_state`, or what an older run left in its state.pt. Raises `StateError`."""
    try:
        if path.name == OLD_FILE:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            version = state.get("version")
        else:
            saved = json.loads((path / _VALUES).read_text(encoding="utf-8"))
            version = saved["version"]
            readable = version in (VERSION, _STYLEGAN_T_ALONE)
            state = _unpack(saved["state"], _read_tensors(path)) if readable else {}
        if version == _STYLEGAN_T_ALONE:
            return from_version_4(state)
    except Exception as error:  # noqa: BLE001 (torch raises any kind for a damaged file, even IndexError)
        raise StateError(f"{path}: could not be read ({type(error).__name__}); the run cannot go on from it") from None
    if version != VERSION:
        raise StateError(f"{path}: expected state version {VERSION}, got {version!r}")
    return state


def tidy(run: Path) -> None:
    """Remove what a process that died has left half written, and states before the last."""
    for unfinished in run.glob(f"state-*{_UNFINISHED}"):
        shutil.rmtree(unfinished, ignore_errors=True)
    for old in _numbered(run)[:-1]:
        shutil.rmtree(old, ignore_errors=True)


def write_whole(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    unfinished = path.with_name(path.name + _UNFINISHED)
    try:
        _write(unfinished, text)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    _sync(path.parent)


def _numbered(run: Path) -> list[Path]:
    """The run's whole states, oldest first."""
    found = [(int(match[1]), path) for path in run.glob("state-*") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def _pack(value: Any, name: str, tensors: dict[str, Tensor], small: dict[str, list[Tensor]]) -> Any:
    """The value as something JSON can say, its tensors put aside under names.

    Small ones are put aside flat, by type, to be one tensor: there are hundreds of them, and each costs as much time to
    save as a large one.
    """
    if isinstance(value, Tensor):
        # safetensors knows one order of dimensions; a fused optimiser wants that of the weights it belongs to.
        last = value.ndim == 4 and not value.is_contiguous() and value.is_contiguous(memory_format=torch.channels_last)
        shape = list(value.shape)
        if value.numel() > _SMALL:
            tensors[name] = value.detach().contiguous()
            return {"tensor": name, "from": 0, "shape": shape, "channels_last": last}
        kind = f"small/{value.dtype}"
        together = small.setdefault(kind, [])
        place = sum(other.numel() for other in together)
        together.append(value.detach().flatten().cpu())
        return {"tensor": kind, "from": place, "shape": shape, "channels_last": last}
    if isinstance(value, dict):
        return {
            "dict": [
                [key, _pack(item, f"{name}/{key}" if name else str(key), tensors, small)] for key, item in value.items()
            ]
        }
    if isinstance(value, list | tuple):
        return [_pack(item, f"{name}/{index}", tensors, small) for index, item in enumerate(value)]
    return value


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if "tensor" in value:
            whole = tensors[value["tensor"]].flatten()
            tensor = whole[value["from"] :][: math.prod(value["shape"])].view(value["shape"])
            last = torch.channels_last if value["channels_last"] else torch.contiguous_format
            # A copy of small ones, which may be changed one by one.
            return (
                tensor.clone(memory_format=last)
                if len(whole) > tensor.numel()
                else tensor.contiguous(memory_format=last)
            )
        return {key: _unpack(item, tensors) for key, item in value["dict"]}
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    return value


def _write_tensors(folder: Path, tensors: dict[str, Tensor], ranks: Ranks) -> None:
    with warnings.catch_warnings():
        # That it saves in one process, which is meant.
        warnings.simplefilter("ignore")
        save(
            tensors,
            storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True),
            no_dist=ranks.world == 1,
        )


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors, on the CPU; each rank reads for itself."""
    reader = HuggingFaceStorageReader(str(folder))
    known = reader.read_metadata().state_dict_metadata
    tensors: dict[str, Tensor] = {}
    for name, entry in known.items():
        assert isinstance(entry, TensorStorageMetadata)
        tensors[name] = torch.empty(entry.size, dtype=entry.properties.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load(tensors, storage_reader=reader, no_dist=True)
    return tensors


def _write(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    """Bring a file's or a folder's entries to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(error: BaseException) -> str:
    """The words for what went wrong on the disk, without the address of the rank or the path."""
    if isinstance(error, CheckpointException) and error.failures:
        error = next(iter(error.failures.values()))[0]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split()) or type(error).__name__
