"""How fast a frame is, against a plain reference measured in the same run.

Three times are taken in turn, round after round, so that whatever else the machine does falls on all of them; the
figures are medians over the rounds. Every frame has a new w and the same prompt, as when a person drags the seed.

- plain: float32, channels first, each layer's kernel modulated and demodulated for the sample as the StyleGAN2 paper
  writes it.
- fast: `FastSynthesis` in the precision the engine chooses.
- convolutions: nothing but torch's conv2d (conv_transpose2d for the up-convolutions) for the same 3x3 shapes, in the
  fast mode's type and layout: what a frame would cost if all the rest were free.

With `beside`, a frame is also timed while another process keeps one core busy, in turn with rounds without it.
"""

from __future__ import annotations

import functools
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from core.checkpoints import bundled_checkpoint, load
from core.engine import DTYPES, Engine, choose_device, choose_precision, good_threads, load_generator
from core.models import registry
from core.models.layers import CLAMP, LEAK, up_convolution, upsample
from core.models.stylegan_t import Block, Convolution, Generator, ResidualConvolution, ToRGB
from core.models.stylegan_t_fast import FastSynthesis
from core.request import RenderRequest

# Within a round a thing is repeated for about this long, at least once: many frames of a small model, one of a large.
_SECONDS_A_ROUND = 0.2
_TOLERANCE = 1e-3


class BenchError(ValueError):
    """The two ways of drawing disagree, so comparing their times would mean nothing; or there are not two."""


def bench_engine(path: Path | None, *, rounds: int = 7, lite: bool = True, beside: bool = False) -> dict[str, Any]:
    """Measures a checkpoint (None is the bundled one) and, with `lite`, a lite@64 generator with random weights.

    Returns plain JSON values: {"device", "precision", "threads", "rounds", "models": [...]}, times in milliseconds.
    Raises `CheckpointError`, or `BenchError` when the fast frames differ from the plain ones.
    """
    if rounds < 1:
        raise ValueError(f"rounds: expected one or more, got {rounds}")
    device = choose_device("auto")
    precision = choose_precision("auto", device)
    checkpoint = load(path if path is not None else bundled_checkpoint())
    generator = load_generator(checkpoint)
    if not isinstance(generator, Generator):
        raise BenchError(f"{checkpoint.path}: expected a StyleGAN-T; `glissando bench families` measures the others")
    models = [_measure(checkpoint.header.name, generator, device, precision, rounds, Engine(checkpoint), beside)]
    if lite:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            config = registry.preset("stylegan_t", "lite", resolution=64, text_dim=768)
            large = Generator(config)
        models.append(_measure("lite@64, random weights", large, device, precision, rounds, None, beside))
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "precision": precision,
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "models": models,
    }


def format_report(report: dict[str, Any]) -> str:
    """The figures of `bench_engine` as a table to print."""
    lines = [
        f"{report['device']}, {report['threads']} threads, fast mode in {report['precision']}, batch 1, "
        f"medians of {report['rounds']} rounds",
        "",
        f"{'':28}{'plain ms':>10}{'fast ms':>10}{'ratio':>8}{'frames/s':>10}{'convs ms':>10}{'request ms':>12}",
    ]
    for model in report["models"]:
        request = "-" if model["request_ms"] is None else f"{model['request_ms']:.2f}"
        label = f"{model['name']} ({model['resolution']} px)"[:27]
        lines.append(
            f"{label:28}{model['plain_ms']:10.2f}{model['fast_ms']:10.2f}{model['ratio']:8.2f}"
            f"{model['frames_per_second']:10.1f}{model['convolutions_ms']:10.2f}{request:>12}"
        )
    lines += [
        *_beside_lines(report["models"]),
        "",
        "plain: float32, channels first, kernels modulated per frame.",
        "convs: torch's convolutions of the same 3x3 shapes alone, in the fast mode's type and layout.",
        "request: Engine.render, from a request with a new seed to 8-bit pixels.",
    ]
    return "\n".join(lines)


def _measure(
    name: str,
    generator: Generator,
    device: torch.device,
    precision: str,
    rounds: int,
    engine: Engine | None,
    beside: bool,
) -> dict[str, Any]:
    generator = generator.to(device).eval().requires_grad_(False)
    dtype = DTYPES[precision]
    with torch.inference_mode():
        noise = torch.Generator("cpu").manual_seed(0)
        c_1T = F.normalize(torch.randn(1, generator.text_dim, generator=noise))
        f_8F = torch.randn(8, generator.z_dim, generator=noise)
        ws = [torch.cat([f_1F, c_1T], dim=1).to(device) for f_1F in f_8F[:, None]]
        _check(name, generator, ws[0])
        fast = FastSynthesis(generator, dtype)
        convolutions = _bare_convolutions(generator, device, dtype)

        def only_convolutions(index: int) -> None:
            for convolution in convolutions:
                convolution()

        tasks: dict[str, Callable[[int], object]] = {
            "plain": lambda i: plain_synthesis(generator, ws[i % 8]),
            "fast": lambda i: fast(ws[i % 8]),
            "convolutions": only_convolutions,
        }
        if engine is not None:
            tasks["request"] = lambda i: engine.render(RenderRequest(prompt="a picture", seed_x=i % 64))
        threads = engine.info.arithmetic.threads if engine is not None else good_threads(generator.layers)
        if device.type == "cpu":
            torch.set_num_threads(threads)  # as the engine's, for all of them
        times = interleave(tasks, rounds, device)
        frame = tasks["request" if engine is not None else "fast"]
        alone_ms, beside_ms = time_beside(frame, rounds, device) if beside else (None, None)
    fastest = times.get("request", times["fast"])
    return {
        "name": name,
        "resolution": generator.resolution,
        "parameters": sum(p.numel() for p in generator.parameters()),
        "plain_ms": times["plain"],
        "fast_ms": times["fast"],
        "ratio": times["plain"] / times["fast"],
        "frames_per_second": 1e3 / fastest,
        "convolutions_ms": times["convolutions"],
        "request_ms": times.get("request"),
        "threads": threads,
        "alone_ms": alone_ms,
        "beside_ms": beside_ms,
    }


