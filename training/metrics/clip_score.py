"""The CLIP score: how well pictures fit their captions, as the mean cosine of a CLIP's embeddings (Hessel et al. 2021,
arXiv 2104.08718, without its factor and its clipping at zero).

The judge is a published CLIP of open_clip, `open_clip:MODEL/TAG[=FILE]`, or one of `glissando train clip`, `clip=RUN`.
A generator guided by the same CLIP in training scores too well: take another one where there is a choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from core.perception.clip import load_clip
from core.text import TextEncoderError, find_weights
from training.metrics.exact import exact

OPEN_CLIP_PREFIX = "open_clip:"
PAPER_CLIP = "open_clip:ViT-g-14/laion2b_s12b_b42k"
"""The judge of the StyleGAN-T paper's CLIP scores."""


class ClipScoreError(ValueError):
    """A CLIP that cannot be had; the message says which file is missing and where it belongs."""


class Encoder(Protocol):
    """Two towers with one space."""

    def encode_image(self, x_N3HW: Tensor, /) -> Tensor: ...

    def encode_text(self, prompts: Sequence[str], /) -> Tensor: ...


class OpenClip(nn.Module):
    """A published CLIP, frozen: bytes [N, 3, H, W] as floats from 0 to 255, and prompts, to unit vectors [N, D]."""

    scale: Tensor
    shift: Tensor

    def __init__(self, model: Any, tokenizer: Any, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self._tokenizer = tokenizer
        size = model.visual.image_size
        height, width = size if isinstance(size, list | tuple) else (size, size)
        self.image_size = (int(height), int(width))
        mean_t, std_t = torch.tensor(mean).view(1, 3, 1, 1), torch.tensor(std).view(1, 3, 1, 1)
        self.register_buffer("scale", 1 / (255 * std_t), persistent=False)
        self.register_buffer("shift", -mean_t / std_t, persistent=False)

    @classmethod
    def open(cls, spec: str) -> OpenClip:
        """`open_clip:MODEL/TAG[=FILE]`. Raises `ClipScoreError`, or `TextEncoderError` for weights that are not here.

        Without FILE the weights are looked for as those of text encoders are: GLISSANDO_TEXT_WEIGHTS, the Hugging Face
        cache, the network.
        """
        import open_clip

        name, _, place = spec.removeprefix(OPEN_CLIP_PREFIX).partition("=")
        model, _, tag = name.partition("/")
        # Only names from open_clip's lists: anything else it would take for a path or a repository.
        if model not in open_clip.list_models():
            raise ClipScoreError(f"{spec}: expected {OPEN_CLIP_PREFIX}MODEL/TAG, open_clip has no model {model!r}")
        tags = open_clip.list_pretrained_tags_by_model(model)
        if tag not in tags:
            raise ClipScoreError(f"{spec}: expected one of {', '.join(tags) or '(none)'} after {model}/, got {tag!r}")
        file = Path(place).expanduser() if place else None
        if file is not None and not file.is_file():
            raise ClipScoreError(f"{file}: no such file; expected open_clip's weights {tag} of {model}")
        config = open_clip.get_pretrained_cfg(model, tag)
        try:
            path = file if file is not None else find_weights(model, tag, config)
        except TextEncoderError as error:
            raise ClipScoreError(
                str(error).replace("The text encoder", "The CLIP", 1)
                + f" Or name the file: {OPEN_CLIP_PREFIX}{model}/{tag}=FILE."
            ) from error
        try:
            clip = open_clip.create_model(model, pretrained=str(path))
        except Exception as error:
            # torch and open_clip raise any kind for a damaged or foreign file.
            why = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ClipScoreError(f"{path}: not the weights of {model}/{tag} ({why})") from error
        return cls(clip, open_clip.get_tokenizer(model), config["mean"], config["std"])

    def encode_image(self, x_N3HW: Tensor) -> Tensor:
        if tuple(x_N3HW.shape[-2:]) != self.image_size:
            x_N3HW = F.interpolate(x_N3HW, self.image_size, mode="bicubic", antialias=True, align_corners=False)
            x_N3HW = x_N3HW.clamp(0, 255)
        embedded: Tensor = self.model.encode_image(x_N3HW * self.scale + self.shift, normalize=True)
        return embedded

    def encode_text(self, prompts: Sequence[str]) -> Tensor:
        tokens_NT: Tensor = self._tokenizer(list(prompts))
        embedded: Tensor = self.model.encode_text(tokens_NT.to(self.scale.device), normalize=True)
        return embedded


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipJudge:
    """A CLIP that says how well pictures fit captions."""

    name: str
    """As it was asked for, without the place of its file."""
    encoder: Encoder
    signed: bool
    """Whether the encoder takes pictures in [-1, 1] instead of bytes."""
    device: torch.device

    def cosines(self, pictures_NHW3: NDArray[np.uint8], prompts: Sequence[str]) -> NDArray[np.float32]:
        """[N]: the cosine of each picture with its own prompt."""
        # A run in float64 lends its CLIP as it is.
        weights = self.encoder.parameters() if isinstance(self.encoder, nn.Module) else iter(())
        dtype = next((weight.dtype for weight in weights), torch.float32)
        x_N3HW = torch.from_numpy(np.ascontiguousarray(pictures_NHW3)).to(self.device).permute(0, 3, 1, 2).to(dtype)
        with exact(self.device):
            image_ND = self.encoder.encode_image(x_N3HW / 127.5 - 1 if self.signed else x_N3HW)
            return cosines(image_ND, self.encoder.encode_text(prompts))


def cosines(image_ND: Tensor, text_ND: Tensor) -> NDArray[np.float32]:
    """[N]: the cosine of each row of one with the same row of the other."""
    return F.cosine_similarity(image_ND.double(), text_ND.double(), dim=1).float().cpu().numpy()


def open_judge(spec: str, device: str | torch.device = "cpu") -> ClipJudge:
    """`open_clip:MODEL/TAG[=FILE]` or `clip=RUN`. Raises a `ValueError` that says what is missing."""
    device = torch.device(device)
    name, _, place = spec.partition("=")
    if name == "clip" and place:
        return ClipJudge(name=name, encoder=load_clip(place, device), signed=True, device=device)
    if name.startswith(OPEN_CLIP_PREFIX):
        return ClipJudge(name=name, encoder=OpenClip.open(spec).to(device), signed=False, device=device)
    raise ClipScoreError(f"CLIP: expected {OPEN_CLIP_PREFIX}MODEL/TAG[=FILE] or clip=RUN, got {spec!r}")
