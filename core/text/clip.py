"""CLIP's text tower as a checkpoint carries it: open_clip's names, weights and results without its imports."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.layers import drawn, embedding
from core.text.byte_pairs import VOCABULARY, BytePairs
from core.text.encoder import TextEncoder, TextEncoderError

# What a checkpoint may say about its tower: (type, lowest, highest). Names that would make open_clip fetch something
# are not among them.
_TEXT_CFG: dict[str, tuple[type, float, float]] = {
    "context_length": (int, 1, 512),
    "vocab_size": (int, VOCABULARY, VOCABULARY),
    "width": (int, 1, 8192),
    "heads": (int, 1, 256),
    "layers": (int, 1, 96),
    "mlp_ratio": (float, 0.1, 16),
    "ls_init_value": (float, 0, 1),
    "embed_cls": (bool, 0, 1),
    "pad_id": (int, 0, VOCABULARY - 1),
    "eos_id": (int, 0, VOCABULARY - 1),
    "no_causal_mask": (bool, 0, 1),
    "proj_bias": (bool, 0, 1),
}
_POOL_TYPES = ("argmax", "first", "last", "eos")


def bundled_text_tower(embed_dim: int, text_cfg: Mapping[str, Any], *, quick_gelu: bool = False) -> TextTower:
    """A freshly initialised text tower, its state dict that of the `.text` of an open_clip `CustomTextCLIP` with the
    same config.

    Takes token ids [N, context length] to [N, embed_dim], not normalised. Raises `TextEncoderError` for a config it
    does not accept.
    """
    _check_text_cfg(embed_dim, text_cfg)
    return TextTower(Config(**text_cfg), embed_dim, quick_gelu)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a tower, by open_clip's names."""

    context_length: int = 77
    vocab_size: int = VOCABULARY
    width: int = 512
    heads: int = 8
    layers: int = 12
    mlp_ratio: float = 4.0
    ls_init_value: float | None = None
    """Where layer scale starts; None is without."""
    embed_cls: bool = False
    """A class token behind the text (CoCa), and padding masked out."""
    pad_id: int = 0
    eos_id: int = 2
    no_causal_mask: bool = False
    proj_bias: bool = False
    pool_type: str = "argmax"
    """Which token stands for the text: that of the highest number (the end mark), first, last, or first `eos_id`."""


class TextTower(nn.Module):
    """CLIP's text transformer (Radford et al. 2021, section 2.4). Shape letters: N texts, L tokens, C width."""

    def __init__(self, config: Config, embed_dim: int, quick_gelu: bool) -> None:
        super().__init__()
        self.config = config
        width, positions = config.width, config.context_length + config.embed_cls
        self.token_embedding = embedding(config.vocab_size, width, std=0.02)
        self.positional_embedding = nn.Parameter(drawn(positions, width, std=0.01))
        self.cls_emb = nn.Parameter(drawn(width, std=0.01)) if config.embed_cls else None
        self.transformer = Transformer(config, quick_gelu)
        self.ln_final = nn.LayerNorm(width)
        projection = drawn(width, embed_dim, std=width**-0.5)
        self.text_projection: nn.Linear | nn.Parameter
        if config.proj_bias:
            self.text_projection = nn.Linear(width, embed_dim)
            self.text_projection.weight = nn.Parameter(projection.T.contiguous())
        else:
            self.text_projection = nn.Parameter(projection)

    @property
    def attn_mask(self) -> Tensor | None:
        """[L, L] to add to the logits: no token sees what is behind it."""
        if self.config.no_causal_mask:
            return None
        length = len(self.positional_embedding)
        return self.positional_embedding.new_full((length, length), -math.inf).triu_(1)

    def forward(self, tokens_NL: Tensor) -> Tensor:
        """[N, L] -> [N, embed_dim]."""
        config = self.config
        if config.pool_type == "argmax" and not config.no_causal_mask and not config.embed_cls:
            # Nothing before the end mark sees the padding behind it, so cutting the padding off changes nothing.
            tokens_NL = tokens_NL[:, : int(tokens_NL.argmax(dim=1).max()) + 1]
        x = self.token_embedding(tokens_NL)
        if self.cls_emb is not None:
            x = torch.cat([x, self.cls_emb.expand(len(x), 1, -1)], dim=1)
        length = x.shape[1]
        x = self.transformer(x + self.positional_embedding[:length], self._mask(tokens_NL, length))
        if self.cls_emb is not None:
            return self._projected(self.ln_final(x[:, -1]))
        rows = torch.arange(len(x), device=x.device)
        return self._projected(self.ln_final(x[rows, self._pooled(tokens_NL)]))

    def _mask(self, tokens_NL: Tensor, length: int) -> Tensor | None:
        """[L, L] or [N, 1, L, L]."""
        mask = self.attn_mask
        if mask is not None:
            mask = mask[:length, :length]
        if self.cls_emb is None:
            return mask
        # The class token stands last, its place in the padding mask first: so were published weights trained.
        is_text = F.pad(tokens_NL != self.config.pad_id, (1, 0), value=True)
        padding = torch.zeros(is_text.shape, device=is_text.device).masked_fill_(~is_text, -math.inf)
        padding = padding[:, None, None].expand(-1, 1, length, -1)
        return padding if mask is None else padding + mask

    def _pooled(self, tokens_NL: Tensor) -> Tensor | int:
        """The place of the token that stands for the text, [N] or the same for all."""
        kind = self.config.pool_type
        if kind == "first":
            return 0
        if kind == "last":
            return -1
        return tokens_NL.argmax(dim=1) if kind == "argmax" else (tokens_NL == self.config.eos_id).int().argmax(dim=1)

    def _projected(self, x_NC: Tensor) -> Tensor:
        if isinstance(self.text_projection, nn.Linear):
            y: Tensor = self.text_projection(x_NC)
            return y
        return x_NC @ self.text_projection


