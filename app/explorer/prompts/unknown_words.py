"""Which words of a prompt the model never saw in training. No GUI here."""

from __future__ import annotations

from collections.abc import Set

from core.prompts import plain
from core.words import words


def unknown_words(prompt: str, vocabulary: Set[str]) -> list[str]:
    """The words of `prompt` that are not in `vocabulary`, in order, each once.

    An empty vocabulary says nothing, so nothing is unknown.
    """
    if not vocabulary:
        return []
    return [word for word in dict.fromkeys(words(plain(prompt))) if word not in vocabulary]
