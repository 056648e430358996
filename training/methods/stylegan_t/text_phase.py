"""Phases 2 and 3 of StyleGAN-T (section 3.4): the text tower that conditions the generator is not the CLIP's any more.

In the text phase a copy of the tower learns, through the frozen generator, from the guidance and the discriminator;
both of these go on to see the CLIP's own, frozen embeddings. Afterwards the generator learns again, conditioned on the
tuned tower. Checkpoints of both carry the tower that their generator goes with, so that prompts mean in the explorer
what they meant in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from core.checkpoints.native import Checkpoint
from core.perception.clip import load_clip
from core.perception.clip_published import open_published
from core.perception.features import OPEN_CLIP_PREFIX
from core.perception.text_tower import TextTower, build_tower
from core.text.sentence import SentenceEncoder
from training.engine.ema import Ema
from training.errors import RunError
from training.methods.stylegan_t.config import MINILM
from training.methods.stylegan_t.sentence import SentenceConditioning


class TextSource(Protocol):
    """Something whose text tower a checkpoint is saved with."""

    def text_spec(self) -> dict[str, Any]:
        """The header's `text`."""
        ...

    def text_state_dict(self) -> dict[str, Tensor]:
        """The tensors under "text."; none where the header names a published tower."""
        ...


class ConditioningModel(TextSource, Protocol):
    """The run's CLIP: what the discriminator is told a caption by and, where it has an image tower, guidance."""

    embed_dim: int

    @property
    def tower(self) -> TextTower: ...

    def encode_text(self, prompts: Sequence[str], /) -> Tensor:
        """L2-normalised embeddings [N, embed_dim], without gradients."""
        ...


def open_conditioning_model(name: str, device: torch.device, start: TextTower | None = None) -> ConditioningModel:
    """The CLIP of a run by its setting `clip`; `start` is the text tower that the setting "start" means.

    Raises `FeatureError`, `ClipError` when it cannot be had.
    """
    if start is not None:
        return start.to(device)
    if name == MINILM:
        return SentenceConditioning(SentenceEncoder.open(device=device)).to(device)
    if name.startswith(OPEN_CLIP_PREFIX):
        return open_published(name, device)
    return load_clip(name, device)


def tower_of(checkpoint: Checkpoint) -> TextTower:
    """The text tower that a checkpoint brings or names. Raises `RunError`, `FeatureError`."""
    spec = checkpoint.header.text
    if spec is None:
        raise RunError(
            f"{checkpoint.path}: expected a checkpoint with a text encoder, got one of {checkpoint.header.family}"
        )
    if spec["kind"] == "open_clip":
        return open_published(f"{OPEN_CLIP_PREFIX}{spec['model']}/{spec['pretrained']}").tower
    return build_tower(spec, checkpoint.part("text"))


class TextPhase:
    """The tower that conditions the generator in place of the CLIP's own; in the text phase, it learns."""

    def __init__(self, tower: TextTower, device: torch.device, *, half_life: float | None = None) -> None:
        """`half_life` of the weight average, in images, makes the tower learn."""
        self.learns = half_life is not None
        self.tower = (tower.trainable_copy() if self.learns else tower).to(device)
        self.ema: Ema[nn.Module] | None = None
        if half_life is not None:
            self.ema = Ema(self.tower.module, half_life=half_life)
            self._average = TextTower(self.ema.module, self.tower.spec)
        else:
            self._average = self.tower

    @property
    def dim(self) -> int:
        return self.tower.embed_dim

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """L2-normalised embeddings [N, dim] for the generator, with gradients where the tower learns."""
        embeddings: Tensor = self.tower(prompts) if self.learns else self.tower.encode_text(prompts)
        return embeddings

    def average(self) -> TextTower:
        """The averaged tower: what pictures are shown with and checkpoints carry."""
        return self._average

    def update(self, *, batch: int, images_seen: int) -> None:
        """Move the average after a step."""
        if self.ema is not None:
            self.ema.update(self.tower.module, batch=batch, images_seen=images_seen)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What has been learnt, by name; nothing where nothing is."""
        return {} if self.ema is None else {"text": self.tower.module, "text_ema": self.ema.module}

    def double(self) -> None:
        """Compute in float64."""
        self.tower.double()
        self._average.double()
