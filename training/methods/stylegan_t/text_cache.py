"""Text embeddings worked out once: one row for every different caption of a data set, in a file in the cache folder.

The captions are encoded in batches that depend on the set of them alone, so that the numbers are the same whenever and
wherever on this machine the file is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

BATCH = 256

Encode = Callable[[list[str]], Tensor]
"""Captions to embeddings [N, D]."""


class EmbeddingTable:
    """Embeddings of captions by heart; any other is encoded when it comes."""

    def __init__(self, captions: Sequence[str], rows: NDArray[np.float32], encode: Encode) -> None:
        """`rows` [N, D] belongs to `captions`, which are all different."""
        self._row = {caption: row for row, caption in enumerate(captions)}
        self._rows = rows
        self._encode = encode

    def __len__(self) -> int:
        return len(self._row)

    def __call__(self, captions: list[str], device: torch.device | str = "cpu") -> Tensor:
        """[N, D] float32 on the device."""
        known = [self._row.get(caption) for caption in captions]
        if all(row is not None for row in known):
            rows = self._rows[[row for row in known if row is not None]]
            return torch.from_numpy(np.ascontiguousarray(rows)).to(device)
        return self._encode(captions).float().to(device)


def precompute_texts(
    captions: Iterable[str], encode: Encode, *, key: str, dim: int, cache: Path, progress: bool = True
) -> EmbeddingTable:
    """Encode all captions, or find them encoded. `key` stands for the encoder: its weights and how it computes.

    When the cache cannot be written the embeddings stay in memory.
    """
    known = sorted(set(captions))
    digest = hashlib.sha256(json.dumps([key, dim, BATCH]).encode())
    for caption in known:
        digest.update(caption.encode("utf-8", "surrogatepass") + b"\0")
    path = cache / f"texts-{digest.hexdigest()[:32]}.npy"
    rows = _read(path, (len(known), dim))
    if rows is None:
        rows = _encode_all(known, encode, dim, progress)
        with contextlib.suppress(OSError):
            _write(path, rows)
            rows = _read(path, rows.shape) if path.exists() else rows
        assert rows is not None
    return EmbeddingTable(known, rows, encode)


def encoder_key(spec: Mapping[str, Any], tensors: Mapping[str, Tensor], *setting: str) -> str:
    """What stands for a text encoder: its description, its weights, and how it computes."""
    digest = hashlib.sha256(json.dumps([spec, setting], sort_keys=True, default=str).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _encode_all(captions: Sequence[str], encode: Encode, dim: int, progress: bool) -> NDArray[np.float32]:
    rows = np.empty((len(captions), dim), np.float32)
    with tqdm(total=len(captions), desc="text embeddings", unit="caption", disable=None if progress else True) as bar:
        for start in range(0, len(captions), BATCH):
            part = list(captions[start : start + BATCH])
            # The last batch is filled up: a product of another size may add up in another order.
            full = part + [part[-1]] * (BATCH - len(part))
            rows[start : start + len(part)] = encode(full)[: len(part)].float().cpu().numpy()
            bar.update(len(part))
    return rows


def _read(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    try:
        rows: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return rows if rows.shape == shape and rows.dtype == np.float32 else None


def _write(path: Path, rows: NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            np.save(file, rows, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
