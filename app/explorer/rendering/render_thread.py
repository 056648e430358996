"""Renders on a thread of its own: at most one request waits, and the newest one wins. No GUI and no torch here.

Beside it there is a list of other pictures to render, a contact sheet's tiles: one of them is begun only when the live
picture has been at rest for a moment.

The engine is made on this thread by a callable given to it, so that importing torch and reading a checkpoint never hold
up the window. What goes wrong becomes a `Failed` value; the engine that worked, and the last frame, stay.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from core.request import Frame, RenderRequest

T = TypeVar("T")


class Renderer(Protocol):
    """What the thread needs of an engine; `core.engine.Engine` is one."""

    @property
    def info(self) -> Any: ...

    def render(self, request: RenderRequest) -> Frame: ...


@dataclass(frozen=True)
class Loaded:
    """A checkpoint is ready; frames from now on are its."""

    path: Path
    info: Any


@dataclass(frozen=True)
class Failed:
    """Loading or rendering did not work."""

    during: Literal["load", "render"]
    message: str
    """One line for people."""
    detail: str
    """The traceback, for the log only."""
    path: Path | None = None
    """The file that was to be loaded."""


Event = Loaded | Failed


@dataclass(frozen=True)
class Answer:
    """What came of one entry of `RenderThread.ask`."""

    key: Hashable
    frame: Frame | None
    problem: str | None = None
    """Why there is no frame."""


StageCallback = Callable[[str, int, int], None]
"""Called with (stage, how much is done, of how much)."""
OpenEngine = Callable[[Path, StageCallback], Renderer]

REST_S = 0.15
"""How long the live picture must be at rest before another one is begun."""
MOST_ANSWERS = 8
"""So many wait to be taken; then nobody looks, and no more are made."""


class RenderThread:
    """Owns the engine. Every method may be called from any thread and returns at once, apart from `close`."""

    def __init__(self, open_engine: OpenEngine, *, rest: float = REST_S) -> None:
        """`open_engine` is what `load` uses if it is not given another."""
        self._open_engine = open_engine
        self._rest = rest
        self._wake = threading.Condition()
        self._waiting_path: Path | None = None
        self._waiting_open = open_engine
        self._waiting: RenderRequest | None = None
        self._last: RenderRequest | None = None
        self._loading: Path | None = None
        self._stage: tuple[str, int, int] | None = None
        self._calls: deque[tuple[Callable[[Any], Any], Future[Any]]] = deque()
        self._calling = False
        self._rendering = False
        self._has_engine = False
        self._closed = False
        self._frame: Frame | None = None
        self._events: list[Event] = []
        self._live_at = -float("inf")
        self._asks: deque[tuple[Hashable, RenderRequest]] = deque()
        self._answers: list[Answer] = []
        self._asking = False
        self._round = 0
        # Not a daemon: an interpreter that goes away under a thread inside torch crashes; so it waits for one frame.
        self._thread = threading.Thread(target=self._run, name="render")
        self._thread.start()

    def load(self, path: Path, open_engine: OpenEngine | None = None) -> None:
        """Open a checkpoint, then render the last request with it. A later call replaces one that has not begun."""
        with self._wake:
            self._waiting_path = path
            self._waiting_open = open_engine or self._open_engine
            self._wake.notify()

    def submit(self, request: RenderRequest) -> None:
        """Render this next; it replaces the request that waits, if one does."""
        with self._wake:
            self._waiting = request
            self._live_at = time.monotonic()
            self._wake.notify()

    def call(self, function: Callable[[Any], T]) -> Future[T]:
        """Run `function(engine)` on the render thread, between frames, once there is an engine.

        Calls take turns with the frames, so neither keeps the other waiting for more than one.
        """
        future: Future[T] = Future()
        with self._wake:
            self._calls.append((function, future))
            self._wake.notify()
        return future

    def ask(self, asks: Iterable[tuple[Hashable, RenderRequest]]) -> None:
        """Render these too, in this order, whenever the live picture rests. They replace those asked for before, whose
        answers come no more.
        """
        with self._wake:
            self._asks = deque(asks)
            self._answers = []
            self._round += 1
            self._wake.notify()

    def take_answers(self) -> list[Answer]:
        """What came of `ask` since the last call, in order."""
        with self._wake:
            answers, self._answers = self._answers, []
            self._wake.notify()
            return answers

    @property
    def asking(self) -> bool:
        """Whether an answer is still to come without one being taken. `busy` does not count them."""
        with self._wake:
            waits = bool(self._asks) and len(self._answers) < MOST_ANSWERS
            return self._has_engine and (waits or self._asking)

    def take_frame(self) -> Frame | None:
        """The newest frame, once; None when there is nothing new."""
        with self._wake:
            frame, self._frame = self._frame, None
            return frame

    def take_events(self) -> list[Event]:
        """What happened since the last call, oldest first."""
        with self._wake:
            events, self._events = self._events, []
            return events

    @property
    def loading(self) -> Path | None:
        """The checkpoint being opened or waiting to be."""
        with self._wake:
            return self._waiting_path or self._loading

    @property
    def stage(self) -> tuple[str, int, int] | None:
        """How far loading has come, as the loader reported it last: (stage, done, total)."""
        with self._wake:
            return self._stage if self._loading is not None else None

    @property
    def busy(self) -> bool:
        """Whether a frame or an event is still to come, or waits to be taken."""
        with self._wake:
            waits = (self._waiting is not None or bool(self._calls)) and self._has_engine
            at_work = self._waiting_path is not None or self._loading is not None or self._rendering or self._calling
            return waits or at_work or self._frame is not None or bool(self._events)

    def close(self, timeout: float | None = None) -> bool:
        """Stop after what is being rendered now; True when the thread has ended within `timeout` seconds."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        engine: Renderer | None = None
        called = False
        while True:
            request: RenderRequest | None = None
            call: tuple[Callable[[Any], Any], Future[Any]] | None = None
            with self._wake:
                while not (self._closed or self._waiting_path is not None or (engine is not None and self._due())):
                    self._wake.wait(self._pause() if engine is not None else None)
                if self._closed:
                    for _, future in self._calls:
                        future.cancel()
                    return
                open_engine, round_ = self._waiting_open, self._round
                path, self._waiting_path = self._waiting_path, None
                if path is not None:
                    self._loading, self._stage = path, None
                elif self._calls and (self._waiting is None or not called):
                    call, self._calling = self._calls.popleft(), True
                elif self._waiting is not None:
                    request, self._waiting = self._waiting, None
                    self._last = request
                    self._rendering = True
                else:
                    key, asked = self._asks.popleft()
                    self._asking = True
            called = call is not None
            if path is not None:
                engine = self._load(path, open_engine) or engine
                continue
            assert engine is not None
            if call is not None:
                self._carry_out(engine, *call)
            elif request is not None:
                self._render(engine, request)
            else:
                self._answer(engine, key, asked, round_)

    def _carry_out(self, engine: Any, function: Callable[[Any], Any], future: Future[Any]) -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(function(engine))
            except Exception as error:  # noqa: BLE001 (whatever it raises belongs to who asked)
                future.set_exception(error)
        with self._wake:
            self._calling = False

    def _due(self) -> bool:
        return self._waiting is not None or bool(self._calls) or self._pause() == 0.0

    def _pause(self) -> float | None:
        """Seconds until one of `_asks` may begin; None while none may."""
        if not self._asks or len(self._answers) >= MOST_ANSWERS:
            return None
        return max(self._live_at + self._rest - time.monotonic(), 0.0)

    def _load(self, path: Path, open_engine: OpenEngine) -> Renderer | None:
        engine: Renderer | None = None
        try:
            engine = open_engine(path, self._report)
            event: Event = Loaded(path, engine.info)
        except Exception as error:  # noqa: BLE001 (whatever a loader raises must reach the window, never end the thread)
            event = Failed("load", _one_line(error), traceback.format_exc(), path)
        with self._wake:
            self._loading = None
            self._events.append(event)
            if engine is not None:
                self._has_engine = True
                if self._waiting is None:
                    self._waiting = self._last
        return engine

    def _report(self, stage: str, done: int, total: int) -> None:
        with self._wake:
            self._stage = (stage, done, total)

    def _render(self, engine: Renderer, request: RenderRequest) -> None:
        frame: Frame | None = None
        failed: Failed | None = None
        try:
            frame = engine.render(request)
        except Exception as error:  # noqa: BLE001 (as above: the last good frame stays, the message is shown)
            failed = Failed("render", _one_line(error), traceback.format_exc())
        with self._wake:
            self._rendering = False
            self._live_at = time.monotonic()
            if frame is not None:
                self._frame = frame
            if failed is not None:
                self._events.append(failed)

    def _answer(self, engine: Renderer, key: Hashable, request: RenderRequest, round_: int) -> None:
        try:
            answer = Answer(key, engine.render(request))
        except Exception as error:  # noqa: BLE001 (as above: a tile without a picture says why)
            answer = Answer(key, None, _one_line(error))
        with self._wake:
            self._asking = False
            if round_ == self._round:
                self._answers.append(answer)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    # ValueError and OSError are how this program speaks to people; anything else says its kind for a report.
    if isinstance(error, ValueError | OSError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
