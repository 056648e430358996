"""A checkpoint's pictures by number: number i has the i-th latent and the i-th caption or class, whoever draws it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.checkpoints import Checkpoint
from core.engine import load_generator
from core.latents import seed_to_z
from core.model_info import Conditioning
from core.models.registry import Generator
from core.request import NoiseMode, SynthesisOptions
from core.text import TextEncoder, load_text_encoder
from training.metrics.shards import Drawn, to_drawn

Render = Callable[[list[str], Tensor], Tensor]
"""Prompts and latents [N, Z] to pictures [N, 3, R, R] in about [-1, 1]."""


def latents(seed: int, z_dim: int, numbers: range, stream: int = 0) -> Tensor:
    """z [n, Z] of these numbers; `stream` tells apart several latents of one number."""
    seeds = [int(np.random.default_rng((seed, stream, number)).integers(0, 2**32)) for number in numbers]
    return torch.stack([seed_to_z(s, z_dim) for s in seeds])


def draw_captions(captions: Sequence[Sequence[str]], count: int, seed: int) -> list[str]:
    """`count` captions for generated pictures: of different pictures as long as there are enough, one of each."""
    rows, rng = caption_rows(len(captions), count, seed)
    return [captions[row][int(rng.integers(len(captions[row])))] for row in rows]


def caption_rows(total: int, count: int, seed: int) -> tuple[list[int], np.random.Generator]:
    """The pictures, of `total`, whose captions `draw_captions` draws, and what draws one of each picture's captions."""
    rng = np.random.default_rng((seed, 72))
    whole, rest = divmod(count, total)
    rows = np.concatenate([rng.permutation(total) for _ in range(whole + bool(rest))])[:count]
    return rows.tolist(), rng


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampler:
    """A generator, ready to draw in batches."""

    generator: Generator
    encoder: TextEncoder | None
    device: torch.device
    seed: int = 0
    psi: float = 1.0
    noise: NoiseMode = "const"
    dtype: torch.dtype = torch.float32
    """Of the convolutions."""

    @property
    def conditioning(self) -> Conditioning:
        return self.generator.conditioning

    @property
    def resolution(self) -> int:
        return max(self.generator.output_size)

    @classmethod
    def open(
        cls,
        checkpoint: Checkpoint,
        *,
        seed: int = 0,
        psi: float = 1.0,
        noise: NoiseMode = "const",
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Sampler:
        """Raises what `core.text.load_text_encoder` raises for a text encoder that cannot be had."""
        device = torch.device(device)
        generator = load_generator(checkpoint)
        generator.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        encoder = None
        if generator.conditioning == "text":
            assert checkpoint.header.text is not None  # `native.load` sees to it
            encoder = load_text_encoder(checkpoint.header.text, checkpoint.part("text"), device)
        return cls(generator=generator, encoder=encoder, device=device, seed=seed, psi=psi, noise=noise, dtype=dtype)

    def draw(self, numbers: range, prompts: Sequence[str] | None = None, *, size: int | None = None) -> Drawn:
        """The pictures of these numbers, at `size` when given.

        `prompts` are those of all numbers, for a generator that takes text.
        """
        with torch.inference_mode():
            drawn = to_drawn(self.synthesise(self.styles(numbers, prompts), numbers))
        if size is None or drawn.pictures.shape[1:3] == (size, size):
            return drawn
        # On bytes and by Pillow, as the real pictures are.
        resized = [
            np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS))
            for picture in drawn.pictures
        ]
        return Drawn(np.stack(resized), drawn.broken)

    def styles(self, numbers: range, prompts: Sequence[str] | None = None, stream: int = 0) -> Tensor:
        """ws [n, num_ws, W]."""
        z_NZ = latents(self.seed, self.generator.z_dim, numbers, stream).to(self.device)
        return self.generator.map(z_NZ, self._condition(numbers, prompts), psi=self.psi)

    def synthesise(self, ws: Tensor, numbers: range, options: SynthesisOptions | None = None) -> Tensor:
        """Pictures [n, 3, H, W] of styles; random noise, too, hangs on the first number alone."""
        noise = torch.Generator(self.device).manual_seed((self.seed << 32) + numbers.start)
        options = options or SynthesisOptions(noise=self.noise)
        return self.generator.synthesis(ws, options, generator=noise, dtype=self.dtype)

    def _condition(self, numbers: range, prompts: Sequence[str] | None) -> Tensor | None:
        if self.conditioning == "none":
            return None
        if self.conditioning == "class":
            # Each class as often as any other.
            classes = torch.tensor([number % self.generator.c_dim for number in numbers], device=self.device)
            return torch.nn.functional.one_hot(classes, self.generator.c_dim).float()
        if prompts is None or self.encoder is None:
            raise ValueError("prompts: this generator takes text, so expected a caption for each picture")
        return self.encoder.conditions([prompts[number] for number in numbers])
