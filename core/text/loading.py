"""The text encoder that a checkpoint's header asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core.text.clip import bundled_encoder
from core.text.encoder import TextEncoder, TextEncoderError
from core.text.published import published_encoder
from core.text.sentence import minilm_encoder


def load_text_encoder(
    spec: Mapping[str, Any], tensors: Mapping[str, Tensor], device: torch.device | str = "cpu"
) -> TextEncoder:
    """The encoder that a checkpoint's header asks for.

    `spec` is one of {"kind": "bundled", "embed_dim": int, "text_cfg": {...}, "quick_gelu": bool (optional)} with the
    tower's state dict in `tensors`; {"kind": "minilm", "file": str, "sha256": str} with "mean" and "std" [384] of the
    embeddings of the training captions in `tensors`; {"kind": "open_clip", "model": str, "pretrained": str}. Raises
    `TextEncoderError`.
    """
    kind = spec.get("kind")
    if kind == "bundled":
        _exact_keys("text", spec, {"kind", "embed_dim", "text_cfg"}, {"quick_gelu"})
        return bundled_encoder(spec, tensors, device)
    if kind == "minilm":
        _exact_keys("text", spec, {"kind", "file", "sha256"}, set())
        return minilm_encoder(spec, tensors, device)
    if kind == "open_clip":
        _exact_keys("text", spec, {"kind", "model", "pretrained"}, set())
        return published_encoder(spec["model"], spec["pretrained"], device)
    raise TextEncoderError(f"text kind: expected bundled, minilm or open_clip, got {kind!r}")


def _exact_keys(what: str, values: Mapping[str, Any], required: set[str], optional: set[str]) -> None:
    missing, spare = sorted(required - values.keys()), sorted(values.keys() - required - optional)
    if missing or spare:
        raise TextEncoderError(
            f"{what}: expected the fields {', '.join(sorted(required))}; missing: {missing}, unknown: {spare}"
        )
