"""The export queue: one after another, cancelled and tried again, and remembered over a quit."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.document.file import read_scene_file, save_scene_file
from app.explorer.export.controller import takes_in
from app.explorer.export.queue import STOPPED, ExportJob, ExportQueue, ProgressCallback, command_of, run_in_a_process
from app.rendering import ExportSettings
from app.vectors import kept_path
from core.engine import Engine
from core.request import Push
from core.vectors import Vector, save_vectors
from tests.app.explorer.fakes import make_session, settle, wait_until


class Runs:
    """Stands in for the processes: each job runs until it is told how it ends."""

    def __init__(self) -> None:
        self.jobs: list[ExportJob] = []
        self.report: ProgressCallback = lambda done, total: None
        self._end = threading.Event()
        self._outcome: str | None = None

    def __call__(self, job: ExportJob, report: ProgressCallback, stop: threading.Event) -> str | None:
        self.jobs.append(job)
        self.report = report
        while not self._end.wait(0.005):
            if stop.is_set():
                return STOPPED
        self._end.clear()
        return self._outcome

    def end(self, outcome: str | None = None) -> None:
        self._outcome = outcome
        self._end.set()


def job(name: str, **settings: Any) -> ExportJob:
    return ExportJob(title=name, source=f"/{name}.take.jsonl", out=f"/{name}.mp4", settings=ExportSettings(**settings))


def states(queue: ExportQueue) -> list[tuple[str, str]]:
    return [(each.title, each.state) for each in queue.jobs]


def until(queue: ExportQueue, expected: list[tuple[str, str]]) -> None:
    def reached() -> bool:
        queue.tick()
        return states(queue) == expected

    wait_until(reached)


def test_jobs_run_one_after_another(tmp_path: Path) -> None:
    runs = Runs()
    queue = ExportQueue(tmp_path, runs)
    for name in ("a", "b", "c"):
        queue.add(job(name))
    until(queue, [("a", "running"), ("b", "waiting"), ("c", "waiting")])
    wait_until(lambda: len(runs.jobs) == 1)
    runs.report(30, 120)
    queue.tick()
    assert (queue.jobs[0].done, queue.jobs[0].total) == (30, 120)
    queue.cancel(queue.jobs[1].id)
    runs.end()
    until(queue, [("a", "done"), ("b", "cancelled"), ("c", "running")])
    wait_until(lambda: len(runs.jobs) == 2)
    runs.end("the disk is full")
    until(queue, [("a", "done"), ("b", "cancelled"), ("c", "failed")])
    assert queue.jobs[2].message == "the disk is full"
    assert not queue.busy
    # Both may be tried again, behind the others.
    queue.retry(queue.jobs[2].id)
    until(queue, [("a", "done"), ("b", "cancelled"), ("c", "running")])
    wait_until(lambda: len(runs.jobs) == 3)
    queue.cancel(queue.jobs[2].id)
    until(queue, [("a", "done"), ("b", "cancelled"), ("c", "cancelled")])
    queue.remove(queue.jobs[1].id)
    assert states(queue) == [("a", "done"), ("c", "cancelled")]
    queue.close()


def test_what_is_left_waits_for_a_word_at_the_next_start(tmp_path: Path) -> None:
    runs = Runs()
    queue = ExportQueue(tmp_path, runs)
    for name in ("a", "b"):
        queue.add(job(name, smooth=True, loop=True, fps="30000/1001"))
    until(queue, [("a", "running"), ("b", "waiting")])
    queue.close()
    assert states(queue) == [("a", "waiting"), ("b", "waiting")]
    again = ExportQueue(tmp_path, runs)
    assert again.paused
    assert again.jobs == queue.jobs
    assert again.tick() is None
    assert not again.busy
    again.go_on()
    until(again, [("a", "running"), ("b", "waiting")])
    again.close()
    third = ExportQueue(tmp_path, runs)
    third.forget()
    assert third.jobs == ()
    assert not ExportQueue(tmp_path, runs).paused


def test_a_killed_program_s_running_job_waits_too(tmp_path: Path) -> None:
    queue = ExportQueue(tmp_path, Runs())
    queue.add(job("a"))
    queue.tick()
    kept = (tmp_path / "exports.json").read_text()
    assert '"running"' in kept
    queue.close()
    (tmp_path / "exports.json").write_text(kept)
    again = ExportQueue(tmp_path, Runs())
    assert again.paused
    assert states(again) == [("a", "waiting")]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"jobs": 3}', '{"jobs": [{"title": "a"}]}', "[" * 100_000])
def test_a_damaged_queue_starts_afresh_and_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "exports.json").write_text(text)
    queue = ExportQueue(tmp_path, Runs())
    assert queue.jobs == ()
    assert queue.problem is not None
    assert "starts afresh" in queue.problem


def test_a_fault_of_the_runner_ends_the_job_not_the_queue(tmp_path: Path) -> None:
    def broken(job: ExportJob, report: ProgressCallback, stop: threading.Event) -> str | None:
        raise RuntimeError("out of ideas")

    queue = ExportQueue(tmp_path, broken)
    queue.add(job("a"))
    until(queue, [("a", "failed")])
    assert queue.jobs[0].message == "RuntimeError: out of ideas"
    queue.close()


def test_pictures_go_on_and_videos_start_again() -> None:
    first = job("a", codec="png", speed=0.5, size=128)
    assert "--resume" not in command_of(first)
    assert "--resume" in command_of(replace(first, begun=True))
    assert "--resume" not in command_of(replace(job("a", codec="gif", fps="25"), begun=True))
    assert "--loop" in command_of(job("a", loop=True))
    assert "--sharp" in command_of(job("a", smooth=False))


def test_the_scene_s_play_is_exported_as_it_was_when_queued(tmp_path: Path) -> None:
    runs = Runs()
    session = make_session(tmp_path, run_export=runs)
    try:
        settle(session)
        session.history.step("prompt", lambda scene: replace(scene, prompt="a house", crossfade=0.0))
        settle(session)
        session.export.add_scene(ExportSettings(codec="gif", fps="25"))
        session.export.add_scene(ExportSettings(codec="gif", fps="25"))
        first, second = session.export.queue.jobs
        assert Path(first.out).name == "a-house-seed0-render.gif"
        assert Path(second.out).name == "a-house-seed0-render-2.gif"
        queued = session.history.scene
        session.history.step("prompt", lambda scene: replace(scene, prompt="another"))
        kept = read_scene_file(Path(first.source))
        assert kept.scene == queued
        assert kept.made_with is not None
        assert kept.made_with.sha256 == session.models.info.sha256
        wait_until(lambda: session.tick() or bool(runs.jobs))  # type: ignore[func-returns-value]
        runs.end()
        wait_until(lambda: session.tick() or session.export.queue.jobs[0].state == "done")  # type: ignore[func-returns-value]
        assert any("Exported" in message.text for message in session.messages.lines)
        session.export.queue.remove(first.id)
        assert not Path(first.source).exists()
        assert Path(second.source).exists()
    finally:
        session.close()
        assert session.rendering.thread.close(timeout=10.0)
    again = make_session(tmp_path, run_export=runs)
    try:
        (offer,) = (toast for toast in again.messages.toasts if toast.choices)
        assert "An export is left from last time" in offer.text
        dict(offer.choices)["Forget"]()
        assert again.export.queue.jobs == ()
    finally:
        again.close()
        assert again.rendering.thread.close(timeout=10.0)


def test_takes_are_listed_newest_first(tmp_path: Path) -> None:
    import os

    for index, name in enumerate(("a", "b", "c")):
        (tmp_path / f"{name}.take.jsonl").write_text("")
        os.utime(tmp_path / f"{name}.take.jsonl", (1000 - index, 1000 - index))
    (tmp_path / "d.json").write_text("")
    assert [path.name[0] for path in takes_in(tmp_path)] == ["a", "b", "c"]
    assert takes_in(tmp_path / "absent") == []


# The real process


def test_a_process_renders_reports_and_ends(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLISSANDO_CONFIG_DIR", str(tmp_path / "config"))
    session_scene = make_scene(tmp_path, tiny_checkpoint)
    said: list[tuple[int, int]] = []
    made = ExportJob(
        title="x",
        source=str(session_scene),
        out=str(tmp_path / "x.mkv"),
        settings=ExportSettings(codec="ffv1", fps="10", size=32),
    )
    assert run_in_a_process(made, lambda done, total: said.append((done, total)), threading.Event()) is None
    assert said[-1] == (5, 5)
    assert (tmp_path / "x.mkv").stat().st_size > 1000
    failed = run_in_a_process(replace(made, source="/absent.json"), lambda done, total: None, threading.Event())
    assert failed is not None
    assert "no such file" in failed
    assert "glissando:" not in failed


def make_scene(folder: Path, checkpoint: Path) -> Path:
    """Of a scene pushed along a saved direction."""
    from app.document.scene import Scene

    info = Engine.open(checkpoint, precision="float32").info
    direction = Vector(name="snow", kind="direction", values=np.ones(info.w_dim, np.float32))
    save_vectors(kept_path(info.sha256), [direction], info.sha256)
    pushes = (Push(direction=direction.id),)
    path = folder / "x.json"
    save_scene_file(path, Scene(prompt="a house", checkpoint=str(checkpoint), loop_seconds=0.5, pushes=pushes), info)
    assert json.loads(path.read_text())["made_with"]["name"] == "tiny"
    return path
