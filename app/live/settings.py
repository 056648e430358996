"""Settings of live control, kept between starts."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from app.live.mapping import ControlMapping, InputSource, Trigger

MAPPINGS_LIMIT = 500


@dataclass(frozen=True, kw_only=True)
class OscSettings:
    """Addresses and ports of OSC. Raises `ValueError` for what is no address or port."""

    on: bool = False
    host: str = "127.0.0.1"
    """The address to listen at: 127.0.0.1 hears this machine only, 0.0.0.0 the whole network."""
    port: int = 9000
    out: bool = False
    """Whether changes are sent."""
    out_host: str = "127.0.0.1"
    out_port: int = 9001

    def __post_init__(self) -> None:
        for name in ("host", "out_host"):
            check_host(name, getattr(self, name))
        for name in ("port", "out_port"):
            check_port(name, getattr(self, name))

    @property
    def talks_to_itself(self) -> bool:
        """Whether sent messages would be received again."""
        here = self.out_host in (self.host, "127.0.0.1", "0.0.0.0")
        return self.on and self.out and here and self.port == self.out_port


def check_host(name: str, value: str) -> None:
    """Raises `ValueError` unless `value` is an IPv4 address: a name would have to be looked up, which can take long."""
    try:
        ipaddress.IPv4Address(value)
    except ValueError as error:
        raise ValueError(f"{name}: expected an address such as 127.0.0.1, got {value!r:.80}") from error


def check_port(name: str, value: int) -> None:
    """Raises `ValueError` unless `value` is a UDP port that a program may use."""
    if not 1024 <= value <= 65535:
        raise ValueError(f"{name}: expected a port from 1024 to 65535, got {value!r}")


@dataclass(frozen=True, kw_only=True)
class MidiSettings:
    """Which MIDI inputs are heard."""

    on: bool = False
    ignored: tuple[str, ...] = ()
    """Devices not to listen to; all others are heard."""


@dataclass(frozen=True, kw_only=True)
class AudioSettings:
    """Which sound is heard."""

    on: bool = False
    device: str = ""
    """Name of the input device; empty is the system's default."""


@dataclass(frozen=True, kw_only=True)
class LiveSettings:
    """All of live control. Raises `ValueError` for too many mappings."""

    osc: OscSettings = OscSettings()
    midi: MidiSettings = MidiSettings()
    audio: AudioSettings = AudioSettings()
    mappings: tuple[ControlMapping, ...] = ()
    triggers: tuple[Trigger, ...] = ()

    def __post_init__(self) -> None:
        if len(self.mappings) + len(self.triggers) > MAPPINGS_LIMIT:
            raise ValueError(f"mappings: expected at most {MAPPINGS_LIMIT}, got {len(self.mappings)}")

    @property
    def sources(self) -> frozenset[InputSource]:
        """All mapped sources."""
        return frozenset([*(each.source for each in self.mappings), *(each.source for each in self.triggers)])
