"""Bytes of people's text files as text, with the encoding they turned out to have."""

from __future__ import annotations

import codecs
from typing import NamedTuple

DAMAGED = "\ufffd"
"""Stands where bytes are no text; lines and rows with it are refused."""
UNKNOWN = "unknown"

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig", "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32", "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "utf-16"),
)
_SAMPLE = 4096


class DecodedText(NamedTuple):
    """Text, and the encoding it was in."""

    text: str
    encoding: str
    """"utf-8", "utf-16", "utf-32", "windows-1252" (which holds Latin-1), or `UNKNOWN` when it is none of these."""


def decode_text(data: bytes, *, cut: bool = False) -> DecodedText:
    """Text in UTF-8, UTF-16 or UTF-32, with or without its mark, or Windows-1252, told from the bytes.

    What is mostly good UTF-8 stays that, with `DAMAGED` for bytes that are not; text of unknown encoding is all
    `DAMAGED` where it is not ASCII. `cut` says that more bytes followed, so that the last character may be torn.
    """
    for mark, codec, name in _BOMS:
        if data.startswith(mark):
            return DecodedText(_torn(data, codec, cut).decode(codec, "replace"), name)
    wide = _wide(data[:_SAMPLE])
    if wide:
        return DecodedText(_torn(data, wide, cut).decode(wide, "replace"), "utf-16")
    data = _torn(data, "utf-8", cut)
    try:
        return DecodedText(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        pass
    marked = data.decode("utf-8", "surrogateescape")
    bad = sum("\udc80" <= letter <= "\udcff" for letter in marked)
    good = sum(letter > "\x7f" for letter in marked) - bad
    if good > bad:
        return DecodedText(data.decode("utf-8", "replace"), "utf-8")
    try:
        return DecodedText(data.decode("cp1252"), "windows-1252")
    except UnicodeDecodeError:
        return DecodedText(data.decode("ascii", "replace"), UNKNOWN)


def _wide(sample: bytes) -> str:
    """The codec of UTF-16 without a mark, which has a zero in nearly every pair of Western text; else empty."""
    pairs = len(sample) // 2
    if pairs < 2:
        return ""
    if sample[1::2].count(0) > 0.6 * pairs and sample[::2].count(0) < 0.1 * pairs:
        return "utf-16-le"
    if sample[::2].count(0) > 0.6 * pairs and sample[1::2].count(0) < 0.1 * pairs:
        return "utf-16-be"
    return ""


def _torn(data: bytes, codec: str, cut: bool) -> bytes:
    """The bytes without a torn last character, when there is one because they were cut."""
    if not cut:
        return data
    decoder = codecs.getincrementaldecoder(codec)(errors="replace")
    decoder.decode(data)
    pending = decoder.getstate()[0]
    return data[: len(data) - len(pending)] if pending else data
