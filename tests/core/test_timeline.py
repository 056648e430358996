"""Keyframes, easing, walks, and loops that close exactly."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest

from core.request import IDENTITY_TRANSFORM, ORIGIN_DEPTH, Push, RenderRequest
from core.timeline import (
    EASING_NAMES,
    EASINGS,
    LONGEST_WALK,
    Keyframe,
    Timeline,
    Walk,
    fade,
    interpolate,
    timeline_through,
)


@pytest.mark.parametrize("name", EASING_NAMES)
def test_every_easing_stays_between_its_exact_ends_and_never_goes_back(name):
    ease = EASINGS[name]
    values = [ease(step / 100) for step in range(100)]
    assert values[0] == 0.0
    assert all(0.0 <= value <= 1.0 for value in values)
    assert values == sorted(values)
    if name != "hold":
        assert ease(1.0) == 1.0


def test_smooth_starts_and_ends_at_rest():
    assert EASINGS["smooth"](1e-4) < 1e-7
    assert EASINGS["smooth"](0.5) == 0.5
    assert 1.0 - EASINGS["smooth"](1.0 - 1e-4) < 1e-7


def test_numbers_move_straight_and_discrete_values_wait_for_the_end():
    a = RenderRequest(prompt="a", seed_x=0, seed_y=2, psi=0.5, noise="const")
    turned = (0.0, -1.0, 0.0, 1.0, 0.0, 0.5, 0.0, 0.0, 1.0)
    b = RenderRequest(prompt="a", seed_x=4, seed_y=0, psi=1.0, noise="random", noise_seed=9, transform=turned)
    middle = interpolate(a, b, 0.25)
    assert (middle.seed_x, middle.seed_y, middle.psi) == (1.0, 1.5, 0.625)
    assert (middle.noise, middle.noise_seed) == ("const", 0)
    assert middle.transform == pytest.approx(
        [x + 0.25 * (y - x) for x, y in zip(IDENTITY_TRANSFORM, turned, strict=True)]
    )
    assert interpolate(a, b, 0.0) == a
    assert interpolate(a, b, 1.0) == b


def test_prompts_glide_by_blend_and_come_back_alone_at_the_ends():
    a, b = RenderRequest(prompt="sea"), RenderRequest(prompt="desert")
    middle = interpolate(a, b, 0.25)
    assert (middle.prompt, middle.prompt_b, middle.blend) == ("sea", "desert", 0.25)
    assert interpolate(a, RenderRequest(prompt="x", prompt_b="desert", blend=1.0), 1.0) == b


def test_a_blend_moves_on_to_either_of_its_prompts():
    mixed = RenderRequest(prompt="sea", prompt_b="desert", blend=0.4)
    to_first = interpolate(mixed, RenderRequest(prompt="sea"), 0.5)
    to_second = interpolate(mixed, RenderRequest(prompt="desert"), 0.5)
    assert (to_first.prompt, to_first.prompt_b, to_first.blend) == ("sea", "desert", pytest.approx(0.2))
    assert (to_second.prompt, to_second.prompt_b, to_second.blend) == ("sea", "desert", pytest.approx(0.7))
    # The same two prompts the other way round are the same text.
    swapped = interpolate(mixed, RenderRequest(prompt="desert", prompt_b="sea", blend=0.6), 0.5)
    assert (swapped.prompt, swapped.blend) == ("sea", pytest.approx(0.4))


def test_classes_blend_as_prompts_do():
    dog, cat = RenderRequest(label=207), RenderRequest(label=281, seed_x=2)
    half = interpolate(dog, cat, 0.5)
    assert (half.label, half.label_b, half.blend, half.seed_x) == (207, 281, 0.5, 1)
    assert interpolate(dog, cat, 1.0) == cat
    assert interpolate(half, dog, 0.5).blend == pytest.approx(0.25)
    # Equal pictures are equal values.
    assert interpolate(dog, RenderRequest(label=1, label_b=207, blend=1.0), 0.3) == dog


def test_between_three_prompts_the_styles_themselves_move():
    mixed = RenderRequest(prompt="sea", prompt_b="desert", blend=0.4, seed_x=1)
    hills = RenderRequest(prompt="hills", seed_x=2)
    assert interpolate(mixed, hills, 0.25) == replace(hills, origin=mixed, arrived=0.25)
    assert interpolate(mixed, hills, 1.0) == hills


def test_one_pad_moves_by_its_place_and_two_pads_by_their_styles():
    pad = RenderRequest(prompt="a", prompt_b="b", prompt_c="c", prompt_d="d", blend=0.5, blend_y=0.0)
    lower = replace(pad, blend=0.0, blend_y=0.8)
    half = interpolate(replace(pad, blend_y=0.1), lower, 0.5)
    assert (half.prompt_c, half.blend, half.blend_y, half.origin) == ("c", 0.25, pytest.approx(0.45), None)
    other = replace(lower, prompt_d="x")
    assert interpolate(lower, other, 0.5).origin == lower


def test_far_seeds_are_not_walked_through():
    near, far = RenderRequest(seed_x=3, psi=0.5), RenderRequest(seed_x=500, seed_y=8)
    assert interpolate(near, replace(near, seed_x=LONGEST_WALK), 0.5).origin is None
    assert interpolate(near, far, 0.5) == replace(far, origin=near, arrived=0.5)


def test_steps_grow_and_fade():
    a = RenderRequest(pushes=(Push(direction="snow@1", amount=2.0), Push(direction="age@2", amount=1.0)))
    b = RenderRequest(pushes=(Push(direction="age@2", amount=3.0), Push(direction="age@2", amount=4.0, first=2)))
    assert interpolate(a, b, 0.5).pushes == (
        Push(direction="snow@1", amount=1.0),
        Push(direction="age@2", amount=2.0),
        Push(direction="age@2", amount=2.0, first=2),
    )


def shares(request, part=1.0):
    """How much each seed counts in the styles of a chain of origins."""
    if request.origin is None:
        return {request.seed_x: part}
    rest = shares(request.origin, part * (1 - request.arrived))
    return {**rest, request.seed_x: rest.get(request.seed_x, 0.0) + part * request.arrived}


def test_a_fade_between_fades_has_the_shares_it_should():
    a, b, c, d = (RenderRequest(prompt=str(i), seed_x=float(i)) for i in range(4))
    mixed = fade(fade(a, b, 0.25), fade(c, d, 0.5), 0.2)
    assert shares(mixed) == pytest.approx({0.0: 0.6, 1.0: 0.2, 2.0: 0.1, 3.0: 0.1})
    assert fade(fade(a, b, 0.25), fade(c, d, 0.5), 0.0).arrived == 0.0
    assert fade(a, fade(c, d, 0.5), 1.0) == fade(c, d, 0.5)
    assert fade(a, replace(d, origin=c, arrived=1.0), 0.5) == replace(d, origin=a, arrived=0.5)


def test_a_chain_of_fades_stays_short():
    picture = RenderRequest()
    for i in range(1, 100):
        picture = fade(picture, RenderRequest(prompt=str(i), seed_x=float(i)), 0.7)
    assert picture.depth == ORIGIN_DEPTH
    assert shares(picture)[99.0] == pytest.approx(0.7)
    assert min(shares(picture)) == 99.0 - ORIGIN_DEPTH


def test_hold_jumps_at_the_next_keyframe():
    first, second = RenderRequest(prompt="a", psi=0.1), RenderRequest(prompt="b", psi=0.9)
    timeline = Timeline(
        keyframes=(Keyframe(time=0, request=first, easing="hold"), Keyframe(time=1, request=second)), duration=2
    )
    assert timeline.at(0.999) == first
    assert timeline.at(1.0) == second
    assert timeline.at(1.7) == second
    assert timeline.at(-5) == first
    assert timeline.at(99) == second


def stops(*prompts, **fields):
    return [RenderRequest(prompt=prompt, **fields) for prompt in prompts]


def test_a_loop_ends_in_the_request_it_began_with():
    timeline = timeline_through(stops("sea", "desert", "hills", seed_x=5, psi=0.7), seconds=7.3, loop=True, walk=3.0)
    assert timeline.at(7.3) == timeline.at(0)
    frames = list(timeline.requests(60))
    assert frames[0] == RenderRequest(prompt="sea", seed_x=5, psi=0.7)
    assert len(set(frames)) == 60
    assert frames[20].prompt == "desert"
    assert frames[20].blend == pytest.approx(0, abs=1e-9)


def test_the_circle_walk_has_the_length_it_says():
    walk = Walk(distance=4.0, closed=True)
    points = [walk.offset(step / 1000) for step in range(1001)]
    length = sum(math.dist(p, q) for p, q in itertools.pairwise(points))
    assert length == pytest.approx(4.0, rel=1e-4)
    assert points[0] == points[-1] == (0.0, 0.0)


def test_a_straight_walk_goes_along_x():
    timeline = timeline_through(stops("sea", seed_x=3, seed_y=1), seconds=2, walk=4)
    assert [request.seed_x for request in timeline.requests(4)] == [3, 4, 5, 6]
    assert {request.seed_y for request in timeline.requests(4)} == {1}


def test_one_prompt_without_a_walk_stands_still():
    assert len(set(timeline_through(stops("sea"), seconds=1, loop=True).requests(30))) == 1


@pytest.mark.parametrize("count", [2, 3, 7, 11])
def test_stops_are_even_and_the_last_is_at_the_end(count):
    timeline = timeline_through(stops(*map(str, range(count))), seconds=0.7)
    assert timeline.keyframes[-1].time == 0.7
    assert timeline.at(0.7).prompt == str(count - 1)
    steps = [b.time - a.time for a, b in itertools.pairwise(timeline.keyframes)]
    assert steps == pytest.approx([0.7 / (count - 1)] * (count - 1))


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_a_duration_must_be_above_zero(seconds):
    with pytest.raises(ValueError, match="expected seconds"):
        timeline_through(stops("sea"), seconds=seconds)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"walk": math.inf}, "walk: expected"),
        ({"easing": "bouncy"}, "easing: expected one of linear"),
    ],
)
def test_bad_values_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        timeline_through(stops("sea"), seconds=1, **change)


def test_a_timeline_refuses_what_has_no_order():
    request = RenderRequest()
    with pytest.raises(ValueError, match="at least one keyframe"):
        Timeline(keyframes=(), duration=1)
    with pytest.raises(ValueError, match="first keyframe at 0 s, got 1 s"):
        Timeline(keyframes=(Keyframe(time=1, request=request),), duration=2)
    with pytest.raises(ValueError, match="times that rise"):
        Timeline(keyframes=(Keyframe(time=0, request=request), Keyframe(time=0, request=request)), duration=1)
    with pytest.raises(ValueError, match="within 1 s, got one at 2 s"):
        Timeline(keyframes=(Keyframe(time=0, request=request), Keyframe(time=2, request=request)), duration=1)
    with pytest.raises(ValueError, match="expected at least one, got none"):
        timeline_through([], seconds=1)
