"""OSC over real sockets on this machine's loopback: in, out, the list, floods and garbage."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from app.document.controls import CONTROLS
from app.document.scene import Scene
from app.explorer.actions import ACTIONS, run_live
from app.explorer.session import Session
from app.live.addresses import LIVE_ACTIONS, addresses
from app.live.packets import OscMessage, decode
from app.live.settings import OscSettings
from core.request import Push
from core.vectors import Vector
from tests.app.explorer.fakes import settle, wait_until
from tests.app.live.fakes import Clock, live_session

DIRECTIONS = (("snow", 1.0), ("sea", 2.0))


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Remote:
    """Somebody with a fader: sends to the session's port, and hears what it sends."""

    def __init__(self, session: Session, port: int) -> None:
        self.session = session
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(10.0)
        self.port: int = self.socket.getsockname()[1]
        self.target = ("127.0.0.1", port)
        self._sent = 0

    def send(self, address: str, *arguments: object) -> None:
        self.raw(_built(address, *arguments))

    def raw(self, packet: bytes) -> None:
        self.socket.sendto(packet, self.target)
        self._sent += 1

    def arrive(self) -> None:
        """Until the session's thread has heard all that was sent."""
        receiver = self.session.live._devices.osc.receiver
        assert receiver is not None
        wait_until(lambda: receiver.packets >= self._sent)

    def hear(self) -> list[OscMessage]:
        """All that has been sent here."""
        heard = []
        self.socket.setblocking(False)
        try:
            while True:
                heard += decode(self.socket.recv(65536))
        except BlockingIOError:
            return heard
        finally:
            self.socket.settimeout(10.0)


def _built(address: str, *arguments: object) -> bytes:
    builder = OscMessageBuilder(address=address)
    for argument in arguments:
        builder.add_arg(argument)
    return builder.build().dgram


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def remote(tmp_path: Path, clock: Clock) -> Iterator[Remote]:
    session = live_session(tmp_path, clock)
    port = free_port()
    session.live.change(replace(session.live.settings, osc=OscSettings(on=True, port=port)))
    assert session.live.problems["osc"] == ""
    remote = Remote(session, port)
    settle(session)
    yield remote
    remote.socket.close()
    session.close()
    assert session.rendering.thread.close(timeout=10.0)


def messages(session: Session) -> list[str]:
    return [message.text for message in session.messages.lines]


def test_a_control_is_set(remote: Remote) -> None:
    session = remote.session
    remote.send("/glissando/psi", 0.7)
    remote.arrive()
    session.tick()
    assert session.history.scene.psi == 0.7
    assert session.history.undo_name is None  # it was 0.7
    remote.send("/glissando/psi", 0.3)
    remote.arrive()
    settle(session)
    assert session.history.scene.psi == 0.3
    assert session.history.undo_name == "live psi"
    assert session.rendering.frame is not None
    assert session.rendering.frame.request.psi == 0.3
    session.history.undo()
    assert session.history.scene.psi == 0.7


def test_every_control_has_an_address_that_sets_it(remote: Remote) -> None:
    session = remote.session
    session.vectors.store.add(
        [Vector(name=name, kind="direction", values=np.ones(6) * scale) for name, scale in DIRECTIONS]
    )
    pushes = tuple(Push(direction=vector.id) for vector in session.vectors.store.directions)
    session.history.step("push", lambda scene: replace(scene, pushes=pushes))
    session.tick()
    wanted = {control.id: control.low + 0.25 * (control.high - control.low) for control in CONTROLS}
    wanted |= {"direction_1": 2.5, "direction_2": -1.5, "cutoff": 12, "noise_seed": 3}
    for name, value in wanted.items():
        remote.send(f"/glissando/{name}", value)
    remote.arrive()
    session.tick()
    table = addresses(session.history.scene)
    for name, value in wanted.items():
        read = table[f"/glissando/{name}"].read
        assert read is not None
        assert read(session.history.scene) == pytest.approx(value, rel=1e-6), name
    assert session.history.undo_name == "live controls"
    assert not messages(session)


def test_prompts_classes_and_seeds(remote: Remote) -> None:
    session = remote.session
    remote.send("/glissando/prompt", "a house 🏔")
    remote.send("/glissando/prompt_d", "the sea")
    remote.send("/glissando/class_b", 7.0)
    remote.send("/glissando/seed", 1234)
    remote.arrive()
    session.tick()
    scene = session.history.scene
    assert (scene.prompt, scene.prompt_d, scene.label_b) == ("a house 🏔", "the sea", 7)
    assert (scene.seed_x, scene.seed_y) == (34.0, 12.0)
    assert len(session.history) == 1


