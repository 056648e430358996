"""Commands that were left for a run, from the click until the run's log says what became of them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.errors import reason
from app.monitor.parsing import TIME, Event, number
from app.monitor.status import duration
from core.run_control import Command, ControlError, send

SHOWN_S = 60.0
"""How long an answer stays."""


@dataclass(kw_only=True)
class SentCommand:
    """One command on its way."""

    command: Command
    sent: float
    """When, in seconds since the epoch."""
    answer: str = ""
    """What the log says of it."""
    failed: bool = False
    answered: float = 0.0


class CommandTracker:
    """What was sent to one run from here, and what came back."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.recent: list[SentCommand] = []
        self.error = ""
        """Why the last command could not be left."""
        self._used: set[int] = set()
        """Offsets of the control rows that were an answer."""

    def send(self, command: str, *, name: str = "", value: float = 0.0) -> None:
        """Leave a command for the run; `error` says so when that does not work."""
        try:
            sent = send(self.run, command, name=name, value=value)
        except ControlError as error:
            self.error = str(error)
        except OSError as error:
            self.error = f"{self.run}: the command could not be written: {reason(error)}"
        else:
            self.error = ""
            self.recent.append(SentCommand(command=sent, sent=time.time()))

    def hear(self, events: Sequence[Event], now: float) -> None:
        """Match control rows with what was sent: the oldest of that kind without an answer."""
        for event in events:
            row = event.row
            at = number(row.get(TIME))
            if event.kind != "control" or not math.isfinite(at) or event.offset in self._used:
                continue
            for sent in self.recent:
                wanted = sent.command
                same = row.get("command") == wanted.command and row.get("name", "") == wanted.name
                # A clock of another machine may be a little behind.
                if same and not sent.answer and at > sent.sent - 5.0:
                    sent.failed = "error" in row
                    sent.answer = str(row["error"]) if sent.failed else f"done at {event.x / 1000:,.1f} kimg"
                    sent.answered = now
                    self._used.add(event.offset)
                    break
        self.recent = [sent for sent in self.recent if not sent.answer or now - sent.answered < SHOWN_S]

    def lines(self, now: float) -> list[tuple[str, bool]]:
        """What to show, newest first: text, and whether it is bad news."""
        shown = [
            (
                f"{sent.command}: {sent.answer}"
                if sent.answer
                else f"{sent.command}: asked {duration(max(0.0, now - sent.sent))} ago",
                sent.failed,
            )
            for sent in reversed(self.recent)
        ]
        return ([(self.error, True)] if self.error else []) + shown