def _beside_lines(models: list[dict[str, Any]]) -> list[str]:
    if models[0]["beside_ms"] is None:
        return []
    lines = ["", f"{'beside a busy process':28}{'alone ms':>10}{'beside ms':>10}{'ratio':>8}{'threads':>10}"]
    for model in models:
        ratio = model["beside_ms"] / model["alone_ms"]
        lines.append(
            f"{model['name'][:27]:28}{model['alone_ms']:10.2f}{model['beside_ms']:10.2f}{ratio:8.2f}{model['threads']:10}"
        )
    return lines


def time_beside(task: Callable[[int], object], rounds: int, device: torch.device) -> tuple[float, float]:
    """Median milliseconds of a task alone and beside a process that keeps one core busy, in turn round after round."""
    alone: list[float] = []
    beside: list[float] = []
    for _ in range(rounds):
        alone.append(interleave({"task": task}, 1, device)["task"])
        with busy_process():
            beside.append(interleave({"task": task}, 1, device)["task"])
    return statistics.median(alone), statistics.median(beside)


@contextmanager
def busy_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that keeps one core busy meanwhile."""
    command = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()  # it has begun
        yield process
    finally:
        process.kill()
        process.communicate()


def _bare_convolutions(generator: Generator, device: torch.device, dtype: torch.dtype) -> list[Callable[[], Tensor]]:
    """Each 3x3 convolution of the generator as one call of torch's, on random numbers."""
    calls: list[Callable[[], Tensor]] = []
    for layer in generator.modules():
        if isinstance(layer, Convolution):
            side = layer.noise_const.shape[-1] // (2 if layer.up else 1)
            weight = layer.weight.transpose(0, 1) if layer.up else layer.weight
            weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
            x = torch.randn(1, layer.weight.shape[1], side, side, device=device)
            x = x.to(dtype).contiguous(memory_format=torch.channels_last)
            if layer.up:
                calls.append(functools.partial(F.conv_transpose2d, x, weight, stride=2))
            else:
                calls.append(functools.partial(F.conv2d, x, weight, padding=1))
    return calls


def _check(name: str, generator: Generator, w_1W: Tensor) -> None:
    plain = plain_synthesis(generator, w_1W)
    scale = max(1.0, float(plain.abs().max()))
    for what, other in (("fast", FastSynthesis(generator)(w_1W)), ("model's own", generator.synthesis(w_1W))):
        difference = float((plain - other).abs().max()) / scale
        if not difference <= _TOLERANCE:
            raise BenchError(f"{name}: the {what} frame differs from the plain one by {difference:.2g} in float32")


def interleave(tasks: dict[str, Callable[[int], object]], rounds: int, device: torch.device) -> dict[str, float]:
    """Median milliseconds of each task, called with 0, 1, 2, ...; untimed calls first, to warm up and to see how often
    it fits a round.
    """

    def run(task: Callable[[int], object], first: int, count: int) -> float:
        start = time.perf_counter()
        for i in range(first, first + count):
            task(i)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (time.perf_counter() - start) / count

    counts = {}
    for name, task in tasks.items():
        run(task, 0, 1)
        counts[name] = min(64, max(1, math.ceil(_SECONDS_A_ROUND / run(task, 1, 1))))
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for index in range(rounds):
        for name, task in tasks.items():
            times[name].append(run(task, index * counts[name], counts[name]) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


# --- the plain reference -------------------------------------------------------------------------------------------


def plain_synthesis(generator: Generator, w_1W: Tensor) -> Tensor:
    """`Generator.synthesis` for one w with constant noise, float32, channels first, kernels modulated per frame."""
    x = generator.input(w_1W)
    rgb: Tensor | None = None
    for block in generator.blocks:
        assert isinstance(block, Block)
        for layer in block.layers:
            if isinstance(layer, ResidualConvolution):
                h = layer.norm(x)
                x = (h + layer.gamma.view(1, -1, 1, 1) * _plain_convolution(layer.conv, h, w_1W)) * math.sqrt(2)
            else:
                assert isinstance(layer, Convolution)
                x = _plain_convolution(layer, x, w_1W)
        skip = _plain_rgb(block.to_rgb, x, w_1W)
        rgb = skip if rgb is None else upsample(rgb) + skip
    assert rgb is not None
    return rgb


def _plain_convolution(layer: Convolution, x: Tensor, w_1W: Tensor) -> Tensor:
    kernel = layer.weight * layer.style(w_1W).view(1, -1, 1, 1)
    kernel = kernel * (kernel.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).rsqrt()
    y = up_convolution(x, kernel) if layer.up else F.conv2d(x, kernel, padding=1)
    y = y + layer.noise_const * layer.noise_strength
    y = F.leaky_relu(y + layer.bias.view(1, -1, 1, 1), LEAK) * layer.gain
    return y.clamp(-CLAMP, CLAMP) if layer.up else y.clamp(-CLAMP * math.sqrt(0.5), CLAMP * math.sqrt(0.5))


def _plain_rgb(layer: ToRGB, x: Tensor, w_1W: Tensor) -> Tensor:
    kernel = layer.weight * (layer.style(w_1W) / math.sqrt(x.shape[1])).view(1, -1, 1, 1)
    return (F.conv2d(x, kernel) + layer.bias.view(1, 3, 1, 1)).clamp(-CLAMP, CLAMP)
