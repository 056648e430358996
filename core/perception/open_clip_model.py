"""open_clip's models with published weights: both towers, and the preprocessing of pictures that goes with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.perception.features import OPEN_CLIP_PREFIX, FeatureError
from core.text import TextEncoderError, find_weights


class OpenClipModel(nn.Module):
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
    def open(cls, spec: str) -> OpenClipModel:
        """`open_clip:MODEL/TAG[=FILE]`. Raises `FeatureError` that says which file is missing.

        Without FILE the weights are looked for as those of text encoders are: GLISSANDO_TEXT_WEIGHTS, the Hugging Face
        cache, the network.
        """
        name, _, place = spec.removeprefix(OPEN_CLIP_PREFIX).partition("=")
        model, _, tag = name.partition("/")
        # Only names from open_clip's lists: anything else it would take for a path or a repository.
        if model not in open_clip.list_models():
            raise FeatureError(f"{spec}: expected {OPEN_CLIP_PREFIX}MODEL/TAG, open_clip has no model {model!r}")
        tags = open_clip.list_pretrained_tags_by_model(model)
        if tag not in tags:
            raise FeatureError(f"{spec}: expected one of {', '.join(tags) or '(none)'} after {model}/, got {tag!r}")
        file = Path(place).expanduser() if place else None
        if file is not None and not file.is_file():
            raise FeatureError(f"{file}: no such file; expected open_clip's weights {tag} of {model}")
        config = open_clip.get_pretrained_cfg(model, tag)
        try:
            path = file if file is not None else find_weights(model, tag, config)
        except TextEncoderError as error:
            raise FeatureError(
                str(error).replace("The text encoder", "The CLIP", 1)
                + f" Or name the file: {OPEN_CLIP_PREFIX}{model}/{tag}=FILE."
            ) from error
        clip = create_model(model, path, name=f"{model}/{tag}")
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


def create_model(model: str, weights: Path, *, name: str, custom_text: bool = False) -> Any:
    """open_clip's `model` with the weights of a file; with `custom_text` its text tower is one module of its own.

    Raises `FeatureError` that calls the weights `name` when they do not fit.
    """
    try:
        return open_clip.create_model(model, pretrained=str(weights), force_custom_text=custom_text)
    except Exception as error:
        # torch and open_clip raise any kind for a damaged or foreign file.
        why = (str(error).strip().splitlines() or [""])[0]
        raise FeatureError(f"{weights}: not the weights of {name} ({type(error).__name__}: {why})") from error
