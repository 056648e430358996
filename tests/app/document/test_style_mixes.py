from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from app.document import style_mixes as mixing
from app.document.scene import Scene
from app.explorer.panels.latents.layer_psi import effective_psi, with_layer
from app.explorer.panels.latents.layer_range import clamped, moved, presets, to_last
from app.explorer.playback.crossfade import jumps
from core.request import LAYER_LIMIT, Mix, RenderRequest

A, B, C = Mix(seed_x=1.0), Mix(prompt="b"), Mix(latent="c@1")
SCENE = Scene(prompt="sea", seed_x=2.5, mixes=(A, B, C))


def test_edits_touch_one_entry() -> None:
    assert mixing.changed(SCENE, 1, lambda mix: replace(mix, amount=0.5)).mixes == (A, replace(B, amount=0.5), C)
    assert mixing.changed(SCENE, 7, lambda mix: replace(mix, amount=0.5)) == SCENE
    assert mixing.without(SCENE, 0).mixes == (B, C)
    assert mixing.shifted(SCENE, 0, 1).mixes == (B, A, C)
    assert mixing.shifted(SCENE, 2, -1).mixes == (A, C, B)
    assert mixing.shifted(SCENE, 2, 1) == mixing.shifted(SCENE, 0, -1) == SCENE
    assert mixing.added(SCENE, 8).mixes == (A, B, C, Mix(first=4, stop=LAYER_LIMIT, seed_x=3.0, seed_y=0.0))


def test_another_source_keeps_layers_and_amount() -> None:
    mix = Mix(first=2, stop=5, amount=0.25, latent="face@1")
    assert [mixing.kind_of(mix) for mix in (A, B, C, Mix(label=0), Mix())] == [
        "seed",
        "prompt",
        "latent",
        "class",
        "seed",
    ]
    for kind, given in (
        ("prompt", {"prompt": "sea"}),
        ("class", {"label": 0}),
        ("seed", {"seed_x": 3.0, "seed_y": 0.0}),
    ):
        changed = mixing.of_kind(mix, kind, SCENE)  # type: ignore[arg-type]
        assert changed == Mix(first=2, stop=5, amount=0.25, **given)  # type: ignore[arg-type]
        assert mixing.kind_of(changed) == kind


@pytest.mark.parametrize("count", [2, 3, 8, 13, 26])
def test_presets_are_ranges_one_after_the_other(count: int) -> None:
    named = presets(count)
    assert named["all"] == (0, count)
    parts = [named[name] for name in ("coarse", "middle", "fine") if name in named]
    assert parts[0][0] == 0
    assert parts[-1][1] == count
    assert all(a[1] == b[0] for a, b in itertools.pairwise(parts))


def test_a_range_keeps_a_layer_and_stays_in_the_model() -> None:
    both, first, stop = 0, 1, 2
    assert moved(both, 2, 4, 9, 8) == (6, 8)
    assert moved(both, 2, 4, -9, 8) == (0, 2)
    assert moved(first, 2, 4, 9, 8) == (3, 4)
    assert moved(stop, 2, 4, -9, 8) == (2, 3)
    assert moved(stop, 2, 4, 9, 8) == (2, 8)
    assert clamped(3, LAYER_LIMIT, 8) == (3, 8)
    assert (to_last(8, 8), to_last(7, 8)) == (LAYER_LIMIT, 7)


def test_a_drag_of_a_mix_is_followed_at_once_and_a_switch_fades() -> None:
    base = RenderRequest(mixes=(Mix(seed_x=1.0, seed_y=0.0, amount=0.5), B))

    def with_first(mix: Mix) -> RenderRequest:
        return replace(base, mixes=(mix, B))

    assert not jumps(base, with_first(Mix(seed_x=1.2, seed_y=0.0, amount=0.6)))
    assert jumps(with_first(Mix(seed_x=1.0, amount=0.0)), with_first(Mix(seed_x=1.0, amount=1.0)))
    assert jumps(base, with_first(Mix(seed_x=50.0, seed_y=0.0, amount=0.5)))
    assert jumps(base, replace(base, mixes=(B,)))
    assert jumps(base, with_first(Mix(prompt="sea", amount=0.5)))
    assert jumps(base, replace(base, mixes=(base.mixes[0], replace(B, prompt="bc"))))
    assert not jumps(RenderRequest(layer_psi=(0.5,)), RenderRequest(layer_psi=(0.6,)))


def test_psi_of_layers_ends_with_the_last_of_its_own() -> None:
    scene = with_layer(with_layer(Scene(psi=0.7, cutoff=2), 3, 0.1), 1, 0.2)
    assert scene.layer_psi == (None, 0.2, None, 0.1)
    assert [effective_psi(scene, layer) for layer in range(5)] == [0.7, 0.2, 1.0, 0.1, 1.0]
    assert with_layer(scene, 3, None).layer_psi == (None, 0.2)
    assert with_layer(with_layer(scene, 3, None), 1, None).layer_psi == ()
    assert with_layer(Scene(), 4, None) == Scene()
