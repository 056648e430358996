"""CLIP's tokenizer: byte pairs over lower-case text (Sennrich et al. 2016; Radford et al. 2021, section 2.4).

Its table of merges is part of the open_clip package, of which nothing is imported; numbers are those of
`open_clip.SimpleTokenizer`.
"""

from __future__ import annotations

import gzip
import html
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from core.package_files import package_file
from core.text.encoder import TextEncoderError

MERGES_FILE = "bpe_simple_vocab_16e6.txt.gz"
VOCABULARY = 49408
START, END = VOCABULARY - 2, VOCABULARY - 1
MARKS = {"<start_of_text>": START, "<end_of_text>": END}

_END_OF_WORD = "</w>"
_MERGES = VOCABULARY - 2 * 256 - len(MARKS)
_PARTS = "|".join([*MARKS, "'s|'t|'re|'ve|'m|'ll|'d|[{L}]+|[{N}]|[^\\s{L}{N}]+"])
_ASCII_PARTS = re.compile(_PARTS.replace("{L}", "a-z").replace("{N}", "0-9"))


class BytePairs:
    """Prompts to token numbers [N, context length]; the end mark of a long one stays, the rest is cut off."""

    def __init__(self, context_length: int = 77) -> None:
        self.context_length = context_length

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        tokens_NL = torch.zeros(len(prompts), self.context_length, dtype=torch.int64)
        for row, prompt in zip(tokens_NL, prompts, strict=True):
            numbers = [START, *self.encode(prompt), END][: self.context_length]
            numbers[-1] = END
            row[: len(numbers)] = torch.tensor(numbers)
        return tokens_NL

    def encode(self, text: str) -> list[int]:
        """The numbers of a text without marks around it."""
        return [number for part in _parts(_cleaned(text)) for number in _numbers_of(part)]


def _cleaned(text: str) -> str:
    """Mended, HTML's names for characters read, lower case, single spaces."""
    if not text.isascii() or not text.isprintable() or "&" in text:  # else there is nothing to mend
        import ftfy

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split()).lower()


def _parts(text: str) -> Iterator[str]:
    """Words, digits, runs of signs, and the marks."""
    if text.isascii():
        return (match[0] for match in _ASCII_PARTS.finditer(text))
    import regex

    pattern = _PARTS.replace("{L}", "\\p{L}").replace("{N}", "\\p{N}")
    return (match[0] for match in regex.finditer(pattern, text, regex.IGNORECASE))


@lru_cache(maxsize=4096)
def _numbers_of(part: str) -> tuple[int, ...]:
    """Of one word: the pair that was merged first is merged first, until no pair is known."""
    if part in MARKS:
        return (MARKS[part],)
    letters, ranks, numbers = _tables()
    symbols = [letters[byte] for byte in part.encode("utf-8")]
    symbols[-1] += _END_OF_WORD
    while len(symbols) > 1:
        best = min(pairwise(symbols), key=lambda pair: ranks.get(" ".join(pair), _MERGES))
        if " ".join(best) not in ranks:
            break
        merged: list[str] = []
        place = 0
        while place < len(symbols):
            if tuple(symbols[place : place + 2]) == best:
                merged.append("".join(best))
                place += 2
            else:
                merged.append(symbols[place])
                place += 1
        symbols = merged
    return tuple(numbers[symbol] for symbol in symbols)


@lru_cache(maxsize=1)
def _tables() -> tuple[list[str], dict[str, int], dict[str, int]]:
    """A letter for each byte, the rank of each merge by its two sides "a b", and the number of each symbol."""
    # Printable bytes stand for themselves, the others for what follows Latin-1; printable ones have the first numbers.
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = [""] * 256
    for place, byte in enumerate([*printable, *others]):
        letters[byte] = chr(byte) if byte in printable else chr(256 + place - len(printable))
    order = [letters[byte] for byte in [*printable, *others]]
    merges = _read_merges()
    symbols = [*order, *(letter + _END_OF_WORD for letter in order), *(merge.replace(" ", "") for merge in merges)]
    return letters, {merge: rank for rank, merge in enumerate(merges)}, {s: number for number, s in enumerate(symbols)}


def _read_merges() -> list[str]:
    path = package_file("open_clip", MERGES_FILE)
    if path is None:
        raise TextEncoderError(
            f"CLIP's tokenizer needs {MERGES_FILE}, a file of the package open_clip_torch, which is not there; "
            "install it: pip install open_clip_torch"
        )
    return gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")[1 : _MERGES + 1]
