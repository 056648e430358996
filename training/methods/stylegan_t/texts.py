"""Captions as embeddings: the CLIP's for the discriminator, and those that condition the generator."""

from __future__ import annotations

import torch
from torch import Tensor

from core.perception.text_tower import TextTower
from training.datasets.decoded import cache_folder
from training.datasets.opening import Data, captions_of
from training.engine.precision import autocast, weight_dtype
from training.methods.stylegan_t.text_cache import EmbeddingTable, Encode, encoder_key, precompute_texts
from training.methods.stylegan_t.text_phase import ConditioningModel, TextPhase


class TextEmbeddings:
    """Text embeddings of captions, computed when asked for or beforehand for a whole data set."""

    def __init__(
        self, clip: ConditioningModel, own: TextPhase | None, device: torch.device, dtype: torch.dtype
    ) -> None:
        """`own` is the tower that conditions the generator where that is not the CLIP's."""
        self.clip, self.own, self.device, self.dtype = clip, own, device, dtype
        self._weights = weight_dtype(dtype)
        self._known_discriminator: EmbeddingTable | None = None
        self._known_generator: EmbeddingTable | None = None

    def for_discriminator(self, captions: list[str]) -> Tensor:
        """[N, D] for the discriminator and guidance."""
        embeddings = (
            self._encode(captions)
            if self._known_discriminator is None
            else self._known_discriminator(captions, self.device)
        )
        return embeddings.to(self._weights)

    def for_generator(self, captions: list[str]) -> Tensor:
        """[N, D] for the generator from its own tower, with gradients in the text phase."""
        assert self.own is not None
        embeddings = (
            self.own.encode(captions) if self._known_generator is None else self._known_generator(captions, self.device)
        )
        return embeddings.to(self._weights)

    def precompute(self, data: Data, *, progress: bool = True) -> None:
        """Work out the embeddings of all captions now, or find them in the cache, where the captions are known."""
        captions = captions_of(data)
        if captions is not None:
            self._known_discriminator = self._precompute(captions, self.clip, self._encode, progress)
            if self.own is not None and not self.own.learns:
                self._known_generator = self._precompute(captions, self.own.tower, self.own.encode, progress)

    def _precompute(
        self, captions: list[str], tower: ConditioningModel | TextTower, encode: Encode, progress: bool
    ) -> EmbeddingTable:
        key = encoder_key(tower.text_spec(), tower.text_state_dict(), str(self.device.type), str(self.dtype))
        return precompute_texts(captions, encode, key=key, dim=tower.embed_dim, cache=cache_folder(), progress=progress)

    @torch.no_grad()
    def _encode(self, captions: list[str]) -> Tensor:
        with autocast(self.device, self.dtype):
            return self.clip.encode_text(captions).to(self._weights)
