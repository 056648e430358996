"""Sweeps and their strips, without a window."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.explorer.scene import Scene
from app.explorer.strip import FPS, SECONDS_A_PROMPT, StripExport, with_strip
from app.explorer.sweep import MOST, REST_S, Sweep, filled, lines_of, template_of
from core.prompts import plain
from core.request import RenderRequest
from tests.app.explorer.fakes import ListWriter, SlowEngine, make_session, settle, wait_until


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


def test_a_strip_glides_through_all_and_back() -> None:
    engine, written = SlowEngine(Path("model")), []

    def open_writer(path: Path, fps: int, size: tuple[int, int], comment: str) -> ListWriter:
        written.append(ListWriter(path, fps, size, comment))
        return written[0]

    requests = [RenderRequest(prompt=prompt) for prompt in "abc"]
    strip = StripExport(Direct(engine), open_writer, requests)
    strip.write(Path("strip.mp4"))
    assert strip.done == strip.total == len(written[0].frames) == round(3 * SECONDS_A_PROMPT * FPS)
    assert written[0].closed
    assert written[0].size == (512, 512)
    step = strip.total // 3
    assert [engine.rendered[place].prompt for place in (0, step, 2 * step)] == ["a", "b", "c"]
    last = engine.rendered[-1]
    assert (last.prompt, last.prompt_b) == ("c", "a")


def test_a_strip_plays_as_the_scenes_timeline_what_its_video_shows() -> None:
    requests = [RenderRequest(prompt=prompt, seed_x=2.0) for prompt in "abc"]
    scene = with_strip(Scene(prompt="x", duration=99.0, loop=False), requests)
    engine = SlowEngine(Path("model"))
    StripExport(Direct(engine), ListWriter, requests).write(Path("strip.mp4"))
    assert scene.round_seconds == pytest.approx(3 * SECONDS_A_PROMPT)
    for frame, request in enumerate(engine.rendered):
        played = scene.request(frame / FPS)
        assert (played.prompt, played.prompt_b, played.seed_x) == (request.prompt, request.prompt_b, request.seed_x)
        assert played.blend == pytest.approx(request.blend, abs=1e-9)
    assert scene.request(scene.duration) == requests[0]


def test_a_cancelled_strip_closes_its_video() -> None:
    calls = Direct(SlowEngine(Path("model")), answers=False)
    strip = StripExport(calls, ListWriter, [RenderRequest(prompt=prompt) for prompt in "ab"])
    worker = threading.Thread(target=strip.write, args=(Path("strip.mp4"),))
    worker.start()
    strip.cancel()
    worker.join(10.0)
    assert strip.ended.is_set()
    assert strip.done == 0


@pytest.mark.parametrize("finish", [True, False])
def test_a_strip_in_a_session(tmp_path: Path, finish: bool) -> None:
    session = make_session(tmp_path)
    try:
        settle(session)
        session.save_strip([replace(session.history.scene.request(), prompt=prompt) for prompt in "ab"], "sweep a")
        if finish:
            wait_until(lambda: (session.tick(), not session.saving.busy)[1], timeout=60.0)
            assert session.strip is not None
            assert session.strip.done == session.strip.total
            assert session.messages[-1].text.startswith("Saved")
    finally:
        session.close()  # ends also while a strip is being written
        assert session.render.close(timeout=10.0)
    assert session.strip is not None
    assert session.strip.ended.is_set()
