"""BERT's uncased tokenizer: words, then the longest pieces of a vocabulary (Wu et al. 2016, section 4.1)."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

UNKNOWN, START, END = "[UNK]", "[CLS]", "[SEP]"
LONGEST_WORD = 100
"""Characters; a longer word is unknown."""

# CJK ideographs, each a word of its own.
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPiece:
    """Texts to token numbers. Marks such as [SEP] in a text are text."""

    def __init__(self, vocabulary: Sequence[str], *, context_length: int) -> None:
        """`vocabulary` in the order of the numbers; pieces inside a word begin with ##. At most `context_length`
        tokens, the marks around them included.
        """
        self._numbers = {piece: number for number, piece in enumerate(vocabulary)}
        missing = [mark for mark in (UNKNOWN, START, END) if mark not in self._numbers]
        if missing:
            raise ValueError(f"vocabulary: expected the marks {', '.join(missing)} in it")
        self._unknown, self._start, self._end = (self._numbers[mark] for mark in (UNKNOWN, START, END))
        self._context_length = context_length

    def __call__(self, text: str) -> list[int]:
        """The numbers of a text between those of [CLS] and [SEP]."""
        room = self._context_length - 2
        found: list[int] = []
        for word in split_words(text):
            if len(found) >= room:
                break
            found.extend(self._pieces(word))
        return [self._start, *found[:room], self._end]

    def _pieces(self, word: str) -> list[int]:
        if len(word) > LONGEST_WORD:
            return [self._unknown]
        found: list[int] = []
        start = 0
        while start < len(word):
            mark = "##" if start else ""
            for stop in range(len(word), start, -1):
                number = self._numbers.get(mark + word[start:stop])
                if number is not None:
                    break
            else:
                return [self._unknown]
            found.append(number)
            start = stop
        return found


def split_words(text: str) -> list[str]:
    """Lower-case words without accents; punctuation marks and ideographs stand alone."""
    text = "".join(_cleaned(c) for c in text)
    text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    return "".join(f" {c} " if _is_punctuation(c) else c for c in text.lower()).split()


def _cleaned(c: str) -> str:
    if c in "\t\n\r" or c.isspace():
        return " "
    if c in "\0\ufffd" or unicodedata.category(c).startswith("C"):
        return ""
    code = ord(c)
    if code >= 0x3400 and any(first <= code <= last for first, last in _IDEOGRAPHS):
        return f" {c} "
    return c


def _is_punctuation(c: str) -> bool:
    if c.isascii():
        return c.isprintable() and not c.isalnum() and c != " "
    return unicodedata.category(c).startswith("P")
