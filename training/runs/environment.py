"""environment.json: with what a run was made, so that its figures can be understood and made again."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from training.datasets.config import DataConfig, place_shown
from training.datasets.opening import Data

ENVIRONMENT_FILE = "environment.json"

PACKAGES = ("glissando", "torch", "torchvision", "numpy", "pillow", "open_clip_torch", "timm", "safetensors")


def environment(device: torch.device, *, data: Mapping[str, Any], processes: int = 1) -> dict[str, Any]:
    """Versions, the device, and what `data` says of the pictures: their fingerprint and count."""
    return {
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.node(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "device": _cuda(device) if device.type == "cuda" else _cpu(),
        "processes": processes,
        "data": dict(data),
    }


def describe_data(config: DataConfig, data: Data) -> dict[str, Any]:
    """Which pictures a run learns from. Addresses are given without their query, which may hold a password."""
    sources = [place_shown(spec.place) for spec in config.sources]
    return {"sources": sources, "fingerprint": data.fingerprint, "pictures": len(data)}


def write_environment(out: Path, values: Mapping[str, Any]) -> None:
    """Write environment.json into a run's folder, whole or not at all."""
    unfinished = out / f"{ENVIRONMENT_FILE}.new"
    unfinished.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    os.replace(unfinished, out / ENVIRONMENT_FILE)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cuda(device: torch.device) -> dict[str, Any]:
    about = torch.cuda.get_device_properties(device)
    return {
        "kind": "cuda",
        "name": about.name,
        "gib": round(about.total_memory / 2**30, 1),
        "here": torch.cuda.device_count(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
    }


def _cpu() -> dict[str, Any]:
    return {
        "kind": "cpu",
        "name": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "amx": bool(torch.cpu._is_amx_tile_supported()),
    }


def _cpu_name() -> str:
    """The processor's name; `platform` knows it only outside Linux."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
