"""Editing prompts: the words of the first one, swap lists, recent prompts, quick prompts. No GUI here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.document.history import History
from app.document.scene import QUICK_PROMPTS
from app.explorer.prompts.neighbours import Calls, Neighbours
from app.explorer.prompts.recent import TypingPause, remembered
from app.explorer.prompts.word_editor import WordEditor
from app.explorer.storage.preferences import Preferences


class PromptController:
    """Belongs to the UI thread; `tick` it once a frame."""

    def __init__(self, history: History, calls: Calls, preferences: Preferences) -> None:
        self._history = history
        self._preferences = preferences
        self.neighbours = Neighbours(calls)
        self.words = WordEditor(history, self.neighbours, lambda: preferences.settings.word_lists)
        self._pause = TypingPause(history.scene.prompt)

    @property
    def busy(self) -> bool:
        """Whether something is still to come that the window must be awake for."""
        return self.neighbours.busy or self.words.waiting or self._pause.waiting

    def tick(self, now: float, *, remember: bool) -> None:
        """One round. `remember` says whether the model takes prompts, so that they count."""
        self.neighbours.tick()
        self.words.tick()
        prompt = self._pause.follow(self._history.scene.prompt, now)
        if prompt is not None and remember:
            self._remember(prompt)

    def _remember(self, prompt: str) -> None:
        past = remembered(self._preferences.settings.past_prompts, prompt)
        if past != self._preferences.settings.past_prompts:
            self._preferences.keep(replace(self._preferences.settings, past_prompts=past))

    def forget_past(self) -> None:
        self._preferences.keep(replace(self._preferences.settings, past_prompts=()))

    def set_list(self, word: str, choices: Sequence[str]) -> None:
        """The person's own list for a word; an empty one takes it away."""
        lists = {key: others for key, others in self._preferences.settings.word_lists.items() if key != word.lower()}
        wanted = tuple(dict.fromkeys(choice.strip() for choice in choices if choice.strip()))
        if wanted:
            lists[word.lower()] = wanted
        self._preferences.keep(replace(self._preferences.settings, word_lists=lists))

    # Quick prompts

    def quick(self, index: int) -> str:
        """A quick prompt, counted from 0; "" where there is none."""
        prompts = self._history.scene.quick_prompts
        return prompts[index] if index < len(prompts) else ""

    def use_quick(self, index: int) -> None:
        """Make a quick prompt the prompt; an empty place does nothing."""
        prompt = self.quick(index)
        if prompt:
            self._history.step(f"quick prompt {index + 1}", lambda scene: replace(scene, prompt=prompt))

    def store_quick(self, index: int, prompt: str) -> None:
        """Keep a prompt in a place; "" clears it."""
        prompts = [self.quick(place) for place in range(QUICK_PROMPTS)]
        prompts[index] = prompt
        while prompts and not prompts[-1]:
            prompts.pop()
        name = f"store quick prompt {index + 1}" if prompt else f"clear quick prompt {index + 1}"
        self._history.step(name, lambda scene: replace(scene, quick_prompts=tuple(prompts)))
