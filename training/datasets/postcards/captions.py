"""Captions: which attributes a text names is drawn first, then a sentence plan, then the words.

A plan is independent of the values it will name, so that two captions of one plan differ in one attribute's words
only (`swap_pair`), which is what the evaluation's swaps need.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from core.words import words
from training.datasets.postcards.attributes import ATTRIBUTES, Attributes, is_plausible
from training.datasets.postcards.wording import LIST_SCENES, MEETINGS, NEEDS_OBJECT, OPENINGS, PHRASES, SCENES

_COUNT_WEIGHTS = (0.06, 0.12, 0.20, 0.24, 0.20, 0.11, 0.07)  # of naming 1, 2, ... 7 attributes
_NAME_WEIGHTS = {"terrain": 1.0, "time": 0.9, "season": 0.8, "sky": 0.65, "weather": 0.8, "object": 1.0, "style": 2.2}
_SILENT = {"season": "plain", "sky": "none", "weather": "clear", "object": "none", "style": "plain"}
"""The values people rarely put into words; their weight is halved."""


@dataclass(frozen=True)
class Caption:
    """A text and the attributes it names, with their values."""

    text: str
    named: dict[str, str]


@dataclass(frozen=True)
class _Slot:
    """A place for an attribute's words in a given form; `before` holds the adjectives that go into its "~"."""

    attribute: str
    form: str
    before: tuple["_Slot", ...] = ()


@dataclass(frozen=True)
class _Literal:
    """Fixed words, with adjectives."""

    text: str
    before: tuple[_Slot, ...] = ()


@dataclass(frozen=True)
class _Plan:
    pieces: tuple[_Slot | _Literal, ...]
    picks: dict[str, float]
    """Attribute -> a number in [0, 1) that chooses among its phrases."""
    sentence: bool
    """Whether to write a capital letter and a full stop."""


def vocabulary() -> tuple[str, ...]:
    """Every lower-case word a caption can use, sorted."""
    texts = [
        phrase
        for forms in PHRASES.values()
        for values in forms.values()
        for tuple_ in values.values()
        for phrase in tuple_
    ]
    texts += [*SCENES, *LIST_SCENES, *OPENINGS, *MEETINGS, "an"]
    return tuple(sorted({word for text in texts for word in words(text.replace("~", ""))}))


def caption(attributes: Attributes, rng: np.random.Generator) -> Caption:
    """A caption that names one to seven of the attributes, usually three to five; the style more often than not."""
    count = 1 + int(rng.choice(len(_COUNT_WEIGHTS), p=_COUNT_WEIGHTS))
    values = attributes.as_dict()
    weights = np.array([_NAME_WEIGHTS[n] * (0.5 if _SILENT.get(n) == values[n] else 1.0) for n in ATTRIBUTES])
    chosen = rng.choice(len(weights), size=count, replace=False, p=weights / weights.sum())
    named = [name for index, name in enumerate(ATTRIBUTES) if index in chosen]
    return Caption(describe(attributes, named, rng), {name: values[name] for name in named})


def describe(attributes: Attributes, named: Iterable[str], rng: np.random.Generator) -> str:
    """A caption that names exactly the attributes `named`. ValueError for a name that is no attribute."""
    names = _checked(named)
    return _realise(_make_plan(names, attributes.object != "none", rng), attributes)


def swap_pair(
    attributes: Attributes, name: str, new_value: str, rng: np.random.Generator
) -> tuple[str, str, Attributes]:
    """Two captions of one plan that differ only in the words of one attribute, and the attributes of the second.

    Both name three to six attributes, `name` among them. ValueError for an unknown attribute or value, the value the
    picture has already, or a combination the sampler never draws (a sun at night).
    """
    _checked([name])
    other = replace(attributes, **{name: new_value})
    if other == attributes:
        raise ValueError(f"{name}: expected another value than the picture's own, {new_value!r}")
    if not is_plausible(other):
        raise ValueError(f"{name}: {new_value!r} would put a sun into the night sky; choose another value or sky")
    count = int(rng.integers(2, 6))
    rest = [n for n in ATTRIBUTES if n != name]
    chosen = {name, *(rest[int(i)] for i in rng.choice(len(rest), size=count, replace=False))}
    has_object = attributes.object != "none" and other.object != "none"
    plan = _make_plan([n for n in ATTRIBUTES if n in chosen], has_object, rng)
    return _realise(plan, attributes), _realise(plan, other), other


def _checked(named: Iterable[str]) -> list[str]:
    names = list(named)
    for name in names:
        if name not in ATTRIBUTES:
            raise ValueError(f"attribute: expected one of {', '.join(ATTRIBUTES)}; got {name!r}")
    return [name for name in ATTRIBUTES if name in names]


def _make_plan(names: list[str], has_object: bool, rng: np.random.Generator) -> _Plan:
    picks = {name: float(rng.random()) for name in ATTRIBUTES}
    as_list = rng.random() < (0.7 if len(names) <= 2 else 0.28)
    pieces = _list(names, has_object, rng) if as_list else _sentence(names, has_object, rng)
    return _Plan(tuple(pieces), picks, not as_list and rng.random() < 0.2)


