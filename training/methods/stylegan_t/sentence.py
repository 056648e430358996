"""The frozen sentence encoder in place of a CLIP: it conditions, and there is no image tower to guide by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.checkpoints.native import Checkpoint
from core.perception.text_tower import TextTower
from core.text.encoder import Standardisation
from core.text.sentence import SentenceEncoder, statistics_tensors
from training.datasets.opening import Data, captions_of
from training.errors import RunError
from training.methods.stylegan_t.config import MINILM

SAMPLE = 2000
"""Captions that the statistics are taken over."""


class SentenceConditioning(nn.Module):
    """Standardised sentence embeddings at unit length; a `ConditioningModel`.

    A generator with a joint style takes only their direction, so it sees in a run what it sees in the explorer.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: SentenceEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.embed_dim = encoder.dim
        self.context_length = encoder.network.config.context_length
        self.register_buffer("mean", torch.zeros(encoder.dim))
        self.register_buffer("std", torch.ones(encoder.dim))

    @property
    def tower(self) -> TextTower:
        raise RunError(f"clip: {MINILM} is frozen and cannot be tuned; a text phase needs a CLIP")

    def measure(self, data: Data) -> None:
        """Take mean and deviation from captions spread over the data."""
        captions = captions_of(data) or []
        if len(captions) < 2:
            raise RunError(f"clip: {MINILM} is standardised over the captions, which shards on a server do not tell")
        statistics = Standardisation.of(self.encoder.encode(captions[:: -(-len(captions) // SAMPLE)]))
        # As a checkpoint keeps them.
        self.set_statistics(statistics.mean_C.half(), statistics.std_C.half())

    def set_statistics(self, mean_C: Tensor, std_C: Tensor) -> None:
        """Take mean and deviation as they are."""
        self.mean.copy_(mean_C)
        self.std.copy_(std_C)

    def take_over(self, checkpoint: Checkpoint) -> None:
        """Take the statistics that a checkpoint's generator was trained with. Raises `RunError` for another encoder."""
        if checkpoint.header.text != self.text_spec():
            raise RunError(
                f"{checkpoint.path}: expected a generator conditioned by {self.text_spec()}, "
                f"got one by {checkpoint.header.text}"
            )
        text = checkpoint.part("text")
        self.set_statistics(text["mean"], text["std"])

    def encode_text(self, prompts: Sequence[str]) -> Tensor:
        """[N, 384], rows of length one, without gradients."""
        embeddings_NC = self.encoder.encode(prompts).to(self.mean)
        return F.normalize((embeddings_NC - self.mean) / self.std, dim=-1)

    def encode_tokens(self, tokens_NL: Tensor) -> Tensor:
        """Embeddings [N, 384] of token numbers, as the encoder gives them."""
        embeddings: Tensor = self.encoder.network(tokens_NL)
        return embeddings

    def text_spec(self) -> dict[str, Any]:
        """How a checkpoint's header names the encoder."""
        return self.encoder.spec()

    def text_state_dict(self) -> dict[str, Tensor]:
        """The statistics: the encoder's own weights lie in a file beside."""
        return statistics_tensors(Standardisation(self.mean, self.std))
