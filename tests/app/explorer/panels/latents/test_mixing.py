"""Style mixing, clicked and dragged by the test engine without a display."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("imgui_bundle")

from imgui_bundle import imgui

from app.explorer.session import Session
from app.explorer.window import Explorer
from core.request import LAYER_LIMIT, Mix
from core.vectors import Vector
from tests.app.explorer.fakes import SlowEngine, errors
from tests.app.explorer.hands import drag_from, in_rectangle, rectangle, show
from tests.app.explorer.nullwindow import Context, drive, settle

MIXING = "//Style mixing"


def with_mixing(script: Callable[[Context, Session, Explorer], None]) -> Callable[[Context, Session, Explorer], None]:
    def run(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        show(ctx, explorer, "Style mixing")
        script(ctx, session, explorer)
        assert not errors(session)

    return run


def eight_layers(path: Path, report: Any) -> SlowEngine:
    return SlowEngine(path, num_ws=8)


def test_a_mix_is_added_ranged_and_removed(tmp_path: Path) -> None:
    @with_mixing
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        ctx.item_click(f"{MIXING}/###add mix")
        ctx.yield_(2)
        assert session.history.scene.mixes == (Mix(first=4, seed_x=1.0, seed_y=0.0),)
        ctx.item_click(f"{MIXING}/$$0/###coarse")
        ctx.yield_(2)
        assert (session.history.scene.mixes[0].first, session.history.scene.mixes[0].stop) == (0, 3)
        rect = rectangle(ctx, f"{MIXING}/$$0/##range")
        eighth = (rect.max.x - rect.min.x) / 8
        # The end by its handle, then the whole by its middle, each one step.
        steps = len(session.history)
        drag_from(ctx, in_rectangle(rect, 3 / 8, 0.5), (eighth, 0), (2 * eighth, 0))
        assert (session.history.scene.mixes[0].first, session.history.scene.mixes[0].stop) == (0, 5)
        assert len(session.history) == steps + 1
        drag_from(ctx, in_rectangle(rect, 2.5 / 8, 0.5), (eighth, 0), (9 * eighth, 0))
        assert (session.history.scene.mixes[0].first, session.history.scene.mixes[0].stop) == (3, LAYER_LIMIT)
        assert len(session.history) == steps + 2
        settle(ctx, session)
        assert session.rendering.frame.request.mixes == session.history.scene.mixes  # type: ignore[union-attr]
        ctx.item_click(f"{MIXING}/$$0/###remove")
        ctx.yield_(2)
        assert session.history.scene.mixes == ()

    drive(tmp_path, script, open_engine=eight_layers)


def test_mixes_change_their_source_their_order_and_rest(tmp_path: Path) -> None:
    @with_mixing
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        face, hand = (Vector(name=name, kind="latent", values=np.full(6, n)) for n, name in enumerate(("face", "hand")))
        session.vectors.store.add([face, hand])
        first, second = (
            Mix(first=0, stop=2, seed_x=4.0, seed_y=0.0, amount=0.5),
            Mix(first=5, latent=face.id, amount=0.0),
        )
        session.history.step("mixes", lambda scene: replace(scene, mixes=(first, second)))
        ctx.yield_(3)
        ctx.item_click(f"{MIXING}/$$0/###later")
        ctx.yield_(2)
        assert session.history.scene.mixes == (second, first)
        ctx.item_click(f"{MIXING}/$$1/###on")
        ctx.yield_(2)
        assert session.history.scene.mixes[1].amount == 0.0
        ctx.item_click(f"{MIXING}/$$1/###on")
        ctx.yield_(2)
        assert session.history.scene.mixes == (second, first)
        ctx.item_click(f"{MIXING}/$$1/##kind")
        ctx.yield_(2)
        ctx.item_click("//$FOCUSED/###kind prompt")
        ctx.yield_(2)
        mix = session.history.scene.mixes[1]
        assert mix == Mix(first=0, stop=2, amount=0.5, prompt=session.history.scene.prompt)
        ctx.item_click(f"{MIXING}/$$1/##prompt")
        ctx.key_press(imgui.Key.mod_ctrl | imgui.Key.a)
        ctx.key_chars("sea")
        ctx.key_press(imgui.Key.enter)
        ctx.yield_(2)
        assert session.history.scene.mixes[1].prompt == "sea"
        assert session.history.scene.mixes[0] == second
        ctx.item_click(f"{MIXING}/$$0/##latent")
        ctx.yield_(2)
        ctx.item_click(f"//$FOCUSED/###{hand.id}")
        ctx.yield_(2)
        assert session.history.scene.mixes[0] == replace(second, latent=hand.id)
        ctx.item_click(f"{MIXING}/$$1/##kind")
        ctx.yield_(2)
        ctx.item_click("//$FOCUSED/###kind latent")
        ctx.yield_(2)
        assert session.history.scene.mixes[1] == Mix(first=0, stop=2, amount=0.5, latent=face.id)

    drive(tmp_path, script, open_engine=eight_layers)


def test_a_mix_with_another_prompt_and_class(tmp_path: Path) -> None:
    @with_mixing
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        session.history.step("mixes", lambda scene: replace(scene, mixes=(Mix(first=4, prompt="a"),)))
        ctx.yield_(3)
        ctx.item_click(f"{MIXING}/$$0/##prompt")
        ctx.key_chars_append_enter(" house")
        ctx.yield_(2)
        assert session.history.scene.mixes[0].prompt is not None
        assert "house" in session.history.scene.mixes[0].prompt
        assert session.history.undo_name == "mix prompt"
        # Switching to a seed and back loses nothing else of the entry.
        session.history.step("class", lambda scene: replace(scene, mixes=(Mix(first=4, label=2),)))
        ctx.yield_(3)
        assert ctx.item_exists(f"{MIXING}/$$0/##class")

    drive(tmp_path, script, open_engine=eight_layers)


def test_one_style_cannot_be_mixed(tmp_path: Path) -> None:
    @with_mixing
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        assert not ctx.item_exists(f"{MIXING}/###add mix")

    drive(tmp_path, script, open_engine=lambda path, report: SlowEngine(path, num_ws=1))
