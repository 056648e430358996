"""open_clip's two towers, run the short way: the same weights and the same results in fewer and larger steps.

open_clip's own forward is the plain path; the tests hold these functions to it, gradients included. What differs:
attention is written out (on CPUs its backward pass is much faster than the fused kernel's, and frozen weights get no
gradient work), patches are left out before they are embedded, captions are cut to the longest of the batch, and
outputs of inner blocks are at hand.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.model import CustomTextCLIP
from torch import Tensor, nn


def build_clip(embed_dim: int, vision_cfg: dict[str, Any], text_cfg: dict[str, Any]) -> CustomTextCLIP:
    """An open_clip model with fresh weights; nothing is downloaded."""
    return CustomTextCLIP(embed_dim, dict(vision_cfg), dict(text_cfg))


def embed_patches(visual: Any, x_N3HW: Tensor, keep_NK: Tensor | None = None) -> Tensor:
    """Class token and patch tokens, [N, 1 + T, C]: what open_clip's image tower gives its first block.

    `keep_NK` picks patches by their row-major number; the others are not even embedded.
    """
    n, _, height, width = x_N3HW.shape
    p, q = visual.patch_size
    x = x_N3HW.reshape(n, 3, height // p, p, width // q, q).permute(0, 2, 4, 1, 3, 5).reshape(n, -1, 3 * p * q)
    positions = visual.positional_embedding[1:].expand(n, -1, -1)
    if keep_NK is not None:
        x = x.gather(1, keep_NK[:, :, None].expand(-1, -1, x.shape[2]))
        positions = visual.positional_embedding[1:][keep_NK]
    x = F.linear(x, visual.conv1.weight.flatten(1)) + positions
    first = (visual.class_embedding + visual.positional_embedding[0]).expand(n, 1, -1)
    return _norm(visual.ln_pre, torch.cat([first.to(x.dtype), x], dim=1))


def image_embedding(visual: Any, x_NTC: Tensor) -> Tensor:
    """The last block's tokens -> L2-normalised embedding [N, D]."""
    return F.normalize(_norm(visual.ln_post, x_NTC[:, 0]) @ visual.proj, dim=-1)


def encode_tokens(text: Any, tokens_NL: Tensor, embedded_NLC: Tensor | None = None) -> Tensor:
    """Token numbers [N, L] -> L2-normalised embedding [N, D]. `embedded_NLC` stands for the rows of the token
    embedding."""
    end = tokens_NL.argmax(dim=-1)  # the end mark has the largest number
    length = tokens_NL.shape[1] if tokens_NL.is_meta else int(end.max()) + 1
    x = text.token_embedding(tokens_NL[:, :length]) if embedded_NLC is None else embedded_NLC[:, :length]
    x = x + text.positional_embedding[:length]
    # Causal: nothing before the end mark sees the padding behind it, so cutting the padding off changes nothing.
    x, _ = run_blocks(text.transformer.resblocks, x, mask=text.attn_mask[:length, :length])
    x = _norm(text.ln_final, x[torch.arange(len(x), device=x.device), end])
    return F.normalize(x @ text.text_projection, dim=-1)


def run_blocks(
    blocks: Any, x_NTC: Tensor, mask: Tensor | None = None, collect: Collection[int] = ()
) -> tuple[Tensor, dict[int, Tensor]]:
    """The transformer: (its output, the tokens after as many blocks as each number in `collect`; 0 is the input)."""
    collected = {0: x_NTC} if 0 in collect else {}
    for number, block in enumerate(blocks, start=1):
        x_NTC = _block(block, x_NTC, mask)
        if number in collect:
            collected[number] = x_NTC
    return x_NTC, collected


def _block(block: Any, x: Tensor, mask: Tensor | None) -> Tensor:
    n, t, c = x.shape
    attention = block.attn
    heads = attention.num_heads
    qkv = F.linear(_norm(block.ln_1, x), attention.in_proj_weight, attention.in_proj_bias)
    q, k, v = qkv.view(n, t, 3, heads, c // heads).permute(2, 0, 3, 1, 4).unbind(0)  # each [N, heads, T, c / heads]
    if x.is_cuda:
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=None if mask is None else mask.to(q.dtype))
    else:
        logits = (q * (c // heads) ** -0.5) @ k.transpose(-1, -2)
        if mask is not None:
            logits = logits + mask
        mixed = logits.softmax(dim=-1).to(v.dtype) @ v
    x = x + attention.out_proj(mixed.transpose(1, 2).reshape(n, t, c))
    mlp: Tensor = block.mlp(_norm(block.ln_2, x))
    return x + mlp


def _norm(layer: Any, x: Tensor) -> Tensor:
    if isinstance(layer, nn.Identity):
        return x
    return F.layer_norm(x, layer.normalized_shape, layer.weight, layer.bias, layer.eps)
