"""The prompts that were used before, newest first. No GUI here."""

from __future__ import annotations

PAST_PROMPTS = 100
PAUSE_S = 1.5


def remembered(past: tuple[str, ...], prompt: str) -> tuple[str, ...]:
    """`past` with a prompt at its head, each once."""
    return (prompt, *(other for other in past if other != prompt))[:PAST_PROMPTS]


def matching(past: tuple[str, ...], search: str) -> list[str]:
    """The prompts that have every word of `search` somewhere, in any case."""
    wanted = search.lower().split()
    return [prompt for prompt in past if all(word in prompt.lower() for word in wanted)]


class TypingPause:
    """Detects that a prompt has not changed for `PAUSE_S` seconds."""

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt
        self._since: float | None = None

    @property
    def waiting(self) -> bool:
        return self._since is not None

    def follow(self, prompt: str, now: float) -> str | None:
        """The prompt, once, when it has stood for `PAUSE_S` seconds."""
        if prompt != self._prompt:
            self._prompt, self._since = prompt, now
        elif self._since is not None and now - self._since >= PAUSE_S:
            self._since = None
            return prompt.strip() or None
        return None
