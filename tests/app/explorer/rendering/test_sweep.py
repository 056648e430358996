"""Sweeps and their strips, without a window."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.document.parts import Track, TrackPoint
from app.document.playback import request_at
from app.document.scene import Scene
from app.explorer.export.queue import ExportJob
from app.explorer.rendering.strip import FPS, SECONDS_A_PROMPT, with_strip
from app.explorer.rendering.sweep import MOST, REST_S, Sweep, filled, lines_of, template_of
from app.sources import open_source
from core.prompts import plain
from core.request import RenderRequest
from tests.app.explorer.fakes import SlowEngine, make_session, settle, wait_until


class Direct:
    """A render thread that answers at once, or never."""

    def __init__(self, engine: SlowEngine, *, answers: bool = True) -> None:
        self.engine = engine
        self.answers = answers
        self.calls = 0

    def call(self, function: Any) -> Future[Any]:
        self.calls += 1
        future: Future[Any] = Future()
        if self.answers:
            try:
                future.set_result(function(self.engine))
            except RuntimeError as error:
                future.set_exception(error)
        return future


MODEL = "ab" * 32


def test_a_template_is_filled_line_by_line() -> None:
    assert filled("astronaut, {X}", "oil\n\n ink \noil") == [("oil", "astronaut, oil"), ("ink", "astronaut, ink")]
    assert filled("a {X} and a {X}", "cat") == [("cat", "a cat and a cat")]
    assert filled("astronaut", "ink") == [("ink", "astronaut, ink")]
    assert filled("", "ink") == [("ink", "ink")]
    assert len(filled("{X}", "\n".join(map(str, range(500))))) == MOST
    assert template_of("a (red:1.2) house", 2, 11) == "a {X} house"
    assert [plain(line) for line in lines_of(["a", "(b:2)"]).splitlines()] == ["a", "(b:2)"]


def test_pictures_come_one_at_a_time_while_the_scene_rests() -> None:
    calls = Direct(SlowEngine(Path("model")))
    sweep = Sweep(calls)  # type: ignore[arg-type]
    scene, prompts = Scene(prompt="x", seed_x=3.0, blend=0.5), ["a", "b"]
    sweep.tick(scene, prompts, MODEL, 0.0)
    sweep.tick(scene, prompts, MODEL, REST_S / 2)
    assert calls.calls == 0
    for tick in range(1, 4):
        sweep.tick(scene, prompts, MODEL, REST_S * 2)
        assert calls.calls == min(tick, 2)
    assert not sweep.missing
    assert [request.prompt for request in calls.engine.rendered] == prompts
    assert {(request.seed_x, request.blend) for request in calls.engine.rendered} == {(3.0, 0.0)}
    # Another prompt of the scene changes nothing; another seed does, and the old pictures are not lost.
    sweep.tick(replace(scene, prompt="y"), prompts, MODEL, REST_S * 2)
    assert not sweep.missing
    sweep.tick(replace(scene, seed_x=4.0), prompts, MODEL, REST_S * 2)
    assert sweep.missing == 2
    assert sweep.picture(0) is None
    sweep.tick(replace(scene, seed_x=4.0), prompts, MODEL, REST_S * 2.5)
    assert calls.calls == 2
    sweep.tick(scene, prompts, MODEL, REST_S * 3)
    assert not sweep.missing
    sweep.tick(scene, prompts, "cd" * 32, REST_S * 3)
    assert sweep.missing == 2, "another model draws other pictures"


def test_a_prompt_that_fails_is_said_and_not_tried_again() -> None:
    calls = Direct(SlowEngine(Path("model")))
    sweep = Sweep(calls)  # type: ignore[arg-type]
    for _ in range(6):
        sweep.tick(Scene(), ["fail", "b"], MODEL, REST_S * 2)
        sweep.tick(Scene(), ["fail", "b"], MODEL, REST_S * 4)
    assert calls.calls == 2
    assert sweep.problem is not None
    assert "failed" in sweep.problem
    assert sweep.picture(1) is not None
    assert not sweep.missing


def test_a_strip_glides_through_all_and_back_as_the_scene_s_timeline() -> None:
    requests = [RenderRequest(prompt=prompt, seed_x=2.0) for prompt in "abc"]
    scene = with_strip(Scene(prompt="x", duration=99.0, loop=False), requests)
    assert scene.round_seconds == pytest.approx(3 * SECONDS_A_PROMPT)
    assert [request_at(scene, place * SECONDS_A_PROMPT) for place in range(4)] == [*requests, requests[0]]
    for place, (here, there) in enumerate(("ab", "bc", "ca")):
        between = request_at(scene, (place + 0.5) * SECONDS_A_PROMPT)
        assert (between.prompt, between.prompt_b, between.seed_x) == (here, there, 2.0)
        assert between.blend == pytest.approx(0.5)


def test_a_strip_is_exported_by_the_queue(tmp_path: Path) -> None:
    jobs: list[ExportJob] = []
    session = make_session(tmp_path, run_export=lambda job, report, stop: jobs.append(job))
    try:
        settle(session)
        moving = Track(control="seed_y", points=(TrackPoint(time=0.0, value=1.0),))
        session.history.step("track", lambda scene: replace(scene, tracks=(moving,)))
        requests = [replace(session.history.scene.request(), prompt=prompt) for prompt in "ab"]
        job = session.export.add_strip(requests, "sweep (a:2) {X}")
        assert job is not None
        wait_until(lambda: (session.tick(), session.export.queue.find(job.id).state == "done")[1])
        source = open_source(Path(jobs[0].source))
    finally:
        session.close()
        assert session.rendering.thread.close(timeout=10.0)
    assert Path(job.out) == tmp_path / "out" / "sweep-a-x-seed0-render.mp4"
    settings = job.settings
    assert (settings.size, settings.fps, settings.smooth) == (512, "30", False)
    assert settings.frames(source.duration) == round(2 * SECONDS_A_PROMPT * FPS)
    assert [source.at(place * SECONDS_A_PROMPT) for place in (0, 1)] == requests, "tracks are left out"