def _list(names: list[str], has_object: bool, rng: np.random.Generator) -> list[_Slot | _Literal]:
    """ "snowy mountains, dusk, castle, watercolor" in any order, or very short: "neon castle"."""
    left = set(names)
    before: list[_Slot] = []
    if "style" in left and rng.random() < (0.6 if len(names) <= 2 else 0.2):
        before.append(_Slot("style", "adjective"))
        left.discard("style")
    heads = [name for name in ("terrain", "object") if name in left and (name == "terrain" or has_object)]
    head = heads[int(rng.integers(len(heads)))] if heads else None
    if "season" in left and head != "object" and rng.random() < 0.7:
        before.append(_Slot("season", "adjective"))
        left.discard("season")
    items: list[_Slot | _Literal] = []
    if head is not None:
        items.append(_Slot(head, "list", tuple(before)))
        left.discard(head)
    elif before or not left:
        items.append(_Literal(LIST_SCENES[int(rng.integers(len(LIST_SCENES)))], tuple(before)))
    rest: list[_Slot | _Literal] = [_Slot(n, "suffix" if n == "style" else "list") for n in names if n in left]
    items += [rest[int(index)] for index in rng.permutation(len(rest))]
    if rng.random() < 0.3:
        items = [items[int(index)] for index in rng.permutation(len(items))]
    return _joined(items, [","] * (len(items) - 1))


def _sentence(names: list[str], has_object: bool, rng: np.random.Generator) -> list[_Slot | _Literal]:
    """ "a watercolor of a castle in the snowy mountains at dusk" and its many relatives."""
    left = set(names)
    style_place = "none"
    if "style" in left:
        style_place = str(rng.choice(["prefix", "suffix", "adjective"], p=[0.45, 0.42, 0.13]))
        left.discard("style")
    first: list[_Slot | _Literal] = []
    before: list[_Slot] = []
    if style_place == "prefix":
        first.append(_Slot("style", "prefix"))
    elif style_place == "adjective":
        before.append(_Slot("style", "adjective"))
    elif left & {"terrain", "object"}:
        opening = OPENINGS[int(rng.integers(len(OPENINGS)))]
        if opening and (has_object or "terrain" in left):
            first.append(_Literal(opening))

    season: tuple[_Slot, ...] = ()
    if "season" in left and rng.random() < 0.65:
        season = (_Slot("season", "adjective"),)
    object_first = "object" in left and has_object and ("terrain" not in left or rng.random() < 0.55)
    if object_first:
        left.discard("object")
        first.append(_Slot("object", "noun", tuple(before)))
        if "terrain" in left:
            left.discard("terrain")
            first.append(_Slot("terrain", "place", season))
        else:
            season = ()
    elif "terrain" in left:
        left.discard("terrain")
        first.append(_Slot("terrain", "noun", (*before, *season)))
    else:
        first.append(_Literal(SCENES[int(rng.integers(len(SCENES)))], (*before, *season)))
    if season:
        left.discard("season")

    adverbs: list[list[_Slot | _Literal]] = []
    if {"weather", "time"} <= left and rng.random() < 0.25:
        start = MEETINGS[int(rng.integers(len(MEETINGS)))]
        adverbs.append([_Literal(start), _Slot("weather", "adjective"), _Slot("time", "noun")])
        left -= {"weather", "time"}
    adverbs += [[_Slot(name, "adverb")] for name in names if name in left]
    pieces = first
    loose = False
    for index in rng.permutation(len(adverbs)):
        adverb = adverbs[int(index)]
        slot = adverb[-1]
        assert isinstance(slot, _Slot)
        # "with ... with ..." needs a comma; "at dusk in the rain" may go without.
        comma = loose and (slot.attribute != "time" or rng.random() < 0.5)
        if comma:
            pieces.append(_Literal(","))
        pieces += adverb
        loose = True
    if style_place == "suffix":
        pieces += [_Literal(","), _Slot("style", "suffix")]
    return pieces


def _joined(items: list[_Slot | _Literal], separators: list[str]) -> list[_Slot | _Literal]:
    result = items[:1]
    for separator, item in zip(separators, items[1:], strict=True):
        result += [_Literal(separator), item]
    return result


def _realise(plan: _Plan, attributes: Attributes) -> str:
    values = attributes.as_dict()

    def text_of(piece: _Slot | _Literal) -> str:
        if isinstance(piece, _Literal):
            text = piece.text
        else:
            assert values[piece.attribute] != "none" or (piece.attribute, piece.form) not in NEEDS_OBJECT
            phrases = PHRASES[piece.attribute][piece.form][values[piece.attribute]]
            text = phrases[int(plan.picks[piece.attribute] * len(phrases))]
        return text.replace("~", "".join(text_of(slot) + " " for slot in piece.before))

    text = " ".join(text_of(piece) for piece in plan.pieces).replace(" ,", ",")
    text = re.sub(r"\ba (?=[aeiou8])", "an ", text)
    text = re.sub(r"\ban (?![aeiou8])", "a ", text)
    return text[0].upper() + text[1:] + "." if plan.sentence else text
