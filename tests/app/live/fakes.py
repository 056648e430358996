"""Devices that a test plugs in and plays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from app.explorer.session import Session
from app.live.audio import Samples
from app.live.devices import LiveServices
from app.live.midi import MidiPort, Receive
from tests.app.explorer.fakes import make_session


class FakeMidi:
    """A MIDI library with devices that come and go. `play` sends a message's bytes."""

    def __init__(self, *names: str) -> None:
        self.plugged = list(names)
        self.receivers: dict[str, Receive] = {}
        self.broken: set[str] = set()

    def names(self) -> list[str]:
        return list(self.plugged)

    def open(self, name: str, receive: Receive) -> MidiPort:
        if name in self.broken:
            raise OSError(f"{name} is busy")
        self.receivers[name] = receive
        return _FakePort(self, name)

    def play(self, name: str, *message: int) -> None:
        self.receivers[name](message)


class _FakePort:
    def __init__(self, midi: FakeMidi, name: str) -> None:
        self._midi, self._name = midi, name

    def close(self) -> None:
        del self._midi.receivers[self._name]


class FakeSound:
    """A sound library whose device plays what `sound` gives, a block whenever the test lets it: `play(blocks)`."""

    def __init__(self, sound: Callable[[int, int], Samples], rate: float = 48000.0) -> None:
        self.rate = rate
        self.gone = False
        self.opened: list[str] = []
        self._sound = sound
        self._position = 0
        self._allowed = threading.Semaphore(0)
        self._played = self._heard = self._asked = 0

    def names(self) -> list[str]:
        return ["Microphone", "Line in"]

    def open(self, name: str) -> FakeSound:
        if name == "Line in":
            raise OSError("Line in is busy")
        self.opened.append(name)
        return self

    def read(self, count: int) -> Samples:
        self._heard = self._played  # who comes for more has done with the last
        while not self._allowed.acquire(timeout=0.05):
            if self.gone:
                raise OSError("the device was unplugged")
            return np.zeros(0, np.float32)
        samples = self._sound(self._position, count)
        self._position += count
        self._played += 1
        return samples

    def close(self) -> None:
        pass

    def play(self, blocks: int) -> Callable[[], bool]:
        """Let so many blocks through; the result says whether they were heard."""
        goal = self._asked = self._asked + blocks
        self._allowed.release(blocks)
        return lambda: self._heard >= goal


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def live_session(folder: Path, clock: Clock | None = None, **services: Any) -> Session:
    """A session with live control from fake devices."""
    more = {"clock": clock} if clock is not None else {}
    return make_session(folder, live=LiveServices(**services), **more)
