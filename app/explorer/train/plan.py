"""The plan of a training run: the fields of the Train panel, as arguments for `glissando train gan`. No GUI."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.runs import CONFIG

RECIPES: Mapping[str, str] = {
    "postcards": "64 px from a run of postcards-32; hours on two cores.",
    "postcards-32": "32 px; 45 minutes on two cores.",
    "stickers": "64 px from a run of stickers-32, on pictures that know their latents; hours on two cores.",
    "stickers-32": "32 px, on pictures that know their latents; needs no CLIP; hours on two cores.",
    "tiny": "32 px; the first pictures within a minute on two cores.",
    "lite-64": "The paper's smaller model at 64 px; needs a CUDA card.",
    "full-64": "The paper's model at 64 px; needs large CUDA cards.",
    "grow": "Goes on from a run at twice its size.",
    "text-encoder": "Goes on from a run and trains its text encoder.",
    "fine-tune": "Goes on from a checkpoint with pictures of your own.",
}
"""The trainer's recipes, which the app knows by name only."""

WEIGHTS = (0.01, 100.0)
MOST_SOURCES = 100

_OF_THE_DATA = ("crop", "resize", "template")
"""Settings that are options of their own, because they say how pictures are read."""
_ENDS_LIKE_A_WEIGHT = re.compile(r".+=\d+(\.\d+)?", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """A source of training pictures. Raises `ValueError` for an impossible one."""

    place: str = ""
    """A folder, a .zip, shards or a file of captions, as it was typed."""
    weight: float = 1.0
    """How often one of its pictures is drawn, compared with one of a source of weight 1."""

    def __post_init__(self) -> None:
        _check_text("place", self.place)
        low, high = WEIGHTS
        if not low <= self.weight <= high:
            raise ValueError(f"weight: expected a number from {low:g} to {high:g}, got {self.weight!r}")

    @property
    def argument(self) -> str:
        """For --data. Raises `ValueError` where a weight cannot be said."""
        place = os.path.expanduser(self.place.strip())
        address_with_query = re.match(r"https?://", place, re.IGNORECASE) is not None and "?" in place
        if self.weight != 1.0 and address_with_query:
            raise ValueError(
                f"{place}: an address with a query takes no weight; leave it at 1, or name a .txt that lists the shards"
            )
        if self.weight == 1.0 and (address_with_query or not _ENDS_LIKE_A_WEIGHT.fullmatch(place)):
            return place
        return f"{place}={self.weight:.6g}"


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What to train. Texts as they are typed: the trainer says what is wrong with them, this only what no text can be
    (`ValueError`).
    """

    recipe: str = "tiny"
    sources: tuple[DataSource, ...] = field(default_factory=lambda: (DataSource(),))
    clip: str = ""
    start: str = ""
    out: str = ""
    settings: str = ""
    """name=value pairs with spaces between them."""

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise ValueError(f"recipe: expected one of {', '.join(RECIPES)}, got {self.recipe!r:.80}")
        if not 1 <= len(self.sources) <= MOST_SOURCES:
            raise ValueError(f"sources: expected 1 to {MOST_SOURCES}, got {len(self.sources)}")
        for name in ("clip", "start", "out", "settings"):
            _check_text(name, getattr(self, name))

    def arguments(self) -> list[str]:
        """For `glissando train gan`: a new run, or the one that the folder `out` holds already. Raises `ValueError` for
        what cannot be said to it.
        """
        if self.resumes:
            return [f"--resume={self.run}", *self._settings(resume=True)]
        words = [f"--recipe={self.recipe}", f"--out={self.run}"]
        named = [source for source in self.sources if source.place.strip()]
        # A single source is what was typed, and its weight says nothing.
        words += [f"--data={os.path.expanduser(named[0].place.strip())}"] if len(named) == 1 else []
        words += [f"--data={source.argument}" for source in named if len(named) > 1]
        for name in ("clip", "start"):
            text = getattr(self, name).strip()
            if text:
                words.append(f"--{name}={os.path.expanduser(text)}")
        return [*words, *self._settings(resume=False)]

    def _settings(self, *, resume: bool) -> list[str]:
        words = []
        for pair in pairs(self.settings):
            name, _, value = pair.partition("=")
            if name == "mirror":
                if value not in ("true", "false"):
                    raise ValueError(f"mirror: expected a value like true, got {value!r}")
                words += ["--mirror"] if value == "true" and not resume else []
            elif name in _OF_THE_DATA:
                # A run goes on with its data as it was started; what it was started with may stand here still.
                words += [] if resume else [f"--{pair}"]
            else:
                words.append(f"--set={pair}")
        return words

    @property
    def ready(self) -> bool:
        """Whether pictures are named."""
        return any(source.place.strip() for source in self.sources)

    @property
    def run(self) -> Path:
        """The run's folder."""
        return Path(os.path.expanduser(self.out.strip()))

    @property
    def resumes(self) -> bool:
        """Whether the folder holds a run to go on with."""
        return bool(self.out.strip()) and os.path.isfile(self.run / CONFIG)


def pairs(text: str) -> list[str]:
    """The words of a text; quotes hold one with spaces together. Raises `ValueError` for a quote without its end."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    lexer.escape = ""  # a backslash is part of a Windows path
    try:
        return list(lexer)
    except ValueError:
        raise ValueError(f"settings: a quote is not closed in {text!r:.200}") from None


def typed(text: str) -> str:
    """A text from a field, without the half of a character that a keyboard can send."""
    return text.encode(errors="replace").decode()


def _check_text(name: str, text: str) -> None:
    """Raises `ValueError` for what can be no path and no word of a command."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name}: expected text, got half a character in it") from None
    if "\0" in text:
        raise ValueError(f"{name}: expected text, got a NUL in it")
