"""Fuzzy matching: "svp" matches "Save picture". No GUI here."""

from __future__ import annotations

from dataclasses import dataclass

_WORD_START = 8
_RUN = 8
_GAP = 1


@dataclass(frozen=True)
class Match:
    """The score of a match, and the positions of the matched letters."""

    score: int
    positions: tuple[int, ...]


def match(query: str, text: str) -> Match | None:
    """Match the letters of `query` in order within `text`; None where that fails. Case and spaces do not matter.

    Letters at the beginning of words and in unbroken runs count most, those far from each other least.
    """
    wanted = "".join(query.split()).lower()
    letters = text.lower()
    if len(letters) != len(text):  # a letter whose small form is two: positions would be off
        letters = text
    if not wanted:
        return Match(0, ())
    starts = [place for place, letter in enumerate(letters) if letter == wanted[0]]
    found = [m for m in (_from(wanted, letters, start) for start in starts) if m is not None]
    return max(found, key=lambda m: m.score, default=None)


def _from(wanted: str, letters: str, start: int) -> Match | None:
    """The match that begins at `start`: each next letter continues a run, else starts a word, else is the nearest."""
    positions = [start]
    for index in range(1, len(wanted)):
        after = positions[-1] + 1
        places = [place for place in range(after, len(letters)) if letters[place] == wanted[index]]
        rest = wanted[index + 1 :]
        places = [place for place in places if _remains(rest, letters, place + 1)]
        if not places:
            return None
        run = places[0] == after
        word = next((place for place in places if _starts_word(letters, place)), None)
        positions.append(places[0] if run or word is None else word)
    score = 0
    for index, place in enumerate(positions):
        if _starts_word(letters, place):
            score += _WORD_START
        if index:
            gap = place - positions[index - 1] - 1
            score += _RUN if gap == 0 else -min(gap, 10) * _GAP
    return Match(score - min(start, 10) * _GAP, tuple(positions))


def _starts_word(letters: str, place: int) -> bool:
    return place == 0 or not letters[place - 1].isalnum()


def _remains(wanted: str, letters: str, start: int) -> bool:
    """Whether `wanted` can still be found, in order, from `start` on."""
    for letter in wanted:
        start = letters.find(letter, start) + 1
        if start == 0:
            return False
    return True
