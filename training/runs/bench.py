"""How fast a training step is, where its time goes, and how much faster than a plain one measured in the same run.

The plain step is what one would write first: float32, channels first, optimisers that update one tensor after the
other, no compilation, and on a GPU no TF32. Both are of the same method with the same frozen networks on random
pictures. They take turns, round after round, so that whatever else the machine does falls on both; the figures are
medians.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from training.config import GanConfig
from training.datasets.decoded import FolderDataset
from training.engine.distributed import Ranks
from training.engine.precision import compute_dtype
from training.engine.protocol import Compute
from training.engine.step_timer import SECTIONS, StepTimer
from training.engine.trainer import Trainer
from training.methods.registry import method_spec
from training.runs.loading import make_trainer

PICTURES = 512
_WARM_UP = 1


def bench_train(config: GanConfig, *, rounds: int = 3) -> dict[str, Any]:
    """Measures the steps of a configuration; plain JSON values, times in seconds.

    A round is as many steps as it takes until everything has had its turn. Frozen networks have random weights.
    """
    if rounds < 1:
        raise ValueError(f"rounds: expected one or more, got {rounds}")
    spec = method_spec(config.method)
    config = spec.under_way(replace(config, kimg=1e6))
    device = Ranks().device
    timer = StepTimer(device)
    compute = Compute(device=device, dtype=compute_dtype(config.precision, device), timer=timer)
    data = _pictures(config.resolution)
    fast, plain = (make_trainer(method, data, Ranks()) for method in spec.bench(config, compute))
    steps = spec.cycle(config)
    times: dict[str, list[float]] = {"fast": [], "plain": []}
    shares: list[dict[str, float]] = []
    for number in range(_WARM_UP + rounds):
        seconds = _round(fast, steps)
        sections = timer.stop()
        with _no_tf32(device):
            slower = _round(plain, steps)
        if number >= _WARM_UP:
            times["fast"].append(seconds)
            times["plain"].append(slower)
            shares.append(sections)
    images = config.batch * fast.batches_per_step
    step = {name: statistics.median(values) / steps for name, values in times.items()}
    spent = {name: statistics.median(one[name] for one in shares) for name in SECTIONS}
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "method": spec.name,
        **{name: getattr(config, name) for name in spec.bench_settings},
        "resolution": config.resolution,
        "batch": config.batch,
        "micro_batch": fast.plan.micro,
        "dtype": str(fast.dtype).removeprefix("torch."),
        "step_s": step["fast"],
        "plain_step_s": step["plain"],
        "images_per_s": images / step["fast"],
        "plain_images_per_s": images / step["plain"],
        "ratio": step["plain"] / step["fast"],
        "shares": {name: value / sum(spent.values()) for name, value in spent.items()},
        "memory_gb": torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None,
    }


def format_train(report: dict[str, Any]) -> str:
    """The figures of `bench_train` as a table to print."""
    about = [str(report[name]) for name in ("method", "preset", "features") if name in report]
    lines = [
        f"{report['device']}, {report['threads']} threads, {', '.join(about)}, {report['resolution']} px, batch "
        f"{report['batch']} in parts of {report['micro_batch']}, medians of {report['rounds']} rounds",
        "",
        f"{'':24}{'ms a step':>12}{'images/s':>12}",
        f"{'plain float32':24}{1000 * report['plain_step_s']:12.1f}{report['plain_images_per_s']:12.2f}",
        f"{report['dtype'] + (', compiled' if report.get('compile') else ''):24}"
        f"{1000 * report['step_s']:12.1f}{report['images_per_s']:12.2f}",
        f"{'ratio':24}{report['ratio']:24.2f}",
        "",
        "where the time goes: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in report["shares"].items()),
    ]
    if report["memory_gb"] is not None:
        lines.append(f"at most {report['memory_gb']:.1f} GB of GPU memory, both together")
    return "\n".join(lines)


def _round(trainer: Trainer[Any, Any], steps: int) -> float:
    """Seconds for so many steps."""
    cuda = trainer.device.type == "cuda"
    if cuda:
        torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(steps):
        trainer.step()
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - begin


@contextlib.contextmanager
def _no_tf32(device: torch.device) -> Iterator[None]:
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def _pictures(side: int) -> FolderDataset:
    images = np.random.default_rng(0).integers(0, 256, (PICTURES, 3, side, side), np.uint8)
    names = [f"{number}.png" for number in range(PICTURES)]
    captions = [[f"picture number {number}"] for number in range(PICTURES)]
    return FolderDataset(images=images, captions=captions, names=names, fingerprint="", broken=0, captionless=0)
