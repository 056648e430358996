"""Trains the classifiers on freshly rendered pictures: `glissando train classifier --out FILE`, for Stickers with
`--art DIR`.

Minutes on two cores. Mild augmentation (flip, shift, blur, noise, colour) keeps it from leaning on details that only
the exact renderer gets right, because what it will judge are a generator's pictures. Everything is drawn from one seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.datasets.stickers.drawings import drawings_of
from training.metrics.classifier import (
    POSTCARDS,
    STICKERS,
    AttributeClassifier,
    ClassifierConfig,
    ClassifierKind,
    save_classifier,
    to_signed,
)
from training.metrics.postcards_sets import label_indices, render_pictures, sample_labels
from training.metrics.scores import UNKNOWN, accuracy_where_known
from training.metrics.stickers_sets import compose_pictures, draw_samples, stickers_targets

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how many are done, of how many)."""


@dataclass(frozen=True, kw_only=True)
class TrainClassifierConfig:
    """What to train on and for how long."""

    pictures: int = 20_000
    """Rendered for training, of all combinations."""
    held_out: int = 4_096
    """Rendered for the accuracy that is reported; other seeds, never trained on."""
    epochs: int = 5
    batch: int = 64
    lr: float = 3e-3
    """Peak of the one-cycle schedule."""
    weight_decay: float = 0.03
    seed: int = 0
    workers: int = 2
    """Processes that render."""
    model: ClassifierConfig = field(default_factory=ClassifierConfig)

    def __post_init__(self) -> None:
        for name in ("pictures", "held_out", "epochs", "batch", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)!r}")
        if self.pictures < self.batch:
            raise ValueError(f"pictures: expected at least one batch ({self.batch}), got {self.pictures!r}")


# The first integer of the seeds' key keeps these sets apart from one another and from the evaluation's.
TRAIN_STREAM, HELD_OUT_STREAM = 101, 102


def augment(x_N3HW: Tensor, generator: torch.Generator, *, flip: bool = True) -> Tensor:
    """Flip if wanted, shift by up to 4 pixels, blur, noise and colour, each picture its own amounts; shape and range
    stay."""
    n, _, height, width = x_N3HW.shape
    device = x_N3HW.device

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.rand((n, channels, 1, 1), generator=generator, device=device) * (high - low) + low

    def some(probability: float) -> Tensor:
        return (torch.rand((n, 1, 1, 1), generator=generator, device=device) < probability).to(x_N3HW.dtype)

    if flip:
        x_N3HW = torch.where(some(0.5) > 0, x_N3HW.flip(3), x_N3HW)

    reach = 4
    padded = functional.pad(x_N3HW, (reach,) * 4, mode="replicate")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # [N, 3, 9, 9, H, W], a view
    dy, dx = torch.randint(0, 2 * reach + 1, (2, n), generator=generator, device=device)
    x_N3HW = windows[torch.arange(n, device=device), :, dy, dx]

    binomial = torch.tensor([1.0, 2.0, 1.0], device=device) / 4
    kernel = torch.outer(binomial, binomial).expand(3, 1, 3, 3)
    blurred = functional.conv2d(functional.pad(x_N3HW, (1,) * 4, mode="replicate"), kernel, groups=3)
    x_N3HW = torch.lerp(x_N3HW, blurred, uniform(0.0, 0.9) * some(0.4))

    x_N3HW = x_N3HW * uniform(0.93, 1.07, channels=3) + uniform(-0.05, 0.05, channels=3)
    noise = torch.randn(x_N3HW.shape, generator=generator, device=device)
    return (x_N3HW + noise * uniform(0.0, 0.06) * some(0.5)).clamp(-1, 1)


def train_classifier(
    out: Path, config: TrainClassifierConfig | None = None, progress: Progress | None = None
) -> dict[str, float]:
    """Trains the Postcards classifier, writes it to `out`, returns its accuracy by attribute on held-out pictures."""
    config = config or TrainClassifierConfig()

    def render(count: int, stage: str, stream: int) -> Examples:
        labels = sample_labels(count, split="all", seed=(stream, config.seed))
        pictures = render_pictures(
            labels,
            config.model.resolution,
            seed=(stream, config.seed),
            workers=config.workers,
            progress=None if progress is None else partial(progress, stage),
        )
        return Examples(pictures=pictures, targets=label_indices(labels))

    return _train(out, POSTCARDS, config, render, progress, flip=True)


def train_stickers_classifier(
    out: Path, art: Path, config: TrainClassifierConfig, progress: Progress | None = None
) -> dict[str, float]:
    """Trains the Stickers classifier on compositions of the art in `art`; as `train_classifier` else."""

    def render(count: int, stage: str, stream: int) -> Examples:
        samples = draw_samples(count, "all", (stream, config.seed), drawings_of(art))
        pictures = compose_pictures(
            [sample.composition for sample in samples],
            art,
            config.model.resolution,
            workers=config.workers,
            progress=None if progress is None else partial(progress, stage),
        )
        return Examples(pictures=pictures, targets=stickers_targets(samples))

    # A flipped picture has its drawing at the other side.
    return _train(out, STICKERS, config, render, progress, flip=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """Pictures and what they show."""

    pictures: NDArray[np.uint8]
    """[N, R, R, 3]"""
    targets: dict[str, NDArray[np.int64]]
    """Attribute -> [N] index of its value; UNKNOWN where nothing is asked."""


def _train(
    out: Path,
    kind: ClassifierKind,
    config: TrainClassifierConfig,
    render: Callable[[int, str, int], Examples],
    progress: Progress | None,
    *,
    flip: bool,
) -> dict[str, float]:
    """`render` makes so many examples, under the name of a stage, from a stream of random numbers."""
    report = progress or (lambda stage, done, total: None)
    examples = render(config.pictures, "training pictures", TRAIN_STREAM)
    targets = {name: torch.from_numpy(values) for name, values in examples.targets.items()}

    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    model = AttributeClassifier(kind.attributes, config.model)
    model.to(memory_format=torch.channels_last).train()
    steps_an_epoch = config.pictures // config.batch
    steps = steps_an_epoch * config.epochs
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=config.lr, total_steps=steps + 1, pct_start=0.2)
    for step in range(steps):
        if step % steps_an_epoch == 0:
            order = torch.randperm(config.pictures, generator=generator)
        at = step % steps_an_epoch * config.batch
        chosen = order[at : at + config.batch]
        x_N3HW = augment(to_signed(examples.pictures[chosen.numpy()]), generator, flip=flip)
        logits = model(x_N3HW)
        loss = torch.stack([_loss(logits[name], targets[name][chosen]) for name in kind.attributes]).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        report("steps", step + 1, steps)

    model.eval()
    held_out = render(config.held_out, "held-out pictures", HELD_OUT_STREAM)
    predictions, _ = model.judge(held_out.pictures)
    accuracy = {name: accuracy_where_known(predictions[name], truth) for name, truth in held_out.targets.items()}
    notes: dict[str, Any] = {
        kind.version_key: kind.version,
        "training": asdict(config),
        "held_out_accuracy": accuracy,
    }
    save_classifier(out, model, notes, kind)
    return accuracy


def _loss(logits_NK: Tensor, targets_N: Tensor) -> Tensor:
    known = targets_N != UNKNOWN
    if not bool(known.any()):
        return logits_NK.sum() * 0
    return functional.cross_entropy(logits_NK, targets_N, label_smoothing=0.02, ignore_index=UNKNOWN)
