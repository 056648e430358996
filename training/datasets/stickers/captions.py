"""Captions: a plan is drawn first, whatever it will name; then the words.

The same plan with another value gives two captions that differ in that attribute's words only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.words import words
from training.datasets.stickers.attributes import GRADIENTS, PLAIN
from training.datasets.stickers.concepts import CONCEPTS, NAMES, held_out_synonyms

MANNER_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "3D": {
        "prefix": ("a 3D render of", "a 3D picture of", "a 3D icon of"),
        "adjective": ("3D",),
        "suffix": ("3D render", "in 3D", "3D style"),
    },
    "flat": {
        "prefix": ("a flat icon of", "a flat design of", "a flat picture of"),
        "adjective": ("flat",),
        "suffix": ("flat icon", "flat design", "in a flat style"),
    },
    "detailed": {
        "prefix": ("a detailed illustration of", "a detailed drawing of", "a detailed picture of"),
        "adjective": ("detailed",),
        "suffix": ("detailed illustration", "detailed", "in a detailed style"),
    },
    "sticker": {
        "prefix": ("a sticker of", "a sticker with", "a die-cut sticker of"),
        "adjective": ("sticker",),
        "suffix": ("sticker", "as a sticker", "sticker style"),
    },
    "comic": {
        "prefix": ("a comic drawing of", "a comic picture of", "a cartoon of"),
        "adjective": ("comic", "cartoon"),
        "suffix": ("comic style", "cartoon", "in a comic style"),
    },
    "pixel art": {
        "prefix": ("pixel art of", "a pixel art picture of", "an 8-bit picture of"),
        "adjective": ("pixel art", "8-bit", "pixelated"),
        "suffix": ("pixel art", "in pixel art", "8-bit style"),
    },
    "line drawing": {
        "prefix": ("a line drawing of", "a line art picture of", "an outline drawing of"),
        "adjective": ("line art",),
        "suffix": ("line drawing", "line art", "as a line drawing"),
    },
    "neon": {
        "prefix": ("a neon sign of", "a glowing neon picture of", "neon art of"),
        "adjective": ("neon", "glowing neon"),
        "suffix": ("neon", "neon lights", "in neon style"),
    },
}
COLOUR_WORDS = {
    "red": ("red", "red", "bright red"),
    "orange": ("orange",),
    "yellow": ("yellow",),
    "green": ("green",),
    "turquoise": ("turquoise", "turquoise", "cyan"),
    "blue": ("blue",),
    "purple": ("purple", "purple", "violet"),
    "pink": ("pink",),
    "brown": ("brown",),
    "black": ("black",),
}
SIZE_WORDS = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium-sized", "mid-sized"),
    "large": ("big", "large", "huge"),
}
PLACE_WORDS = {
    "left": ("on the left", "at the left", "on the left side"),
    "centre": ("in the middle", "in the center", "in the centre"),
    "right": ("on the right", "at the right", "on the right side"),
}
SCENE_WORDS = {
    "meadow": ("in a meadow", "on a green meadow", "in a field of grass"),
    "sea": ("at sea", "in the ocean", "at the sea"),
    "desert": ("in the desert", "in a sandy desert", "on sand dunes"),
    "snow": ("in the snow", "in a snowy landscape", "in winter snow"),
    "night sky": ("at night", "in the night sky", "under a starry sky"),
    "sunset": ("at sunset", "in front of a sunset", "in the evening glow"),
}
PATTERN_WORDS = {
    "polka dots": ("polka dot", "dotted"),
    "stripes": ("striped", "stripy"),
    "checks": ("checkered", "checked"),
}
_NOUNS = ("background", "background", "backdrop")
_VOWEL_SOUND = ("8-bit",)
_CONSONANT_SOUND = ("unicorn",)


@dataclass(frozen=True)
class Caption:
    """A text and the name by which it calls its concept."""

    text: str
    name: str


def synonyms(concept: str, *, held_out: bool) -> tuple[str, ...]:
    """The names a training caption may use, its own first; or those that none uses."""
    kept = held_out_synonyms()
    return tuple(name for name in NAMES[concept].names if ((concept, name) in kept) == held_out)


def caption(named: dict[str, str], rng: np.random.Generator, names: Sequence[str]) -> Caption:
    """A caption that names exactly the attributes `named`. The concept is called by one of `names`, mostly the first.

    What is drawn from `rng` does not depend on the values: the same state gives the same plan.
    """
    picks = {attribute: float(rng.random()) for attribute in ("manner", "colour", "ground", "place", "size", "noun")}
    as_list, sentence, before, usual, which = (float(rng.random()) for _ in range(5))
    form = float(rng.random())
    keys = rng.random(4)
    name = names[0] if usual < 0.5 or len(names) == 1 else names[1 + int(which * (len(names) - 1))]
    two = named.get("count") == "two"
    noun = _plural(name, named["concept"]) if two else name
    adjectives = [_word(SIZE_WORDS, named, "size", picks), _word(COLOUR_WORDS, named, "colour", picks)]
    place = _word(PLACE_WORDS, named, "place", picks)
    ground = _ground(named.get("ground"), picks, short=as_list < 0.3)
    manner = MANNER_WORDS.get(named.get("manner", ""), {})
    style = "" if not manner else "prefix" if form < 0.4 else "adjective" if form < 0.65 else "suffix"
    said = _pick(manner[style], picks["manner"]) if style else ""
    if style == "adjective":
        adjectives.insert(0 if form < 0.58 else len(adjectives), said)
    phrase = " ".join(word for word in (*adjectives, noun) if word)
    if as_list < 0.3:
        parts = [part for part in (place, ground, said if style in ("prefix", "suffix") else "") if part]
        if style == "prefix":
            parts[-1] = _pick(manner["suffix"], picks["manner"])
        order = np.argsort(keys[: len(parts)])
        head = ("two " if two else "") + phrase
        return Caption(", ".join([head, *(parts[i] for i in order)]), name)
    subject = f"{'two' if two else _article(phrase, name)} {phrase}"
    if style == "prefix":
        subject = f"{said} {subject}"
    pieces = [subject, place, ground]
    if ground and before < 0.12 and style != "prefix":
        pieces = [f"{ground},", subject, place]
    text = " ".join(piece for piece in pieces if piece)
    if style == "suffix":
        text = f"{text}, {said}"
    return Caption(text[0].upper() + text[1:] + "." if sentence < 0.12 else text, name)


def vocabulary() -> tuple[str, ...]:
    """Every lower-case word a training caption can use, sorted."""
    kept = held_out_synonyms()
    texts = ["two", "some", "a", "an", "on", "gradient", "pattern", *_NOUNS, *PLAIN, *GRADIENTS]
    tables: tuple[Mapping[str, tuple[str, ...]], ...] = (
        COLOUR_WORDS,
        SIZE_WORDS,
        PLACE_WORDS,
        SCENE_WORDS,
        PATTERN_WORDS,
    )
    for table in (*tables, *MANNER_WORDS.values()):
        texts += [phrase for phrases in table.values() for phrase in phrases]
    for concept in CONCEPTS:
        for name in concept.names:
            if (concept.name, name) not in kept:
                texts += [name, _plural(name, concept.name)]
    return tuple(sorted({word for text in texts for word in words(text)}))


def _ground(ground: str | None, picks: dict[str, float], *, short: bool) -> str:
    if ground is None:
        return ""
    if ground in SCENE_WORDS:
        return _pick(SCENE_WORDS[ground], picks["ground"])
    noun = _pick(_NOUNS, picks["noun"])
    if ground in GRADIENTS:
        what = f"{ground} gradient" if picks["ground"] < 0.5 else f"{ground} gradient {noun}"
    elif ground in PATTERN_WORDS:
        what = f"{_pick(PATTERN_WORDS[ground], picks['ground'])} {noun}"
    else:
        what = f"{ground} {noun}"
    return what if short else f"on {_article(what, what)} {what}"


def _word(table: Mapping[str, tuple[str, ...]], named: dict[str, str], attribute: str, picks: dict[str, float]) -> str:
    return _pick(table[named[attribute]], picks[attribute]) if attribute in named else ""


def _pick(words_: Sequence[str], number: float) -> str:
    return words_[int(number * len(words_))]


def _article(phrase: str, name: str) -> str:
    if name.split()[-1] in _NO_ARTICLE:
        return "some"
    first = phrase.split()[0]
    if first in _VOWEL_SOUND:
        return "an"
    return "an" if first[0] in "aeiou" and first not in _CONSONANT_SOUND else "a"


_NO_ARTICLE = ("cherries", "grapes", "fries", "chips", "cattle")


def _plural(name: str, concept: str) -> str:
    """ "two cats", "two slices of pizza"."""
    if name == concept and NAMES[concept].plural:
        return NAMES[concept].plural
    head, of, rest = name.partition(" of ")
    if of:
        return f"{_plural(head, '')}{of}{rest}"
    for single, many in (("leaf", "leaves"), ("hoof", "hooves"), ("mouse", "mice"), ("half", "halves")):
        if name.endswith(single):
            return name[: -len(single)] + many
    if name.endswith(("s", "x", "ch", "sh")) and not name.endswith(("fries", "chips", "cherries")):
        return name + "es"
    if name.endswith(("fries", "chips", "cherries", "cattle")):
        return name
    if name.endswith("y") and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    return name + "s"
