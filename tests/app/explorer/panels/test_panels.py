"""Every panel, its widgets clicked and typed into by the test engine, without a display."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("imgui_bundle")

from imgui_bundle import ImVec2, imgui

from app.document.playback import request_at
from app.document.scene import Scene
from app.explorer.panels.prompts.prompt import EXAMPLES
from app.explorer.panels.prompts.prompt_field import starts_word
from app.explorer.session import Session
from app.explorer.startup import first_scene
from app.explorer.window import Explorer
from tests.app.explorer.fakes import SlowEngine, errors
from tests.app.explorer.nullwindow import Context, drive, settle, until

PROMPT = "//Prompt/##prompt"
PROMPT_B = "//Prompt/##prompt_b"
CONTROLS = "//Picture controls"
PLAY = "//Play"
SAVE = "//Save"
CANVAS = "//Picture/##canvas"
CTRL = imgui.Key.mod_ctrl
SHIFT = imgui.Key.mod_shift


def drag(ctx: Context, item: str, x: float, y: float = 0.0) -> None:
    """Drag from the middle of `item`, with the button held over several frames."""
    ctx.mouse_move(item)
    ctx.mouse_down(0)
    ctx.mouse_lift_drag_threshold(0)
    start = ImVec2(imgui.get_io().mouse_pos.x, imgui.get_io().mouse_pos.y)  # a copy: the original follows the mouse
    for step in range(1, 6):
        ctx.mouse_teleport_to_pos(ImVec2(start.x + x * step / 5, start.y + y * step / 5))
        ctx.yield_()
    ctx.mouse_up(0)
    ctx.yield_()


def choose(ctx: Context, window: str, item: str) -> None:
    """Click "combo/entry" in a window."""
    ctx.set_ref(window)
    ctx.combo_click(item)
    ctx.set_ref("")


# Prompt


def test_the_picture_follows_each_keystroke(tmp_path: Path) -> None:
    engine = SlowEngine(Path("model"))

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        session.history.step("cut", lambda scene: replace(scene, crossfade=0.0))
        settle(ctx, session)
        ctx.item_click(PROMPT)
        ctx.key_press(CTRL | imgui.Key.a)
        for character in "sea":
            ctx.key_chars(character)
            settle(ctx, session)
        assert session.history.scene.prompt == "sea"

    drive(tmp_path, script, open_engine=lambda path, report: engine)
    assert [request.prompt for request in engine.rendered][-3:] == ["s", "se", "sea"]


def test_typing_is_undone_by_words_in_the_field_itself(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        ctx.item_click(PROMPT)
        ctx.key_press(CTRL | imgui.Key.a)
        for character in "snowy mountains at":
            ctx.key_chars(character)
            ctx.yield_(2)
        assert session.history.scene.prompt == "snowy mountains at"
        for expected in ("snowy mountains ", "snowy ", first_scene().prompt):
            ctx.key_press(CTRL | imgui.Key.z)
            ctx.yield_(2)
            assert session.history.scene.prompt == expected
        for _ in range(3):
            ctx.key_press(CTRL | SHIFT | imgui.Key.z)
        ctx.yield_(2)
        # What is typed next goes on from the text that redo brought, not from a copy the field kept.
        ctx.key_chars("!")
        ctx.yield_(2)
        assert session.history.scene.prompt == "snowy mountains at!"

    drive(tmp_path, script)


def test_space_types_in_a_field_and_plays_elsewhere(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.item_click(PROMPT)
        ctx.key_press(imgui.Key.space)
        ctx.yield_(2)
        assert not session.playback.transport.playing
        ctx.key_press(imgui.Key.escape)
        ctx.item_click(f"{CONTROLS}/##psi")
        ctx.key_press(imgui.Key.space)
        ctx.yield_(2)
        assert session.playback.transport.playing
        ctx.key_press(imgui.Key.space)
        ctx.yield_(2)
        assert not session.playback.transport.playing

    drive(tmp_path, script)


@pytest.mark.parametrize(
    "text", ["", "x" * 10_000, "word " * 2000, "emoji 🏔🌅", "雪山 日落", "a\tb\nc", "%s %d %n {0}"]
)
def test_any_prompt_is_drawn_and_rendered(tmp_path: Path, text: str) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        for field in ("prompt", "prompt_b"):
            session.history.step("prompt", lambda scene, field=field: replace(scene, **{field: text}))
        settle(ctx, session)
        ctx.item_click(PROMPT)
        ctx.yield_(3)
        assert session.rendering.frame is not None
        assert session.rendering.frame.request.prompt == text
        assert errors(session) == []

    drive(tmp_path, script)


def test_examples_are_one_click_and_one_step(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        ctx.item_click("//Prompt/###example 1")
        settle(ctx, session)
        assert session.history.scene.prompt == EXAMPLES[1]
        ctx.item_click("//Prompt/###more examples")
        ctx.item_click("//Prompt/###example 0")
        settle(ctx, session)
        assert session.history.scene.prompt == EXAMPLES[3]
        ctx.key_press(CTRL | imgui.Key.z)
        ctx.key_press(CTRL | imgui.Key.z)
        ctx.yield_()
        assert session.history.scene == first_scene()

    drive(tmp_path, script)


def test_blending_two_prompts(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        ctx.item_click(PROMPT_B)
        ctx.key_chars("a house")
        ctx.item_input_value("//Prompt/##blend", 0.5)
        settle(ctx, session)
        assert session.rendering.frame is not None
        assert session.rendering.frame.request.prompt_b == "a house"
        assert session.rendering.frame.request.blend == 0.5
        ctx.item_input_value("//Prompt/##blend", 7.0)
        assert session.history.scene.blend == 1.0
        ctx.item_click("//Prompt/###swap")
        ctx.yield_()
        assert session.history.scene.prompt == "a house"
        assert session.history.undo_name == "swap A and B"

    drive(tmp_path, script)


def test_where_typing_is_cut_into_steps() -> None:
    assert starts_word("snowy ", "snowy m")
    assert not starts_word("snowy", "snowy ")
    assert not starts_word("snowy m", "snowy mo")
    assert not starts_word("snowy ", "snowy")
    assert not starts_word("snowy ", "snowy  ")
    assert not starts_word("", "s")


# Seed, psi, noise


def test_dragging_psi_is_one_step(tmp_path: Path) -> None:
    engine = SlowEngine(Path("model"))

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        start = session.history.scene.psi
        drag(ctx, f"{CONTROLS}/##psi", 60)
        settle(ctx, session)
        dragged = session.history.scene.psi
        assert dragged > start
        assert len(session.history) == 1
        assert session.history.undo_name == "psi"
        assert session.rendering.frame is not None
        assert session.rendering.frame.request.psi == dragged
        ctx.key_press(CTRL | imgui.Key.z)
        settle(ctx, session)
        assert session.history.scene.psi == start
        assert session.rendering.frame.request.psi == start

    drive(tmp_path, script, open_engine=lambda path, report: engine)
    assert len({request.psi for request in engine.rendered}) > 2


def test_typed_psi_is_clamped_and_nonsense_changes_nothing(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        item = f"{CONTROLS}/##psi"
        for typed, expected in (("1.5", 1.5), ("1e30", 10.0), ("-1e30", -10.0), ("0.25", 0.25)):
            ctx.item_input_value(item, typed)
            assert session.history.scene.psi == pytest.approx(expected), typed
        for typed in ("nan", "", "inf"):
            ctx.item_input_value(item, typed)
            assert -10.0 <= session.history.scene.psi <= 10.0, typed
        settle(ctx, session)
        assert errors(session) == []

    drive(tmp_path, script)


def test_seeds_take_any_number(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        for typed, expected in (("42", 42.0), ("-3.5", -3.5), ("4294967296", 2.0**32), ("1e30", 2.0**32)):
            ctx.item_input_value(f"{CONTROLS}/##seed_x", typed)
            assert session.history.scene.seed_x == expected, typed
            settle(ctx, session)
        ctx.item_input_value(f"{CONTROLS}/##seed_y", "-1e30")
        assert session.history.scene.seed_y == -(2.0**32)
        settle(ctx, session)
        assert errors(session) == []
        ctx.item_click(f"{CONTROLS}/###reset seed")
        ctx.yield_()
        assert (session.history.scene.seed_x, session.history.scene.seed_y) == (0.0, 0.0)

    drive(tmp_path, script)


def test_surprise_me_and_noise(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        ctx.item_click(f"{CONTROLS}/###surprise")
        settle(ctx, session)
        assert session.history.undo_name == "random seed"
        choose(ctx, CONTROLS, "##noise/random")
        settle(ctx, session)
        assert session.history.scene.noise == "random"
        ctx.item_input_value(f"{CONTROLS}/##noise_seed", 77)
        settle(ctx, session)
        assert session.rendering.frame is not None
        assert session.rendering.frame.request.noise == "random"
        assert session.rendering.frame.request.noise_seed == 77
        choose(ctx, CONTROLS, "##noise/off")
        settle(ctx, session)
        assert session.rendering.frame.request.noise == "none"
        ctx.item_click(f"{CONTROLS}/###reset noise")
        settle(ctx, session)
        assert session.history.scene.noise == "const"
        assert session.history.scene.noise_seed == 0

    drive(tmp_path, script)


# Play


def test_play_pause_scrub_and_rewind(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        start = session.rendering.frame
        ctx.item_click(f"{PLAY}/###play")
        until(ctx, lambda: session.playback.transport.time > 0.05)
        ctx.item_click(f"{PLAY}/###play")
        settle(ctx, session)
        assert not session.playback.transport.playing
        assert session.rendering.frame is not None
        assert start is not None
        assert session.rendering.frame.request != start.request
        ctx.item_input_value(f"{PLAY}/##position", 2.0)
        settle(ctx, session)
        assert session.playback.transport.time == 2.0
        assert session.rendering.frame.request == request_at(session.history.scene, 2.0)
        ctx.item_click(f"{PLAY}/###rewind")
        settle(ctx, session)
        assert session.rendering.frame.request == start.request
        assert session.history.undo_name is None

    drive(tmp_path, script)


def test_path_reach_and_speed(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        choose(ctx, PLAY, "##path/figure eight")
        assert session.history.scene.path == "eight"
        ctx.item_input_value(f"{PLAY}/##path_size", 2.5)
        assert session.history.scene.path_size == 2.5
        ctx.item_input_value(f"{PLAY}/##loop_seconds", "1e9")
        assert session.history.scene.loop_seconds == 3600.0
        ctx.item_input_value(f"{PLAY}/##loop_seconds", "0")
        assert session.history.scene.loop_seconds == pytest.approx(0.1)
        assert session.history.undo_name == "speed"
        ctx.item_click(f"{PLAY}/###reset speed")
        assert session.history.scene.loop_seconds == 8.0

    drive(tmp_path, script)


# Save


def test_save_and_record_from_the_panel(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.item_click(f"{SAVE}/###save")
        until(ctx, lambda: any("Saved" in message.text for message in session.messages.lines))
        ctx.item_click(f"{SAVE}/###record")
        assert session.export.recording.recorder is not None
        ctx.yield_(10)
        ctx.item_click(f"{SAVE}/###record")
        until(ctx, lambda: session.export.recording.recorder is None)
        assert any("Recorded" in message.text for message in session.messages.lines)

    drive(tmp_path, script)
    # The fake video writer writes nothing; the take is beside where the video would be.
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".jsonl", ".png"]


def test_the_folder_dialog_without_a_system_dialog(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        ctx.item_click(f"{SAVE}/###folder")
        ctx.yield_(3)
        ctx.set_ref("//$FOCUSED")
        ctx.item_input_value("##path", str(tmp_path / "elsewhere"))
        ctx.yield_(3)
        assert session.preferences.settings.output_dir == str(tmp_path / "elsewhere")
        # And once more, cancelled.
        ctx.item_click(f"//{SAVE.strip('/')}/###folder")
        ctx.yield_(3)
        ctx.set_ref("//$FOCUSED")
        ctx.item_click("Cancel")
        ctx.yield_(3)
        assert session.preferences.settings.output_dir == str(tmp_path / "elsewhere")

    drive(tmp_path, script)


def test_open_and_save_as_by_path(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.key_press(CTRL | imgui.Key.o)
        ctx.yield_(3)
        ctx.set_ref("//$FOCUSED")
        ctx.item_input_value("##path", "/models/other.safetensors")
        until(ctx, lambda: session.models.info.name == "other")
        settle(ctx, session)
        ctx.key_press(CTRL | SHIFT | imgui.Key.s)
        ctx.yield_(3)
        ctx.set_ref("//$FOCUSED")
        ctx.item_input_value("##path", str(tmp_path / "mine"))
        until(ctx, lambda: (tmp_path / "mine.png").exists())

    drive(tmp_path, script)


# Log, menus, status


def test_the_log_lists_messages(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        session.messages.error("something %s went wrong " + "and on " * 50)
        session.messages.info("well done")
        ctx.menu_click("//##MainMenuBar/View/Panels/###panel Log")
        ctx.yield_(3)
        ctx.item_click("//Log/Copy all")
        copied = imgui.get_clipboard_text()
        assert "error: something %s went wrong" in copied
        assert "info: well done" in copied

    drive(tmp_path, script)


def test_menus_name_the_step_and_act(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.item_input_value(f"{CONTROLS}/##psi", 0.5)
        ctx.menu_click("//##MainMenuBar/Edit/###undo")
        assert session.history.scene.psi == first_scene().psi
        ctx.menu_click("//##MainMenuBar/Edit/###redo")
        assert session.history.scene.psi == 0.5
        ctx.menu_click("//##MainMenuBar/View/###smooth")
        assert session.history.scene.smooth
        ctx.menu_click("//##MainMenuBar/Play/###play")
        assert session.playback.transport.playing
        ctx.menu_click("//##MainMenuBar/Play/###play")
        ctx.menu_click("//##MainMenuBar/View/Panels/###panel Play")
        ctx.yield_(2)
        assert not ctx.item_exists(f"{PLAY}/##position")
        ctx.menu_click("//##MainMenuBar/View/Layouts/###layout_default")
        ctx.menu_click("//##MainMenuBar/File/###quit")
        assert session.ui.quit_requested

    drive(tmp_path, script)


def test_recent_checkpoints_are_in_the_menu(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        session.models.open(Path("/models/other.safetensors"))
        until(ctx, lambda: session.models.info.name == "other")
        session.models.open_bundled()
        until(ctx, lambda: session.models.info.name == "bundled")
        ctx.menu_click("//##MainMenuBar/File/Open recent/###\\/models\\/other.safetensors")
        until(ctx, lambda: session.models.info.name == "other")

    drive(tmp_path, script)


@pytest.mark.parametrize("scale", [0.6, 2.5])
def test_text_of_any_size_draws(tmp_path: Path, scale: float) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        session.preferences.set_text_scale(scale)
        session.messages.error("a message")
        settle(ctx, session)
        ctx.yield_(5)
        assert errors(session) == ["a message"]

    drive(tmp_path, script)


# Picture


def test_dragging_the_picture_walks_in_one_step(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        drag(ctx, CANVAS, 90, -45)
        settle(ctx, session)
        scene = session.history.scene
        assert scene.seed_x == pytest.approx(0.5, abs=0.1)
        assert scene.seed_y == pytest.approx(-0.25, abs=0.1)
        assert len(session.history) == 1
        assert session.history.undo_name == "walk"
        assert session.rendering.frame is not None
        assert session.rendering.frame.request.seed_x == scene.seed_x
        ctx.item_click(CANVAS)  # a click is no walk
        assert len(session.history) == 1

    drive(tmp_path, script)


def test_zoom_and_filtering(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        placement = explorer.viewport.placement
        assert placement is not None
        assert placement.zoom == int(placement.zoom) >= 1
        assert placement.width == 8 * placement.zoom
        choose(ctx, "//Picture", "##zoom/4×")
        ctx.yield_(2)
        placement = explorer.viewport.placement
        assert placement is not None
        assert (placement.zoom, placement.width, placement.height) == (4, 32, 32)
        ctx.item_click("//Picture/smooth")
        ctx.yield_(2)
        assert session.history.scene.smooth
        ctx.key_press(CTRL | imgui.Key._0)
        ctx.key_press(CTRL | imgui.Key.equal)
        ctx.yield_(2)
        assert session.history.scene.zoom == round(explorer.viewport.placement.zoom) > 4

    texture = drive(tmp_path, script)
    assert texture.drawn[-1] == "smooth"
    sharp = [drawn for drawn in texture.drawn if drawn != "smooth"]
    assert (sharp[-1][0].x1, sharp[-1][1]) == (8, 4)


def test_a_picture_larger_than_its_place_is_cropped_or_shrunk(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        placement = explorer.viewport.placement
        assert placement is not None
        assert placement.zoom < 1.0  # 3000 pixels do not fit
        session.history.step("zoom", lambda scene: replace(scene, zoom=16))
        ctx.yield_(3)
        drag(ctx, CANVAS, 30)
        assert session.history.undo_name == "walk"

    texture = drive(tmp_path, script, open_engine=lambda path, report: SlowEngine(path, size=3000))
    region, zoom = [drawn for drawn in texture.drawn if drawn != "smooth"][-1]
    assert zoom == 16
    # Only what can be seen is enlarged.
    assert (region.x1 - region.x0) * zoom < 1920 + 32
    assert region.x0 > 0


def test_loading_then_an_error_with_ways_out(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        until(ctx, lambda: session.models.failed is not None)
        ctx.yield_(3)
        assert session.rendering.frame is None
        ctx.item_click("//Picture/Open the bundled checkpoint")
        settle(ctx, session)
        assert session.models.info.name == "bundled"

    drive(tmp_path, script, checkpoint=Path("/models/bad.safetensors"))


def test_toasts_can_be_dismissed(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        session.messages.error("look here")
        ctx.yield_(3)
        ctx.item_click("**/###dismiss")
        ctx.yield_(2)
        assert session.messages.toasts == ()

    drive(tmp_path, script)


def test_dropping_files(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        frame = session.rendering.frame
        explorer.drop([])
        explorer.drop(["/a", "/b"])
        assert "one file at a time" in errors(session)[-1]
        explorer.drop(["/models/bad.safetensors"])
        until(ctx, lambda: "something bad" in errors(session)[-1])
        assert session.rendering.frame is frame
        explorer.drop(["/models/other.safetensors"])
        until(ctx, lambda: session.models.info.name == "other")

    drive(tmp_path, script)


def test_the_picture_shown_is_the_engine_s(tmp_path: Path) -> None:
    frames: list[Any] = []

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.yield_(2)
        frames.append(session.rendering.frame)

    texture = drive(tmp_path, script)
    np.testing.assert_array_equal(texture.uploads[-1], frames[0].pixels)


def test_a_fault_in_one_panel_does_not_end_the_window(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)

        def broken(history: object) -> None:
            imgui.begin_group()
            raise KeyError("a mistake")

        explorer.panels[2].draw = broken  # type: ignore[method-assign]
        until(ctx, lambda: bool(errors(session)))
        assert "Internal error in Play: KeyError" in errors(session)[0]
        explorer.panels[2].draw = lambda history: None  # type: ignore[method-assign]
        ctx.item_input_value(f"{CONTROLS}/##psi", 0.5)
        settle(ctx, session)
        assert session.history.scene == replace(Scene(), prompt=first_scene().prompt, psi=0.5)

    drive(tmp_path, script)
