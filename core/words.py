"""The words of a prompt, as vocabularies count them."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def words(text: str) -> list[str]:
    """Lower-case words in order, letters of any script; an apostrophe inside a word belongs to it, a hyphen parts two
    words.
    """
    return _WORD.findall(text.lower())
