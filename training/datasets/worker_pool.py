"""Worker processes that do tasks in the order they are given, and answer whenever they are done.

A worker that ends by itself, as one does whose memory a hostile picture has used up, is started again with what it had
left to do; tasks that end it twice are answered with "ended".
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Protocol

import numpy as np

from training.datasets.decoding import Decoder, DecodeResult, DecodeResults, DecodeSettings, Task
from training.datasets.errors import DataError

MAX_DEATHS = 12
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Executor(Protocol):
    """Whoever does the tasks."""

    @property
    def count(self) -> int:
        """How many work side by side."""
        ...

    def submit(self, worker: int, ticket: int, tasks: Sequence[Task]) -> None:
        """Give tasks to one of them; the answers come with the ticket."""
        ...

    def take(self) -> tuple[int, DecodeResults]:
        """Wait for the next answers. Raises `DataError` when workers cannot be kept alive."""
        ...

    def close(self) -> None:
        """End them; what they had left to do is dropped."""
        ...


class InProcessExecutor:
    """The work done in this process, when the answers are waited for."""

    count = 1

    def __init__(self, setting: DecodeSettings) -> None:
        self._decoder = Decoder(setting)
        self._waiting: deque[tuple[int, Sequence[Task]]] = deque()

    def submit(self, worker: int, ticket: int, tasks: Sequence[Task]) -> None:
        self._waiting.append((ticket, tasks))

    def take(self) -> tuple[int, DecodeResults]:
        ticket, tasks = self._waiting.popleft()
        return ticket, self._decoder.run(tasks)

    def close(self) -> None:
        self._waiting.clear()
        self._decoder.close()


class _Worker:
    """One process, what it has been given and not yet answered, and a thread that takes its answers as they come, so
    that it never waits for this process to read."""

    def __init__(
        self, setting: DecodeSettings, worker: int, answers: queue.SimpleQueue[tuple[int, int, DecodeResults | None]]
    ) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would not carry over torch's threads
        self.left: deque[tuple[int, Sequence[Task]]] = deque()
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, setting), daemon=True, name=f"decoder-{worker}")
        before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
        try:
            self._process.start()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        theirs.close()
        self._listener = threading.Thread(target=_collect, args=(self._connection, worker, answers), daemon=True)
        self._listener.start()

    def give(self, ticket: int, tasks: Sequence[Task]) -> None:
        self.left.append((ticket, tasks))
        with contextlib.suppress(OSError):  # its end is noticed by the listener
            self._connection.send((ticket, tasks))

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._listener.join()
        self._connection.close()


class WorkerPool:
    """Processes beside this one."""

    def __init__(self, setting: DecodeSettings, count: int) -> None:
        self._setting = setting
        self._answers: queue.SimpleQueue[tuple[int, int, DecodeResults | None]] = queue.SimpleQueue()
        self._workers = [_Worker(setting, worker, self._answers) for worker in range(count)]
        self._closed = False
        self._changing = threading.Lock()
        """Held while workers are ended or begun: the one who waits for answers need not be the one who closes."""
        self._ended_by: dict[int, int] = {}
        self._ends_in_a_row = 0
        # Before multiprocessing's own, which would wait for workers that ignore its signal.
        atexit.register(self.close)

    @property
    def count(self) -> int:
        return len(self._workers)

    def submit(self, worker: int, ticket: int, tasks: Sequence[Task]) -> None:
        self._workers[worker].give(ticket, tasks)

    def take(self) -> tuple[int, DecodeResults]:
        while True:
            worker, ticket, answers = self._answers.get()
            with self._changing:
                if self._closed:
                    raise DataError("the data are closed")
                if answers is not None:
                    self._ends_in_a_row = 0
                    self._workers[worker].left.popleft()  # a worker answers in the order it was asked
                    return ticket, answers
                given_up = self._start_again(worker)
            if given_up is not None:
                return given_up

    def _start_again(self, worker: int) -> tuple[int, DecodeResults] | None:
        """Another worker for one that has ended; the answer to tasks that are given up."""
        left = self._workers[worker].left
        self._workers[worker].end()
        self._ends_in_a_row += 1
        if self._ends_in_a_row > MAX_DEATHS:
            raise DataError("the processes that decode pictures end again and again; is memory short?")
        given_up = None
        if left:
            first, tasks = left[0]
            self._ended_by[first] = self._ended_by.get(first, 0) + 1
            if self._ended_by[first] > 1:
                left.popleft()
                given_up = first, _ended(len(tasks), self._setting.look.resolution)
        self._workers[worker] = _Worker(self._setting, worker, self._answers)
        for again in left:
            self._workers[worker].give(*again)
        return given_up

    def close(self) -> None:
        atexit.unregister(self.close)
        with self._changing:
            self._closed = True
            for worker in self._workers:
                worker.end()


def _ended(count: int, side: int) -> DecodeResults:
    answer = DecodeResult("ended", problem="decoding it ended the process")
    return DecodeResults(answers=[answer] * count, pixels=np.zeros((count, 3, side, side), np.uint8))


def _collect(
    connection: Connection, worker: int, answers: queue.SimpleQueue[tuple[int, int, DecodeResults | None]]
) -> None:
    while True:
        try:
            ticket, answer = connection.recv()
        except (EOFError, OSError):
            answers.put((worker, -1, None))
            return
        answers.put((worker, ticket, answer))


def _work(connection: Connection, setting: DecodeSettings) -> None:
    """The life of a worker. Signals are for the process that started it, with which it ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    decoder = Decoder(setting)
    while True:
        try:
            ticket, tasks = connection.recv()
        except (EOFError, OSError):
            os._exit(0)
        answers = decoder.run(tasks)
        try:
            connection.send((ticket, answers))
        except OSError:
            os._exit(0)
