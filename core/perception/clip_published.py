"""A published open_clip model as the run's CLIP, or as the discriminator's feature network: `open_clip:MODEL/TAG`.

It does what `core.perception.clip.ClipModel` does for a CLIP of our own: taps and embeddings of pictures, embeddings of
captions, and the text tower for checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.perception.features import (
    OPEN_CLIP_PREFIX,
    FeatureError,
    Features,
    Taps,
    normalisation,
    probe,
    resize,
    spread_taps,
    token_taps,
)
from core.perception.open_clip_model import create_model
from core.perception.text_tower import TextTower, bundled_spec
from core.text import TextEncoderError, find_weights


class PublishedClip(nn.Module):
    """A frozen open_clip model. Pictures are [N, 3, H, W] in [-1, 1], of any size; gradients reach them.

    The image tower is one of open_clip's own Vision Transformers or a timm ViT in open_clip's wrapper; the text tower
    is one of CLIP's own. Raises `FeatureError` for another kind.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, clip: Any, config: dict[str, Any], *, tag: str | None, name: str, text: bool = True) -> None:
        """`config` is open_clip's for the model; with a `tag`, checkpoints name the text tower instead of holding
        it. Without `text` the image tower is all that is wanted."""
        super().__init__()
        self._tower: TextTower | None = None
        if text:
            spec = bundled_spec(int(config["embed_dim"]), config["text_cfg"], quick_gelu=bool(config.get("quick_gelu")))
            self._tower = TextTower(clip.text, spec)
        else:
            clip.text = None
        self.clip = clip.requires_grad_(False)
        self.eval()
        self.embed_dim = int(config["embed_dim"])
        visual = clip.visual
        trunk = getattr(visual, "trunk", None)  # a timm network
        inner = getattr(visual, "transformer", None) if trunk is None else trunk
        blocks = getattr(inner, "resblocks" if trunk is None else "blocks", None)
        if blocks is None:
            raise FeatureError(
                f"{name}: expected an image tower that is a Vision Transformer, it is a "
                f"{type(visual if trunk is None else trunk).__name__}"
            )
        size = getattr(visual, "image_size", 224)
        self.image_size = int(size[0] if isinstance(size, Sequence) else size)
        patches = math.prod(visual.grid_size) if trunk is None else int(trunk.patch_embed.num_patches)
        self.tap_blocks = spread_taps(len(blocks))
        self._taps = Taps(list(blocks), self.tap_blocks)
        self.tap_channels, self.prefix = probe(self._taps, visual, self.image_size, patches, name)
        scale, shift = normalisation(
            getattr(visual, "image_mean", None) or open_clip.OPENAI_DATASET_MEAN,
            getattr(visual, "image_std", None) or open_clip.OPENAI_DATASET_STD,
        )
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)
        self._named = {"kind": "open_clip", "model": name.partition("/")[0], "pretrained": tag} if tag else None

    def train(self, mode: bool = True) -> PublishedClip:
        """Stays in eval mode whatever the module around it does."""
        return super().train(False)

    def forward(self, x_N3HW: Tensor) -> Features:
        return self.features(x_N3HW)

    @property
    def tower(self) -> TextTower:
        """The text tower."""
        assert self._tower is not None
        return self._tower

    def features(self, x_N3HW: Tensor) -> Features:
        """Taps and image embedding of one forward pass."""
        out = self.clip.visual(resize(x_N3HW, self.image_size) * self.scale + self.shift)
        pooled = out[0] if isinstance(out, tuple) else out
        return Features(taps=token_taps(self._taps.take(), self.prefix), embedding=F.normalize(pooled, dim=-1))

    def encode_image(self, x_N3HW: Tensor) -> Tensor:
        """L2-normalised embeddings [N, embed_dim]."""
        embedding = self.features(x_N3HW).embedding
        assert embedding is not None
        return embedding

    def encode_text(self, prompts: Sequence[str]) -> Tensor:
        """L2-normalised embeddings [N, embed_dim]; what is beyond the tower's context is cut off."""
        return self.tower.encode_text(prompts)

    def text_spec(self) -> dict[str, Any]:
        """How a checkpoint says which text tower it goes with, see `core.text.load_text_encoder`."""
        return dict(self._named or self.tower.spec)

    def text_state_dict(self) -> dict[str, Tensor]:
        """The tower's weights where the checkpoint has to hold them."""
        return {} if self._named else self.tower.text_state_dict()


def open_published(name: str, device: str | torch.device = "cpu", *, text: bool = True) -> PublishedClip:
    """`open_clip:MODEL/TAG` with published weights, or `open_clip:MODEL=FILE` with those in a file; `text` as
    `PublishedClip` has it.

    Raises `FeatureError` that names the file when it cannot be had.
    """
    named, _, file = name.removeprefix(OPEN_CLIP_PREFIX).partition("=")
    model, _, tag = named.partition("/")
    if model not in open_clip.list_models():
        raise FeatureError(f"open_clip has no model called {model!r}; try {OPEN_CLIP_PREFIX}ViT-L-14-quickgelu/openai")
    config = open_clip.get_model_config(model)
    weights = Path(file) if file else _weights(model, tag)
    if not weights.is_file():
        raise FeatureError(f"{weights}: no such file; expected the weights of {model}")
    # As a CustomTextCLIP, whatever the weights were saved as, because its text tower is one module.
    clip = create_model(model, weights, name=model, custom_text=True)
    try:
        return PublishedClip(clip, config, tag=None if file else tag, name=named, text=text).to(device)
    except TextEncoderError as error:
        raise FeatureError(f"{model}: {error}") from error


def _weights(model: str, tag: str) -> Path:
    tags = open_clip.list_pretrained_tags_by_model(model)
    if tag not in tags:
        raise FeatureError(
            f"open_clip has no weights {tag!r} for {model}: expected {OPEN_CLIP_PREFIX}{model}/TAG with "
            f"one of {', '.join(tags) or '(none published)'}, or {OPEN_CLIP_PREFIX}{model}=FILE"
        )
    source = open_clip.get_pretrained_cfg(model, tag)
    if bool(source.get("quick_gelu", False)) != bool(open_clip.get_model_config(model).get("quick_gelu", False)):
        other = model.removesuffix("-quickgelu") if model.endswith("-quickgelu") else f"{model}-quickgelu"
        raise FeatureError(f"{model}/{tag}: these weights were trained with the other activation; take {other}/{tag}")
    try:
        return find_weights(model, tag, source)
    except TextEncoderError as error:
        raise FeatureError(str(error)) from error
