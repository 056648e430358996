"""A prompt that changes under the caret: by undo while it is typed into, clicked, and selected from."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from imgui_bundle import ImVec2, imgui

from app.explorer.scripted import Context
from app.explorer.session import Session
from app.explorer.window import Explorer
from tests.app.explorer.fakes import errors
from tests.app.explorer.nullwindow import drive

PROMPT = "//Prompt/##prompt"
KEYS = (imgui.Key.enter, imgui.Key.backspace, imgui.Key.home, imgui.Key.end, imgui.Key.up_arrow)


@pytest.mark.parametrize("seed", [1, 3])
def test_the_text_changes_under_the_caret(tmp_path: Path, seed: int) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        rng = random.Random(seed)

        def point() -> ImVec2:
            box = ctx.item_info(PROMPT).rect_full
            return ImVec2(rng.uniform(box.min.x + 1, box.max.x - 1), rng.uniform(box.min.y + 1, box.max.y - 1))

        ctx.yield_(5)
        ctx.item_click(PROMPT)
        for _ in range(60):
            act = rng.choice(("type", "undo", "redo", "drag", "key", "all"))
            if act == "type":
                ctx.key_chars(rng.choice(("snowy mountains", ", neon", "日落", "🏔", " ", "x" * 60)))
            elif act in ("undo", "redo"):
                for _ in range(rng.randint(1, 8)):
                    getattr(session.history, act)()
                    ctx.yield_(rng.randint(1, 2))
            elif act == "drag":
                ctx.mouse_teleport_to_pos(point())
                ctx.mouse_down()
                for _ in range(rng.randint(0, 4)):
                    ctx.mouse_teleport_to_pos(point())
                    ctx.yield_()
                    session.history.undo()
                ctx.mouse_up()
            elif act == "key":
                ctx.key_press(rng.choice(KEYS))
            else:
                ctx.key_press(imgui.Key.mod_ctrl | imgui.Key.a)
            ctx.yield_()
        assert not errors(session)
        # What is typed next goes on at the end.
        session.history.step("prompt", lambda scene: type(scene)(prompt="a house"))
        ctx.item_click(PROMPT)
        ctx.key_press(imgui.Key.end)
        ctx.key_chars(" by the sea, in the rain")
        ctx.yield_(2)
        session.history.undo()
        ctx.yield_(2)
        before = session.history.scene.prompt
        ctx.key_chars("!")
        ctx.yield_(2)
        assert session.history.scene.prompt == before + "!"

    drive(tmp_path, script)
