"""What a CLIP run is made of, and the recipes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

# The size of the byte-pair vocabulary that open_clip ships.
VOCABULARY_SIZE = 49408


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Towers, data and optimisation of one run.

    Raises `ValueError` with what was expected and what came.
    """

    image_size: int = 64
    """Side of the pictures the image tower takes, in pixels."""
    patch_size: int = 8
    vision_width: int = 192
    vision_layers: int = 6
    head_width: int = 64
    """Channels of one attention head, in both towers."""
    text_width: int = 128
    text_layers: int = 4
    context_length: int = 40
    """Longest caption in tokens, its start and end marks included; longer ones are cut off."""
    embed_dim: int = 128

    batch: int = 256
    steps: int = 1000
    learning_rate: float = 1e-3
    """At the end of the warm-up; from there it falls to 0 along a half cosine."""
    warmup: int = 100
    """Steps over which the learning rate rises from 0."""
    weight_decay: float = 0.1
    """On matrices only: not on biases, norms, positions or token embeddings."""
    patch_dropout: float = 0.5
    """Share of the patches left out at random in training (FLIP, arXiv 2212.00794)."""
    whole_from: float = 0.88
    """From this share of the run on no patch is left out, so that the towers end on what they will be used on."""
    shift: float = 1 / 16
    """Augmentation: translations up to this share of the side."""
    colour: float = 0.05
    """Augmentation: standard deviation of brightness and of each channel's gain."""
    coarse: float = 0.25
    """Augmentation: share of the pictures halved in size and enlarged again, for the use with smaller generators."""
    unknown_words: float = 0.3
    """Augmentation: share of the captions into which a word never seen in training is slipped, so that such a word
    changes little later."""
    held_out: float = 0.03
    """Share of the pictures, the last by name, that training never sees; retrieval is measured on them."""
    evaluate_every: int = 100
    """Steps between measurements of retrieval."""
    save_every_s: float = 120.0
    """Seconds between saves; has no influence on the result."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in (
            *("image_size", "patch_size", "vision_width", "vision_layers", "head_width", "text_width", "text_layers"),
            *("context_length", "embed_dim", "batch", "steps", "evaluate_every"),
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 1 or more, got {getattr(self, name)}")
        for name in ("warmup", "weight_decay", "colour", "save_every_s", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}: expected 0 or more, got {getattr(self, name)}")
        for name in ("coarse", "unknown_words", "whole_from"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a share from 0 to 1, got {getattr(self, name)}")
        for name in ("patch_dropout", "shift", "held_out"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a share from 0 to below 1, got {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate: expected more than 0, got {self.learning_rate}")
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size: expected a multiple of patch_size {self.patch_size}, got {self.image_size}")
        for name in ("vision_width", "text_width"):
            if getattr(self, name) % self.head_width:
                raise ValueError(
                    f"{name}: expected a multiple of head_width {self.head_width}, got {getattr(self, name)}"
                )
        if self.context_length < 3:
            raise ValueError(f"context_length: expected 3 or more (start, a word, end), got {self.context_length}")

    @property
    def patches(self) -> int:
        return (self.image_size // self.patch_size) ** 2

    def vision_cfg(self) -> dict[str, Any]:
        """The image tower as open_clip's `CLIPVisionCfg` fields."""
        return {
            "image_size": self.image_size,
            "patch_size": self.patch_size,
            "width": self.vision_width,
            "layers": self.vision_layers,
            "head_width": self.head_width,
        }

    def text_cfg(self) -> dict[str, Any]:
        """The text tower as open_clip's `CLIPTextCfg` fields."""
        return {
            "context_length": self.context_length,
            "vocab_size": VOCABULARY_SIZE,
            "width": self.text_width,
            "heads": self.text_width // self.head_width,
            "layers": self.text_layers,
        }


def clip_recipe(name: str) -> ClipConfig:
    """The configuration called `name`: "postcards" (64 px) or "tiny" (32 px, some minutes on two cores)."""
    recipes = {"postcards": postcards, "tiny": tiny}
    if name not in recipes:
        raise ValueError(f"expected a CLIP recipe, one of {', '.join(recipes)}, got {name!r}")
    return recipes[name]()


def postcards() -> ClipConfig:
    """For the Postcards of 64 px and the checkpoint that glissando comes with."""
    return ClipConfig()


def tiny() -> ClipConfig:
    """To see the whole way work in some minutes."""
    return ClipConfig(
        image_size=32,
        patch_size=8,
        vision_width=128,
        vision_layers=4,
        text_layers=2,
        embed_dim=64,
        batch=128,
        steps=600,
        warmup=50,
        patch_dropout=0.0,
    )
