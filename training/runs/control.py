"""Commands for a run in progress, between its steps: what `core.run_control` carries, done and written to the log.

The first rank reads the file; what it found is passed on as text, so that all ranks do the same at the same step.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from core.run_control import Command, ControlError, Reader, Refused
from training.runs.loading import OpenRun


class Write(Protocol):
    """A row of the log."""

    def __call__(self, kind: str, **fields: Any) -> None:
        """As `RunLog.write`."""


class Control:
    """The run's end of its control file."""

    def __init__(self, out: Path, *, reads: bool = True) -> None:
        """Commands from before this moment are passed over; only a rank that `reads` looks at the file."""
        self._reader = Reader(out) if reads else None
        self._found: list[Command | Refused] = []

    def waiting(self) -> bool:
        """Whether anything was asked for since the last `take`. Costs one stat."""
        if self._reader is not None:
            self._found += self._reader.poll()
        return bool(self._found)

    def take(self) -> str:
        """What was asked for, for `obey` on every rank."""
        found, self._found = self._found, []
        return json.dumps([asdict(item) for item in found])


def obey(
    text: str,
    run: OpenRun,
    write: Write,
    *,
    actions: Mapping[str, Callable[[], None]],
    changed: Callable[[], None],
) -> None:
    """Do what `Control.take` gave, in its order, and write a row of kind "control" for each.

    `actions` are what a command that is a word does; one that cannot be done raises `ControlError`, which the row then
    tells. `changed` is called after a setting was changed.
    """
    for item in json.loads(text):
        if "why" in item:
            write("control", images=run.trainer.images_seen, line=item["line"], error=item["why"])
            continue
        command = Command(**item)
        fields: dict[str, Any] = {"command": command.command}
        if command.command == "set":
            fields |= {"name": command.name, "value": command.value, "before": getattr(run.config, command.name, None)}
        try:
            if command.command == "set":
                change(run, command.name, command.value)
                changed()
            else:
                actions[command.command]()
        except ControlError as error:
            fields["error"] = str(error)
        write("control", images=run.trainer.images_seen, **fields)


def change(run: OpenRun, name: str, value: float) -> None:
    """Change a setting from the next step on. Raises `ControlError` for one that the method does not have."""
    if not hasattr(run.config, name):
        raise ControlError(f"{name}: {run.config.method} has no such setting")
    settings: dict[str, Any] = {name: value}
    run.method.reconfigure(replace(run.config, **settings))
