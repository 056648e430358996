"""Messages for the user: toasts for a while, and the lines of the log panel. No GUI here."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

log = logging.getLogger(__name__)

TOAST_S = 6.0
ERROR_TOAST_S = 20.0
QUESTION_TOAST_S = 90.0
TOASTS = 4
LOG_LINES = 200

Level = Literal["info", "error"]
Choice = tuple[str, Callable[[], None]]
"""A button of a message: its label, and what it does."""


@dataclass(frozen=True)
class Message:
    """One message: a toast for a while, and a line of the log panel."""

    level: Level
    text: str
    at: float
    """On the session's clock, seconds."""
    clock: str
    """Time of day."""
    path: Path | None = None
    """A file in the text, whose folder can be opened."""
    repeated: float = -math.inf
    """When the same text came again, on the session's clock."""
    choices: tuple[Choice, ...] = ()
    """Buttons; choosing one takes the toast away."""

    @property
    def seconds(self) -> float:
        """How long the toast stays."""
        if self.choices:
            return QUESTION_TOAST_S
        return ERROR_TOAST_S if self.level == "error" else TOAST_S


class Messages:
    """Belongs to the UI thread; `tick` it once a frame."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.lines: deque[Message] = deque(maxlen=LOG_LINES)
        self.toasts: tuple[Message, ...] = ()

    def info(self, text: str, path: Path | None = None) -> None:
        """Show what was done; `path` is a file that it speaks of."""
        self._add(Message("info", text, self._clock(), time.strftime("%H:%M:%S"), path))
        log.info("%s", text)

    def error(self, text: str, *, toast: bool = True) -> None:
        """Show what went wrong; the same error again moves its toast up instead of making another."""
        self.toasts = tuple(other for other in self.toasts if other.text != text)
        self._add(Message("error", text, self._clock(), time.strftime("%H:%M:%S")), toast=toast)
        log.error("%s", text)

    def repeated_error(self, text: str) -> None:
        """An error that may come again with every picture: one line, and a toast that stays as long as it comes."""
        shown = next((toast for toast in self.toasts if toast.text == text), None)
        if shown is None:
            self.error(text)
        else:
            self.dismiss(shown)
            self.toasts = (*self.toasts, replace(shown, repeated=self._clock()))

    def ask(self, text: str, choices: list[Choice]) -> None:
        """A message with buttons."""
        self._add(Message("info", text, self._clock(), time.strftime("%H:%M:%S"), choices=tuple(choices)))
        log.info("%s", text)

    def dismiss(self, toast: Message) -> None:
        """Take a toast away."""
        self.toasts = tuple(other for other in self.toasts if other is not toast)

    def tick(self) -> None:
        """Take away the toasts whose time is over."""
        now = self._clock()
        self.toasts = tuple(toast for toast in self.toasts if now - max(toast.at, toast.repeated) < toast.seconds)

    def _add(self, message: Message, *, toast: bool = True) -> None:
        self.lines.append(message)
        if toast:
            self.toasts = (*self.toasts, message)[-TOASTS:]
