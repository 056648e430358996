"""What is behind the window: which runs, what is looked at, commands and their answers, curves over psi, and words."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from app import cli
from app.errors import UserError
from app.monitor.commands import SHOWN_S, CommandTracker
from app.monitor.log_panel import details_of, summary_of
from app.monitor.parsing import Event
from app.monitor.plots import reading, unit_of
from app.monitor.psi_plot import axes_of, psi_curves
from app.monitor.state import MonitorState, names_of, run_folder
from core.run_control import Command, Reader
from tests.app.monitor.runs import start_row, text, train_row, write_run
from tests.app.monitor.test_status import view_of


def test_a_run_is_named_by_its_folder_or_its_log(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", until=3200)
    assert run_folder(run) == run_folder(run / "log.jsonl") == run
    (tmp_path / "young").mkdir()
    with pytest.raises(UserError, match=r"found neither log\.jsonl nor config\.toml"):
        run_folder(tmp_path / "young")
    (tmp_path / "young" / "config.toml").touch()
    assert run_folder(tmp_path / "young") == tmp_path / "young"
    with pytest.raises(UserError, match="no such run"):
        run_folder(tmp_path / "absent")
    with pytest.raises(UserError, match="got a file"):
        run_folder(run / "config.json")


def test_names_tell_runs_apart() -> None:
    paths = [Path("/a/x/gan"), Path("/a/y/gan"), Path("/b/other")]
    assert names_of(paths) == ["x/gan", "y/gan", "other"]


def test_the_same_run_twice_is_one_and_too_many_are_too_many(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", until=320)
    assert len(MonitorState([run, run / "log.jsonl"]).runs) == 1
    with pytest.raises(UserError, match="expected 1 to 16 runs, got 17"):
        MonitorState([write_run(tmp_path / f"{i}", until=320) for i in range(17)])


def test_what_is_looked_at_follows_the_run_until_somebody_zooms(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", until=32_000)
    state = MonitorState([run])
    reader = state.runs[0].reader
    reader.glance()
    assert state.refresh(time.time())
    assert not state.refresh(time.time())
    assert state.looking_at() == (-320.0, 32_320.0)
    assert state.half_life() == pytest.approx(0.2 * 32_000 * 0.35**3)
    state.move((1000.0, 2000.0), 10.0)
    with open(run / "log.jsonl", "ab") as file:
        file.write(text([train_row(64_000, random.Random(0))]))
    reader.glance()
    state.refresh(10.0)
    assert state.looking_at() == (1000.0, 2000.0)
    assert reader._wanted is None  # still moving
    state.refresh(11.0)
    assert reader._wanted == (1000.0, 2000.0)
    state.move(None, 12.0)
    assert state.looking_at()[1] == 64_640.0
    assert "images_per_s" in state.names()
    state.runs[0].shown = False
    assert state.names() == state.metric_names() == []
    state.smoothing = 0.0
    assert state.smoothing_in_words() == "no smoothing"


def control(offset: int, at: float, **fields: object) -> Event:
    return Event(offset=offset, row={"kind": "control", "time": at, "images": 5000, **fields})


def test_an_order_waits_for_its_answer(tmp_path: Path) -> None:
    commands, reader = CommandTracker(tmp_path), Reader(tmp_path)
    commands.send("snapshot")
    commands.send("set", name="learning_rate_g", value=0.5)
    commands.send("snapshot")
    now = time.time()
    assert [str(command) for command in reader.poll()] == ["snapshot", "learning_rate_g = 0.5", "snapshot"]
    assert [line for line, _ in commands.lines(now)] == [
        "snapshot: asked 0 s ago",
        "learning_rate_g = 0.5: asked 0 s ago",
        "snapshot: asked 0 s ago",
    ]
    old = control(1, now - 3600, command="snapshot")
    done = control(2, now, command="snapshot")
    bad = control(3, now, command="set", name="learning_rate_g", error="not now")
    for _ in range(3):  # the same rows are seen again with every look
        commands.hear([old, done, bad], now)
    assert commands.lines(now) == [
        ("snapshot: asked 0 s ago", False),
        ("learning_rate_g = 0.5: not now", True),
        ("snapshot: done at 5.0 kimg", False),
    ]
    commands.hear([old, done, bad], now + SHOWN_S + 1)
    assert [sent.command for sent in commands.recent] == [Command(command="snapshot")]


def test_what_cannot_be_sent_is_told(tmp_path: Path) -> None:
    commands = CommandTracker(tmp_path / "absent")
    commands.send("set", name="learning_rate_g", value=7.0)
    assert "expected a number above 0, up to 1, got 7.0" in commands.error
    commands.send("stop")
    assert commands.lines(0.0) == [(commands.error, True)]
    assert "the command could not be written: no such file or directory" in commands.error


def test_curves_over_psi_come_from_the_evaluations() -> None:
    def evaluated(images: int, curve: object) -> Event:
        return Event(offset=images, row={"kind": "evaluate", "images": images, "fid": 1.0, "curve": curve})

    points = [{"psi": psi, "fid": 10 + psi, "clip": 0.3 - psi / 10} for psi in (1.0, 0.5, 0.7)]
    only = [{"psi": 0.5, "fid": 2.0}, {"psi": 1.0, "fid": 3.0, "clip": "nan"}]
    events = [evaluated(1, points), evaluated(2, only), evaluated(3, "no"), evaluated(4, [{"fid": 1}, {"fid": 2}])]
    first, second = psi_curves([*events, Event(offset=9, row={"kind": "train", "curve": points})])
    assert first.psi == (0.5, 0.7, 1.0)
    assert first.figures["fid"] == (10.5, 10.7, 11.0)
    assert axes_of(first) == ("clip", "fid")
    assert (axes_of(second), tuple(second.figures)) == (("psi", "fid"), ("fid",))


def test_rows_of_the_log_in_a_few_words() -> None:
    rows = [
        {"kind": "train", "images": 1, "loss_g": 2.5, "loss_d": 1.25, "sign_real": 0.5},
        {"kind": "step", "images": 1, "loss": 3.0, "learning_rate": 0.1},
        {"kind": "control", "command": "set", "name": "learning_rate_g", "value": 0.001},
        {"kind": "control", "command": "evaluate", "error": "cannot"},
        {"kind": "control", "error": "expected a JSON object"},
        {"kind": "evaluate", "fid": 12.3456, "accuracy": {"sky": 0.5}},
        {"kind": "stop", "finished": True},
        {"kind": "stop", "finished": False, "error": "out of memory"},
        {"kind": "start"},
        {"kind": "skip", "in_a_row": 3, "skipped": 5},
        {"kind": "save", "error": "disk full"},
        {},
    ]
    lines = view_of([{"time": 1.0, **row} for row in rows]).tail
    assert [summary_of(line) for line in lines] == [
        "G 2.5  D 1.25",
        "loss 3",
        "learning_rate_g = 0.001",
        "evaluate: cannot",
        "refused: expected a JSON object",
        "fid 12.3  sky 0.5",
        "finished",
        "stopped: out of memory",
        "started",
        "in_a_row 3  skipped 5",
        "disk full",
        "",
    ]
    assert "loss_g  2.5" in details_of(lines[0])
    assert all(details_of(line) for line in lines)


def test_axes_and_values_read_well() -> None:
    assert [unit_of(extent) for extent in (0, 400_000, 2e7, 3.2e9, 5e10)] == [
        (1e3, "%gk"),
        (1e3, "%gk"),
        (1e6, "%gM"),
        (1e9, "%gG"),
        (1e9, "%gG"),
    ]
    assert [reading(v) for v in (None, np.nan, 0.0, 1.23456, 0.00012, 123456.0)] == [
        "-",
        "-",
        "0",
        "1.235",
        "1.20e-04",
        "1.23e+05",
    ]


def test_without_a_window_the_runs_are_told_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "run", until=32_000, stopped=True)
    with open(run / "log.jsonl", "ab") as file:
        file.write(b"garbage\n")
    assert cli.main(["monitor", "--text", str(run)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("run: stopped, 32 of 400 kimg, stopped")
    assert "loss_d" in out
    assert "accuracy.sky" in out
    assert "5 sample grids, the latest" in out
    assert "1 damaged line" in out
    (tmp_path / "young").mkdir()
    (tmp_path / "young" / "log.jsonl").write_bytes(b"")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if sys.platform.startswith("linux"):
        assert cli.main(["monitor", str(tmp_path / "young")]) == 0
        assert "No display" in (out := capsys.readouterr().out)
        assert "waiting for its first row" in out
    assert cli.main(["monitor", str(tmp_path / "absent")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("glissando: ")
    assert len(err.splitlines()) == 1


def test_the_monitor_loads_no_torch(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(text([start_row()]))
    code = (
        "import sys, json; import app.monitor.window, app.monitor.bench; from app import cli; "
        f"cli.main(['monitor', '--text', {str(tmp_path)!r}]); print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ},
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "app.monitor.window" in loaded
    assert not loaded & {"torch", "open_clip", "timm", "imgui_bundle", "training", "core.engine"}


def test_the_bench_reads_what_it_wrote(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from app.monitor import bench

    monkeypatch.setattr(bench, "FOLLOW_S", 1.0)
    monkeypatch.setattr(bench.display, "why_no_display", lambda: "No display")
    report = bench.bench_monitor(40_000)
    assert report["rows"] == 40_000
    assert 0 < report["sketch_s"] <= report["whole_s"]
    table = bench.format_monitor(report)
    assert "40,000" in table
    assert "the window was not measured" in table
    assert cli.main(["bench", "monitor", "--rows", "0"]) == 2
    assert "--rows: expected 1 or more" in capsys.readouterr().err
