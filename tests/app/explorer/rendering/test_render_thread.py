import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from app.explorer.rendering.render_thread import Answer, Failed, Loaded, RenderThread, StageCallback
from core.request import Frame, RenderRequest
from tests.app.explorer.fakes import SlowEngine, open_slow_engine, wait_until

FILE = Path("model.safetensors")


@pytest.fixture
def thread() -> Iterator[RenderThread]:
    thread = RenderThread(open_slow_engine)
    yield thread
    assert thread.close(timeout=10.0)


def next_frame(thread: RenderThread) -> Frame:
    frames: list[Frame] = []

    def taken() -> bool:
        frame = thread.take_frame()
        if frame is not None:
            frames.append(frame)
        return bool(frames)

    wait_until(taken)
    return frames[0]


def test_a_request_before_the_engine_is_there_is_rendered_once_it_is(thread: RenderThread) -> None:
    request = RenderRequest(prompt="early")
    thread.submit(request)
    time.sleep(0.02)
    assert thread.take_frame() is None
    thread.load(FILE)
    assert next_frame(thread).request == request
    assert [type(event) for event in thread.take_events()] == [Loaded]


def test_a_slow_engine_shows_at_most_one_stale_frame_and_ends_on_the_last_request() -> None:
    engine = SlowEngine(FILE, delay=0.2)
    thread = RenderThread(lambda path, report: engine)
    try:
        thread.load(FILE)
        wait_until(lambda: bool(thread.take_events()))
        requests = [RenderRequest(seed_x=float(i)) for i in range(1000)]
        shown: list[Frame] = []

        def collect() -> bool:
            frame = thread.take_frame()
            if frame is not None:
                shown.append(frame)
            return bool(shown) and shown[-1].request == requests[-1]

        for request in requests:
            thread.submit(request)
            collect()
            time.sleep(0.0005)
        sent = len(shown)
        wait_until(collect, timeout=5.0)
        # After the last change: the frame that was being rendered, then the one that was asked for last.
        assert len(shown) - sent <= 2
        assert shown[-1].request == requests[-1]
        # What was rendered is what was newest at that moment: their order never goes back, and few were rendered.
        assert [r.seed_x for r in engine.rendered] == sorted(r.seed_x for r in engine.rendered)
        assert len(engine.rendered) < 20
        wait_until(lambda: not thread.busy)
        assert thread.take_frame() is None
    finally:
        assert thread.close(timeout=5.0)


def test_submitting_never_waits_for_the_engine() -> None:
    rendering = threading.Event()
    go_on = threading.Event()

    class Stuck(SlowEngine):
        def render(self, request: RenderRequest) -> Frame:
            rendering.set()
            assert go_on.wait(10.0)
            return super().render(request)

    thread = RenderThread(lambda path, report: Stuck(path))
    try:
        thread.load(FILE)
        thread.submit(RenderRequest(prompt="0"))
        assert rendering.wait(10.0)
        # The engine is stuck, so these calls return only if they do not wait for it.
        for i in range(100):
            thread.submit(RenderRequest(prompt=str(i)))
            assert thread.busy
        assert thread.take_frame() is None
    finally:
        go_on.set()
        assert thread.close(timeout=10.0)


def test_an_error_becomes_a_value_and_the_next_request_works(thread: RenderThread) -> None:
    thread.load(FILE)
    thread.submit(RenderRequest(prompt="good"))
    assert next_frame(thread).request.prompt == "good"
    thread.take_events()
    thread.submit(RenderRequest(prompt="fail"))
    wait_until(lambda: not thread.busy or thread._events != [])
    (event,) = thread.take_events()
    assert isinstance(event, Failed)
    assert event.during == "render"
    assert event.message == "RuntimeError: the engine failed"
    assert "Traceback" in event.detail
    assert thread.take_frame() is None
    thread.submit(RenderRequest(prompt="again"))
    assert next_frame(thread).request.prompt == "again"


def test_a_checkpoint_that_does_not_load_leaves_the_engine(thread: RenderThread) -> None:
    thread.load(FILE)
    thread.submit(RenderRequest(prompt="a"))
    next_frame(thread)
    thread.take_events()
    thread.load(Path("bad.safetensors"))
    wait_until(lambda: thread.loading is None)
    events = thread.take_events()
    assert [event.message for event in events if isinstance(event, Failed)] == [
        "bad.safetensors: expected a checkpoint, got something bad"
    ]
    thread.submit(RenderRequest(prompt="b"))
    assert next_frame(thread).request.prompt == "b"


