"""Telling a run in progress what to do: lines that one program appends to RUN/control.jsonl and the trainer reads.

A line is a JSON object such as {"command": "set", "name": "learning_rate_g", "value": 0.001, "time": 1795414492.9}.
The trainer looks between two steps, which costs it one stat, and writes what it did to the log as a row of kind
"control". What stood in the file before a run was started or resumed has had its turn and is passed over. Standard
library only.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CONTROL_FILE = "control.jsonl"

ACTIONS: Mapping[str, str] = {
    "snapshot": "writes the sample grid and latest.safetensors",
    "evaluate": "measures the pictures",
    "stop": "saves everything and ends the run",
}
"""Commands that are a word, and what the trainer does at the next step."""

SETTINGS: Mapping[str, tuple[float, float]] = {
    "learning_rate_g": (0.0, 1.0),
    "learning_rate_d": (0.0, 1.0),
}
"""What `set` may change while a run goes on, with the range of each: above the first, up to the second."""


class ControlError(ValueError):
    """A command that no run takes; the message says what was expected and what came."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One line of the control file. Raises `ControlError` for what no run takes."""

    command: str
    """One of `ACTIONS`, or "set"."""
    name: str = ""
    """The setting that `set` changes, one of `SETTINGS`."""
    value: float = 0.0
    """What it changes to."""

    def __post_init__(self) -> None:
        if self.command in ACTIONS:
            if self.name:
                raise ControlError(f"{self.command}: expected nothing else, got a name {self.name!r}")
        elif self.command == "set":
            _check_setting(self.name, self.value)
        else:
            raise ControlError(f"command: expected one of {', '.join(ACTIONS)}, set, got {self.command!r}")

    def __str__(self) -> str:
        return f"{self.name} = {self.value:g}" if self.command == "set" else self.command


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A line that is no command."""

    line: str
    """Its beginning."""
    why: str


def send(run: str | os.PathLike[str], command: str, *, name: str = "", value: float = 0.0) -> Command:
    """Leave a command for the run in the folder `run`; it is on disk when this returns.

    Raises `ControlError` for what no run takes, and `OSError` when the file cannot be written.
    """
    wanted = Command(command=command, name=name, value=value)
    row: dict[str, object] = {"command": command}
    if command == "set":
        row |= {"name": name, "value": float(value)}
    line = json.dumps({**row, "time": round(time.time(), 3)}) + "\n"
    path = Path(run) / CONTROL_FILE
    # One write in append mode: lines of several senders stand one after another and not in one another.
    with open(path, "ab", buffering=0) as file:
        if file.tell() and not _ends_a_line(path):
            line = "\n" + line
        file.write(line.encode())
        os.fsync(file.fileno())
    return wanted


class Reader:
    """The trainer's end of the control file: what was sent since this was made."""

    def __init__(self, run: str | os.PathLike[str]) -> None:
        self.path = Path(run) / CONTROL_FILE
        self._file = 0
        self._position = 0
        self._seen = -1
        status = self._status()
        if status is not None:
            self._file, self._position = status.st_ino, status.st_size

    def poll(self) -> list[Command | Refused]:
        """What came since the last call, oldest first; nearly always nothing, for the price of a stat.

        A line that is not finished waits for the next call. Raises nothing: a file that cannot be read just now is
        read later.
        """
        status = self._status()
        if status is None:
            self._file, self._position, self._seen = 0, 0, -1
            return []
        if status.st_ino != self._file:
            self._file, self._position = status.st_ino, 0
        elif status.st_size < self._position:
            self._position = status.st_size  # cut short by someone: what is left of it is old
        elif status.st_size in (self._position, self._seen):
            return []
        try:
            with open(self.path, "rb") as file:
                file.seek(self._position)
                data = file.read(status.st_size - self._position)
        except OSError:
            return []
        self._seen = status.st_size
        whole = data[: data.rfind(b"\n") + 1]
        self._position += len(whole)
        return [_read(line) for line in whole.splitlines() if line.strip()]

    def _status(self) -> os.stat_result | None:
        try:
            return os.stat(self.path)
        except OSError:
            return None


def _read(line: bytes) -> Command | Refused:
    shown = line[:80].decode("utf-8", "replace")
    try:
        row = json.loads(line)
    except ValueError:
        return Refused(line=shown, why="expected a JSON object")
    if not isinstance(row, dict):
        return Refused(line=shown, why="expected a JSON object")
    command, name, value = row.get("command"), row.get("name", ""), row.get("value", 0.0)
    try:
        if not isinstance(command, str) or not isinstance(name, str):
            raise ControlError("expected a command")
        return Command(command=command, name=name, value=value)
    except ControlError as error:
        return Refused(line=shown, why=str(error))


def _check_setting(name: str, value: object) -> None:
    if name not in SETTINGS:
        raise ControlError(f"set: expected one of {', '.join(SETTINGS)}, got {name!r}")
    above, most = SETTINGS[name]
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or not above < value <= most:  # type: ignore[operator]
        raise ControlError(f"{name}: expected a number above {above:g}, up to {most:g}, got {value!r}")


def _ends_a_line(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
