"""Pictures on their way to the step: a thread fetches them ahead, so that the step never waits for a disk or a copy.

The order is that of `training.datasets`; only the fetching is ahead. `state_dict` is that of the pictures taken, not of
those fetched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.datasets.errors import DataError
from training.datasets.opening import Data, open_batches
from training.engine.micro_batches import MicroBatchPlan

AHEAD = 3
"""Batches that are being fetched while a step goes on."""
PATIENCE_S = 0.5
"""Who waits for pictures asks so often whether it still has to."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One micro-batch's pictures and what they are conditioned on."""

    images: Tensor
    """[N, 3, R, R], uint8, on the device or on its way there."""
    captions: list[list[str]]
    """Of each picture those to choose from; none of data without captions."""
    classes: Tensor
    """[N], int64: the number of each picture's class, -1 where it has none."""
    latents: Tensor | None = None
    """[N, Z], where the data say which latent made a picture."""
    ready: torch.cuda.Event | None = None


@dataclass(frozen=True, kw_only=True)
class _Fetched:
    parts: list[Batch]
    after: dict[str, Any]
    """Where the order stands after it."""


class Prefetcher:
    """This rank's parts of batch after batch."""

    def __init__(self, data: Data, plan: MicroBatchPlan, seed: int, device: torch.device) -> None:
        self.plan, self.device = plan, device
        own = slice(plan.rows(plan.mine[0]).start, plan.rows(plan.mine[-1]).stop)
        self._batches = open_batches(data, batch=plan.batch, seed=seed, own=own)
        self._taken = self._batches.state_dict()
        self._waiting: deque[Future[_Fetched]] = deque()
        # The one thread that uses the batches, so that they need no lock.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pictures")
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def ready(self, count: int, stopped: Callable[[], bool] = lambda: False) -> None:
        """Return when the next `count` batches are here, or when `stopped` says that nobody waits for them any more.

        Raises `DataError` when they cannot be had.
        """
        while len(self._waiting) < max(count, AHEAD):
            self._waiting.append(self._thread.submit(self._fetch))
        for future in list(self._waiting)[:count]:
            while not wait([future], timeout=PATIENCE_S).done:
                if stopped():
                    return
            future.result()

    def take(self, count: int) -> list[list[Batch]]:
        """The next `count` batches, each as this rank's parts. Raises `DataError`; nothing has been taken then."""
        self.ready(count)
        fetched = [self._waiting.popleft().result() for _ in range(count)]
        self._taken = fetched[-1].after
        self.ready(0)
        for pictures in (part for batch in fetched for part in batch.parts):
            if pictures.ready is not None:
                torch.cuda.current_stream().wait_event(pictures.ready)
                for tensor in (pictures.images, pictures.classes):
                    tensor.record_stream(torch.cuda.current_stream())
        return [batch.parts for batch in fetched]

    def _fetch(self) -> _Fetched:
        try:
            batch = self._batches.next()
        except OSError as error:
            raise DataError(f"the data went away: they cannot be read any more ({error})") from error
        parts = []
        for number in range(len(self.plan.mine)):
            rows = self.plan.rows(number)  # of this rank's share, which begins at 0
            latents = batch.latents[rows] if batch.latents is not None else None
            parts.append(self._send(batch.images[rows], batch.captions[rows], batch.classes[rows], latents))
        return _Fetched(parts=parts, after=self._batches.state_dict())

    def _send(
        self,
        pixels: NDArray[np.uint8],
        captions: list[list[str]],
        numbers: NDArray[np.int64],
        rows: NDArray[np.float32] | None,
    ) -> Batch:
        images = torch.from_numpy(np.ascontiguousarray(pixels))
        classes = torch.from_numpy(np.ascontiguousarray(numbers))
        latents = torch.from_numpy(np.ascontiguousarray(rows)) if rows is not None else None
        if self._copies is None:
            return Batch(images=images, captions=captions, classes=classes, latents=latents)
        # Copies run beside the step, in a stream of their own.
        with torch.cuda.stream(self._copies):
            images = images.pin_memory().to(self.device, non_blocking=True)
            classes = classes.pin_memory().to(self.device, non_blocking=True)
            ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            ready.record()
        return Batch(images=images, captions=captions, classes=classes, latents=latents, ready=ready)

    def state_dict(self) -> dict[str, Any]:
        """Where the batches taken end."""
        return self._taken

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the batches that were taken when the state was."""
        self._forget()
        self._thread.submit(self._batches.load_state_dict, state).result()
        self._taken = state

    def skipped(self) -> str:
        """What could not be used so far, in words; empty when there was nothing."""
        return self._batches.skipped()

    def close(self) -> None:
        """Let go of the thread, of processes and of files, also while a server does not answer."""
        self._forget()
        self._batches.close()
        self._thread.shutdown()

    def _forget(self) -> None:
        for future in self._waiting:
            future.cancel()
        self._waiting.clear()
