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
class Order:
    """One command on its way."""

    command: Command
    sent: float
    """When, in seconds since the epoch."""
    answer: str = ""
    """What the log says of it."""
    failed: bool = False
    answered: float = 0.0


class Orders:
    """What was sent to one run from here, and what came back."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.recent: list[Order] = []
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
            self.recent.append(Order(command=sent, sent=time.time()))

    def hear(self, events: Sequence[Event], now: float) -> None:
        """Match control rows with what was sent: the oldest of that kind without an answer."""
        for event in events:
            row = event.row
            at = number(row.get(TIME))
            if event.kind != "control" or not math.isfinite(at) or event.offset in self._used:
                continue
            for order in self.recent:
                wanted = order.command
                same = row.get("command") == wanted.command and row.get("name", "") == wanted.name
                # A clock of another machine may be a little behind.
                if same and not order.answer and at > order.sent - 5.0:
                    order.failed = "error" in row
                    order.answer = str(row["error"]) if order.failed else f"done at {event.x / 1000:,.1f} kimg"
                    order.answered = now
                    self._used.add(event.offset)
                    break
        self.recent = [order for order in self.recent if not order.answer or now - order.answered < SHOWN_S]

    def lines(self, now: float) -> list[tuple[str, bool]]:
        """What to show, newest first: text, and whether it is bad news."""
        shown = [
            (
                f"{order.command}: {order.answer}"
                if order.answer
                else f"{order.command}: asked {duration(max(0.0, now - order.sent))} ago",
                order.failed,
            )
            for order in reversed(self.recent)
        ]
        return ([(self.error, True)] if self.error else []) + shown
