"""What a run will take, before it is started: parameters, files, memory and time.

Shapes are built on the meta device, which holds no numbers, and the arithmetic of each network is counted by torch's
flop counter: a network whose weights are not here can be counted all the same. Where everything is here, a few steps of
the real trainer say how fast it is; otherwise the time is the arithmetic over what a convolution reaches here, at the
share of it that a step was seen to reach, and the report says so.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from core.models.stylegan_t import Generator
from core.perception.clip import ClipModel, load_clip
from core.perception.clip_published import PublishedClip
from core.perception.feature_networks import open_feature_network
from core.perception.features import OPEN_CLIP_PREFIX, TIMM_PREFIX, FeatureError, FeatureNetwork
from core.perception.text_tower import TextTower
from core.perception.timm_vit import TimmViT
from core.request import SynthesisOptions
from core.text import TextEncoderError
from training.config import CLIP_FEATURES, START, GanConfig
from training.datasets.config import DataConfig
from training.datasets.opening import Data, open_data
from training.discriminators.projected import Discriminator
from training.engine.distributed import Ranks
from training.engine.micro_batches import MicroBatchPlan, plan_micro_batches
from training.engine.precision import compute_dtype
from training.engine.prefetch import AHEAD
from training.engine.trainer import GanTrainer
from training.errors import RunError
from training.methods.stylegan_t.growth import freeze, shape_of, trainable_parameters
from training.methods.stylegan_t.text_phase import ConditioningModel, open_conditioning_model
from training.runs.run import arranged

STEP_SHARE = 0.3
"""Of what one large convolution reaches, the share that a whole step is assumed to reach."""
SLOWEST_STEP_S = 20.0
"""Steps are measured on as many pictures as are thought to fit in this time."""
STEPS = 3
CAPTION_TOKENS = 40
"""The arithmetic of a caption is counted with so many, where the text tower takes them."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One network: its size and its work for one picture."""

    name: str
    parameters: int
    learning: int
    flops: float
    """Of one forward pass, two for a multiplication with an addition."""
    kept: float
    """Bytes that a forward pass keeps for the backward one."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The figures of a run."""

    parts: tuple[Part, ...]
    flops: float
    """Of all the work for one picture shown."""
    fixed_bytes: float
    """Weights, gradients, optimisers' state and averages."""
    kept_bytes: float
    """What the passes of one picture keep, while it is in the networks."""
    held_bytes: float
    """What one picture of a batch takes all the while, also when it waits for others to be through."""
    snapshot_bytes: float
    state_bytes: float

    def memory(self, at_once: int, batch: int) -> float:
        """Bytes, with so many pictures in the networks at once, of a batch of so many."""
        return self.fixed_bytes + self.kept_bytes * at_once + self.held_bytes * batch


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast a run is thought to be, and how that is known."""

    images_per_s: float
    source: str
    memory_bytes: float | None = None
    """The device's own figure, on CUDA."""


def dry_run(config: GanConfig, clip: str, data: DataConfig | None = None, start: Path | None = None) -> str:
    """What a run with these arguments would take, in lines for a person; see `training.runs.run.train`.

    With `data` a few steps are made where the networks can be had; why they cannot be is said otherwise. Raises
    `RunError`, `FeatureError`, `ClipError` for a run that could not be started at all.
    """
    config, _, tower = arranged(config, clip, start)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    figures = estimate(config, device, tower)
    if data is None:
        return report(config, figures, reckoned(config, device, figures.flops, "without --data"))
    dataset = open_data(data, config.resolution)
    try:
        speed = measured(config, device, dataset, tower, figures.flops)
    except (FeatureError, TextEncoderError) as error:
        speed = reckoned(config, device, figures.flops, str(error))
    return report(config, figures, speed, pictures=len(dataset))


