"""Panels for models that take no prompt, and the library, clicked by the test engine without a display."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("imgui_bundle")

from imgui_bundle import imgui

from app.explorer.session import Session
from app.explorer.window import Explorer
from tests.app.explorer.fakes import SlowEngine, errors
from tests.app.explorer.nullwindow import Context, drive, settle, until

PROMPT = "//Prompt/##prompt"
PROMPT_B = "//Prompt/##prompt_b"
CONTROLS = "//Picture controls"


# Models that take something else than a prompt

CLASSES = ("tench", "Golden Retriever", "Labrador Retriever", "crane")


def class_engine(path: Path, report: Any) -> SlowEngine:
    return SlowEngine(path, conditioning="class", classes=4, class_names=CLASSES)


def test_a_class_is_found_by_name_and_by_number(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        assert not ctx.item_exists(PROMPT)
        for typed, label in (("lab", 2), ("1", 1), ("crane", 3)):
            ctx.item_click("//Prompt/###label")
            ctx.yield_(2)  # the search has the focus
            ctx.key_chars_append(typed)
            ctx.key_press(imgui.Key.enter)
            ctx.yield_(2)
            assert session.history.scene.label == label
        assert session.history.undo_name == "class"
        ctx.item_click("//Prompt/###Next label")
        assert session.history.scene.label == 0
        ctx.item_click("//Prompt/###Previous label_b")
        ctx.yield_(2)
        assert session.history.scene.label_b == 3
        ctx.item_click("//Prompt/###swap")
        ctx.yield_(2)
        assert (session.history.scene.label, session.history.scene.label_b) == (3, 0)
        settle(ctx, session)
        assert session.rendering.frame.request.label == 3  # type: ignore[union-attr]
        assert not errors(session)

    drive(tmp_path, script, open_engine=class_engine)


def test_a_class_is_picked_from_the_list(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.item_click("//Prompt/###label_b")
        ctx.yield_(2)
        ctx.key_chars_append("retriever")
        ctx.yield_(2)
        ctx.set_ref("//$FOCUSED")
        ctx.item_click("**/###class 2")
        ctx.set_ref("")
        ctx.yield_(2)
        assert session.history.scene.label_b == 2

    drive(tmp_path, script, open_engine=class_engine)


def test_without_classes_and_prompts_there_is_nothing_to_fill_in(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        for item in (PROMPT, PROMPT_B, "//Prompt/###label", "//Prompt/##blend", "//Prompt/###swap"):
            assert not ctx.item_exists(item)
        ctx.item_click(f"{CONTROLS}/##noise")
        ctx.yield_(2)
        assert session.history.undo_name is None

    drive(
        tmp_path,
        script,
        open_engine=lambda path, report: SlowEngine(path, conditioning="none", vocabulary=(), has_noise=False),
    )


# Library


def test_the_library_opens_a_model_by_its_picture(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("faces.pkl", "bad.pkl"):
        (folder / name).write_text(name)

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        session.preferences.set_output_dir(tmp_path)
        session.models.add_folder(folder)
        ctx.menu_click("//##MainMenuBar/View/Panels/###panel Library")
        ctx.yield_(2)
        until(ctx, lambda: len(session.models.library.entries) == 2 and not session.models.library.busy)
        ctx.yield_(2)
        assert [entry.path.name for entry in session.models.library.entries] == ["bad.pkl", "faces.pkl"]
        ctx.item_click("//Library/**/##tile 1")
        ctx.yield_(2)
        until(ctx, lambda: session.models.path == folder / "faces.pkl")
        assert session.history.scene.checkpoint == str(folder / "faces.pkl")
        assert session.history.undo_name == "open checkpoint"
        assert session.preferences.settings.library_dirs == (str(folder),)
        ctx.yield_(3)
        assert not errors(session)

    drive(tmp_path, script)
