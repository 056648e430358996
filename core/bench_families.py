"""How fast each family draws at 256 pixels, against a plain reference measured in the same run.

The generators have published widths and random weights. The reference is the same network in float32, channels first,
with kernels modulated for the sample and applied as one grouped convolution, as the StyleGAN2 paper writes it, and with
StyleGAN3's non-linearity as zeros inserted, one dense filter, and samples dropped. Where a family has neither, the
reference is the network itself in float32, as `--precision float32` draws it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from core.bench import BenchError, interleave
from core.engine import DTYPES, choose_device, choose_precision
from core.models import registry, stylegan_xl
from core.models.filtered_lrelu import filtered_lrelu_plain
from core.models.layers import up_convolution

_TOLERANCE = 1e-3

# Published widths at 256 pixels; StyleGAN-T's are those of its lite preset.
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "StyleGAN": ("stylegan1", {"resolution": 256}),
    "StyleGAN2": ("stylegan2", {"resolution": 256, "conv_clamp": 256.0}),
    "StyleGAN3-T": ("stylegan3", {"resolution": 256, "mapping_layers": 2}),
    "StyleGAN3-R": (
        "stylegan3",
        {
            "resolution": 256,
            "mapping_layers": 2,
            "base_channels": 65536,
            "max_channels": 1024,
            "kernel": 1,
            "radial": True,
        },
    ),
    # Its stem; the rest grows from it by `_STAGES`.
    "StyleGAN-XL": ("stylegan_xl", {"c_dim": 1000}),
    "StyleGAN-T lite": (
        "stylegan_t",
        {"resolution": 256, "text_dim": 768, "base_channels": 32768, "max_channels": 512, "convs_per_block": 2},
    ),
    "R3GAN": ("r3gan", {"channels": (768, 768, 768, 768, 384, 192, 96), "groups": (96, 96, 96, 96, 48, 24, 12)}),
    "FastGAN": ("fastgan", {"resolution": 256}),
}
# How often the stem of StyleGAN-XL, 16 pixels, is doubled.
_STAGES = 4


def bench_families(names: list[str] | None = None, *, rounds: int = 3, **changes: Any) -> dict[str, Any]:
    """Measures the families in `names` (all of `SHAPES` if None); `changes` to their configurations are for tests.

    Returns plain JSON values: {"device", "precision", "threads", "rounds", "families": [...]}, times in milliseconds.
    Raises `BenchError` when the reference's picture is another one than the family's, `ValueError` for a name.
    """
    if rounds < 1:
        raise ValueError(f"rounds: expected one or more, got {rounds}")
    for name in names or []:
        if name not in SHAPES:
            raise ValueError(f"family: expected some of {', '.join(SHAPES)}, got {name!r}")
    device = choose_device("auto")
    precision = choose_precision("auto", device)
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "precision": precision,
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "families": [_measure(name, device, precision, rounds, changes) for name in names or SHAPES],
    }


def format_families(report: dict[str, Any]) -> str:
    """The figures of `bench_families` as a table to print."""
    lines = [
        f"{report['device']}, {report['threads']} threads, fast mode in {report['precision']}, batch 1, "
        f"medians of {report['rounds']} rounds",
        "",
        f"{'':28}{'plain ms':>10}{'float32 ms':>12}{'fast ms':>10}{'ratio':>8}",
    ]
    for family in report["families"]:
        label = f"{family['name']} ({family['resolution']} px)"
        lines.append(
            f"{label:28}{family['plain_ms']:10.1f}{family['float32_ms']:12.1f}{family['fast_ms']:10.1f}"
            f"{family['ratio']:8.2f}"
        )
    return "\n".join(
        [
            *lines,
            "",
            "plain: float32, channels first, grouped convolutions; float32: as with --precision float32, to the bit;",
            "fast: as with --precision auto; ratio: plain to fast.",
        ]
    )


def _measure(name: str, device: torch.device, precision: str, rounds: int, changes: dict[str, Any]) -> dict[str, Any]:
    family, values = SHAPES[name]
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)
        config = registry.FAMILIES[family].config(**(values | changes))
        if isinstance(config, stylegan_xl.Config):
            for _ in range(_STAGES):
                config = stylegan_xl.grown(config)
        generator = registry.FAMILIES[family].generator(config).to(device).eval()
        ws = [_styles(generator) for _ in range(4)]
        synthesis = {"float32": generator.synthesis, "fast": registry.synthesis(family, generator, DTYPES[precision])}
        with plainly():
            expected = generator.synthesis(ws[0])
        for kind in ("float32", "fast") if precision == "float32" else ("float32",):
            difference = float((synthesis[kind](ws[0]) - expected).abs().max() / expected.std())
            if not difference <= _TOLERANCE:
                raise BenchError(f"{name}: the {kind} frame differs from the plain one by {difference:.2g}")

        def plain(index: int) -> Tensor:
            with plainly():
                return generator.synthesis(ws[index % 4])

        tasks: dict[str, Callable[[int], object]] = {"plain": plain}
        for kind, draw in synthesis.items():
            tasks[kind] = lambda index, draw=draw: draw(ws[index % 4])  # type: ignore[misc]
        times = interleave(tasks, rounds, device)
    return {
        "name": name,
        "resolution": max(generator.output_size),
        "parameters": sum(p.numel() for p in generator.parameters()),
        "plain_ms": times["plain"],
        "float32_ms": times["float32"],
        "fast_ms": times["fast"],
        "ratio": times["plain"] / times["fast"],
    }


def _styles(generator: registry.Generator) -> Tensor:
    c: Tensor | None = None
    if generator.conditioning == "class":
        c = F.one_hot(torch.randint(generator.c_dim, (1,)), generator.c_dim).float()
    elif generator.conditioning == "text":
        c = F.normalize(torch.randn(1, generator.c_dim))
    device = next(generator.parameters()).device
    return generator.map(torch.randn(1, generator.z_dim).to(device), None if c is None else c.to(device))


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """Within it, the families' layers do their work in the plainest way."""
    modules = ("stylegan2", "stylegan3", "stylegan_t")
    with contextlib.ExitStack() as stack:
        for module in modules:
            stack.enter_context(mock.patch(f"core.models.{module}.modulated_conv2d", grouped_conv2d))
        stack.enter_context(mock.patch("core.models.stylegan3.filtered_lrelu", filtered_lrelu_plain))
        yield


def grouped_conv2d(
    x_NIHW: Tensor,
    weight_OIHW: Tensor,
    style_NI: Tensor,
    *,
    demodulate: bool = True,
    up: bool = False,
    padding: int | None = None,
    input_gain: Tensor | None = None,
) -> Tensor:
    """`layers.modulated_conv2d` with a kernel for each sample, the batch as groups of one convolution (StyleGAN2,
    appendix B).
    """
    n, i, height, width = x_NIHW.shape
    kernel_NOIHW = weight_OIHW[None] * style_NI[:, None, :, None, None]
    if demodulate:
        kernel_NOIHW = kernel_NOIHW * (kernel_NOIHW.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    if input_gain is not None:
        kernel_NOIHW = kernel_NOIHW * input_gain
    x_NIHW = x_NIHW.contiguous()
    if up:
        return torch.cat([up_convolution(x[None], kernel) for x, kernel in zip(x_NIHW, kernel_NOIHW, strict=True)])
    side = weight_OIHW.shape[-1]
    kernel = kernel_NOIHW.reshape(-1, i, side, side)
    y = F.conv2d(
        x_NIHW.reshape(1, n * i, height, width), kernel, padding=side // 2 if padding is None else padding, groups=n
    )
    return y.view(n, -1, *y.shape[2:])