def test_a_bundle_is_heard_whole(remote: Remote) -> None:
    bundle = OscBundleBuilder(IMMEDIATELY)
    for address, value in (("/glissando/psi", 0.1), ("/glissando/blend", 0.25)):
        builder = OscMessageBuilder(address=address)
        builder.add_arg(value)
        bundle.add_content(builder.build())
    remote.raw(bundle.build().dgram)
    remote.arrive()
    remote.session.tick()
    scene = remote.session.history.scene
    assert (scene.psi, scene.blend) == (0.1, 0.25)


def test_a_flood_ends_in_the_last_value_and_one_step(remote: Remote, clock: Clock) -> None:
    session = remote.session
    edits = 0
    revision = session.history.revision
    for index in range(10_000):
        remote.send("/glissando/psi", (index + 1) / 10_000)
        if index % 100 == 99:  # as fast as the socket's buffer can hold
            remote.arrive()
        if index % 1000 == 999:
            clock.now += 1 / 60
            session.tick()
            edits += 1
    remote.arrive()
    session.tick()
    assert session.history.scene.psi == 1.0
    assert len(session.history) == 1
    assert session.history.revision - revision <= edits + 1
    assert not messages(session)


def test_two_faders_at_once_are_a_step_or_two_until_they_rest(remote: Remote, clock: Clock) -> None:
    session = remote.session
    for index in range(100):
        remote.send(f"/glissando/{('psi', 'blend')[index % 2]}", index / 100)
        remote.arrive()
        clock.now += 1 / 60
        session.tick()
    assert len(session.history) == 2
    assert session.history.undo_name == "live controls"
    clock.now += 1.5
    remote.send("/glissando/psi", -0.5)
    remote.arrive()
    session.tick()
    assert len(session.history) == 3
    assert session.history.undo_name == "live psi"


def test_a_slider_dragged_meanwhile_stays_one_step(remote: Remote, clock: Clock) -> None:
    session = remote.session
    for index in range(60):
        session.history.apply("reach", lambda scene, i=index: replace(scene, path_size=2.0 + i))
        remote.send("/glissando/psi", index / 100)
        remote.arrive()
        clock.now += 1 / 60
        session.tick()
    session.history.end_gesture()
    assert len(session.history) == 1
    assert session.history.scene.path_size == 61.0
    assert session.history.scene.psi == 0.59


GARBAGE = [
    ("/glissando/psi", ("x",), "expected one number from -10 to 10, got 'x'"),
    ("/glissando/psi", (11.0,), "got 11.0"),
    ("/glissando/psi", (float("nan"),), "got nan"),
    ("/glissando/psi", (True,), "got True"),
    ("/glissando/psi", (), "got nothing"),
    ("/glissando/psi", (0.1, 0.2), "got 0.1 0.2"),
    ("/glissando/cutoff", (2.5,), "one whole number from 0 to 64"),
    ("/glissando/prompt", (5,), "expected one text"),
    ("/glissando/prompt", ("x" * 3000,), "at most 2000 characters"),
    ("/glissando/seed", (-1,), "from 0 to 4294967295"),
    ("/glissando/nothing", (1.0,), "/glissando/list answers"),
    ("/glissando/action/quit", (), "there is no address"),
    ("/glissando/action/surprise", ("now",), "expected no argument, or 1"),
]


@pytest.mark.parametrize(("address", "arguments", "message"), GARBAGE)
def test_what_is_wrong_is_one_line_and_changes_nothing(
    remote: Remote, address: str, arguments: tuple[object, ...], message: str
) -> None:
    session = remote.session
    before = session.history.scene
    remote.send(address, *arguments)
    remote.arrive()
    session.tick()
    assert session.history.scene == before
    assert session.live.take_actions() == ()
    (text,) = messages(session)
    assert message in text
    assert text.startswith("OSC from 127.0.0.1: ")
    assert not session.messages.toasts


def test_garbage_does_nothing_and_does_not_fill_the_log(remote: Remote, clock: Clock) -> None:
    session = remote.session
    before = session.history.scene
    rng = random.Random(1)
    for index in range(1000):
        remote.raw(rng.randbytes(rng.randrange(200)))
        if index % 50 == 49:
            remote.arrive()
            clock.now += 0.01
            session.tick()
    assert session.history.scene == before
    assert len(session.messages.lines) == 1
    clock.now += 10.0
    session.tick()
    assert len(session.messages.lines) == 2
    assert "more messages that were not understood" in messages(session)[-1]
    remote.send("/glissando/psi", 0.5)
    remote.arrive()
    session.tick()
    assert session.history.scene.psi == 0.5


def test_a_class_that_the_model_lacks_is_refused(remote: Remote) -> None:
    table = addresses(Scene(), classes=10)
    assert table["/glissando/class"].parse((9,)) == 9
    with pytest.raises(ValueError, match="from 0 to 9, got 10"):
        table["/glissando/class"].parse((10,))


