"""The performance panel, its widgets clicked, without a display."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("imgui_bundle")

from app.explorer.rendering.model_loader import EngineChoice
from app.explorer.session import Session
from app.explorer.ui_state import ShowPanel
from app.explorer.window import Explorer
from tests.app.explorer.fakes import SlowEngine, errors
from tests.app.explorer.nullwindow import Context, drive, settle, until

PANEL = "//Performance"


def choose(ctx: Context, item: str) -> None:
    ctx.set_ref(PANEL)
    ctx.combo_click(item)
    ctx.set_ref("")
    ctx.yield_(2)


def open_chosen(path: Path, report: Any, choice: EngineChoice) -> SlowEngine:
    if choice.precision == "float16":
        raise ValueError("precision float16: not on this device")
    return SlowEngine(path, precision="float32" if choice.precision == "auto" else choice.precision)


def test_pictures_and_latency_are_measured_and_drawn(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        session.ui.request(ShowPanel("Performance", True))
        session.playback.transport.toggle()
        until(ctx, lambda: len(session.rendering.latency.render_ms) > 20 and len(session.rendering.latency.rate) > 2)
        session.playback.transport.toggle()
        settle(ctx, session)
        # Each picture that a change asked for was shown, and shown after it was asked for.
        assert len(session.rendering.latency.latency_ms) > 10
        assert all(value >= 0 for _, value in session.rendering.latency.latency_ms)
        assert not errors(session)

    drive(tmp_path, script)


def test_precision_is_chosen_and_what_does_not_load_is_told(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        session.ui.request(ShowPanel("Performance", True))
        ctx.yield_(4)
        choose(ctx, "##precision/bfloat16")
        until(ctx, lambda: session.models.info.precision == "bfloat16")
        choose(ctx, "##precision/float16")
        until(ctx, lambda: bool(errors(session)))
        assert errors(session) == ["precision float16: not on this device"]
        assert session.models.info.precision == session.preferences.settings.precision == "bfloat16"
        choose(ctx, "##device/cpu")
        settle(ctx, session)
        assert session.preferences.settings.device == "cpu"
        assert len(errors(session)) == 1

    drive(tmp_path, script, open_chosen=open_chosen)


def test_frame_limit_and_vsync_reach_the_window(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        explorer.params.fps_idling.fps_max = 60.0
        session.ui.request(ShowPanel("Performance", True))
        ctx.yield_(4)
        ctx.item_input_value(f"{PANEL}/##frame_limit", 240)
        ctx.yield_(2)
        assert session.preferences.settings.frame_limit == 240
        assert explorer.params.fps_idling.fps_max == 240
        ctx.item_input_value(f"{PANEL}/##frame_limit", 1)
        ctx.yield_(2)
        assert session.preferences.settings.frame_limit == 10
        session.preferences.set_frame_limit(240)
        ctx.item_click(f"{PANEL}/##vsync")
        ctx.yield_(2)
        assert not session.preferences.settings.vsync
        assert not explorer.params.fps_idling.vsync_to_monitor
        assert not errors(session)

    drive(tmp_path, script)
