"""Captions as texts: cleaned, and read from the .txt beside a picture, one a line."""

from __future__ import annotations

import re
from typing import NamedTuple

from training.datasets.text import DAMAGED, UNKNOWN, decode_text

MAX_CAPTION = 4000
"""Characters of a caption that are kept: far more than any text encoder reads."""
MAX_TEXT_BYTES = 1 << 20
"""Of a .txt beside a picture, or of a sample's JSON."""

# Control characters, and everything that ends a line; the tab stays.
_CONTROLS = dict.fromkeys([*range(9), *range(10, 32), 127, 0x85, 0x2028, 0x2029], " ")
_LINE_ENDS = re.compile(r"\r\n|\n|\r")


class TextCaptions(NamedTuple):
    """The captions in a .txt."""

    captions: tuple[str, ...]
    encoding: str
    """As `decode_text` tells it; empty when there was no text to read."""
    refused: int = 0
    """Lines with bytes that are no text."""


def tidy(caption: str) -> str:
    """A caption on one line, without control characters and spaces around it, of a bearable length."""
    return caption[:MAX_CAPTION].translate(_CONTROLS).strip()


def read_lines(data: bytes) -> TextCaptions:
    """The captions of a .txt's bytes: one a line, blank lines left out; none of unknown encoding."""
    text, encoding = decode_text(data, cut=len(data) >= MAX_TEXT_BYTES)
    lines = [line for line in map(tidy, _LINE_ENDS.split(text)) if line]
    whole = tuple(line for line in lines if DAMAGED not in line)
    if encoding == UNKNOWN:
        whole = ()
    return TextCaptions(captions=whole, encoding=encoding if lines else "", refused=len(lines) - len(whole))
