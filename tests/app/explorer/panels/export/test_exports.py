"""The Exports panel and the messages with buttons, clicked by the test engine without a display."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

pytest.importorskip("imgui_bundle")

from imgui_bundle import imgui

from app.explorer.actions import by_id
from app.explorer.export.queue import STOPPED, ExportJob, ProgressCallback
from app.explorer.session import Session
from app.explorer.window import Explorer
from tests.app.explorer.fakes import errors
from tests.app.explorer.nullwindow import Context, drive, settle, until

PANEL = "//Exports"


def show(ctx: Context, session: Session) -> None:
    settle(ctx, session)
    ctx.menu_click("//##MainMenuBar/View/Panels/###panel Exports")
    ctx.yield_(2)


def half_done(job: ExportJob, report: ProgressCallback, stop: threading.Event) -> str | None:
    """Renders half of a video and then waits for the end; a GIF fails."""
    report(60, 120)
    if job.settings.codec == "gif":
        return "the disk is full"
    return STOPPED if stop.wait(60.0) else None


def test_a_scene_is_queued_cancelled_tried_again_and_removed(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        show(ctx, session)
        queue = session.export.queue
        ctx.item_click(f"{PANEL}/###codec")
        ctx.yield_(2)
        ctx.item_click("//$FOCUSED/###png")
        ctx.item_click(f"{PANEL}/seamless")
        ctx.yield_(2)
        ctx.item_click(f"{PANEL}/###add")
        ctx.item_click(f"{PANEL}/###add")
        until(ctx, lambda: queue.jobs[0].state == "running" and queue.jobs[0].done == 60)
        ctx.yield_(2)
        first, second = queue.jobs
        assert first.settings.codec == "png"
        assert first.settings.loop
        assert Path(first.out).suffix == ""
        assert queue.jobs[1].state == "waiting"
        assert session.lively
        ctx.item_click(f"{PANEL}/**/{second.id}/###cancel")
        ctx.item_click(f"{PANEL}/**/{first.id}/###cancel")
        until(ctx, lambda: [job.state for job in queue.jobs] == ["cancelled", "cancelled"])
        ctx.yield_(2)
        ctx.item_click(f"{PANEL}/**/{first.id}/###retry")
        until(ctx, lambda: queue.jobs[-1].state == "running")
        assert queue.jobs[-1].id == first.id
        ctx.item_click(f"{PANEL}/**/{second.id}/###remove")
        until(ctx, lambda: len(queue.jobs) == 1)
        ctx.yield_(2)
        assert not errors(session)

    drive(tmp_path, script, run_export=half_done)


def test_a_take_is_queued_in_another_format_and_its_failure_told(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        session.export.recording.toggle()
        ctx.yield_(5)
        session.export.recording.toggle()
        until(ctx, lambda: session.export.recording.recorder is None)
        show(ctx, session)
        ctx.item_click(f"{PANEL}/###source")
        ctx.yield_(2)
        ctx.item_click("//$FOCUSED/###take 0")
        ctx.item_click(f"{PANEL}/###codec")
        ctx.yield_(2)
        ctx.item_click("//$FOCUSED/###gif")
        ctx.yield_(2)
        ctx.item_click(f"{PANEL}/###add")
        ctx.yield_(2)
        (job,) = session.export.queue.jobs
        assert job.source.endswith(".take.jsonl")
        assert job.settings.fps == "50"  # as fast as the format goes
        until(ctx, lambda: session.export.queue.jobs[0].state == "failed")
        ctx.yield_(3)
        assert errors(session) == [f"The export of {job.title} failed: the disk is full"]

    drive(tmp_path, script, run_export=half_done)


def test_a_message_s_button_is_done_once(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        chosen: list[str] = []
        session.messages.ask(
            "Go on?", [("Go on", lambda: chosen.append("on")), ("Forget", lambda: chosen.append("off"))]
        )
        ctx.yield_(3)
        (toast,) = session.messages.toasts
        ctx.item_click(f"//##toast {toast.at} {hash(toast.text)}/Forget")
        ctx.yield_(3)
        assert chosen == ["off"]
        assert session.messages.toasts == ()
        assert not errors(session)

    drive(tmp_path, script)


def test_saving_over_a_file_is_asked_about(tmp_path: Path) -> None:
    """Whether its suffix was typed or not; Enter alone replaces nothing."""

    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        mine = tmp_path / "mine.json"
        mine.write_text("precious")

        def save(name: str, button: str | None) -> None:
            ctx.menu_click("//##MainMenuBar/File/###save_scene")
            ctx.yield_(3)
            ctx.item_click("//Save the scene as/##path")
            ctx.key_chars_replace(str(tmp_path / name))
            ctx.key_press(imgui.Key.enter)
            ctx.yield_(3)
            assert not ctx.item_exists("//Save the scene as/OK")
            if button is None:
                ctx.key_press(imgui.Key.escape)
            else:
                ctx.item_click(f"//Save the scene as/{button}")
            until(ctx, lambda: not session.export.files.busy)

        save("mine", None)
        assert mine.read_text() == "precious"
        save("mine.json", "###free")
        assert mine.read_text() == "precious"
        assert (tmp_path / "mine-2.json").exists()
        save("mine", "Replace it")
        assert mine.read_text() == (tmp_path / "mine-2.json").read_text()
        assert not errors(session)

    drive(tmp_path, script)


def test_dropping_a_scene_file_restores_it(tmp_path: Path) -> None:
    def script(ctx: Context, session: Session, explorer: Explorer) -> None:
        settle(ctx, session)
        ctx.menu_click("//##MainMenuBar/File/###save_scene")
        ctx.yield_(3)
        ctx.item_click("//Save the scene as/##path")
        ctx.key_chars_replace(str(tmp_path / "mine"))
        ctx.item_click("//Save the scene as/OK")
        until(ctx, lambda: (tmp_path / "mine.json").exists())
        saved = session.history.scene
        by_id("surprise").run(session)
        explorer.drop([str(tmp_path / "mine.json")])
        until(ctx, lambda: session.history.undo_name == "restore mine.json")
        assert session.history.scene == saved
        assert not errors(session)

    drive(tmp_path, script)
