"""How fast a training step is, where its time goes, and how much faster than a plain one measured in the same run.

The plain step is what one would write first: float32, channels first, optimisers that update one tensor after the
other, no compilation, and on a GPU no TF32. Both play the same game with the same networks on random pictures. They
take turns, round after round, so that whatever else the machine does falls on both; the figures are medians.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor

from core.models.layers import styles_by_layer, upsample
from core.models.stylegan_t import Block, Generator
from core.perception.clip import ClipHeader, ClipModel
from core.perception.clip_towers import build_clip
from core.perception.feature_networks import open_feature_network
from core.perception.features import TIMM_PREFIX, FeatureNetwork
from core.perception.timm_vit import TimmViT
from core.request import SynthesisOptions
from training.clip.config import ClipConfig
from training.config import CLIP_FEATURES, GanConfig
from training.datasets.decoded import FolderDataset
from training.engine.distributed import Ranks
from training.engine.step_timer import SECTIONS, StepTimer
from training.engine.trainer import GanTrainer

PICTURES = 512
_WARM_UP = 1


def bench_train(config: GanConfig, *, rounds: int = 3) -> dict[str, Any]:
    """Measures the steps of a configuration; plain JSON values, times in seconds.

    The generator learns from the first step and has its noise. A round is as many steps as the feature network needs to
    take part once. Frozen networks have random weights, which are as fast as any.
    """
    if rounds < 1:
        raise ValueError(f"rounds: expected one or more, got {rounds}")
    config = replace(config, critic_kimg=0.0, noise_kimg=0.0, kimg=1e6)
    device = Ranks().device
    clip, network = _frozen(config, device)
    clock = StepTimer(device)
    fast = GanTrainer(config, _pictures(config), clip, device, timer=clock, network=network)
    plain = GanTrainer(
        replace(config, precision="float32", compile=False), _pictures(config), clip, device, network=network
    )
    make_plain(plain)
    times: dict[str, list[float]] = {"fast": [], "plain": []}
    shares: list[dict[str, float]] = []
    for number in range(_WARM_UP + rounds):
        seconds = _round(fast, config.taps_every)
        sections = clock.stop()
        with _no_tf32(device):
            slower = _round(plain, config.taps_every)
        if number >= _WARM_UP:
            times["fast"].append(seconds)
            times["plain"].append(slower)
            shares.append(sections)
    steps = config.taps_every
    images = config.batch * config.critic_steps
    step = {name: statistics.median(values) / steps for name, values in times.items()}
    spent = {name: statistics.median(one[name] for one in shares) for name in SECTIONS}
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "preset": config.preset,
        "resolution": config.resolution,
        "batch": config.batch,
        "micro_batch": fast.plan.micro,
        "features": config.features,
        "dtype": str(fast.dtype).removeprefix("torch."),
        "compile": config.compile,
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
    lines = [
        f"{report['device']}, {report['threads']} threads, {report['preset']} at {report['resolution']} px, batch "
        f"{report['batch']} in parts of {report['micro_batch']}, {report['features']}, medians of {report['rounds']} "
        "rounds",
        "",
        f"{'':24}{'ms a step':>12}{'images/s':>12}",
        f"{'plain float32':24}{1000 * report['plain_step_s']:12.1f}{report['plain_images_per_s']:12.2f}",
        f"{report['dtype'] + (', compiled' if report['compile'] else ''):24}"
        f"{1000 * report['step_s']:12.1f}{report['images_per_s']:12.2f}",
        f"{'ratio':24}{report['ratio']:24.2f}",
        "",
        "where the time goes: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in report["shares"].items()),
    ]
    if report["memory_gb"] is not None:
        lines.append(f"at most {report['memory_gb']:.1f} GB of GPU memory, both together")
    return "\n".join(lines)


def make_plain(trainer: GanTrainer) -> None:
    """Turn a trainer that computes in float32 into the plain one."""
    trainer.generator.to(memory_format=torch.contiguous_format)
    if trainer.discriminator.pixels is not None:
        trainer.discriminator.pixels.memory_format = torch.contiguous_format
    if trainer.reconstruction is not None:
        trainer.reconstruction.encoder.to(memory_format=torch.contiguous_format)
    for optimiser in {*trainer.update_d.optimisers, *trainer.update_g.optimisers}:
        for settings in (optimiser.defaults, *optimiser.param_groups):
            settings["fused"], settings["foreach"] = False, False
    trainer.losses = replace(trainer.losses, synthesis=_PlainSynthesis(trainer.generator))


class _PlainSynthesis:
    """`Generator.synthesis` with channels first."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    def __call__(
        self, w_NW: Tensor, options: SynthesisOptions, /, *, generator: torch.Generator | None, dtype: torch.dtype
    ) -> Tensor:
        styles = styles_by_layer(w_NW, self.generator.num_ws)
        x = self.generator.input(styles[0]).to(dtype)
        rgb: Tensor | None = None
        index = 1
        for block in self.generator.blocks:
            assert isinstance(block, Block)
            for layer in block.layers:
                x = layer(x, styles[index], options, generator)
                index += 1
            skip = block.to_rgb(x, styles[index])
            rgb = skip if rgb is None else upsample(rgb) + skip
        assert rgb is not None
        return rgb


def _round(trainer: GanTrainer, steps: int) -> float:
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


def _frozen(config: GanConfig, device: torch.device) -> tuple[ClipModel, FeatureNetwork | None]:
    """A CLIP of the size that `glissando train clip` makes, and the feature network if it is another."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shape = ClipConfig()
        tower = build_clip(shape.embed_dim, shape.vision_cfg(), shape.text_cfg())
        header = ClipHeader(embed_dim=shape.embed_dim, vision_cfg=shape.vision_cfg(), text_cfg=shape.text_cfg())
        clip = ClipModel(tower, header).to(device)
        if config.features == CLIP_FEATURES:
            return clip, None
        if not config.features.startswith(TIMM_PREFIX):
            return clip, open_feature_network(config.features, device)
        model = config.features.removeprefix(TIMM_PREFIX).partition("=")[0]
        vit = timm.create_model(model, pretrained=False, num_classes=0)
        return clip, TimmViT(vit, (0.5,) * 3, (0.5,) * 3).to(device)


def _pictures(config: GanConfig) -> FolderDataset:
    side = config.resolution
    images = np.random.default_rng(0).integers(0, 256, (PICTURES, 3, side, side), np.uint8)
    names = [f"{number}.png" for number in range(PICTURES)]
    captions = [[f"picture number {number}"] for number in range(PICTURES)]
    return FolderDataset(images=images, captions=captions, names=names, fingerprint="", broken=0, captionless=0)