class Transformer(nn.Module):
    """The blocks of a tower."""

    def __init__(self, config: Config, quick_gelu: bool) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(config, quick_gelu) for _ in range(config.layers))

    def forward(self, x_NLC: Tensor, mask: Tensor | None) -> Tensor:
        """`mask` is added to the logits of attention."""
        for block in self.resblocks:
            x_NLC = block(x_NLC, mask)
        return x_NLC


class Block(nn.Module):
    """Attention and a feed-forward network, each behind a norm and beside a skip (pre-norm)."""

    def __init__(self, config: Config, quick_gelu: bool) -> None:
        super().__init__()
        width, hidden, depth = config.width, int(config.width * config.mlp_ratio), config.layers
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(config)
        self.ls_1 = _scale(config)
        self.ln_2 = nn.LayerNorm(width)
        up, down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        up.weight = nn.Parameter(drawn(hidden, width, std=(2 * width) ** -0.5))
        down.weight = nn.Parameter(drawn(width, hidden, std=(2 * width * depth) ** -0.5))
        activation = QuickGELU() if quick_gelu else nn.GELU()
        self.mlp = nn.Sequential(OrderedDict(c_fc=up, gelu=activation, c_proj=down))
        self.ls_2 = _scale(config)

    def forward(self, x_NLC: Tensor, mask: Tensor | None) -> Tensor:
        x = x_NLC + self.ls_1(self.attn(self.ln_1(x_NLC), mask))
        y: Tensor = x + self.ls_2(self.mlp(self.ln_2(x)))
        return y


class Attention(nn.Module):
    """Multi-head self-attention, its weights by the names of `nn.MultiheadAttention`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.width
        self.num_heads = config.heads
        self.in_proj_weight = nn.Parameter(drawn(3 * width, width, std=width**-0.5))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        self.out_proj.weight = nn.Parameter(drawn(width, width, std=(2 * width * config.layers) ** -0.5))
        self.out_proj.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x_NLC: Tensor, mask: Tensor | None) -> Tensor:
        n, length, width = x_NLC.shape
        qkv = F.linear(x_NLC, self.in_proj_weight, self.in_proj_bias)
        q, k, v = qkv.view(n, length, 3, self.num_heads, width // self.num_heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=None if mask is None else mask.to(q.dtype))
        y: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(n, length, width))
        return y


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x), the activation of OpenAI's CLIP."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class LayerScale(nn.Module):
    """A factor for each channel (Touvron et al. 2021)."""

    def __init__(self, width: int, start: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), float(start)))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


def _scale(config: Config) -> nn.Module:
    return nn.Identity() if config.ls_init_value is None else LayerScale(config.width, config.ls_init_value)


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
    # Without memory, so that a config cannot ask for more than the tensors that came with it.
    with torch.device("meta"):
        tower = bundled_text_tower(embed_dim, text_cfg, quick_gelu=quick_gelu)
    expected = tower.state_dict()
    for name in sorted(expected.keys() ^ tensors.keys()):
        fault = "is missing" if name in expected else "is not part of a tower with this config"
        raise TextEncoderError(f"text tower: tensor text.{name} {fault}")
    for name, tensor in expected.items():
        if tensors[name].shape != tensor.shape or not tensors[name].is_floating_point():
            raise TextEncoderError(
                f"text tower: tensor text.{name}: expected shape {list(tensor.shape)}, "
                f"got {list(tensors[name].shape)} of {tensors[name].dtype}"
            )
    # Copies, because those of a checkpoint are views of its file, which somebody may overwrite.
    copies = {name: tensor.to(torch.float32, copy=True) for name, tensor in tensors.items()}
    tower.load_state_dict(copies, assign=True)
    return TextEncoder(tower, BytePairs(tower.config.context_length), dim=embed_dim, device=device)
