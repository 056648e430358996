"""What weights do to a prompt's embedding."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from core.prompts import parse, plain, without
from core.text import TextEncoder

# A part takes a token at least and CLIP reads 77, so a later part is cut off, and its weight with it.
WEIGHED_PARTS = 77


def embed(encoder: TextEncoder, prompt: str) -> Tensor:
    """[C], of length one: e(plain) + sum over weighted parts i of (w_i - 1) (e(plain) - e(plain without part i)).

    What a part adds to the whole text counts w times. Without weights, and with all at 1, this is the plain text's
    embedding to the bit; a muted part that is the only weighted one gives that of the text without it.
    """
    text = plain(prompt)
    weighted = [span for span in parse(prompt) if span.weight != 1.0][:WEIGHED_PARTS]
    if not weighted:
        return encoder.encode([text])[0]
    if len(weighted) == 1 and weighted[0].weight == 0.0:
        return encoder.encode([without(prompt, weighted[0])])[0]
    whole_C = encoder.encode([text])[0]
    total_C = whole_C
    for span in weighted:
        rest_C = encoder.encode([without(prompt, span)])[0]
        total_C = total_C + (span.weight - 1.0) * (whole_C - rest_C)
    if not bool(total_C.norm() > 1e-6):
        return whole_C  # weights that cancel the text say nothing
    return F.normalize(total_C, dim=-1)