def test_another_checkpoint_renders_the_last_request_again(thread: RenderThread) -> None:
    thread.load(FILE)
    thread.submit(RenderRequest(prompt="a"))
    next_frame(thread)
    thread.load(Path("other.safetensors"))
    assert next_frame(thread).request.prompt == "a"
    assert [event.info.name for event in thread.take_events() if isinstance(event, Loaded)] == ["model", "other"]


def test_a_waiting_load_is_replaced_by_a_newer_one() -> None:
    opened: list[Path] = []
    begun, go_on = threading.Event(), threading.Event()

    def slow(path: Path, report: StageCallback) -> SlowEngine:
        opened.append(path)
        begun.set()
        assert go_on.wait(10.0)
        return SlowEngine(path)

    thread = RenderThread(slow)
    try:
        thread.load(Path("a"))
        assert begun.wait(10.0)
        thread.load(Path("b"))
        thread.load(Path("c"))
        assert thread.loading == Path("c")
        go_on.set()
        wait_until(lambda: thread.loading is None)
        assert opened == [Path("a"), Path("c")]
    finally:
        go_on.set()
        assert thread.close(timeout=10.0)


def test_closing_while_it_renders_waits_for_that_frame_only() -> None:
    engine = SlowEngine(FILE, delay=0.1)
    thread = RenderThread(lambda path, report: engine)
    thread.load(FILE)
    thread.submit(RenderRequest(prompt="a"))
    wait_until(lambda: len(engine.rendered) == 1)
    thread.submit(RenderRequest(prompt="b"))
    assert thread.close(timeout=5.0)
    assert len(engine.rendered) == 1


