"""The first prompt word by word: which one is selected, what it can be swapped for, and how much it weighs.

Every change is one undo step. No GUI here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from app.document.history import History
from app.explorer.prompts.neighbours import Neighbours
from core.prompts import WEIGHT_LIMIT, Word, escaped, with_text, with_weight, words_of

WEIGHT_STEP = 0.1

Lists = Mapping[str, tuple[str, ...]]
"""A word, in lower case, and what the person wants it swapped for."""


@dataclass(frozen=True)
class _Round:
    """A word that is being swapped through its list."""

    prompt: str
    """What the prompt was after the last swap; another one ends the round."""
    index: int
    place: Word
    choices: tuple[str, ...]
    at: int


class WordEditor:
    """Belongs to the UI thread; `tick` it once a frame."""

    def __init__(self, history: History, neighbours: Neighbours, lists: Callable[[], Lists]) -> None:
        self._history = history
        self._neighbours = neighbours
        self._lists = lists
        self._parsed: tuple[str, tuple[Word, ...]] = ("", ())
        self._selected: int | None = None
        self._round: _Round | None = None
        self._owed = 0
        self._before_mute: dict[str, float] = {}

    @property
    def words(self) -> tuple[Word, ...]:
        prompt = self._history.scene.prompt
        if self._parsed[0] != prompt:
            self._parsed = (prompt, words_of(prompt))
        return self._parsed[1]

    @property
    def selected(self) -> int | None:
        """The place of the selected word among `words`."""
        return self._selected if self._selected is not None and self._selected < len(self.words) else None

    @property
    def place(self) -> Word | None:
        """What is selected: a word, a weighted phrase, or all the words that the last swap put in one place."""
        going_on = self._going_on()
        if going_on is not None:
            return going_on.place
        return None if self.selected is None else self.words[self.selected]

    def is_selected(self, word: Word) -> bool:
        """Whether a word is, or is part of, what is selected."""
        place = self.place
        return place is not None and place.start <= word.start and word.stop <= place.stop

    def select(self, index: int | None) -> None:
        self._selected, self._round, self._owed = index, None, 0

    def step(self, by: int) -> None:
        """Select the next word (1) or the one before (-1), round about."""
        count = len(self.words)
        if not count:
            return
        selected = self.selected
        if selected is None:
            self.select(0 if by > 0 else count - 1)
            return
        skipped = 1
        if by > 0 and self._going_on():
            # All the words that the last swap put in one place count as one.
            skipped = sum(self.is_selected(word) for word in self.words)
        self.select((selected + by * skipped) % count)

    @property
    def waiting(self) -> bool:
        """Whether a swap waits for its list."""
        return self._owed != 0

    def choices(self) -> tuple[tuple[str, ...], int] | None:
        """What the selected word can be, the word itself among it, and which of these it is; None without a selected
        word and while the list is being computed.
        """
        going_on = self._going_on()
        if going_on is not None:
            return going_on.choices, going_on.at
        word = self.place
        if word is None:
            return None
        for key, others in self._lists().items():
            own = tuple(dict.fromkeys((key, *others)))
            if word.text.lower() in [choice.lower() for choice in own]:
                at = [choice.lower() for choice in own].index(word.text.lower())
                return (*own[:at], word.text, *own[at + 1 :]), at
        nearest = self._neighbours.nearest(word.text)
        return None if nearest is None else ((word.text, *nearest), 0)

    def swap(self, by: int) -> None:
        """Put the next word of its list (1) or the one before (-1) in the place of the selected one. While the list is
        being computed the step is owed.
        """
        if self.selected is None:
            return
        self._owed += by
        self.tick()

    def choose(self, at: int) -> None:
        """Put one of `choices` in the place of the selected word."""
        choices, place, index = self.choices(), self.place, self.selected
        if choices is None or place is None or index is None:
            return
        text, old = choices[0][at], self._history.scene.prompt
        prompt = with_text(old, place, text)
        self._history.step("swap word", lambda scene: replace(scene, prompt=prompt))
        put = replace(place, text=text, raw=escaped(text), stop=place.stop + len(prompt) - len(old))
        self._round = _Round(prompt, index, put, choices[0], at)

    def tick(self) -> None:
        """Do the pending swaps once their list is computed."""
        if not self._owed:
            return
        choices = self.choices()
        if choices is None:
            if self.selected is None:
                self._owed = 0
            return
        owed, self._owed = self._owed, 0
        if len(choices[0]) > 1:
            self.choose((choices[1] + owed) % len(choices[0]))

    def weigh(self, word: Word, by: float) -> None:
        """Change a word's weight."""
        self._set_weight("word weight", word, word.weight + by)

    def reset(self, word: Word) -> None:
        self._set_weight("word weight", word, 1.0)

    def mute(self, word: Word) -> None:
        """Weight 0, or back to what it was before."""
        if word.weight == 0.0:
            self._set_weight("unmute word", word, self._before_mute.get(word.text, 1.0))
            return
        self._before_mute[word.text] = word.weight
        self._set_weight("mute word", word, 0.0)

    def _going_on(self) -> _Round | None:
        here = self._round
        if here is None or here.prompt != self._history.scene.prompt or here.index != self._selected:
            return None
        return here

    def _set_weight(self, name: str, word: Word, weight: float) -> None:
        weight = min(max(weight, -WEIGHT_LIMIT), WEIGHT_LIMIT)
        prompt = with_weight(self._history.scene.prompt, word, weight)
        self._history.step(name, lambda scene: replace(scene, prompt=prompt))
