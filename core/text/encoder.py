"""Prompts to unit vectors, one at a time, the last of them kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# A file of weights, or a folder of such files: for machines without a network.
WEIGHTS_VARIABLE = "GLISSANDO_TEXT_WEIGHTS"
CACHED_PROMPTS = 256

Tokenizer = Callable[[list[str]], Tensor]
"""Prompts -> token ids [N, L]; what is too long is cut."""


class TextEncoderError(ValueError):
    """The text encoder cannot be built; the message says what is missing and where to put it."""


class EncoderFileError(TextEncoderError):
    """The file of weights beside the checkpoint is missing, or is another one: no fault of the checkpoint."""


class Standardisation:
    """(e - mean) / std, each of the numbers of an embedding over the training captions."""

    def __init__(self, mean_C: Tensor, std_C: Tensor) -> None:
        """Raises `TextEncoderError` for statistics that cannot be."""
        if mean_C.ndim != 1 or mean_C.shape != std_C.shape:
            raise TextEncoderError(
                f"mean and std: expected one shape [C], got {list(mean_C.shape)}, {list(std_C.shape)}"
            )
        if not bool(torch.isfinite(mean_C).all() & torch.isfinite(std_C).all() & (std_C > 0).all()):
            raise TextEncoderError("mean and std: expected finite numbers, and every std above 0")
        self.mean_C, self.std_C = mean_C.float(), std_C.float()

    @classmethod
    def of(cls, embeddings_NC: Tensor) -> Standardisation:
        """That of a sample."""
        if len(embeddings_NC) < 2:
            raise TextEncoderError(f"standardisation: expected 2 captions or more, got {len(embeddings_NC)}")
        return cls(embeddings_NC.mean(dim=0), embeddings_NC.std(dim=0).clamp(min=1e-4))

    def __call__(self, embeddings_NC: Tensor) -> Tensor:
        """[..., C] -> [..., C]."""
        return (embeddings_NC - self.mean_C.to(embeddings_NC)) / self.std_C.to(embeddings_NC)


class TextEncoder:
    """Prompts to unit vectors.

    Every prompt goes through the tower alone, so that its embedding does not depend (not even in the last bit) on which
    prompts it came with. The last `CACHED_PROMPTS` embeddings are kept.
    """

    def __init__(
        self,
        tower: nn.Module,
        tokenizer: Tokenizer,
        *,
        dim: int,
        device: torch.device | str = "cpu",
        standardisation: Standardisation | None = None,
        knows_english: bool = False,
    ) -> None:
        """`knows_english`: the tower was trained on more English than the captions of the generator."""
        self.dim = dim
        self.knows_english = knows_english
        self.device = torch.device(device)
        self._tower = tower.to(self.device, torch.float32).eval().requires_grad_(False)
        self._tokenizer = tokenizer
        self._standardisation = standardisation
        self._cache: OrderedDict[str, Tensor] = OrderedDict()

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """[N, dim] float32 on the encoder's device, rows of length one: where prompts are compared, weighed and
        blended.

        Any text is a prompt: empty, of any script, of any length; what is beyond the tower's context (77 tokens in
        CLIP) is left out.
        """
        if isinstance(prompts, str):
            raise TypeError("prompts: expected a sequence of strings, got one string")
        if not prompts:
            return torch.zeros(0, self.dim, device=self.device)
        return torch.stack([self._encode_one(prompt) for prompt in prompts])

    def condition(self, embeddings_NC: Tensor) -> Tensor:
        """[..., dim] as `encode` gives them, or blends of them, to what the generator was trained on."""
        return embeddings_NC if self._standardisation is None else self._standardisation(embeddings_NC)

    def conditions(self, prompts: Sequence[str]) -> Tensor:
        """[N, dim]: what the generator takes for each prompt."""
        return self.condition(self.encode(prompts))

    def _encode_one(self, prompt: str) -> Tensor:
        cached = self._cache.get(prompt)
        if cached is not None:
            self._cache.move_to_end(prompt)
            return cached
        # Half an emoji (a lone surrogate, as some input methods deliver) cannot be encoded; it becomes a question mark.
        text = prompt.encode("utf-8", errors="replace").decode("utf-8")
        with torch.inference_mode():
            features_1T = self._tower(self._tokenizer([text]).to(self.device))
            embedding = F.normalize(features_1T.float(), dim=-1)[0]
        if embedding.shape != (self.dim,):
            raise TextEncoderError(
                f"text encoder: expected embeddings of {self.dim} numbers, got {tuple(embedding.shape)}"
            )
        self._cache[prompt] = embedding
        if len(self._cache) > CACHED_PROMPTS:
            self._cache.popitem(last=False)
        return embedding
