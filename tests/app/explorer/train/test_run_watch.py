"""What a run's own files say of it, whoever trains it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.explorer.train.run_watch import CURVE, Progress, RunWatch, StopRecord
from app.runs import holder_of, run_id

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="the trainer holds no lock there")
HOLD = (
    "import sys, pathlib; from training.runs.lock import RunLock\n"
    "with RunLock(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


@contextmanager
def trainer_in(run: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a run as the trainer does."""
    command = [sys.executable, "-c", HOLD, str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def row(kind: str, images: int, **values: object) -> str:
    return json.dumps({"kind": kind, "time": 5.0, "images": images, **values}) + "\n"


def test_curves_stay_small_and_hostile_rows_do_no_harm() -> None:
    progress = Progress()
    for images in range(1, 5000):
        progress.take({"kind": "train", "images": images, "loss_d": float(images), "loss_g": "inf"})
    curve = progress.curves["loss_d"]
    assert len(curve) <= CURVE
    assert (curve[0], curve[-1]) == ((1, 1.0), (4999, 4999.0))
    progress.take({"kind": "train", "images": 2000, "loss_d": 7.0})  # resumed from before
    assert curve[-1] == (2000, 7.0)
    assert all(images < 2000 for images, _ in curve[:-1])
    before = replace(progress)
    rows: list[dict[str, Any]] = [{}, {"kind": "train"}, {"kind": ["x"], "images": 3}, {"kind": "train", "images": "9"}]
    for row in rows:
        progress.take(row)
    assert progress == before
    for images in (-1, 10**400, 1.5, True, None):
        progress.take({"kind": "stop", "images": images})
    assert progress == before
    progress.take({"kind": "train", "images": 3000, "loss_d": [1], "loss_g": True, "images_per_s": None})
    assert progress.newest == {}


def test_how_it_stopped() -> None:
    progress = Progress()
    progress.take({"kind": "train", "images": 1000, "images_per_s": 45.0})
    progress.take({"kind": "stop", "images": 1000, "time": 7.5, "finished": True})
    assert progress.stopped == StopRecord(time=7.5, finished=True, problem=None)
    assert progress.images_per_s == 45.0
    progress.take({"kind": "start", "images": 1000})
    assert progress.stopped is None
    assert progress.images_per_s is None
    progress.take({"kind": "stop", "images": 1000, "finished": "yes", "problem": "no memory"})
    assert progress.stopped == StopRecord(time=0.0, finished=False, problem="no memory")
    progress.take({"kind": "stop", "images": 1000, "problem": ["no memory"]})
    assert progress.stopped == StopRecord(time=0.0, finished=False, problem=None)


@POSIX
def test_a_trainer_is_seen_as_long_as_it_lives(tmp_path: Path) -> None:
    run = tmp_path / "faces"
    watch = RunWatch(run)  # not there yet
    assert watch.holder is None
    with trainer_in(run) as process:
        assert watch.look() is None
        holder = watch.holder
        assert holder is not None
        assert holder.who == f"process {process.pid} on {socket.gethostname()}"
        assert holder.since == (run / "lock").stat().st_mtime
        # Looking does not stand in the way of those who look, nor lasts.
        assert holder_of(run) == holder
        (run / "log.jsonl").write_text(row("start", 0) + row("train", 1000) + row("stop", 1000, finished=False))
        process.kill()
        process.wait()
        assert watch.look() == holder
        assert watch.progress.images == 1000
        assert watch.holder is None
        assert watch.look() is None  # once
    with trainer_in(run) as process:  # the text of the dead one is no obstacle
        assert holder_of(run) is not None
        process.stdin.close()  # type: ignore[union-attr]
        process.wait()
        assert holder_of(run) is None


@POSIX
def test_a_run_at_rest_is_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "lock"
    assert holder_of(tmp_path) is None
    # Also when another process has the number of the one that trained, and when it was on another machine.
    mine = f"process {os.getpid()} on {socket.gethostname()}"
    for text in ("", mine, "process 1 on another", "process 99999999999 on x", "\0", "x" * 1000):
        lock.write_text(text)
        assert holder_of(tmp_path) is None
    lock.write_bytes(b"\xff\xfe")
    assert holder_of(tmp_path) is None
    lock.unlink()
    os.mkfifo(lock)  # to open it would wait for a writer
    assert holder_of(tmp_path) is None
    lock.unlink()
    lock.mkdir()
    assert holder_of(tmp_path) is None


def test_the_id_of_a_run(tmp_path: Path) -> None:
    latest, log = tmp_path / "latest.safetensors", tmp_path / "log.jsonl"
    assert run_id(latest) is None
    log.write_text('{"kind": "start"')
    assert run_id(latest) is None  # half a line may become another
    log.write_text(row("start", 0))
    found = run_id(latest)
    assert found is not None
    assert len(found) == 64
    log.write_text(row("start", 0) + row("train", 1000) + row("start", 1000))
    assert run_id(latest) == run_id(tmp_path / "best.safetensors") == found
    assert run_id(tmp_path / "other.safetensors") is None
    log.write_text(row("start", 0, seed=2))
    assert run_id(latest) not in (None, found)
