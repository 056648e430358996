r"""The syntax of a prompt: weights on words and phrases.

`(misty:1.4)` weighs what is inside, `(misty:0)` mutes it, and a bare text has the weight 1. `\(`, `\)` and `\\` are the
characters themselves. Whatever is not of this form, such as a lone parenthesis, is literal text: every text is a
prompt. Weighted parts do not nest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

WEIGHT_LIMIT = 10.0
"""Weights beyond this, on either side of 0, count as this."""

_WEIGHTED = re.compile(
    r"(?<!\\)((?:\\\\)*)\(((?:\\.|[^()\\])*?):[ ]*([+-]?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9}))[ ]*\)", re.DOTALL
)
_ESCAPE = re.compile(r"\\([()\\])")
# What is left of a word without the marks around it; an apostrophe or a hyphen inside belongs to it.
_WORD = re.compile(r"[^\s,;:!?.()\\\"“”„…'’-](?:(?:[^\s,;:!?.()\\\"“”„…]|\.(?=\w))*[^\s,;:!?.()\\\"“”„…'’-])?")


@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of a prompt with one weight."""

    text: str
    """As the encoder sees it."""
    weight: float
    start: int
    stop: int
    """Where it stands in the plain text."""
    source_start: int
    source_stop: int
    """Where it stands in the prompt as written, with its parentheses."""
    raw: str
    """As written, without the parentheses and the weight."""


def parse(prompt: str) -> tuple[Span, ...]:
    """The parts of a prompt in order; together they are the whole of it."""
    spans: list[Span] = []
    place = 0

    def add(start: int, stop: int, raw: str, weight: float) -> None:
        nonlocal place
        text = _ESCAPE.sub(r"\1", raw)
        if not raw:
            return
        spans.append(
            Span(
                text=text,
                weight=weight,
                start=place,
                stop=place + len(text),
                source_start=start,
                source_stop=stop,
                raw=raw,
            )
        )
        place += len(text)

    done = 0
    for found in _WEIGHTED.finditer(prompt):
        raw = found[2]
        if not raw.strip():
            continue  # nothing to weigh: literal
        opening = found.start(2) - 1
        add(done, opening, prompt[done:opening], 1.0)
        add(opening, found.end(), raw, min(max(float(found[3]), -WEIGHT_LIMIT), WEIGHT_LIMIT))
        done = found.end()
    add(done, len(prompt), prompt[done:], 1.0)
    return tuple(spans)


def plain(prompt: str) -> str:
    """The text as the encoder sees it."""
    return "".join(span.text for span in parse(prompt))


def without(prompt: str, span: Span) -> str:
    """The plain text without one part, and without the space or comma that would be left over."""
    text = plain(prompt)
    before, after = text[: span.start], text[span.stop :]
    if before.rstrip().endswith(",") and after.lstrip().startswith(","):
        after = after.lstrip()[1:]
    if not before.strip():
        return after.lstrip(" ,")
    if not after.strip():
        return before.rstrip(" ,")
    if before[-1].isspace() and after[0].isspace():
        return before + after.lstrip()
    if before[-1].isspace() and after[0] in ",.;:!?":
        return before.rstrip() + after
    return before + after


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word, or a phrase with a weight of its own, and where it stands in the prompt as written."""

    text: str
    """As the encoder sees it."""
    raw: str
    """As written, without parentheses and weight."""
    weight: float
    start: int
    stop: int
    """In the prompt as written, with parentheses and weight."""


def words_of(prompt: str) -> tuple[Word, ...]:
    """The words of a prompt in order: what a person would point at to change it."""
    found: list[Word] = []
    for span in parse(prompt):
        if prompt[span.source_start : span.source_stop] != span.raw:
            inside = span.text.strip()
            found.append(
                Word(
                    text=inside,
                    raw=span.raw.strip(),
                    weight=span.weight,
                    start=span.source_start,
                    stop=span.source_stop,
                )
            )
            continue
        found.extend(
            Word(
                text=match[0],
                raw=match[0],
                weight=1.0,
                start=span.source_start + match.start(),
                stop=span.source_start + match.end(),
            )
            for match in _WORD.finditer(span.raw)
        )
    return tuple(found)


def with_text(prompt: str, word: Word, text: str) -> str:
    """The prompt with another word in the place of `word`, at the same weight."""
    return _put(prompt, word, escaped(text), word.weight)


def with_weight(prompt: str, word: Word, weight: float) -> str:
    """The prompt with another weight on `word`; at 1 it stands without parentheses."""
    return _put(prompt, word, word.raw, weight)


def escaped(text: str) -> str:
    """`text` so that a prompt with it means just that text."""
    return re.sub(r"[()\\]", lambda match: "\\" + match[0], text)


def _put(prompt: str, word: Word, raw: str, weight: float) -> str:
    weight = round(min(max(weight, -WEIGHT_LIMIT), WEIGHT_LIMIT), 2)
    written = raw if weight == 1.0 else f"({raw}:{weight:g})"
    return prompt[: word.start] + written + prompt[word.stop :]
