"""Data that can say which latent made a picture, so that a generator can be regressed on it.

A folder of captioned pictures may hold `latents.npy`: float32 [N, D], a row for each picture that `--data` finds, in
the order of their sorted names. A row and any of the picture's captions determine the picture together, and over the
pictures each of the D numbers is distributed like N(0, 1), so that any z works afterwards.

`dataset.json` beside it may say how rows are read, so that training need not learn abrupt borders:
`latent_blocks` [[start, stop], ...]: the largest coordinate of a block makes a choice; `latent_signs` [i, ...]: the
sign of a coordinate does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.datasets.errors import DataError

LATENTS_NAME = "latents.npy"


@dataclass(frozen=True, kw_only=True)
class Latents:
    """The latents that made the pictures of a data set."""

    rows: NDArray[np.float32]
    """[N, D], one for each picture of the set, in its order."""
    blocks: tuple[tuple[int, int], ...] = ()
    """Ranges of coordinates whose largest makes a choice."""
    signs: tuple[int, ...] = ()
    """Coordinates whose sign makes a choice."""


class PairedLatents(Protocol):
    """A data set that may know which z made each of its pictures."""

    @property
    def latents(self) -> Latents | None:
        """None when it does not know."""
        ...


def read_latents(folder: Path, pictures: int) -> Latents | None:
    """The latents of a folder that holds so many pictures; None when it has none. Raises `DataError` for others."""
    path = folder / LATENTS_NAME
    if not path.exists():
        return None
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: expected float32 [{pictures}, D] in numpy's format; {error}") from None
    if rows.dtype != np.float32 or rows.ndim != 2 or len(rows) != pictures:
        raise DataError(
            f"{path}: expected float32 [{pictures}, D], a row for each picture; got {rows.dtype} {list(rows.shape)}. "
            "Remove it, or build the data set again."
        )
    blocks: tuple[tuple[int, int], ...] = ()
    signs: tuple[int, ...] = ()
    try:
        description = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        blocks = tuple((int(start), int(stop)) for start, stop in description.get("latent_blocks", ()))
        signs = tuple(int(sign) for sign in description.get("latent_signs", ()))
    except (OSError, ValueError, TypeError, AttributeError):
        pass  # the description is optional
    return Latents(rows=rows, blocks=blocks, signs=signs)
