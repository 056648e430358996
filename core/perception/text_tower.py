"""A text tower that conditions a generator, apart from the CLIP that judges: tuned in a text phase, or about to be.

The tower is open_clip's module, so that a checkpoint carries it as `core.text` reads it.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from core.perception.clip_towers import encode_tokens
from core.text import TextEncoderError, bundled_text_tower
from core.text.byte_pairs import BytePairs

METADATA_KEY = "glissando-text"

# Of open_clip's settings of a text tower, those that a checkpoint's header knows.
_SPEC_NAMES = frozenset(
    ("context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "ls_init_value", "embed_cls", "pad_id")
) | {"eos_id", "no_causal_mask", "proj_bias", "pool_type"}


class TextTower(nn.Module):
    """Prompts -> L2-normalised embeddings [N, embed_dim]; gradients reach the weights where they are let."""

    def __init__(self, tower: nn.Module, spec: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = tower
        """open_clip's text tower."""
        self.spec = dict(spec)
        """How a checkpoint's header describes this tower, of kind "bundled"."""
        self.embed_dim = int(spec["embed_dim"])
        config = spec["text_cfg"]
        self.context_length = int(config.get("context_length", 77))
        """Tokens of a prompt at most, with its marks."""
        self._tokenizer = BytePairs(context_length=self.context_length)
        special = ("no_causal_mask", "embed_cls", "proj_bias", "ls_init_value")
        self._plain = not any(config.get(name) for name in special) and config.get("pool_type", "argmax") == "argmax"

    @property
    def tower(self) -> TextTower:
        """Itself: as the run's CLIP, a tower is all there is."""
        return self

    def forward(self, prompts: Sequence[str]) -> Tensor:
        """Any text is a prompt; what is beyond the tower's context is cut off as open_clip's tokenizer does."""
        device = next(self.module.parameters()).device
        if not prompts:
            return torch.zeros(0, self.embed_dim, device=device)
        tokens_NL = self._tokenizer(list(prompts)).to(device)
        if self._plain:
            # Nothing before the end mark sees what is behind it, so captions are cut to the batch's longest.
            tokens_NL = tokens_NL[:, : int(tokens_NL.argmax(dim=1).max()) + 1]
        return self.encode_tokens(tokens_NL).float()

    def encode_tokens(self, tokens_NL: Tensor) -> Tensor:
        """L2-normalised embeddings [N, embed_dim] of token numbers."""
        if self._plain:
            return encode_tokens(self.module, tokens_NL)
        return F.normalize(self.module(tokens_NL), dim=-1)

    def encode_text(self, prompts: Sequence[str]) -> Tensor:
        """As `forward`, without gradients."""
        with torch.no_grad():
            embeddings: Tensor = self(prompts)
        return embeddings

    def text_spec(self) -> dict[str, Any]:
        """How a checkpoint's header describes this tower."""
        return dict(self.spec)

    def text_state_dict(self) -> dict[str, Tensor]:
        """The weights by open_clip's names, as a checkpoint carries them."""
        return {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}

    def trainable_copy(self) -> TextTower:
        """A tower of its own with the same weights, in full precision."""
        tower = copy.deepcopy(self.module).float().requires_grad_(True)
        return TextTower(tower, self.spec)


def bundled_spec(embed_dim: int, text_cfg: Mapping[str, Any], *, quick_gelu: bool = False) -> dict[str, Any]:
    """The header of a tower that its checkpoint holds. Raises `TextEncoderError` for one that is not CLIP's own."""
    unknown = sorted(set(text_cfg) - _SPEC_NAMES)
    if unknown:
        raise TextEncoderError(f"the text tower is not one of CLIP's own ({', '.join(unknown)}): it cannot be trained")
    spec: dict[str, Any] = {"kind": "bundled", "embed_dim": embed_dim, "text_cfg": dict(text_cfg)}
    return {**spec, "quick_gelu": True} if quick_gelu else spec


def build_tower(spec: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None) -> TextTower:
    """The tower of a checkpoint whose header says `spec` (kind "bundled"), with its `tensors` or fresh.

    Raises `TextEncoderError` when the two do not fit.
    """
    tower = bundled_text_tower(spec["embed_dim"], spec["text_cfg"], quick_gelu=bool(spec.get("quick_gelu", False)))
    if tensors is not None:
        try:
            tower.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        except RuntimeError as error:
            raise TextEncoderError(f"text tower: {str(error).splitlines()[-1].strip()}") from error
    return TextTower(tower.requires_grad_(False), spec)


def save_tower(path: Path, tower: TextTower) -> None:
    """Write a tower into a run's folder, whole or not at all, for the run to go on without the checkpoint."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        tensors = {name: tensor.cpu().contiguous() for name, tensor in tower.text_state_dict().items()}
        save_file(tensors, temporary, {METADATA_KEY: json.dumps(tower.text_spec())})
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_tower(path: Path) -> TextTower:
    """The tower that `save_tower` wrote. Raises `TextEncoderError` for another file."""
    try:
        with safe_open(path, framework="pt") as opened:
            spec = json.loads((opened.metadata() or {})[METADATA_KEY])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, json.JSONDecodeError, KeyError) as error:
        raise TextEncoderError(f"{path}: expected the text tower that the run was started with ({error})") from error
    return build_tower(spec, tensors)