def estimate(config: GanConfig, device: torch.device, tower: TextTower | None = None) -> Estimate:
    """Count the networks of a resolved configuration; `tower` is the text tower of the checkpoint it starts from.

    Raises `RunError`, `FeatureError`, `ClipError` for networks that nobody knows the shape of, and `RunError` for a
    batch that cannot be divided as asked.
    """
    plan = _layout(config)
    dtype = compute_dtype(config.precision, device)
    judge = _judge(config, tower)
    network = _network(config, judge)
    with torch.device("meta"):
        if max(config.taps) >= len(network.tap_channels):
            raise RunError(
                f"taps: the feature network has {len(network.tap_channels)}, counted from 0; got {config.taps}"
            )
        conditioning = tower if tower is not None and config.encoder == START else judge.tower
        words = conditioning.trainable_copy().requires_grad_(config.phase == "text").to("meta")
        generator = Generator(shape_of(config, conditioning.embed_dim))
        freeze(generator, config.frozen_to)
        if config.phase == "text":
            generator.requires_grad_(False)
        heads = Discriminator(
            [network.tap_channels[tap] for tap in config.taps],
            judge.embed_dim,
            resolution=config.resolution,
            pixel_channels=config.pixel_channels,
            paper=config.logits == "paper",
        )
        x = torch.zeros(1, 3, config.resolution, config.resolution, requires_grad=True)
        w = torch.zeros(1, generator.w_dim, requires_grad=True)
        tokens = torch.zeros(1, min(CAPTION_TOKENS, conditioning.context_length), dtype=torch.long)
        taps: list[Tensor] = []

        def see() -> None:
            found = network.features(x).taps
            taps[:] = [found[tap].detach().requires_grad_() for tap in config.taps]

        half = 1.0 if dtype == torch.float32 else 0.5  # of what is kept by what is counted here in float32
        options = SynthesisOptions(noise="random")
        parts = [
            _part("generator", generator, lambda: generator.synthesis(w, options, dtype=dtype)),
            _part("feature network", network, see, half),
            _part("discriminator", heads, lambda: heads(taps, heads.stages(x)), half),
            _part("text tower", words, lambda: words.encode_tokens(tokens), half),
        ]
        shared = config.features == CLIP_FEATURES and config.resolution <= config.guidance_crop
        if config.guidance and not shared:
            assert isinstance(judge, ClipModel | PublishedClip)
            side = min(config.resolution, config.guidance_crop)
            seen = torch.zeros(1, 3, side, side, requires_grad=True)
            parts.append(_part("guidance", judge.clip.visual, lambda: judge.encode_image(seen), half))
    return _add_up(config, tuple(parts), again=plan.count > 1)


def _layout(config: GanConfig) -> MicroBatchPlan:
    """How one process alone cuts the batch."""
    return plan_micro_batches(config.batch, config.micro_batch, Ranks())


def _add_up(config: GanConfig, parts: tuple[Part, ...], *, again: bool) -> Estimate:
    """`again`: fakes are drawn and looked at once for each network, because a part's are not kept for the other."""
    by_name = {part.name: part for part in parts}
    g, see, d, text = (by_name[name] for name in ("generator", "feature network", "discriminator", "text tower"))
    guidance = by_name.get("guidance", Part(name="guidance", parameters=0, learning=0, flops=0, kept=0))
    # A backward pass costs as much as the forward one for the inputs, and once more for the weights where they learn.
    generator = g.flops * ((3 if g.learning else 2) + again)
    features = (see.flops * (2 + 1 + 2 * again) + guidance.flops * 2) / config.taps_every  # reals need no gradients
    judgement = d.flops * (2 * 3 * config.critic_steps + 2) / (config.taps_every if not config.pixel_channels else 1)
    words = text.flops * (config.critic_steps + (3 + again if text.learning else 0))
    flops = (generator + features + judgement + words) / config.critic_steps
    # Weights, and for what learns a gradient and two moments; the generator, or the tower that learns, has an average.
    total = sum(part.parameters for part in parts)
    averaged = text.parameters if text.learning else g.parameters
    learnt = sum(part.learning for part in parts)
    # Bytes of the pictures fetched ahead; in float32 the real one, the fake, and that once more where it is blurred.
    values = 3 * config.resolution**2
    held = values * (AHEAD + config.critic_steps) + 4.0 * values * (3 if config.blur_sigma and config.blur_kimg else 2)
    named = config.clip.startswith(OPEN_CLIP_PREFIX) and "=" not in config.clip
    holds_text = text.learning or config.encoder == START or not named
    snapshot = 2.0 * (g.parameters + (text.parameters if holds_text else 0))
    state = 4.0 * (g.parameters * 2 + (2 * text.parameters if text.learning else 0) + d.parameters + 2 * learnt)
    return Estimate(
        parts=parts,
        flops=flops,
        fixed_bytes=4.0 * (total + averaged + 3 * learnt),
        kept_bytes=g.kept + see.kept + d.kept + text.kept + guidance.kept,
        held_bytes=held,
        snapshot_bytes=snapshot,
        state_bytes=state,
    )


def _part(name: str, network: object, run: Callable[[], Any], half: float = 1.0) -> Part:
    """Count one pass of one picture."""
    assert isinstance(network, nn.Module)
    weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    kept: dict[int, Any] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage  # held, so that its number is not given to another one
        return tensor

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        run()
    return Part(
        name=name,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        learning=sum(parameter.numel() for parameter in trainable_parameters(network)),
        flops=float(counter.get_total_flops()),
        kept=sum(storage.nbytes() for storage in kept.values()) * half,
    )


