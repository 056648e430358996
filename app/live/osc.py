"""OSC over UDP: a thread that hears messages, and a sender.

The thread keeps the newest value of each address until the window takes them, so that a flood costs one edit a frame.
"""

from __future__ import annotations

import math
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from app.live.addresses import LIST, PREFIX, Address
from app.live.inbox import Inbox, RateLimitedLog
from app.live.mapping import NAME_LIMIT, InputSource
from app.live.packets import Argument, OscMessage, decode, encode

Client = tuple[str, int]
Value = float | int | str | bool

# The kernel keeps what comes in while the thread is busy; it may give less than asked for.
RECEIVE_BYTES = 4 * 2**20
ACTIONS_LIMIT = 32
CLIENTS_LIMIT = 8


@dataclass(frozen=True)
class Received:
    """Messages received since the last `take`."""

    values: dict[str, Value] = field(default_factory=dict)
    """The newest of each of our addresses."""
    actions: tuple[str, ...] = ()
    """Ids, in order."""
    askers: tuple[Client, ...] = ()
    """Clients that asked for the list of addresses."""


class OscReceiver:
    """Listens from construction to `close`. Raises `OSError` when the address cannot be had, such as a port in use.

    `table` may be replaced at any time. Addresses of others' layouts go to `inbox`, to be mapped.
    """

    def __init__(
        self,
        host: str,
        port: int,
        table: dict[str, Address],
        inbox: Inbox,
        log: RateLimitedLog,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.table = table
        self._inbox = inbox
        self._log = log
        self._wake = wake
        self._lock = threading.Lock()
        self._values: dict[str, Value] = {}
        self._actions: deque[str] = deque(maxlen=ACTIONS_LIMIT)
        self._askers: dict[Client, None] = {}
        self._closing = threading.Event()
        self.packets = 0
        """How many have come in."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="osc", daemon=True)
        self._thread.start()

    def take(self) -> Received:
        """Messages received since the last call."""
        with self._lock:
            heard = Received(self._values, tuple(self._actions), tuple(self._askers))
            self._values, self._askers = {}, {}
            self._actions.clear()
        return heard

    def answer(self, client: Client, packets: Iterable[bytes]) -> None:
        """Send packets to a client from the receiving port. Raises `OSError`."""
        for packet in packets:
            self._socket.sendto(packet, client)

    def close(self) -> None:
        self._closing.set()
        # The thread sits in recvfrom, which closing the socket does not end everywhere; a packet does.
        host, port = self._socket.getsockname()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1" if host == "0.0.0.0" else host, port))
        self._thread.join(timeout=2.0)
        self._socket.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                packet, client = self._socket.recvfrom(65536)
            except ConnectionResetError:
                continue  # Windows: an answer of ours found nobody
            except OSError as error:
                if not self._closing.is_set():
                    self._log.add(f"OSC in stopped: {error.strerror or error}")
                return
            if self._closing.is_set():
                return
            try:
                for message in decode(packet):
                    self._hear(message, client)
            except ValueError as error:
                self._log.add(f"OSC from {client[0]}: {error}")
            self.packets += 1

    def _hear(self, message: OscMessage, client: Client) -> None:
        path = message.address
        if path != PREFIX and not path.startswith(f"{PREFIX}/"):
            self._hear_foreign(path, message.arguments)
            return
        if path == LIST:
            with self._lock:
                if len(self._askers) < CLIENTS_LIMIT:
                    self._askers[client] = None
            self._wake()
            return
        address = self.table.get(path)
        if address is None:
            raise ValueError(f"there is no address {path:.80}; {LIST} answers with those there are")
        value = address.parse(message.arguments)
        with self._lock:
            first = not self._values and not self._actions
            if address.kind != "action":
                self._values[path] = value
            elif value:
                self._actions.append(address.name)
        if first:
            self._wake()

    def _hear_foreign(self, path: str, arguments: tuple[Argument, ...]) -> None:
        """An address outside /glissando: a number can be mapped; anything else is ignored."""
        value = arguments[0] if len(arguments) == 1 else None
        if isinstance(value, int | float) and math.isfinite(value) and len(path) <= NAME_LIMIT:
            self._inbox.put(InputSource(kind="osc", name=path), float(value))


class OscSender:
    """Sends messages to one place, and never waits."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def send(self, path: str, value: float | int | str) -> None:
        """Raises `OSError`, such as when there is no way to the network."""
        try:
            self._socket.sendto(encode(path, value), self._target)
        except BlockingIOError:
            return  # the network is behind; a later value is newer anyway

    def close(self) -> None:
        self._socket.close()


def list_packets(table: Iterable[Address], current: Callable[[Address], Value]) -> list[bytes]:
    """The answer to `/glissando/list`: a message an address (path, type, low, high, value, help), then their number."""
    rows = list(table)
    packets = []
    for address in rows:
        value = current(address) if address.read is not None else ""
        kind = address.expected
        packets.append(encode(LIST, address.path, kind, float(address.low), float(address.high), value, address.help))
    return [*packets, encode(f"{LIST}/end", len(rows))]
