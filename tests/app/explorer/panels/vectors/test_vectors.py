"""Directions and saved latents in the window, clicked by the test engine without a display."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("imgui_bundle")

from imgui_bundle import imgui

from app.document.playback import request_at
from app.explorer.actions import by_id
from app.explorer.session import Session
from app.explorer.window import Explorer
from app.vectors import kept_path
from core.request import LAYER_LIMIT, Push
from core.vectors import Vector, load_vectors, save_vectors
from tests.app.explorer.fakes import SlowEngine, errors
from tests.app.explorer.nullwindow import Context, drive, settle, until

SHA = "ab" * 32  # of the fake model
DIRECTIONS = "//Directions"
LATENTS = "//Saved latents"


def direction(name: str, seed: int = 0, **fields: Any) -> Vector:
    values = np.random.default_rng(seed).normal(size=6)
    return Vector(name=name, kind="direction", values=values, note=f"made for {name}", **fields)


def show(ctx: Context, panel: str) -> None:
    ctx.menu_click(f"//##MainMenuBar/View/Panels/###panel {panel}")
    ctx.yield_(2)
    ctx.window_focus(f"//{panel}")
    ctx.yield_(2)


def keep(folder: Path, *vectors: Vector) -> Path:
    path = kept_path(SHA, folder / "config")
    save_vectors(path, vectors, SHA)
    return path


def test_a_saved_direction_becomes_a_slider(tmp_path: Path) -> None:
    snowy = direction("snowy", first=1, stop=2, scale=2.0)
    keep(tmp_path, snowy)
    engines: list[SlowEngine] = []

    def open_engine(path: Path, report: Any) -> SlowEngine:
        engines.append(SlowEngine(path))
        return engines[-1]

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        show(ctx, "Directions")
        ctx.item_click(f"{DIRECTIONS}/###add {snowy.digest}")
        ctx.yield_(2)
        (push,) = session.history.scene.pushes
        assert (push.direction, push.amount, push.first, push.stop) == (snowy.id, 0.0, 1, 2)
        assert session.history.undo_name == "add snowy"

        ctx.item_input_value(f"{DIRECTIONS}/push 0/##amount", 4.5)
        ctx.yield_(2)
        assert session.history.scene.pushes[0].amount == 4.5
        assert session.history.undo_name == "push snowy"
        settle(ctx, session)
        assert session.rendering.frame.request.pushes[0].amount == 4.5  # type: ignore[union-attr]
        assert np.array_equal(engines[0].vectors[snowy.id], snowy.values)

        # A double-click types, without the step of its first click.
        ctx.item_double_click(f"{DIRECTIONS}/push 0/##amount")
        ctx.yield_(2)
        ctx.key_chars_replace("-9")
        ctx.key_press(imgui.Key.enter)
        ctx.yield_(2)
        assert session.history.scene.pushes[0].amount == -9.0
        session.history.undo()
        assert session.history.scene.pushes[0].amount == 4.5

        ctx.item_click(f"{DIRECTIONS}/push 0/###reset")
        ctx.yield_(2)
        assert session.history.scene.pushes[0].amount == 0.0
        ctx.item_click(f"{DIRECTIONS}/push 0/###remove")
        ctx.yield_(2)
        assert session.history.scene.pushes == ()
        while session.history.undo():
            pass
        assert session.history.scene.pushes == ()
        for _ in range(3):
            session.history.redo()
        assert session.history.scene.pushes[0].amount == 0.0
        assert not errors(session)

    drive(tmp_path, script, open_engine=open_engine)


def test_the_layers_of_a_push_are_dragged(tmp_path: Path) -> None:
    keep(tmp_path, direction("snowy"))

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        show(ctx, "Directions")
        ctx.item_click(f"{DIRECTIONS}/###add {direction('snowy').digest}")
        ctx.yield_(2)
        ctx.item_input_value(f"{DIRECTIONS}/push 0/##layers/##max", 1)
        ctx.yield_(2)
        ctx.item_input_value(f"{DIRECTIONS}/push 0/##layers/##min", 1)
        ctx.yield_(2)
        push = session.history.scene.pushes[0]
        assert (push.first, push.stop) == (1, 2)
        ctx.item_input_value(f"{DIRECTIONS}/push 0/##layers/##max", 2)
        ctx.yield_(2)
        assert session.history.scene.pushes[0].stop == LAYER_LIMIT  # "to the last"
        assert session.history.undo_name == "layers of snowy"
        assert not errors(session)

    drive(tmp_path, script)


def test_directions_are_renamed_and_deleted(tmp_path: Path) -> None:
    one, two = direction("one", 1), direction("two", 2)
    path = keep(tmp_path, one, two)

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        show(ctx, "Directions")
        ctx.item_click(f"{DIRECTIONS}/###add {one.digest}")
        ctx.item_input_value(f"{DIRECTIONS}/push 0/##amount", 1.0)
        ctx.yield_(2)
        ctx.item_click(f"{DIRECTIONS}/###more {one.digest}")
        ctx.yield_(2)
        ctx.set_ref("//$FOCUSED")
        ctx.item_input_value("##rename", "night")
        ctx.set_ref("")
        ctx.yield_(3)
        assert [vector.name for vector in load_vectors(path).vectors] == ["night", "two"]
        # The scene still means the same values.
        settle(ctx, session)
        assert session.history.scene.pushes[0].direction == one.id
        assert len(session.rendering.frame.request.pushes) == 1  # type: ignore[union-attr]

        ctx.item_click(f"{DIRECTIONS}/###more {one.digest}")
        ctx.yield_(2)
        ctx.set_ref("//$FOCUSED")
        ctx.item_click("Delete")
        ctx.set_ref("")
        ctx.yield_(2)
        assert [vector.name for vector in load_vectors(path).vectors] == ["two"]
        assert session.history.scene.pushes == ()
        assert session.history.undo_name == "delete night"
        session.history.undo()
        settle(ctx, session)
        assert len(session.rendering.frame.request.pushes) == 1  # type: ignore[union-attr]
        assert not errors(session)

    drive(tmp_path, script)


def test_directions_that_came_with_the_model_are_only_read(tmp_path: Path) -> None:
    given = direction("given")
    save_vectors(tmp_path / "model.directions.npz", [given], SHA)

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        show(ctx, "Directions")
        assert session.vectors.store.directions[0].id == given.id
        ctx.item_click(f"{DIRECTIONS}/###more {given.digest}")
        ctx.yield_(2)
        ctx.set_ref("//$FOCUSED")
        assert not ctx.item_exists("##rename")
        assert ctx.item_info("Delete").item_flags & imgui.ItemFlags_.disabled
        ctx.set_ref("")
        assert not errors(session)

    drive(tmp_path, script, checkpoint=tmp_path / "model.safetensors")


FINDER = """
import sys, time
from pathlib import Path
import numpy as np
from core.vectors import Vector, save_vectors
words = dict(word.split("=", 1) for word in sys.argv[2:] if "=" in word)
print("progress\\tsamples\\t3\\t10", flush=True)
if words.get("--text") == "wait":
    time.sleep(600)
