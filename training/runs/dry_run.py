"""What a run will take, before it is started: parameters, files, memory and time.

Shapes are built on the meta device, which holds no numbers, and the arithmetic of each network is counted by torch's
flop counter: a network whose weights are not here can be counted all the same. Where everything is here, a few steps of
the real trainer say how fast it is; otherwise the time is the arithmetic over what a convolution reaches here, at the
share of it that a step was seen to reach, and the report says so.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F

from core.perception.features import FeatureError
from core.text import TextEncoderError
from training.config import GanConfig
from training.datasets.config import DataConfig
from training.datasets.opening import Data
from training.engine.costs import Estimate
from training.engine.distributed import Ranks
from training.engine.micro_batches import plan_micro_batches
from training.engine.precision import compute_dtype
from training.methods.protocol import Files
from training.methods.registry import method_spec
from training.runs.loading import open_data_of, open_run
from training.runs.run import arrange

STEP_SHARE = 0.3
"""Of what one large convolution reaches, the share that a whole step is assumed to reach."""
SLOWEST_STEP_S = 20.0
"""Steps are measured on as many pictures as are thought to fit in this time."""
STEPS = 3


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast a run is thought to be, and how that is known."""

    images_per_s: float
    source: str
    memory_bytes: float | None = None
    """The device's own figure, on CUDA."""


def dry_run(config: GanConfig, data: DataConfig | None = None, start: Path | None = None) -> str:
    """What a run with these arguments would take, in lines for a person; see `training.runs.run.train`.

    With `data` a few steps are made where the networks can be had; why they cannot be is said otherwise. Raises
    `RunError`, `FeatureError`, `ClipError` for a run that could not be started at all.
    """
    arrangement, _ = arrange(config, start)
    config = arrangement.config
    device = Ranks().device
    with tempfile.TemporaryDirectory() as folder:
        for name, write in arrangement.files.items():
            write(Path(folder) / name)

        def files(name: str) -> Path:
            return Path(folder) / name

        figures = method_spec(config.method).estimate(config, device, files)
        if data is None:
            return report(config, figures, reckoned(config, device, figures.flops, "without --data"))
        pictures = open_data_of(config, data, Ranks())
        try:
            speed = measured(config, device, pictures, files, figures)
        except (FeatureError, TextEncoderError) as error:
            speed = reckoned(config, device, figures.flops, str(error))
        return report(config, figures, speed, pictures=len(pictures))


def measured(config: GanConfig, device: torch.device, data: Data, files: Files, figures: Estimate) -> Speed:
    """Run a few steps, of fewer pictures where the whole batch would take long.

    Raises `FeatureError`, `ClipError` when a network cannot be had.
    """
    rate = convolution_rate(device, compute_dtype(config.precision, device)) * STEP_SHARE
    batch = min(config.batch, max(2, int(SLOWEST_STEP_S * rate / figures.flops / figures.batches)))
    # In whole parts as the run's; in one where not even one of these would be done in time.
    micro = _micro_batch(config)
    batch, micro = (batch - batch % micro, micro) if batch >= micro else (batch, 0)
    shown = method_spec(config.method).under_way(replace(config, batch=batch, micro_batch=micro))
    trainer = open_run(shown, files, data, Ranks()).trainer
    with contextlib.closing(trainer.prefetcher):
        trainer.step()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        steps = max(STEPS, figures.cycle)
        before, clock = trainer.images_seen, time.perf_counter()
        for _ in range(steps):
            trainer.step()
        memory = None
        if device.type == "cuda":
            torch.cuda.synchronize()
            memory = float(torch.cuda.max_memory_allocated())
        seconds = time.perf_counter() - clock
    images_per_s = (trainer.images_seen - before) / seconds
    parts = f" in parts of {micro}" if 0 < micro < batch else ""
    source = f"measured here ({device.type}) over {steps} steps of {batch}{parts}"
    return Speed(images_per_s=images_per_s, source=source, memory_bytes=memory)


def reckoned(config: GanConfig, device: torch.device, flops: float, why: str) -> Speed:
    """The speed by the arithmetic alone, and why it was not measured."""
    dtype = compute_dtype(config.precision, device)
    rate = convolution_rate(device, dtype)
    return Speed(
        images_per_s=rate * STEP_SHARE / flops,
        source=f"reckoned, not measured ({why}): {flops / 1e9:.3g} GFLOP a picture, at an assumed {STEP_SHARE:.0%} of "
        f"the {rate / 1e12:.3g} TFLOP/s of a convolution here ({device.type}, {str(dtype).removeprefix('torch.')})",
    )


def convolution_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a 3 x 3 convolution of 256 channels on this device."""
    x = torch.randn(8, 256, 32, 32, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(256, 256, 3, 3, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    once = 2.0 * 8 * 256 * 256 * 9 * 32 * 32
    with torch.no_grad():
        F.conv2d(x, weight, padding=1)
        count, clock = 0, time.perf_counter()
        while count < 3 or time.perf_counter() - clock < 0.3:
            for _ in range(50 if device.type == "cuda" else 1):
                F.conv2d(x, weight, padding=1)
                count += 1
            if device.type == "cuda":
                torch.cuda.synchronize()
        return once * count / (time.perf_counter() - clock)


def _micro_batch(config: GanConfig) -> int:
    """Pictures at once where one process trains alone."""
    return plan_micro_batches(config.batch, config.micro_batch, Ranks()).micro


def report(config: GanConfig, figures: Estimate, speed: Speed, *, pictures: int | None = None) -> str:
    """All of it in lines for a person."""
    lines = [f"{'':16}{'parameters':>12}{'learning':>12}{'GFLOP':>10}{'MB kept':>10}   a picture, forward"]
    for part in figures.networks:
        lines.append(
            f"{part.name:16}{part.parameters / 1e6:>10.2f} M{part.learning / 1e6:>10.2f} M{part.flops / 1e9:>10.2f}"
            f"{part.kept / 1e6:>10.1f}"
        )
    size = f"{config.resolution} x {config.resolution}"
    at_once = _micro_batch(config)
    batch = f" of a batch of {config.batch}" if at_once < config.batch else ""
    memory = figures.memory(at_once, config.batch)
    held = f", {pictures} of them, each seen {config.kimg * 1000 / pictures:.3g} times" if pictures else ""
    lines += [
        f"pictures        {size}{held}",
        f"steps           {config.kimg * 1000 / config.batch / figures.batches:.0f} of {config.batch} pictures"
        + (f" x {figures.batches}" if figures.batches > 1 else ""),
        f"files           a snapshot {_bytes(figures.snapshot_bytes)}, the state to resume from "
        f"{_bytes(figures.state_bytes)}",
        f"memory          about {_bytes(memory)} with {at_once} pictures at once{batch}: "
        f"{_bytes(figures.fixed_bytes)}, {_bytes(figures.kept_bytes)} for each at once, "
        f"{_bytes(figures.held_bytes)} for each of the batch",
    ]
    if speed.memory_bytes is not None:
        lines.append(f"                {_bytes(speed.memory_bytes)} at most in the steps measured")
    seconds = config.kimg * 1000 / speed.images_per_s
    lines += [
        f"speed           {speed.images_per_s:.3g} pictures/s, {speed.source}",
        f"time            {_duration(seconds)} for {config.kimg:g} thousand pictures on this machine alone",
    ]
    return "\n".join(lines)


def _bytes(count: float) -> str:
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 1000:
            return f"{count:.3g} {unit}"
    return f"{count / 1000:.3g} TB"


def _duration(seconds: float) -> str:
    for unit, size in (("years", 365 * 86400), ("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} seconds"
