"""The log once more, for TensorBoard: scalars and sample grids in RUN/tensorboard. Needs the `tensorboard` package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.errors import RunError

FOLDER = "tensorboard"


def require_tensorboard() -> None:
    """Raises `RunError` when the package is missing, before hours of a run go by without it."""
    _writer_class()


def _writer_class() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RunError(
            f"--tensorboard needs the tensorboard package ({error}): pip install -c constraints.txt -e "
            "'.[tensorboard]', or leave --tensorboard out and use `glissando monitor`"
        ) from None
    return SummaryWriter


class TensorBoard:
    """Takes the rows of a run's log. Raises `RunError` when the package is missing."""

    def __init__(self, run: Path, *, images: int = 0) -> None:
        """`images` is where the run goes on: what an earlier part of it wrote beyond is hidden."""
        self._writer = _writer_class()(run / FOLDER, purge_step=images or None)

    def __call__(self, row: Mapping[str, Any]) -> None:
        """Write the numbers of a row; changes of settings and the like as text."""
        kind, images = str(row.get("kind")), row.get("images")
        if not isinstance(images, int):
            return
        if kind in ("train", "evaluate"):
            for name, value in _numbers(row).items():
                self._writer.add_scalar(f"{kind}/{name}", value, images, row.get("time"))
        elif kind in ("control", "skip", "stop"):
            said = ", ".join(f"{name} {value}" for name, value in row.items() if name not in ("kind", "time", "images"))
            self._writer.add_text(kind, said, images, row.get("time"))
        if kind != "train":
            self._writer.flush()

    def picture(self, path: Path, images: int) -> None:
        """A sample grid."""
        with Image.open(path) as grid:
            pixels = np.asarray(grid.convert("RGB"))
        self._writer.add_image("samples", pixels, images, dataformats="HWC")

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


def _numbers(row: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= _numbers(value, f"{prefix}{name}/")
        elif (prefix or name not in ("time", "images")) and isinstance(value, int | float) and type(value) is not bool:
            found[prefix + name] = float(value)
    return found
