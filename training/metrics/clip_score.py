"""The CLIP score: how well pictures fit their captions, as the mean cosine of a CLIP's embeddings (Hessel et al. 2021,
arXiv 2104.08718, without its factor and its clipping at zero).

The judge is a published CLIP of open_clip, `open_clip:MODEL/TAG[=FILE]`, or one of `glissando train clip`, `clip=RUN`.
A generator guided by the same CLIP in training scores too well: take another one where there is a choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from core.perception.clip import load_clip
from core.perception.features import OPEN_CLIP_PREFIX, FeatureError
from core.perception.open_clip_model import OpenClipModel
from training.metrics.exact import exact

PAPER_CLIP = "open_clip:ViT-g-14/laion2b_s12b_b42k"
"""The judge of the StyleGAN-T paper's CLIP scores."""


class ClipScoreError(ValueError):
    """A CLIP that cannot be had; the message says which file is missing and where it belongs."""


class Encoder(Protocol):
    """Two towers with one space."""

    def encode_image(self, x_N3HW: Tensor, /) -> Tensor: ...

    def encode_text(self, prompts: Sequence[str], /) -> Tensor: ...


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
        try:
            encoder = OpenClipModel.open(spec).to(device)
        except FeatureError as error:
            raise ClipScoreError(str(error)) from error
        return ClipJudge(name=name, encoder=encoder, signed=False, device=device)
    raise ClipScoreError(f"CLIP: expected {OPEN_CLIP_PREFIX}MODEL/TAG[=FILE] or clip=RUN, got {spec!r}")
