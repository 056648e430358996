"""MIDI input: hot-plugged devices, and decoding of their messages.

mido and python-rtmidi do the work; `MidiBackend` is what is needed of them, so that tests can bring their own devices.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.live.inbox import Inbox
from app.live.mapping import InputSource

RESCAN_S = 2.0

Receive = Callable[[Sequence[int]], None]
"""Called with the bytes of each message, on any thread."""


class MidiPort(Protocol):
    """An open input."""

    def close(self) -> None: ...


class MidiBackend(Protocol):
    """The part of a MIDI library that is used. Both methods raise `OSError`."""

    def names(self) -> list[str]: ...

    def open(self, name: str, receive: Receive) -> MidiPort: ...


class RtMidi:
    """The system's devices. Raises `ImportError` when mido or python-rtmidi is not installed."""

    def __init__(self) -> None:
        import mido
        import rtmidi  # noqa: F401 (mido imports it later, by name)

        self._mido: Any = mido

    def names(self) -> list[str]:
        return list(dict.fromkeys(self._mido.get_input_names()))

    def open(self, name: str, receive: Receive) -> MidiPort:
        port: MidiPort = self._mido.open_input(name, callback=lambda message: receive(message.bytes()))
        return port


def stable_name(name: str) -> str:
    """A device's name without the numbers that ALSA gives it anew at every plugging in."""
    return re.sub(r" \d+:\d+$", "", name)


class Decoder:
    """The messages of one device. CC 0-31 with 32-63 beside it is one 14-bit controller, known by its second half."""

    def __init__(self) -> None:
        self._coarse: dict[tuple[int, int], int] = {}

    def decode(self, message: Sequence[int]) -> list[tuple[str, float, bool | None]]:
        """(source name, value from 0 to 1, pressed or let go; None is for neither) of one message's bytes.

        Channels are counted from 1, as devices show them. What is no controller, note or pitch bend gives nothing.
        """
        if len(message) != 3:
            return []
        status, first, second = message
        kind, channel = status & 0xF0, (status & 0x0F) + 1
        if kind in (0x80, 0x90):
            on = kind == 0x90 and second > 0  # velocity 0 is a note's end
            return [(f"note {channel}/{first}", second / 127 if on else 0.0, on)]
        if kind == 0xE0:
            return [(f"bend {channel}", (first + 128 * second) / 16383, None)]
        if kind != 0xB0:
            return []
        heard: list[tuple[str, float, bool | None]] = [(f"cc {channel}/{first}", second / 127, None)]
        if first < 32:
            self._coarse[channel, first] = second
        elif first < 64 and (coarse := self._coarse.get((channel, first - 32))) is not None:
            heard.append((f"cc14 {channel}/{first - 32}", (128 * coarse + second) / 16383, None))
        return heard


@dataclass(frozen=True)
class Device:
    """One MIDI input, as the panel lists it."""

    name: str
    open: bool
    problem: str = ""


class MidiInput:
    """Listens to all devices that are not ignored, from construction to `close`; a thread looks for new ones."""

    def __init__(
        self, open_backend: Callable[[], MidiBackend], inbox: Inbox, ignored: Sequence[str], *, pause: float = RESCAN_S
    ) -> None:
        self.devices: tuple[Device, ...] = ()
        """Replaced as a whole by the thread."""
        self.problem = ""
        """Why MIDI is not available."""
        self._open_backend = open_backend
        self._inbox = inbox
        self._ignored = frozenset(ignored)
        self._pause = pause
        self._ports: dict[str, MidiPort] = {}
        self._failed: dict[str, str] = {}
        self._backend: MidiBackend | None = None
        self._retry = False
        self._look = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="midi", daemon=True)
        self._thread.start()

    def rescan(self) -> None:
        """Look for devices now, and try those again that did not open."""
        self._retry = True
        self._look.set()

    def close(self) -> None:
        self._closing = True
        self._look.set()
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        try:
            while not self._closing:
                self._scan()
                # Where there is no MIDI at all, asking again and again gives nothing but lines on the terminal.
                self._look.wait(None if self.problem else self._pause)
                self._look.clear()
        finally:
            for port in self._ports.values():
                port.close()

    def _scan(self) -> None:
        try:
            if self._backend is None:
                self._backend = self._open_backend()
            names = self._backend.names()
        except (ImportError, OSError) as error:
            self.devices, self.problem = (), f"No MIDI devices can be had: {error}"
            return
        self.problem = ""
        for name in [name for name in self._ports if name not in names]:
            self._ports.pop(name).close()
        retry, self._retry = self._retry, False
        self._failed = {name: problem for name, problem in self._failed.items() if name in names and not retry}
        devices = []
        for name in names:
            stable = stable_name(name)
            if stable not in self._ignored and name not in self._ports and name not in self._failed:
                try:
                    self._ports[name] = self._backend.open(name, self._receiver(stable))
                except OSError as error:
                    self._failed[name] = str(error)
            devices.append(Device(stable, name in self._ports, self._failed.get(name, "")))
        self.devices = tuple(devices)

    def _receiver(self, device: str) -> Receive:
        decoder = Decoder()

        def receive(message: Sequence[int]) -> None:
            for name, value, press in decoder.decode(message):
                self._inbox.put(InputSource(kind="midi", name=name, device=device), value, press=press)

        return receive