def _judge(config: GanConfig, tower: TextTower | None) -> ConditioningModel:
    """The run's CLIP, without numbers."""
    if config.clip == START:
        assert tower is not None
        return tower.trainable_copy().to("meta")
    if config.clip.startswith(OPEN_CLIP_PREFIX):
        return _published(config.clip)
    return load_clip(config.clip).to("meta")


def _network(config: GanConfig, judge: ConditioningModel) -> FeatureNetwork:
    """The feature network, without numbers."""
    if config.features == CLIP_FEATURES:
        assert isinstance(judge, ClipModel | PublishedClip)
        return judge
    if config.features.startswith(OPEN_CLIP_PREFIX):
        return _published(config.features, text=False)
    if config.features.startswith(TIMM_PREFIX):
        import timm

        name = config.features.removeprefix(TIMM_PREFIX).partition("=")[0]
        if not timm.is_model(name.split(".")[0]):
            raise FeatureError(f"timm has no model called {name!r}")
        with torch.device("meta"):
            return TimmViT(timm.create_model(name, pretrained=False, num_classes=0), (0.5,) * 3, (0.5,) * 3)
    found = open_feature_network(config.features)
    assert isinstance(found, nn.Module)
    moved: FeatureNetwork = found.to("meta")
    return moved


def _published(name: str, *, text: bool = True) -> PublishedClip:
    named = name.removeprefix(OPEN_CLIP_PREFIX).partition("=")[0]
    model = named.partition("/")[0]
    if model not in open_clip.list_models():
        raise FeatureError(f"open_clip has no model called {model!r}")
    config = open_clip.get_model_config(model)
    # Straight from the configuration, with no text tower where none is wanted: it might be one to download.
    with torch.device("meta"):
        clip = open_clip.model.CustomTextCLIP(
            config["embed_dim"],
            {**config["vision_cfg"], "timm_model_pretrained": False},
            config["text_cfg"] if text else {"width": 64, "heads": 1, "layers": 1},
            quick_gelu=bool(config.get("quick_gelu", False)),
        )
        return PublishedClip(clip, config, tag=None, name=named, text=text)


def measured(config: GanConfig, device: torch.device, dataset: Data, tower: TextTower | None, flops: float) -> Speed:
    """Run a few steps, of fewer pictures where the whole batch would take long.

    Raises `FeatureError`, `ClipError` when a network cannot be had.
    """
    rate = convolution_rate(device, compute_dtype(config.precision, device)) * STEP_SHARE
    batch = min(config.batch, max(2, int(SLOWEST_STEP_S * rate / flops / config.critic_steps)))
    # In whole parts as the run's; in one where not even one of these would be done in time.
    micro = _layout(config).micro
    batch, micro = (batch - batch % micro, micro) if batch >= micro else (batch, 0)
    judge = open_conditioning_model(config.clip, device, tower if config.clip == START else None)
    # As it is once the generator learns and the noise is in; the feature network's turns come in their proportion.
    shown = replace(config, batch=batch, micro_batch=micro, critic_kimg=0.0, noise_kimg=0.0)
    trainer = GanTrainer(shown, dataset, judge, device, tower if config.encoder == START else None)
    with contextlib.closing(trainer.prefetcher):
        trainer.step()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        steps = max(STEPS, config.taps_every)
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


def report(config: GanConfig, figures: Estimate, speed: Speed, *, pictures: int | None = None) -> str:
    """All of it in lines for a person."""
    lines = [f"{'':16}{'parameters':>12}{'learning':>12}{'GFLOP':>10}{'MB kept':>10}   a picture, forward"]
    for part in figures.parts:
        lines.append(
            f"{part.name:16}{part.parameters / 1e6:>10.2f} M{part.learning / 1e6:>10.2f} M{part.flops / 1e9:>10.2f}"
            f"{part.kept / 1e6:>10.1f}"
        )
    size = f"{config.resolution} x {config.resolution}"
    at_once = _layout(config).micro
    batch = f" of a batch of {config.batch}" if at_once < config.batch else ""
    memory = figures.memory(at_once, config.batch)
    held = f", {pictures} of them, each seen {config.kimg * 1000 / pictures:.3g} times" if pictures else ""
    lines += [
        f"pictures        {size}{held}",
        f"steps           {config.kimg * 1000 / config.batch / config.critic_steps:.0f} of {config.batch} pictures"
        + (f" x {config.critic_steps}" if config.critic_steps > 1 else ""),
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