def test_quick_prompts_are_switched(remote: Remote) -> None:
    session = remote.session
    session.tick()
    session.history.step("prompts", lambda scene: replace(scene, quick_prompts=("a sea", "", "a wood")))
    for place, prompt in ((3, "a wood"), (1, "a sea"), (2, "a sea"), (9, "a sea")):
        remote.send(f"/glissando/action/use_quick_{place}", 1.0)
        remote.arrive()
        session.tick()
        run_live(session)
        assert session.history.scene.prompt == prompt, place
    assert messages(session) == []


def test_actions_are_pressed_and_let_go(remote: Remote) -> None:
    session = remote.session
    remote.send("/glissando/action/play", 1.0)
    remote.send("/glissando/action/play", 0.0)
    remote.arrive()
    session.tick()
    run_live(session)
    assert session.playback.transport.playing
    remote.send("/glissando/action/surprise")
    remote.send("/glissando/action/undo")  # takes the surprise back
    remote.arrive()
    session.tick()
    run_live(session)
    assert session.history.undo_name is None
    assert session.history.redo_name == "random seed"


def test_the_actions_exist() -> None:
    assert set(LIVE_ACTIONS) <= {action.id for action in ACTIONS}


def test_the_list_is_answered_to_who_asked(remote: Remote) -> None:
    session = remote.session
    remote.send("/glissando/list")
    remote.arrive()
    session.tick()
    heard = []
    while not heard or heard[-1].address != "/glissando/list/end":
        heard += decode(remote.socket.recv(65536))
    rows = {str(message.arguments[0]): message.arguments[1:] for message in heard[:-1]}
    assert set(rows) == set(addresses(Scene()))
    assert heard[-1].arguments == (len(rows),)
    assert rows["/glissando/psi"][:4] == ("one number from -10 to 10", -10.0, 10.0, 0.7)
    assert rows["/glissando/prompt"][3] == session.history.scene.prompt


# Out


def test_changes_are_sent_and_what_came_in_is_not_sent_back(remote: Remote) -> None:
    session = remote.session
    live = session.live
    live.change(replace(live.settings, osc=replace(live.settings.osc, out=True, out_port=remote.port)))
    remote._sent = 0  # the receiver is another one now
    session.tick()
    first = {message.address: message.arguments[0] for message in remote.hear()}
    assert first["/glissando/psi"] == 0.7
    assert first["/glissando/prompt"] == session.history.scene.prompt
    session.tick()
    assert remote.hear() == []
    session.history.step("psi", lambda scene: replace(scene, psi=0.1, blend=0.5))
    session.tick()
    assert sorted(remote.hear(), key=lambda m: m.address) == [
        OscMessage("/glissando/blend", (0.5,)),
        OscMessage("/glissando/psi", (0.1,)),
    ]
    remote.send("/glissando/psi", 0.4)
    remote.arrive()
    session.tick()
    session.tick()
    assert session.history.scene.psi == 0.4
    assert remote.hear() == []
    # Others hear of it, and undo is told.
    session.history.undo()
    session.tick()
    assert remote.hear() == [OscMessage("/glissando/psi", (0.1,))]


def test_an_echo_that_was_rounded_on_its_way_is_no_change(remote: Remote) -> None:
    session = remote.session
    session.history.step("psi", lambda scene: replace(scene, psi=0.123456789012))
    remote.send("/glissando/psi", 0.123456789012)  # goes as a float of 32 bits
    remote.arrive()
    session.tick()
    assert session.history.scene.psi == 0.123456789012
    assert session.history.undo_name == "psi"


def test_a_port_in_use_is_a_message(remote: Remote, tmp_path: Path) -> None:
    port = remote.target[1]
    other = live_session(tmp_path / "other")
    try:
        other.live.change(replace(other.live.settings, osc=OscSettings(on=True, port=port)))
        assert other.live.problems["osc"].startswith(f"OSC cannot listen at 127.0.0.1:{port}: ")
        assert messages(other) == [other.live.problems["osc"]]
        other.live.change(replace(other.live.settings, osc=OscSettings(on=True, port=free_port())))
        assert other.live.problems["osc"] == ""
    finally:
        other.close()


def test_talking_to_oneself_is_refused(remote: Remote) -> None:
    live = remote.session.live
    live.change(replace(live.settings, osc=replace(live.settings.osc, out=True, out_port=live.settings.osc.port)))
    assert "talk to itself" in live.problems["osc"]


def test_closing_frees_the_port(tmp_path: Path) -> None:
    port = free_port()
    for _ in range(3):
        session = live_session(tmp_path)
        session.live.change(replace(session.live.settings, osc=OscSettings(on=True, port=port)))
        assert session.live.problems["osc"] == ""
        session.close()
