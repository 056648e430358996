"""The prompt panel's words, pad, fine layers and quick prompts, and the sweep, clicked without a display."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("imgui_bundle")

from imgui_bundle import ImVec2, imgui

from app.document.file import read_scene_file
from app.document.scene import Scene
from app.explorer.export.queue import STOPPED, ExportJob
from app.explorer.session import Session
from app.explorer.window import Explorer
from app.images import read_png, save_png
from core.request import Frame, Mix
from tests.app.explorer.fakes import SlowEngine, errors
from tests.app.explorer.nullwindow import Context, drive, settle, until

PROMPT = "//Prompt/##prompt"
KEY = imgui.Key
START = "snowy mountains at sunset, watercolor"


def prompt_of(session: Session) -> str:
    return session.history.scene.prompt


def own_list(session: Session) -> None:
    session.prompts.set_list("snowy", ["foggy", "rainy"])


def text_engine(path: Path, report: Any) -> SlowEngine:
    return SlowEngine(path, num_ws=8)


def class_engine(path: Path, report: Any) -> SlowEngine:
    return SlowEngine(path, conditioning="class", classes=4, class_names=("a", "b", "c", "d"), num_ws=8)


def place(ctx: Context, item: str, x: float, y: float) -> ImVec2:
    """A point of an item, as fractions of its size."""
    rect = ctx.item_info(item).rect_full
    return ImVec2(rect.min.x + x * (rect.max.x - rect.min.x), rect.min.y + y * (rect.max.y - rect.min.y))


# Words


def test_a_word_is_swapped_with_the_arrows(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        seed = session.history.scene.seed_x
        ctx.item_click("//Prompt/##word 0")
        for key, expected in ((KEY.down_arrow, "foggy"), (KEY.down_arrow, "rainy"), (KEY.up_arrow, "foggy")):
            ctx.key_press(key)
            ctx.yield_(2)
            assert prompt_of(session) == START.replace("snowy", expected)
        ctx.key_press(KEY.right_arrow)
        ctx.yield_(2)
        assert session.prompts.words.selected == 1
        assert session.history.scene.seed_x == seed
        assert len(session.history) == 3
        ctx.key_press(KEY.escape)
        ctx.yield_(2)
        assert session.prompts.words.selected is None
        settle(ctx, session)
        assert session.rendering.frame is not None
        assert session.rendering.frame.request.prompt == prompt_of(session)
        assert not errors(session)

    drive(tmp_path, script, before=own_list)


def test_alt_and_arrows_work_while_typing(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.item_click(PROMPT)
        ctx.key_press(KEY.mod_alt | KEY.left_arrow)
        ctx.yield_(2)
        assert session.prompts.words.selected == 4
        ctx.key_press(KEY.mod_alt | KEY.right_arrow)
        ctx.key_press(KEY.mod_alt | KEY.down_arrow)
        ctx.yield_(2)
        assert prompt_of(session) == START.replace("snowy", "foggy")
        ctx.key_press(KEY.mod_alt | KEY.equal)
        ctx.yield_(2)
        assert prompt_of(session) == START.replace("snowy", "(foggy:1.1)")
        ctx.key_press(KEY.end)
        ctx.key_chars_append("!")
        ctx.yield_(2)
        # The field has the swapped text, not a copy of the old.
        assert prompt_of(session).replace("!", "") == START.replace("snowy", "(foggy:1.1)")
        ctx.key_press(KEY.up_arrow)
        ctx.yield_(2)
        assert "foggy" in prompt_of(session), "without Alt the arrows move the caret"
        assert not errors(session)

    drive(tmp_path, script, before=own_list)


def test_the_wheel_weighs_a_word_and_its_speaker_mutes_it(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.mouse_move("//Prompt/##word 1")
        for _ in range(2):
            ctx.mouse_wheel_y(1)
            ctx.yield_(2)
        assert prompt_of(session) == START.replace("mountains", "(mountains:1.2)")
        assert len(session.history) == 2
        assert session.history.undo_name == "word weight"
        ctx.mouse_wheel_y(-2)
        ctx.yield_(2)
        assert prompt_of(session) == START
        ctx.item_click("//Prompt/##word 1")
        ctx.yield_(2)
        assert prompt_of(session) == START
        ctx.mouse_move_to_pos(place(ctx, "//Prompt/##word 1", 0.88, 0.5))
        ctx.mouse_click(0)
        ctx.yield_(2)
        assert prompt_of(session) == START.replace("mountains", "(mountains:0)")
        assert session.history.undo_name == "mute word"
        settle(ctx, session)
        assert not errors(session)

    drive(tmp_path, script)


def test_a_right_click_gives_a_word_its_own_list(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.item_click("//Prompt/##word 3", 1)
        ctx.yield_(2)
        ctx.set_ref("//$FOCUSED")
        ctx.item_click("###mute")
        ctx.yield_(2)
        assert "(sunset:0)" in prompt_of(session)
        ctx.item_click("###weight 1")
        ctx.yield_(2)
        assert prompt_of(session) == START
        ctx.item_click("##own list")
        ctx.key_chars("dawn")
        ctx.key_press(KEY.enter)
        ctx.key_chars("noon")
        ctx.item_click("###heavier")
        ctx.set_ref("")
        ctx.yield_(2)
        assert session.preferences.settings.word_lists == {"sunset": ("dawn", "noon")}
        ctx.key_press(KEY.escape)
        ctx.yield_(2)
        ctx.key_press(KEY.mod_alt | KEY.down_arrow)
        ctx.yield_(2)
        assert prompt_of(session) == START.replace("sunset", "(dawn:1.1)")
        assert not errors(session)

    drive(tmp_path, script)


def test_words_the_model_knows_are_offered_and_clicked(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.item_click("//Prompt/##word 0")
        until(ctx, lambda: session.prompts.words.choices() is not None)
        ctx.yield_(3)
        ctx.item_click("//Prompt/###choice 1")
        ctx.yield_(2)
        assert prompt_of(session) == START.replace("snowy", "sunset")
        assert not errors(session)

    drive(tmp_path, script)


@pytest.mark.parametrize(
    "text", ["((((", "(a:1.5)(b:0)", "(:1)", "x " * 200, "(long phrase " * 40 + ":2)", "雪 (山:2)"]
)
def test_any_prompt_has_its_words_drawn(tmp_path: Path, text: str) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        session.history.step("prompt", lambda scene: replace(scene, prompt=text))
        for _ in range(4):
            ctx.key_press(KEY.mod_alt | KEY.right_arrow)
            ctx.key_press(KEY.mod_alt | KEY.down_arrow)
            ctx.yield_(3)
        settle(ctx, session)
        assert not errors(session)

    drive(tmp_path, script)


# Quick prompts and the past


def test_quick_prompts_on_their_keys(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.key_press(KEY.mod_ctrl | KEY.mod_shift | KEY._2)
        ctx.yield_(2)
        assert session.history.scene.quick_prompts == ("", START)
        ctx.item_click(PROMPT)
        ctx.key_press(KEY.mod_ctrl | KEY.a)
        ctx.key_chars("2")
        ctx.key_press(KEY._2)
        ctx.yield_(2)
        assert prompt_of(session) == "2", "keys are text while a field is in use"
        ctx.item_click("//Picture controls/##psi")
        ctx.key_press(KEY._2)
        ctx.yield_(2)
        assert prompt_of(session) == START
        assert session.history.undo_name == "quick prompt 2"
        ctx.item_click("//Prompt/###quick 5")
        ctx.yield_(2)
        assert session.history.scene.quick_prompts == ("", START, "", "", START)
        ctx.item_click("//Prompt/###quick 5", 1)
        ctx.yield_(2)
        ctx.item_click("//$FOCUSED/###clear")
        ctx.yield_(2)
        assert session.history.scene.quick_prompts == ("", START)
        assert not errors(session)

    drive(tmp_path, script)


def test_a_past_prompt_is_found_and_used(tmp_path: Path) -> None:
    def before(session: Session) -> None:
        session.preferences.keep(
            replace(session.preferences.settings, past_prompts=("a sea", "old hills", "hills at sea"))
        )

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.item_click("//Prompt/###past")
        ctx.yield_(2)
        ctx.key_chars("sea hills")
        ctx.key_press(KEY.enter)
        ctx.yield_(2)
        assert prompt_of(session) == "hills at sea"
        assert session.history.undo_name == "past prompt"
        ctx.item_click("//Prompt/###past")
        ctx.yield_(2)
        ctx.set_ref("//$FOCUSED")
        ctx.item_click("**/###past 1")
        ctx.set_ref("")
        ctx.yield_(2)
        assert prompt_of(session) == "old hills"
        # Examples are folded for who has a past.
        assert not ctx.item_exists("//Prompt/###example 0")
        ctx.item_click("//Prompt/###examples")
        ctx.yield_(2)
        assert ctx.item_exists("//Prompt/###example 0")
        assert not errors(session)

    drive(tmp_path, script, before=before)


# The pad and fine layers


def drag_dot(ctx: Context, start: tuple[float, float], end: tuple[float, float]) -> None:
    ctx.mouse_move_to_pos(place(ctx, "//Prompt/##pad", *start))
    ctx.mouse_down(0)
    ctx.yield_()
    ctx.mouse_move_to_pos(place(ctx, "//Prompt/##pad", *end))
    ctx.yield_()
    ctx.mouse_up(0)
    ctx.yield_(2)


def test_the_dot_is_dragged_on_the_pad(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        assert not ctx.item_exists("//Prompt/##prompt_c")
        ctx.item_click("//Prompt/###examples")
        ctx.item_click("//Prompt/###pad")
        ctx.yield_(2)
        assert not ctx.item_exists("//Prompt/##blend")
        ctx.item_click("//Prompt/##prompt_d")
        ctx.key_chars("a house")
        until(ctx, lambda: session.history.scene.prompt_d == "a house")
        steps = len(session.history)
        drag_dot(ctx, (0.1, 0.1), (0.5, 0.75))
        scene = session.history.scene
        assert (scene.blend, scene.blend_y) == (pytest.approx(0.5, abs=0.03), pytest.approx(0.78, abs=0.04))
        assert session.history.undo_name == "pad"
        assert len(session.history) == steps + 1
        drag_dot(ctx, (0.5, 0.5), (1.5, 1.5))
        assert (session.history.scene.blend, session.history.scene.blend_y) == (1.0, 1.0)
        settle(ctx, session)
        assert session.rendering.frame is not None
        assert session.rendering.frame.request.prompt_d == "a house"
        steps = len(session.history)
        ctx.mouse_move_to_pos(place(ctx, "//Prompt/##pad", 0.3, 0.3))
        ctx.mouse_double_click(0)
        ctx.yield_(2)
        assert (session.history.scene.blend, session.history.scene.blend_y) == (0.0, 0.0)
        assert session.history.undo_name == "reset pad"
        assert len(session.history) == steps + 1
        session.history.undo()
        assert (session.history.scene.blend, session.history.scene.blend_y) == (1.0, 1.0)
        ctx.item_click("//Prompt/###pad")
        ctx.yield_(2)
        assert session.history.scene.blend_y == 0.0
        assert session.history.scene.prompt_d == "a house"
        assert ctx.item_exists("//Prompt/##blend")
        assert not errors(session)

    drive(tmp_path, script)


def test_classes_on_the_pad_and_in_the_fine_layers(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.item_click("//Prompt/###pad")
        ctx.yield_(2)
        ctx.item_click("//Prompt/###Next label_c")
        ctx.item_click("//Prompt/###Previous label_d")
        ctx.yield_(2)
        assert (session.history.scene.label_c, session.history.scene.label_d) == (1, 3)
        ctx.item_click("//Prompt/###fine layers")
        ctx.yield_(2)
        assert session.history.scene.mixes == (Mix(label=0, first=4),)
        ctx.item_click("//Prompt/###Previous fine label")
        ctx.yield_(2)
        assert session.history.scene.mixes == (Mix(label=3, first=4),)
        settle(ctx, session)
        assert not errors(session)

    drive(tmp_path, script, open_engine=class_engine)


def test_fine_layers_from_another_prompt(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        other = Mix(seed_x=4.0, stop=3)
        session.history.step("mix", lambda scene: replace(scene, mixes=(other,)))
        ctx.item_click("//Prompt/###examples")
        ctx.item_click("//Prompt/###fine layers")
        ctx.yield_(2)
        assert session.history.scene.mixes == (Mix(prompt=START, first=4), other)
        ctx.item_click("//Prompt/##fine")
        ctx.key_press(KEY.mod_ctrl | KEY.a)
        ctx.key_chars("a house")
        until(ctx, lambda: session.history.scene.mixes[0].prompt == "a house")
        ctx.mouse_move_to_pos(place(ctx, "//Prompt/##boundary", 0.5, 0.5))
        ctx.mouse_down(0)
        ctx.mouse_move_to_pos(place(ctx, "//Prompt/##boundary", 0.26, 0.5))
        ctx.mouse_up(0)
        ctx.yield_(2)
        assert session.history.scene.mixes == (Mix(prompt="a house", first=2), other)
        assert session.history.undo_name == "layer boundary"
        settle(ctx, session)
        assert session.rendering.frame is not None
        assert session.rendering.frame.request.mixes == session.history.scene.mixes
        ctx.item_click("//Prompt/###fine layers")
        ctx.yield_(2)
        assert session.history.scene.mixes == (other,)
        ctx.item_click("//Prompt/###fine layers")
        ctx.yield_(2)
        assert session.history.scene.mixes == (Mix(prompt="a house", first=2), other), "it is as it was"
        assert not errors(session)

    drive(tmp_path, script, open_engine=text_engine)


def test_crossfade_is_set_in_the_panel(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        for value, expected in ((0.0, 0.0), (3.0, 3.0), (99.0, 10.0)):
            ctx.item_input_value("//Prompt/##crossfade", value)
            ctx.yield_(2)
            assert session.history.scene.crossfade == pytest.approx(expected)
        assert not errors(session)

    drive(tmp_path, script)


# The sweep


def show_sweep(ctx: Context) -> None:
    ctx.menu_click("//##MainMenuBar/View/Panels/###panel Sweep")
    ctx.yield_(3)
    ctx.window_focus("//Sweep")
    ctx.yield_(3)


def test_a_sweep_draws_its_pictures_and_a_click_adopts_one(tmp_path: Path) -> None:
    engine = SlowEngine(Path("model"))

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        show_sweep(ctx)
        ctx.item_click("//Sweep/##template")
        ctx.key_press(KEY.mod_ctrl | KEY.a)
        ctx.key_chars("a {X} house")
        ctx.item_click("//Sweep/##lines")
        ctx.key_press(KEY.mod_ctrl | KEY.a)
        for value in ("red", "blue", "red"):
            ctx.key_chars(value)
            ctx.key_press(KEY.enter)
        until(ctx, lambda: {"a red house", "a blue house"} <= {r.prompt for r in engine.rendered}, frames=100_000)
        ctx.yield_(5)
        assert prompt_of(session) == START
        assert session.rendering.frame is not None
        assert session.rendering.frame.request.prompt == START
        ctx.item_click("//Sweep/**/##sweep 1")
        ctx.yield_(2)
        assert prompt_of(session) == "a blue house"
        assert session.history.undo_name == "sweep"
        assert len(session.history) == 1
        ctx.item_click("//Sweep/###sheet")
        until(ctx, lambda: any(m.path is not None for m in session.messages.lines), frames=100_000)
        (sheet,) = (tmp_path / "out").iterdir()
        kept = read_png(sheet)
        assert (kept.scene or {})["prompt"] == "a blue house"
        assert (kept.checkpoint or {})["sha256"] == session.models.info.sha256
        ctx.item_click("//Sweep/###strip")
        ctx.yield_(3)
        (job,) = session.export.queue.jobs
        keyframes = read_scene_file(Path(job.source)).scene.keyframes
        assert [keyframe.request.prompt for keyframe in keyframes] == ["a red house", "a blue house"]
        until(ctx, lambda: session.export.queue.busy, frames=100_000)
        ctx.item_click("//Sweep/###stop strip")
        until(ctx, lambda: session.export.queue.jobs[0].state == "cancelled", frames=100_000)
        ctx.yield_(3)
        assert ctx.item_exists("//Sweep/###strip")
        assert not errors(session)

    def until_stopped(job: ExportJob, report: object, stop: threading.Event) -> str:
        stop.wait()
        return STOPPED

    def write(path: Path, frame: Frame, info: Any, scene: Scene, time: float | None) -> None:
        save_png(path, frame, info, scene.to_json(), time)

    drive(tmp_path, script, open_engine=lambda path, report: engine, run_export=until_stopped, write_image=write)


def test_a_sweep_is_made_from_the_selected_word(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.item_click("//Prompt/##word 0")
        show_sweep(ctx)
        ctx.item_click("//Sweep/###from word")
        ctx.yield_(2)
        ctx.item_click("//Sweep/**/##sweep 2")
        ctx.yield_(2)
        assert prompt_of(session) == START.replace("snowy", "rainy")
        ctx.item_click("//Sweep/###play strip")
        ctx.yield_(2)
        assert session.playback.transport.playing
        assert session.history.undo_name == "play strip"
        prompts = [keyframe.request.prompt for keyframe in session.history.scene.keyframes]
        assert prompts == [START.replace("snowy", word) for word in ("snowy", "foggy", "rainy")]
        until(
            ctx,
            lambda: session.rendering.frame is not None and session.rendering.frame.request.blend > 0.0,
            frames=100_000,
        )
        assert not errors(session)

    drive(tmp_path, script, before=own_list)


def test_without_prompts_there_is_nothing_to_sweep(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        show_sweep(ctx)
        assert not ctx.item_exists("//Sweep/##template")
        assert not errors(session)

    drive(tmp_path, script, open_engine=class_engine)
