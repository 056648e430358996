"""A trained CLIP at work: pictures and prompts to embeddings, and the inner tokens that a projected discriminator
looks at.

The file is safetensors: open_clip's state dict in float32, and under the metadata key `glissando-clip` a JSON header
with what is needed to build the towers, the figures it reached and where it comes from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from open_clip.model import CustomTextCLIP
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from core.perception import clip_towers as towers
from core.perception.features import Features, resize, spread_taps, token_taps
from core.perception.text_tower import TextTower, bundled_spec
from core.text.byte_pairs import BytePairs

FILE_NAME = "clip.safetensors"
METADATA_KEY = "glissando-clip"
FORMAT_VERSION = 1


class ClipError(ValueError):
    """A CLIP run or file that cannot be used; the message says what was expected, what came and what to do."""


@dataclass(frozen=True, kw_only=True)
class ClipHeader:
    """What stands beside the weights."""

    embed_dim: int
    vision_cfg: dict[str, Any]
    text_cfg: dict[str, Any]
    images_seen: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    """What it reached, by name; retrieval is a share from 0 to 1."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Free: recipe, data."""
    format_version: int = FORMAT_VERSION


class ClipModel(nn.Module):
    """A frozen CLIP. Pictures are [N, 3, H, W] in [-1, 1], of any size; gradients reach them, never the weights."""

    def __init__(self, clip: CustomTextCLIP, header: ClipHeader) -> None:
        super().__init__()
        self.clip = clip.requires_grad_(False)
        self.header = header
        self.embed_dim = header.embed_dim
        self.text_cfg = dict(header.text_cfg)
        self.image_size = int(header.vision_cfg["image_size"])
        self.tap_blocks = spread_taps(int(header.vision_cfg["layers"]))
        """After how many blocks each tap is taken; 0 is the embedded tokens."""
        self.tap_channels = (int(header.vision_cfg["width"]),) * len(self.tap_blocks)
        self._tokenizer = BytePairs(context_length=int(header.text_cfg["context_length"]))
        self.eval()

    def train(self, mode: bool = True) -> ClipModel:
        """Stays in eval mode whatever the module around it does."""
        return super().train(False)

    def forward(self, x_N3HW: Tensor) -> Features:
        return self.features(x_N3HW)

    def features(self, x_N3HW: Tensor) -> Features:
        """Taps and image embedding of one forward pass."""
        visual = self.clip.visual
        x = towers.embed_patches(visual, resize(x_N3HW, self.image_size))
        x, collected = towers.run_blocks(visual.transformer.resblocks, x, collect=self.tap_blocks)
        taps = token_taps([collected[block] for block in self.tap_blocks], prefix=1)
        return Features(taps=taps, embedding=towers.image_embedding(visual, x))

    def taps(self, x_N3HW: Tensor) -> list[Tensor]:
        """Token features [N, C, T] at `tap_blocks`, the class token added to every patch token."""
        return self.features(x_N3HW).taps

    def encode_image(self, x_N3HW: Tensor) -> Tensor:
        """L2-normalised embeddings [N, embed_dim]."""
        visual = self.clip.visual
        x = towers.embed_patches(visual, resize(x_N3HW, self.image_size))
        return towers.image_embedding(visual, towers.run_blocks(visual.transformer.resblocks, x)[0])

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str]) -> Tensor:
        """L2-normalised embeddings [N, embed_dim]; long prompts are cut off as open_clip's tokenizer does."""
        device = self.clip.logit_scale.device
        if not prompts:
            return torch.zeros(0, self.embed_dim, device=device)
        return towers.encode_tokens(self.clip.text, self._tokenizer(list(prompts)).to(device))

    @property
    def tower(self) -> TextTower:
        """The text tower as a module of its own, of the same weights."""
        return TextTower(self.clip.text, self.text_spec())

    def text_spec(self) -> dict[str, Any]:
        """How a checkpoint's header describes the text tower."""
        return bundled_spec(self.embed_dim, self.text_cfg)

    def text_state_dict(self) -> dict[str, Tensor]:
        """The text tower's weights by open_clip's names, as a generator's checkpoint carries them."""
        return {name: tensor.detach().clone() for name, tensor in self.clip.text.state_dict().items()}


def save_clip(path: Path, clip: CustomTextCLIP, header: ClipHeader) -> None:
    """Write the file whole or not at all."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in clip.state_dict().items()}
    temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        save_file(tensors, temporary, {METADATA_KEY: json.dumps(header.__dict__)})
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_clip(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> ClipModel:
    """The CLIP of a run folder, or of a `clip.safetensors`; frozen, on `device`.

    Raises `ClipError` when there is none, or when the file is damaged, foreign or of a newer format.
    """
    given = Path(path)
    file = given / FILE_NAME if given.is_dir() else given
    if not file.is_file():
        hint = "train one with `glissando train clip --data DIR --out CLIP_RUN`"
        if given.is_dir() and (given / "state.pt").exists():
            hint = "the run has not saved one yet"
        raise ClipError(f"{file}: no such file; expected a CLIP run's folder or its {FILE_NAME} ({hint})")
    try:
        with safe_open(file, framework="pt") as opened:
            text = (opened.metadata() or {}).get(METADATA_KEY)
            if text is None:
                raise ClipError(f"{file}: a safetensors file, but not a CLIP of ours (no {METADATA_KEY} header)")
            fields = json.loads(text)
            version = fields.get("format_version")
            if version != FORMAT_VERSION:
                raise ClipError(f"{file}: expected format version {FORMAT_VERSION}, got {version}; update glissando")
            header = ClipHeader(**fields)
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, json.JSONDecodeError, TypeError, AttributeError) as error:
        raise ClipError(
            f"{file}: expected a whole {FILE_NAME}, but it cannot be read ({error}); copy it again"
        ) from error
    clip = towers.build_clip(header.embed_dim, header.vision_cfg, header.text_cfg)
    try:
        clip.load_state_dict(tensors)
    except RuntimeError as error:
        raise ClipError(f"{file}: the weights do not fit their own header: {error}") from error
    return ClipModel(clip, header).to(device)
