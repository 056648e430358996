"""Batches for a CLIP: tokenised captions, one drawn for each picture, and light augmentation of both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.perception.features import resize
from core.text.byte_pairs import BytePairs
from training.clip.config import VOCABULARY_SIZE, ClipConfig


class CaptionTable:
    """Every caption of a data set as token numbers, tokenised once."""

    def __init__(self, captions: Sequence[Sequence[str]], context_length: int) -> None:
        tokenizer = BytePairs(context_length=context_length)
        distinct = {text: row for row, text in enumerate(dict.fromkeys(text for texts in captions for text in texts))}
        self.tokens: NDArray[np.int64] = np.asarray(tokenizer(list(distinct)), np.int64)
        """[M, L], the distinct captions."""
        self._rows = np.array([distinct[text] for texts in captions for text in texts])
        self._first = np.concatenate([[0], np.cumsum([len(texts) for texts in captions])])

    def draw(self, pictures: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """One of each picture's captions at random: [B, L]."""
        first, end = self._first[pictures], self._first[pictures + 1]
        drawn: NDArray[np.int64] = self.tokens[self._rows[rng.integers(first, end)]]
        return drawn

    def used(self, pictures: NDArray[np.int64]) -> NDArray[np.int64]:
        """The token numbers that the captions of these pictures use, ascending."""
        rows = np.concatenate([self._rows[self._first[p] : self._first[p + 1]] for p in pictures])
        return np.unique(self.tokens[np.unique(rows)])


class SeenTokens:
    """The few rows of the token embedding that training sees, as a table of their own.

    The byte-pair vocabulary has 49,408 entries, a data set like Postcards some hundreds. All others keep a zero row,
    so a word the model never saw adds nothing but its place in the sentence (and training slips such words in, see
    `slip_in_unknown`). It also spares the gradient, the optimiser and the run's saved state the six million unused
    numbers.
    """

    def __init__(self, used: NDArray[np.int64]) -> None:
        self.used = used
        index = np.zeros(VOCABULARY_SIZE, np.int64)
        index[used] = np.arange(1, len(used) + 1)
        self._index = index
        unseen = np.flatnonzero(index == 0)
        self.unknown = int(unseen[0]) if len(unseen) else 0
        """A token number that stands for any word never seen."""

    def __len__(self) -> int:
        return len(self.used) + 1

    def rows(self, tokens_BL: NDArray[np.int64]) -> Tensor:
        """Token numbers -> rows of the small table; row 0 is the zero row."""
        return torch.from_numpy(self._index[tokens_BL])


def slip_in_unknown(
    tokens_BL: NDArray[np.int64], share: float, unknown: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Insert the token `unknown` at a random place of a random `share` of the captions that have room for it."""
    batch = len(tokens_BL)
    chosen = rng.random(batch) < share
    # After the start mark, at the latest just before the end mark.
    place = 1 + (rng.random(batch) * tokens_BL.argmax(axis=1)).astype(np.int64)
    result = tokens_BL.copy()
    for row in np.flatnonzero(chosen & (tokens_BL[:, -1] == 0)):
        at = place[row]
        result[row, at + 1 :] = tokens_BL[row, at:-1]
        result[row, at] = unknown
    return result


def to_float(images_B3RR: NDArray[np.uint8]) -> Tensor:
    """uint8 -> float32 in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images_B3RR)).float().mul_(1 / 127.5).sub_(1)


def augment(images_B3RR: NDArray[np.uint8], config: ClipConfig, rng: np.random.Generator) -> Tensor:
    """Shifted, tinted and now and then coarse: float32 [B, 3, R, R], about [-1, 1]."""
    batch, _, side, _ = images_B3RR.shape
    reach = round(config.shift * side)
    if reach:
        moves = rng.integers(-reach, reach + 1, (2, batch, 1))
        rows, columns = np.clip(np.arange(side) + moves, 0, side - 1)  # the edge is repeated
        images_B3RR = images_B3RR[
            np.arange(batch)[:, None, None, None],
            np.arange(3)[:, None, None],
            rows[:, None, :, None],
            columns[:, None, None, :],
        ]
    x = to_float(images_B3RR)
    gain = 1 + config.colour * rng.standard_normal((batch, 1, 1, 1), np.float32)
    tint = config.colour * rng.standard_normal((batch, 3, 1, 1), np.float32)
    x = x * torch.from_numpy(gain) + torch.from_numpy(tint)
    coarse = torch.from_numpy(np.flatnonzero(rng.random(batch) < config.coarse))
    if len(coarse) and side > 1:
        x[coarse] = resize(resize(x[coarse], side // 2), side)
    return x


def keep_patches(batch: int, patches: int, dropout: float, rng: np.random.Generator) -> Tensor | None:
    """Which patches each picture keeps, [B, K]; None for all of them."""
    kept = max(1, round(patches * (1 - dropout)))
    if kept == patches:
        return None
    return torch.from_numpy(np.argsort(rng.random((batch, patches), np.float32), axis=1)[:, :kept].copy())