if words.get("--text") == "fail":
    print("glissando: there are none", file=sys.stderr)
    sys.exit(2)
values = np.arange(6, dtype=np.float32)
vector = Vector(name="found", kind="direction", values=values, note=repr(sys.argv[1:]))
save_vectors(Path(words["--out"]), [vector], "ab" * 32)
"""


def test_finding_goes_on_beside_the_window(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        show(ctx, "Directions")
        ctx.item_input_value(f"{DIRECTIONS}/##text", "wait")
        ctx.item_click(f"{DIRECTIONS}/###find")
        ctx.yield_(2)
        assert session.vectors.search.running
        until(ctx, lambda: session.vectors.search.stage == ("samples", 3, 10), frames=100_000)
        # The window draws on, and the controls work.
        by_id("surprise").run(session)
        settle(ctx, session)
        assert session.vectors.search.running
        ctx.item_click(f"{DIRECTIONS}/###cancel")
        until(ctx, lambda: not session.vectors.search.running, frames=100_000)
        ctx.yield_(2)
        assert not errors(session)
        assert session.vectors.store.directions == ()

        ctx.item_input_value(f"{DIRECTIONS}/##text", "fail")
        ctx.item_click(f"{DIRECTIONS}/###find")
        until(ctx, lambda: bool(errors(session)), frames=100_000)
        assert errors(session) == ["No directions were found: there are none"]
        session.messages.lines.clear()

        ctx.item_input_value(f"{DIRECTIONS}/##text", "-snowy")
        ctx.item_input_value(f"{DIRECTIONS}/##minus", "")
        ctx.item_input_value(f"{DIRECTIONS}/##template", "{} hills")
        ctx.item_click(f"{DIRECTIONS}/###find")
        until(ctx, lambda: bool(session.vectors.store.directions), frames=100_000)
        (found,) = session.vectors.store.directions
        for word in ("'--method=text'", "'--text=-snowy'", "'--minus='", "'--template={} hills'", "'--background'"):
            assert word in found.note
        assert "/bundled.safetensors" in found.note
        ctx.yield_(3)
        ctx.item_click(f"{DIRECTIONS}/###add {found.digest}")
        ctx.item_input_value(f"{DIRECTIONS}/push 0/##amount", 1.0)
        settle(ctx, session)
        assert len(session.rendering.frame.request.pushes) == 1  # type: ignore[union-attr]
        assert not errors(session)

    drive(tmp_path, script, find_directions=(sys.executable, "-c", FINDER))


def test_models_without_text_are_not_asked_for_texts(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        show(ctx, "Directions")
        assert not ctx.item_exists(f"{DIRECTIONS}/##text")
        assert ctx.item_exists(f"{DIRECTIONS}/##count")
        ctx.item_click(f"{DIRECTIONS}/##method")
        ctx.yield_(2)
        ctx.set_ref("//$FOCUSED")
        assert not ctx.item_exists("From one text to another")
        ctx.item_click("What varies most (GANSpace)")
        ctx.set_ref("")
        ctx.yield_(2)
        assert ctx.item_exists(f"{DIRECTIONS}/##count")
        assert not errors(session)

    drive(tmp_path, script, open_engine=lambda path, report: SlowEngine(path, conditioning="none", vocabulary=()))


def test_latents_are_saved_and_gone_to(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        show(ctx, "Saved latents")
        ctx.item_input_value(f"{LATENTS}/##name", "home")
        ctx.item_click(f"{LATENTS}/###save latent")
        until(ctx, lambda: len(session.vectors.store.latents) == 1)
        (home,) = session.vectors.store.latents
        assert home.name == "home"
        assert home.values.shape == (3, 6)
        assert load_vectors(kept_path(SHA, tmp_path / "config")).vectors[0].id == home.id
        session.history.step("prompt", lambda scene: scene.with_request(request_at(scene, 1.0)))
        push = Push(direction=home.id, amount=0.5)
        session.history.step("push", lambda scene: replace(scene, pushes=(push,)))
        settle(ctx, session)

        ctx.yield_(2)
        ctx.item_click(f"{LATENTS}/###go {home.digest}")
        ctx.yield_(2)
        assert session.history.undo_name == "go to home"
        (mix,) = session.history.scene.mixes
        assert (mix.latent, mix.first, mix.stop, mix.amount) == (home.id, 0, LAYER_LIMIT, 1.0)
        # What pushed it is in it already.
        assert session.history.scene.pushes == ()
        assert session.playback.crossfade.running
        settle(ctx, session)
        ctx.item_input_value(f"{LATENTS}/mix 0/##amount", 0.25)
        ctx.yield_(2)
        assert session.history.scene.mixes[0].amount == 0.25
        ctx.item_click(f"{LATENTS}/mix 0/###remove")
        ctx.yield_(2)
        assert session.history.scene.mixes == ()

        ctx.item_input_value(f"{LATENTS}/##layers/##max", 1)
        ctx.yield_(2)
        ctx.item_click(f"{LATENTS}/###take {home.digest}")
        ctx.yield_(2)
        (mix,) = session.history.scene.mixes
        assert (mix.latent, mix.first, mix.stop) == (home.id, 0, 2)
        settle(ctx, session)
        assert session.rendering.frame.request.mixes == (mix,)  # type: ignore[union-attr]
        # Without a name, and by the keys.
        ctx.key_press(imgui.Key.mod_ctrl | imgui.Key.l)
        until(ctx, lambda: len(session.vectors.store.latents) == 2)
        assert session.vectors.store.latents[1].name == "snowy-mountains-at-sunset-watercolor-seed0.71_0.29"
        assert not errors(session)

    drive(tmp_path, script)


def test_files_are_exported_and_dropped(tmp_path: Path) -> None:
    one, two = direction("one", 1), direction("two", 2)
    keep(tmp_path, one, two)

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        show(ctx, "Directions")
        ctx.item_click(f"{DIRECTIONS}/###find section")
        ctx.yield_(2)
        ctx.item_click(f"{DIRECTIONS}/###export_vectors")
        ctx.yield_(2)
        ctx.set_ref("//$FOCUSED")
        ctx.item_input_value("##path", str(tmp_path / "all"))
        ctx.set_ref("")
        ctx.yield_(3)
        assert [v.id for v in load_vectors(tmp_path / "all.npz").vectors] == [one.id, two.id]

        ctx.item_click(f"{DIRECTIONS}/###more {two.digest}")
        ctx.yield_(2)
        ctx.set_ref("//$FOCUSED")
        ctx.item_click("Export…")
        ctx.yield_(3)
        ctx.set_ref("//$FOCUSED")
        ctx.item_input_value("##path", str(tmp_path / "two.npz"))
        ctx.set_ref("")
        ctx.yield_(3)
        assert [v.id for v in load_vectors(tmp_path / "two.npz").vectors] == [two.id]
        for vector in (one, two):
            session.vectors.store.delete(vector)
        assert session.vectors.store.directions == ()
        explorer.drop([str(tmp_path / "two.npz")])
        assert [v.id for v in session.vectors.store.directions] == [two.id]
        assert session.messages.lines[-1].text == "Imported 1 direction from two.npz"
        assert not errors(session)
        (tmp_path / "bad.npz").write_bytes(b"no")
        explorer.drop([str(tmp_path / "bad.npz")])
        assert "expected a .npz file" in errors(session)[0]

    drive(tmp_path, script)
