"""A clean exit, a crash, a second window; and the last scenes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from app.document.file import read_scene_file
from app.document.scene import Scene
from app.explorer.startup import first_scene
from app.explorer.storage.crash_recovery import KEPT, PAUSE_S, CrashRecovery
from tests.app.explorer.fakes import make_session, settle

LEAVE_A_MARK = (
    "import sys, os, pathlib; from app.explorer.storage.crash_recovery import CrashRecovery; "
    "CrashRecovery(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)"
)


def crash(folder: Path) -> None:
    """A program that is killed while it runs."""
    subprocess.run([sys.executable, "-c", LEAVE_A_MARK, str(folder)], check=False, timeout=60)


def test_a_clean_exit_and_a_crash(tmp_path: Path) -> None:
    first = CrashRecovery(tmp_path)
    assert not first.ended_badly
    # A second window beside it is no crash, and leaves the first one's mark alone.
    second = CrashRecovery(tmp_path)
    assert not second.ended_badly
    second.close()
    assert (tmp_path / "running").exists()
    first.close()
    assert not (tmp_path / "running").exists()
    crash(tmp_path)
    after = CrashRecovery(tmp_path)
    assert after.ended_badly
    after.close()
    assert not CrashRecovery(tmp_path).ended_badly


def test_a_folder_that_is_not_there_is_no_trouble(tmp_path: Path) -> None:
    keeper = CrashRecovery(tmp_path / "absent" / "folder")
    assert not keeper.ended_badly
    keeper.close()


def test_scenes_are_kept_one_a_minute_and_twenty_in_all(tmp_path: Path) -> None:
    now = [0.0]
    keeper = CrashRecovery(tmp_path, lambda: now[0])
    for minute in range(25):
        for second in (0.0, 20.0, 40.0):
            now[0] = minute * PAUSE_S + second
            keeper.keep(Scene(psi=(minute + second / 100) / 10))
            for path in keeper.autosaves.iterdir():
                if path == keeper.newest() and second == 0.0:
                    stamp = 1_000_000 + minute
                    os.utime(path, (stamp, stamp))
    kept = sorted(keeper.autosaves.glob("*.json"), key=lambda path: path.stat().st_mtime)
    assert len(kept) == KEPT
    assert [read_scene_file(path).scene.psi for path in kept] == pytest.approx([m / 10 for m in range(5, 25)])
    assert keeper.newest() == kept[-1]
    keeper.keep(Scene(psi=9.0), now=True)
    assert len(list(keeper.autosaves.iterdir())) == KEPT
    keeper.close()


def test_after_a_crash_the_last_scene_is_there_and_one_may_start_afresh(tmp_path: Path) -> None:
    session = make_session(tmp_path)
    settle(session)
    session.history.step("prompt", lambda scene: replace(scene, prompt="nearly lost"))
    session.close()
    assert session.rendering.thread.close(timeout=10.0)
    crash(tmp_path / "config")
    again = make_session(tmp_path)
    try:
        settle(again)
        assert again.history.scene.prompt == "nearly lost"
        (toast,) = (toast for toast in again.messages.toasts if toast.choices)
        assert "did not end well last time; this is its last scene" in toast.text
        dict(toast.choices)["Start afresh"]()
        assert again.history.scene == first_scene()
        assert read_scene_file(again.autosave.recovery.newest()).scene.prompt == "nearly lost"
        again.history.undo()
        assert again.history.scene.prompt == "nearly lost"
    finally:
        again.close()
        assert again.rendering.thread.close(timeout=10.0)
    third = make_session(tmp_path)
    try:
        assert not [toast for toast in third.messages.toasts if toast.choices]
    finally:
        third.close()
        assert third.rendering.thread.close(timeout=10.0)


def test_every_autosave_is_kept_beside_the_scene(tmp_path: Path) -> None:
    now = [0.0]
    session = make_session(tmp_path, clock=lambda: now[0])
    try:
        settle(session)
        session.history.step("psi", lambda scene: replace(scene, psi=0.3))
        session.tick()
        now[0] += 1.0
        session.tick()
        assert read_scene_file(session.autosave.recovery.newest()).scene.psi == 0.3
        assert time.strftime("%Y") in session.autosave.recovery.newest().name
    finally:
        session.close()
        assert session.rendering.thread.close(timeout=10.0)
