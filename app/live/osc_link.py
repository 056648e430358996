"""OSC in and out for live control: received messages, changed values sent, and the list of addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.document.scene import Scene
from app.live.addresses import Address, addresses
from app.live.inbox import Inbox, RateLimitedLog
from app.live.osc import Client, OscReceiver, OscSender, Received, Value, list_packets
from app.live.settings import OscSettings


class OscLink:
    """Belongs to the UI thread; `close` it."""

    def __init__(self, inbox: Inbox, log: RateLimitedLog, wake: Callable[[], None]) -> None:
        self._inbox = inbox
        self._log = log
        self._wake = wake
        self.receiver: OscReceiver | None = None
        self._sender: OscSender | None = None
        self._sent: dict[str, Value] = {}
        self._table: dict[str, Address] = {}
        self._table_of: object = None

    def start(self, osc: OscSettings) -> str:
        """Start by the settings; returns why that does not work, "" if it does."""
        self.close()
        self._sent = {}
        if osc.talks_to_itself:
            return f"OSC would talk to itself: choose another port than {osc.port} for one of the two."
        problem = ""
        if osc.on:
            try:
                self.receiver = OscReceiver(osc.host, osc.port, self._table, self._inbox, self._log, wake=self._wake)
            except OSError as error:
                problem = f"OSC cannot listen at {osc.host}:{osc.port}: {error.strerror or error}"
        if osc.out:
            self._sender = OscSender(osc.out_host, osc.out_port)
        return problem

    def table(self, scene: Scene, classes: int) -> dict[str, Address]:
        """All addresses by their paths, for a scene and a model with so many classes."""
        of = (tuple(push.direction for push in scene.pushes), classes)
        if of != self._table_of:
            self._table, self._table_of = addresses(scene, classes), of
            if self.receiver is not None:
                self.receiver.table = self._table
        return self._table

    def take(self) -> Received:
        """Messages received since the last call."""
        return self.receiver.take() if self.receiver is not None else Received()

    def answer(self, clients: Sequence[Client], scene: Scene) -> None:
        """Send the list of addresses to clients."""
        if not clients or self.receiver is None:
            return
        packets = list_packets(self._table.values(), lambda address: _read(address, scene))
        for client in clients:
            try:
                self.receiver.answer(client, packets)
            except OSError as error:
                self._log.add(f"OSC list to {client[0]}: {error.strerror or error}")

    def send(self, scene: Scene, came: dict[str, Value]) -> None:
        """Send every value that changed since it was last sent, except those that came in during this frame."""
        if self._sender is None:
            return
        for path, address in self._table.items():
            if address.read is None:
                continue
            value = address.read(scene)
            known = self._sent.get(path)
            self._sent[path] = value
            if value == known or (path in came and came[path] == value):
                continue
            try:
                self._sender.send(path, value)
            except OSError as error:
                self._log.add(f"OSC out: {error.strerror or error}")
                return

    def close(self) -> None:
        """End the threads."""
        if self.receiver is not None:
            self.receiver.close()
        if self._sender is not None:
            self._sender.close()
        self.receiver = self._sender = None


def _read(address: Address, scene: Scene) -> Value:
    assert address.read is not None
    return address.read(scene)
