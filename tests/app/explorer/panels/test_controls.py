"""Every control in its panel: what the widget lets through is what the document keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("imgui_bundle")

from app.document.controls import CONTROLS, Control
from app.explorer.session import Session
from app.explorer.window import Explorer
from core.request import LAYER_LIMIT
from tests.app.explorer.fakes import errors
from tests.app.explorer.hands import show
from tests.app.explorer.nullwindow import Context, drive, settle

PANELS = {
    "Picture controls": ("seed_x", "seed_y", "psi", "cutoff", "noise_strength", "noise_seed"),
    "Prompt": ("blend", "crossfade"),
    "Placement": ("input_x", "input_y", "input_turn", "input_scale"),
    "Play": ("path_size", "path_seed", "loop_seconds"),
}
ON_THE_PAD = "blend_y"  # by the mouse alone


def test_every_control_has_its_place() -> None:
    placed = [name for names in PANELS.values() for name in names]
    assert sorted((*placed, ON_THE_PAD)) == sorted(control.id for control in CONTROLS)


@pytest.mark.parametrize("panel", PANELS)
def test_what_is_typed_into_a_panel_is_what_the_document_keeps(tmp_path: Path, panel: str) -> None:
    controls = {control.id: control for control in CONTROLS}

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        # So that the seeds of both have a widget.
        session.history.step("all", lambda scene: replace(scene, noise="random", path="walk"))
        show(ctx, explorer, panel)
        for name in PANELS[panel]:
            _type(ctx, session, f"//{panel}/##{name}", controls[name])
        assert not errors(session)

    drive(tmp_path, script)


def _type(ctx: Context, session: Session, item: str, control: Control) -> None:
    low, high = control.limit
    if control.id == "cutoff":  # of a model with fewer layers, all of which are "all layers"
        high = float(session.models.info.num_ws)  # type: ignore[union-attr]
    # The test engine types integers of 32 bits.
    beyond = min(2 * high + 1, 2.0**31 - 1) if control.whole else 2 * high + 1
    for typed, kept in ((high, high), (low, low), (beyond, high), (low - abs(low) - 1, low)):
        ctx.scroll_to_item_y(item)
        ctx.yield_(2)
        ctx.item_input_value(item, int(typed) if control.whole else typed)
        ctx.yield_(2)
        if control.id == "cutoff" and kept == high:
            kept = LAYER_LIMIT
        assert control.read(session.history.scene) == pytest.approx(kept, rel=1e-6, abs=1e-6), (control.id, typed)
