"""Reading and writing checkpoints. Nothing here imports torch until tensors are read or written."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from core.checkpoints.native import (
    FORMAT_VERSION,
    Checkpoint,
    CheckpointError,
    Header,
    load,
    read_header,
    save,
)

__all__ = [
    "FORMAT_VERSION",
    "Checkpoint",
    "CheckpointError",
    "Header",
    "bundled_checkpoint",
    "load",
    "read_header",
    "save",
]

BUNDLED_NAME = "postcards-64.safetensors"


def bundled_checkpoint() -> Path:
    """The checkpoint that comes with Glissando. Raises `CheckpointError` when the installation lacks it."""
    path = Path(str(resources.files("assets") / BUNDLED_NAME))
    if not path.is_file():
        raise CheckpointError(
            f"{path}: the bundled checkpoint is missing from this installation. "
            "Install Glissando again, or name a checkpoint of your own."
        )
    return path
