"""Which words of a prompt the model never saw in training, and what it can make of them. No GUI here."""

from __future__ import annotations

import unicodedata
from collections.abc import Set
from dataclasses import dataclass

from core.prompts import plain
from core.words import words


@dataclass(frozen=True, kw_only=True)
class UnknownWords:
    """The words of a prompt that no training caption had, in order, each once."""

    near: tuple[str, ...] = ()
    """Those that the text encoder knows from elsewhere: they stand near words of like meaning."""
    strange: tuple[str, ...] = ()
    """Those of which it knows nothing but the spelling."""


def unknown_words(prompt: str, vocabulary: Set[str], *, knows_english: bool = False) -> UnknownWords:
    """The words of `prompt` that are not in `vocabulary`, that of the training captions.

    `knows_english`: the text encoder was trained on more English than the captions, so it knows words in Latin letters,
    accents aside; those of other scripts are strange to it. An empty vocabulary says nothing, so nothing is unknown.
    """
    if not vocabulary:
        return UnknownWords()
    unknown = [word for word in dict.fromkeys(words(plain(prompt))) if word not in vocabulary]
    near = tuple(word for word in unknown if knows_english and _is_latin(word))
    return UnknownWords(near=near, strange=tuple(word for word in unknown if word not in near))


def _is_latin(word: str) -> bool:
    letters = (c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn")
    return all(c.isascii() or c == "’" for c in letters)