def test_document_and_render_thread_import_neither_torch_nor_a_gui() -> None:
    code = (
        "import sys; import app.document.scene, app.document.history, app.explorer.rendering.render_thread, "
        "app.explorer.session, app.explorer.actions; "
        "print([m for m in ('torch', 'imgui_bundle', 'OpenGL', 'glfw') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_how_far_loading_has_come_can_be_seen() -> None:
    go = threading.Event()

    def open_engine(path: Path, report: StageCallback) -> SlowEngine:
        report("hashing", 40, 100)
        go.wait(10.0)
        return SlowEngine(path)

    thread = RenderThread(open_engine)
    try:
        assert thread.stage is None
        thread.load(FILE)
        wait_until(lambda: thread.stage == ("hashing", 40, 100))
        go.set()
        wait_until(lambda: bool(thread.take_events()))
        assert thread.stage is None
    finally:
        go.set()
        assert thread.close(timeout=5.0)


def test_calls_wait_for_the_engine_and_take_turns_with_frames() -> None:
    engine = SlowEngine(FILE, delay=0.02)
    thread = RenderThread(lambda path, report: engine)
    try:
        early = thread.call(lambda engine: engine.info.name)
        time.sleep(0.02)
        assert not early.done()
        thread.load(FILE)
        assert early.result(10.0) == "model"
        drawn: list[int] = []

        def count(engine: SlowEngine) -> None:
            drawn.append(len(engine.rendered))
            thread.submit(RenderRequest(seed_x=float(len(drawn))))  # so that a frame waits, too

        for call in [thread.call(count) for _ in range(5)]:
            call.result(10.0)
        assert [b - a for a, b in pairwise(drawn)] == [1, 1, 1, 1]
        wrong = thread.call(lambda engine: 1 / 0)
        assert isinstance(wrong.exception(10.0), ZeroDivisionError)
    finally:
        left = thread.call(lambda engine: time.sleep(0.05))
        waiting = thread.call(lambda engine: None)
        assert thread.close(timeout=10.0)
    assert left.done()
    assert waiting.cancelled() or waiting.done()


# Other pictures


def answers(thread: RenderThread, count: int) -> list[Answer]:
    taken: list[Answer] = []

    def enough() -> bool:
        taken.extend(thread.take_answers())
        return len(taken) >= count

    wait_until(enough)
    return taken


def tiles(count: int) -> list[tuple[int, RenderRequest]]:
    return [(i, RenderRequest(prompt="tile", seed_x=float(i))) for i in range(count)]


def test_what_is_asked_for_comes_back_with_its_keys_in_order(thread: RenderThread) -> None:
    thread.ask(tiles(3))
    assert not thread.asking  # without an engine nothing is to come yet
    thread.load(FILE)
    got = answers(thread, 3)
    assert [(answer.key, answer.frame.request) for answer in got if answer.frame is not None] == tiles(3)
    wait_until(lambda: not thread.asking)
    # None of this was the live picture.
    assert thread.take_frame() is None


def test_the_live_picture_goes_first_and_tiles_wait_for_its_rest() -> None:
    rendering, go_on = threading.Event(), threading.Semaphore(0)

    class Stepped(SlowEngine):
        def render(self, request: RenderRequest) -> Frame:
            rendering.set()
            assert go_on.acquire(timeout=10.0)
            return super().render(request)

    engine = Stepped(FILE)
    thread = RenderThread(lambda path, report: engine, rest=0.05)
    try:
        thread.load(FILE)
        thread.ask(tiles(3))
        assert rendering.wait(10.0)  # the first tile
        # Changes that come while it is rendered: the newest is next, before the tiles that have waited longer.
        for i in range(100):
            thread.submit(RenderRequest(prompt="live", seed_x=float(i)))
        for _ in range(10):
            go_on.release()
        assert next_frame(thread).request == RenderRequest(prompt="live", seed_x=99.0)
        assert [answer.key for answer in answers(thread, 3)] == [0, 1, 2]
        assert [request.prompt for request in engine.rendered] == ["tile", "live", "tile", "tile"]
    finally:
        for _ in range(10):
            go_on.release()
        assert thread.close(timeout=10.0)


def test_while_the_live_picture_moves_no_tile_is_begun() -> None:
    engine = SlowEngine(FILE)
    thread = RenderThread(lambda path, report: engine, rest=3600.0)
    try:
        thread.submit(RenderRequest(prompt="live"))
        thread.load(FILE)
        next_frame(thread)
        thread.ask(tiles(2))
        for i in range(20):
            thread.submit(RenderRequest(prompt="live", seed_x=float(i)))
            next_frame(thread)
        thread.take_events()
        assert thread.asking
        assert not thread.busy
        assert thread.take_answers() == []
        assert {request.prompt for request in engine.rendered} == {"live"}
    finally:
        assert thread.close(timeout=10.0)


def test_a_new_list_replaces_the_old_one_and_its_answers() -> None:
    rendering, go_on = threading.Event(), threading.Event()

    class Stuck(SlowEngine):
        def render(self, request: RenderRequest) -> Frame:
            rendering.set()
            assert go_on.wait(10.0)
            return super().render(request)

    thread = RenderThread(lambda path, report: Stuck(path), rest=0.0)
    try:
        thread.load(FILE)
        thread.ask([("old", RenderRequest(prompt="old")), ("older", RenderRequest(prompt="older"))])
        assert rendering.wait(10.0)
        thread.ask([("new", RenderRequest(prompt="new"))])
        go_on.set()
        assert [answer.key for answer in answers(thread, 1)] == ["new"]
        wait_until(lambda: not thread.asking)
        assert thread.take_answers() == []
        thread.ask([])
        assert not thread.asking
    finally:
        go_on.set()
        assert thread.close(timeout=10.0)


def test_a_tile_that_cannot_be_says_why_and_the_rest_come(thread: RenderThread) -> None:
    thread.load(FILE)
    wait_until(lambda: bool(thread.take_events()))
    thread.ask([("bad", RenderRequest(prompt="fail")), ("good", RenderRequest())])
    bad, good = answers(thread, 2)
    assert (bad.frame, bad.problem) == (None, "RuntimeError: the engine failed")
    assert good.frame is not None
    assert thread.take_events() == []  # no message: the tile itself says it


def test_one_load_may_use_another_way_to_open(thread: RenderThread) -> None:
    thread.load(FILE, lambda path, report: SlowEngine(Path("chosen")))
    wait_until(lambda: thread.loading is None)
    thread.load(FILE)
    wait_until(lambda: thread.loading is None)
    assert [event.info.name for event in thread.take_events() if isinstance(event, Loaded)] == ["chosen", "model"]
