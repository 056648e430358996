"""CLIP's text tower as a checkpoint carries it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from core.text.encoder import TextEncoder, TextEncoderError, Tokenizer

# What a checkpoint may say about its tower: (type, lowest, highest). Names that would make open_clip fetch something
# are not among them.
_TEXT_CFG: dict[str, tuple[type, float, float]] = {
    "context_length": (int, 1, 512),
    "vocab_size": (int, 49408, 49408),
    "width": (int, 1, 8192),
    "heads": (int, 1, 256),
    "layers": (int, 1, 96),
    "mlp_ratio": (float, 0.1, 16),
    "ls_init_value": (float, 0, 1),
    "embed_cls": (bool, 0, 1),
    "pad_id": (int, 0, 49407),
    "eos_id": (int, 0, 49407),
    "no_causal_mask": (bool, 0, 1),
    "proj_bias": (bool, 0, 1),
}
_POOL_TYPES = ("argmax", "first", "last", "eos")


def bundled_text_tower(embed_dim: int, text_cfg: Mapping[str, Any], *, quick_gelu: bool = False) -> nn.Module:
    """A freshly initialised open_clip text tower: the `.text` of a `CustomTextCLIP` with the same config, so their
    state dicts agree.

    Takes token ids [N, context length] to [N, embed_dim], not normalised. Raises `TextEncoderError` for a config it
    does not accept.
    """
    _check_text_cfg(embed_dim, text_cfg)
    from open_clip.transformer import QuickGELU, TextTransformer

    values = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12, **text_cfg}
    tower: nn.Module = TextTransformer(output_dim=embed_dim, act_layer=QuickGELU if quick_gelu else nn.GELU, **values)
    return tower


def _check_text_cfg(embed_dim: object, text_cfg: object) -> None:
    if type(embed_dim) is not int or not 1 <= embed_dim <= 8192:
        raise TextEncoderError(f"text embed_dim: expected an integer from 1 to 8192, got {embed_dim!r}")
    if not isinstance(text_cfg, Mapping):
        raise TextEncoderError(f"text_cfg: expected an object, got {type(text_cfg).__name__}")
    for name, value in text_cfg.items():
        if name == "pool_type":
            if value not in _POOL_TYPES:
                raise TextEncoderError(f"text_cfg pool_type: expected one of {', '.join(_POOL_TYPES)}, got {value!r}")
            continue
        if name not in _TEXT_CFG:
            raise TextEncoderError(
                f"text_cfg {name}: not a setting this version knows; known: {', '.join((*_TEXT_CFG, 'pool_type'))}"
            )
        kind, low, high = _TEXT_CFG[name]
        if name == "ls_init_value" and value is None:
            continue
        right = type(value) is kind or (kind is float and type(value) is int)
        if not right or not math.isfinite(value) or not low <= value <= high:
            raise TextEncoderError(f"text_cfg {name}: expected {kind.__name__} from {low:g} to {high:g}, got {value!r}")
    width, heads = text_cfg.get("width", 512), text_cfg.get("heads", 8)
    if width % heads:
        raise TextEncoderError(f"text_cfg heads: expected a divisor of the width {width}, got {heads}")


def bundled_encoder(spec: Mapping[str, Any], tensors: Mapping[str, Tensor], device: torch.device | str) -> TextEncoder:
    """The encoder of a header {"kind": "bundled", ...} with its tower's state dict."""
    embed_dim, text_cfg, quick_gelu = spec["embed_dim"], spec["text_cfg"], spec.get("quick_gelu", False)
    if type(quick_gelu) is not bool:
        raise TextEncoderError(f"text quick_gelu: expected true or false, got {quick_gelu!r}")
    # First without memory, so that a config cannot ask for more than the tensors that came with it.
    with torch.device("meta"):
        expected = bundled_text_tower(embed_dim, text_cfg, quick_gelu=quick_gelu).state_dict()
    for name in sorted(expected.keys() ^ tensors.keys()):
        fault = "is missing" if name in expected else "is not part of a tower with this config"
        raise TextEncoderError(f"text tower: tensor text.{name} {fault}")
    for name, tensor in expected.items():
        if tensors[name].shape != tensor.shape or not tensors[name].is_floating_point():
            raise TextEncoderError(
                f"text tower: tensor text.{name}: expected shape {list(tensor.shape)}, "
                f"got {list(tensors[name].shape)} of {tensors[name].dtype}"
            )
    tower = bundled_text_tower(embed_dim, text_cfg, quick_gelu=quick_gelu)
    tower.load_state_dict(dict(tensors))
    return TextEncoder(tower, _simple_tokenizer(text_cfg.get("context_length", 77)), dim=embed_dim, device=device)


def _simple_tokenizer(context_length: int) -> Tokenizer:
    """CLIP's byte-pair tokenizer; its vocabulary is part of the open_clip package."""
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer: Tokenizer = SimpleTokenizer(context_length=context_length)
    return tokenizer
