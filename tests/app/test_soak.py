"""The soak finds what it is there to find."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.cli import main
from app.document.scene import Scene
from app.explorer.panels.playback.motion import MotionPanel
from app.soak import LAG, JournalledHistory, _beyond, soak


def test_a_short_one_finds_nothing(tiny_checkpoint: Path) -> None:
    report = soak(0.05, 1, headless=True, checkpoint=tiny_checkpoint)
    assert report.problems == ()
    assert report.actions > 5
    assert report.frames > report.actions


def test_it_finds_a_panel_that_fails_now_and_then(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, count = MotionPanel.draw, 0

    def draw_and_fail_once(self: MotionPanel, history: object) -> None:
        nonlocal count
        count += 1
        if count == 40:
            raise KeyError("planted")
        draw(self, history)  # type: ignore[arg-type]

    monkeypatch.setattr(MotionPanel, "draw", draw_and_fail_once)
    report = soak(0.05, 1, headless=True, checkpoint=tiny_checkpoint)
    assert any("planted" in problem or "drawing Play failed" in problem for problem in report.problems)


def test_a_history_of_values_replays() -> None:
    now = [0.0]
    history = JournalledHistory(Scene(), lambda: now[0])
    for i in range(3 * LAG):
        now[0] += 0.3 if i % 7 else 2.0
        history.apply(("psi", "zoom")[i // 5 % 2], lambda scene, i=i: replace(scene, psi=i / LAG), pause=1.0)
        if i % 11 == 0:
            history.undo()
        if i % 23 == 0:
            history.redo()
        if i % 4 == 0:
            history.step("seed", lambda scene, i=i: replace(scene, seed_x=scene.seed_x + i))
    assert history.replayed() == history.scene != Scene()


def test_an_edit_that_looks_at_more_than_the_scene_does_not_replay() -> None:
    outside = {"psi": 0.0}
    history = JournalledHistory(Scene(), lambda: 0.0)
    for i in range(2 * LAG):
        outside["psi"] = (i % 10) / 10
        history.step("psi", lambda scene: replace(scene, seed_x=scene.seed_x + outside["psi"]))
    assert history.replayed() != history.scene


def test_bad_arguments_are_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["soak", "--minutes", "0"]) == 2
    assert "--minutes: expected a number above 0" in capsys.readouterr().err
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert main(["soak", "--minutes", "1"]) == 2
    assert "use --headless" in capsys.readouterr().err


def test_a_control_beyond_its_limit_is_a_problem() -> None:
    assert _beyond(Scene(psi=10.0, noise_strength=10.0)) == []
    far = (1 / 50.0, 0.0, 0.0, 0.0, 1 / 50.0, 0.0, 0.0, 0.0, 1.0)
    assert _beyond(Scene(transform=far)) == []  # no placement that the controls know
    assert _beyond(Scene(path_seed=2**32 - 1)) == ["path_seed is 4.29497e+09, expected 0 to 2.14748e+09"]
