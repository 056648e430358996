from __future__ import annotations

from dataclasses import replace

import pytest

from app.explorer.playback.crossfade import Crossfade, jumps
from core.request import Mix, Push, RenderRequest

SEA = RenderRequest(prompt="sea")
HILLS = RenderRequest(prompt="hills")


def test_a_fade_goes_from_one_to_the_other_and_ends_as_the_request_itself() -> None:
    fader = Crossfade()
    assert fader.follow(SEA, 2.0, 10.0) == SEA
    assert fader.follow(HILLS, 2.0, 10.0) == replace(HILLS, origin=SEA, arrived=0.0)
    assert fader.running
    arrived = [fader.follow(HILLS, 2.0, 10.0 + t / 10).arrived for t in range(1, 20)]
    assert arrived == sorted(arrived)
    assert arrived[9] == pytest.approx(0.5)
    assert fader.follow(HILLS, 2.0, 12.0) == HILLS
    assert not fader.running


def test_numbers_are_followed_at_once_also_during_a_fade() -> None:
    fader = Crossfade()
    fader.follow(SEA, 2.0, 0.0)
    assert fader.follow(replace(SEA, psi=0.5, seed_x=1.0), 2.0, 0.1) == replace(SEA, psi=0.5, seed_x=1.0)
    assert not fader.running
    fader.follow(HILLS, 2.0, 1.0)
    shown = fader.follow(replace(HILLS, psi=0.2), 2.0, 2.0)
    assert (shown.psi, shown.arrived) == (0.2, 0.5)


def test_a_jump_during_a_fade_begins_where_the_picture_is() -> None:
    fader = Crossfade()
    fader.follow(SEA, 2.0, 0.0)
    fader.follow(HILLS, 2.0, 0.0)
    on_screen = fader.follow(HILLS, 2.0, 1.0)
    third = RenderRequest(prompt="desert")
    assert fader.follow(third, 2.0, 1.0) == replace(third, origin=on_screen, arrived=0.0)


def test_no_time_cuts() -> None:
    fader = Crossfade()
    fader.follow(SEA, 0.0, 0.0)
    assert fader.follow(HILLS, 0.0, 0.0) == HILLS
    fader.follow(SEA, 5.0, 1.0)
    assert fader.follow(SEA, 0.0, 2.0) == SEA
    assert not fader.running


def test_typing_through_a_whole_sentence_stays_a_request() -> None:
    fader = Crossfade()
    text = "snowy mountains at sunset, watercolor"
    for i in range(len(text)):
        shown = fader.follow(RenderRequest(prompt=text[: i + 1]), 1.0, i * 0.05)
    assert shown.prompt == text
    assert shown.arrived == 0.0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"psi": 0.1}, False),
        ({"blend": 0.4}, False),
        ({"seed_x": 2.0}, False),
        ({"seed_x": 200.0}, True),
        ({"prompt_c": "x"}, True),
        ({"label": 3}, True),
        ({"mixes": (Mix(seed_x=1.0),)}, True),
        ({"pushes": (Push(direction="a@1", amount=1.0),)}, True),
    ],
)
def test_what_jumps(change: dict[str, object], expected: bool) -> None:
    assert jumps(SEA, replace(SEA, **change)) is expected  # type: ignore[arg-type]
    push = Push(direction="a@1", amount=1.0)
    assert not jumps(replace(SEA, pushes=(push,)), replace(SEA, pushes=(replace(push, amount=2.0),)))
