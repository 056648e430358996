"""The folder of a training run, as far as anybody but the trainer needs to know it. No GUI and no torch here."""

from __future__ import annotations

from pathlib import Path

LATEST = "latest.safetensors"
"""The newest snapshot; the trainer replaces it whole."""
LOG = "log.jsonl"
CONFIG = "config.toml"
"""Every run that can be gone on with has it."""


def is_run(folder: Path) -> bool:
    """Whether a folder holds a training run, or what is left of one."""
    return any((folder / name).is_file() for name in (LATEST, LOG, CONFIG))


def amount(images: int) -> str:
    """ "750", "208 k" or "1.25 M"."""
    if images < 1000:
        return str(images)
    if images < 1_000_000:
        return f"{images / 1000:.3g} k" if images < 100_000 else f"{images // 1000} k"
    return f"{images / 1e6:.2f} M"
