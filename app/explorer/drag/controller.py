"""Dragging points of the picture (DragGAN, arXiv:2305.10973): the points, the drag under way, and its result.

    points -> styles of the picture on screen -> worker -> styles on their way -> saved latent -> one step of the scene

While it runs the picture follows: what the scene asks for is drawn with the styles that were reached so far. Those are
known to the engine alone, so nothing that is kept may name them: a recording is shown only the picture before and the
one after. No GUI and no torch here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.document.history import History
from app.document.style_mixes import DRAGGED, with_dragged
from app.explorer.drag.worker import DragJob, DragReport, OpenDrag, PointWorker
from app.explorer.messages import Messages
from app.explorer.playback.controller import PlaybackController
from app.explorer.rendering.controller import RenderController
from app.explorer.rendering.model_loader import ModelLoader
from app.explorer.vectors.store import VectorStore
from core.edit.points import MOST_POINTS, STEP_SIZE, STEP_SIZES, STYLES, DragOptions, Pull
from core.request import LAYER_LIMIT, Mix, RenderRequest
from core.vectors import NAME_LENGTH, Vector

SHOW_EVERY_S = 0.2
"""Seconds between the pictures that are shown of a drag: each takes time from it."""
KEPT = 8
"""So many styles on their way stay known: a picture that is asked for may still name them."""
TEMPORARY = "on its way"

Region = tuple[float, float, float, float]
"""Left, top, right, bottom, as points are."""


@dataclass(eq=False)
class _Drag:
    """The drag that is under way."""

    asked: RenderRequest
    """The request of the picture on screen, without live control."""
    model: Any
    put: list[Pull]
    """The points as they were."""
    options: DragOptions
    mask: NDArray[np.bool_] | None
    styles: Future[tuple[NDArray[np.float32], NDArray[np.float32]]] | None
    """Pending: [num_ws, w_dim] styles of the picture, and the part of them that the scene's directions add."""
    pushed: NDArray[np.float32] | None = None
    reached: NDArray[np.float32] | None = None
    """The newest styles, [num_ws, w_dim], until they are sent to the engine."""
    sending: tuple[str, Future[None]] | None = None
    shown: str = ""
    """The id under which the engine knows the styles on screen."""
    shown_at: float = 0.0
    result: Vector | None = None
    """The result, until the engine knows it."""


class DragController:
    """The points of the picture and the drag under way. Belongs to the UI thread; `close` it."""

    def __init__(
        self,
        history: History,
        playback: PlaybackController,
        rendering: RenderController,
        models: ModelLoader,
        vectors: VectorStore,
        messages: Messages,
        open_drag: Callable[[], OpenDrag],
        clock: Callable[[], float],
    ) -> None:
        self._history = history
        self._playback = playback
        self._rendering = rendering
        self._models = models
        self._vectors = vectors
        self._messages = messages
        self._clock = clock
        self._thread = rendering.thread
        self._open_drag = open_drag
        self._worker = PointWorker(open_drag())
        self._drag: _Drag | None = None
        self._temporary: deque[str] = deque()
        self._last: tuple[tuple[RenderRequest, list[Pull]], tuple[RenderRequest, list[Pull]]] | None = None
        """The pictures before and after the last drag, and where the points are in each."""
        self.on = False
        """Whether the mouse on the picture puts points."""
        self.points: list[Pull] = []
        self.region: Region | None = None
        """The part of the picture that may change; None is all of it."""
        self.styles = STYLES
        """How many of the styles may change, coarsest first."""
        self.step_size = STEP_SIZE
        self.status_text = ""
        """Progress of the drag, or the result of the last one."""

    # What the panel and the hand ask for

    @property
    def running(self) -> bool:
        return self._drag is not None

    @property
    def ready(self) -> bool:
        """Whether there is anything to drag."""
        there = self._rendering.frame is not None and self._vectors.is_open and self._thread.loading is None
        return bool(self.points) and there

    def switch(self) -> None:
        """The mode on or off. Off while it runs keeps what was reached, as `stop` does."""
        self.on = not self.on
        if self.on:
            self._playback.transport.playing = False  # nobody puts points on what moves
        elif self.running:
            self.stop()
        else:
            self._worker = PointWorker(self._open_drag())  # the generator that the last one kept may be large

    def clear(self) -> None:
        """No points and no region."""
        if not self.running:
            self.points, self.region, self.status_text = [], None, ""

    def put(self, pull: Pull) -> bool:
        """One more point; False when there are enough."""
        if self.running or len(self.points) >= MOST_POINTS:
            return False
        self.points.append(pull)
        return True

    def start(self) -> None:
        """Drag: the styles of what is on screen first, then step by step."""
        if self.running or not self.ready:
            return
        self._playback.transport.playing = False
        info, asked = self._models.info, self._rendering.wanted
        bare = replace(asked, pushes=())

        def styles(engine: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            whole = engine.latent(asked)
            return whole, whole - engine.latent(bare) if asked.pushes else np.zeros_like(whole)

        low, high = STEP_SIZES
        options = DragOptions(styles=min(self.styles, info.num_ws), step_size=min(max(self.step_size, low), high))
        height, width = info.size
        self._drag = _Drag(
            asked=asked,
            model=info,
            put=list(self.points),
            options=options,
            mask=None if self.region is None else _mask(self.region, width, height),
            styles=self._thread.call(styles),
        )
        self.status_text = "starting…"

    def stop(self) -> None:
        """End after the step that is being taken, and keep what was reached."""
        drag = self._drag
        if drag is not None and drag.styles is not None:
            self._drop("stopped")
        self._worker.stop()

    # Once a frame

    def tick(self, *, recording: bool) -> None:
        """Before the scene's request is asked for: take what the worker has, put a result into the scene.

        While `recording`, no picture of the drag is shown.
        """
        drag = self._drag
        if drag is None:
            self._follow_undo()
            return
        if self._models.info is not drag.model or self._thread.loading is not None:
            self._drop("stopped: the model is another one")  # which knows nothing of styles on their way
        elif self._rendering.wanted != drag.asked:
            self._drop("stopped: the picture is another one")
        elif drag.styles is not None:
            self._begin(drag, drag.styles)
        elif drag.result is not None:
            self._land(drag, drag.result, recording=recording)
        else:
            report = self._worker.take()
            if report is not None:
                self._take(drag, report)
            if self._drag is drag:
                self._show(drag, recording=recording)

    def overlay(self, request: RenderRequest, *, recording: bool) -> RenderRequest:
        """What to draw instead of `request` while a drag runs."""
        drag = self._drag
        if drag is None or not drag.shown or recording:
            return request
        return replace(
            request, mixes=(*request.mixes, Mix(latent=drag.shown, stop=_stop(drag))), **_plain(drag.asked, request)
        )

    def is_temporary(self, request: RenderRequest) -> bool:
        """Whether a request names latents of the drag under way, which exist in the engine only for a moment."""
        return any(mix.latent in self._temporary for mix in request.mixes)

    def close(self) -> None:
        """End without a result."""
        self._drag = None
        self._worker.close()

    def _follow_undo(self) -> None:
        """After undo of the last drag, move its points back, unless they were edited since."""
        if self._last is None:
            return
        (before, put), (after, arrived) = self._last
        if self.points == arrived != put and self._rendering.wanted == before:
            self.points = list(put)
        elif self.points == put != arrived and self._rendering.wanted == after:
            self.points = list(arrived)

    # A drag, from its start to its end

    def _begin(self, drag: _Drag, styles: Future[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> None:
        """Start the worker once the styles of the picture have come."""
        if not styles.done():
            return
        drag.styles = None
        try:
            ws, drag.pushed = styles.result()
        except (ValueError, OSError, RuntimeError, CancelledError) as error:
            self._fail(str(error))
            return
        info = drag.model
        self._worker.start(
            DragJob(
                path=info.path,
                sha256=info.sha256,
                device=info.device,
                threads=info.arithmetic.threads,
                request=drag.asked,
                ws=ws,
                points=tuple(self.points),
                mask=drag.mask,
                options=drag.options,
            )
        )

    def _take(self, drag: _Drag, report: DragReport) -> None:
        progress = report.progress
        if progress is not None:
            self.points = [
                replace(pull, handle=handle) for pull, handle in zip(self.points, progress.handles, strict=True)
            ]
            self.status_text = f"{progress.steps} steps, {progress.left:.1f} pixels to go"
        if report.problem is not None:
            self._fail(report.problem)
        elif report.ended:
            steps = 0 if progress is None else progress.steps
            if progress is None or not steps or report.ws is None:
                self._drop("stopped" if progress is None else "every point is where it is to be")
                return
            how = {"arrived": "arrived", "stuck": "comes no nearer", "moving": "stopped"}[progress.state]
            self.status_text = f"{how} after {steps} steps, {progress.left:.1f} pixels from the target"
            self._keep(drag, report.ws)
        else:
            drag.reached = report.ws

    def _show(self, drag: _Drag, *, recording: bool) -> None:
        """Register the styles reached so far with the engine, now and then, and show the ones it has."""
        if drag.sending is not None and drag.sending[1].done():
            name, known = drag.sending
            drag.sending = None
            if not known.cancelled() and known.exception() is None:
                drag.shown = name
        now, ws = self._clock(), drag.reached
        due = drag.sending is None and now - drag.shown_at >= SHOW_EVERY_S and not recording
        if ws is None or not due:
            return
        drag.reached, drag.shown_at = None, now
        name = self._latent(drag, TEMPORARY, ws).id
        self._temporary.append(name)
        old = [self._temporary.popleft() for _ in range(len(self._temporary) - KEPT)]
        values = self._bare(drag, ws)

        def register(engine: Any) -> None:
            engine.register({name: values})
            engine.unregister(old)

        drag.sending = (name, self._thread.call(register))

    def _keep(self, drag: _Drag, ws: NDArray[np.float32]) -> None:
        """Save the styles that were reached as a latent, which a scene may name."""
        subject = {"text": drag.asked.prompt, "class": f"class {drag.asked.label}", "none": drag.model.name}
        name = DRAGGED + " ".join(subject[self._models.conditioning].replace("@", " ").split())
        vector = self._latent(drag, name[:NAME_LENGTH].strip(), ws)
        if self._vectors.find(vector.id) is None and not self._vectors.add([vector]):
            self._drop("not kept")  # the store has reported why
            return
        drag.result = self._vectors.find(vector.id)

    def _land(self, drag: _Drag, vector: Vector, *, recording: bool) -> None:
        """Put the result into the scene as one step, as soon as a picture with it can be rendered."""
        if not self._vectors.registry.knows(vector):
            return
        asked = drag.asked
        mixes = with_dragged(asked.mixes, vector, _stop(drag))
        result = replace(asked, mixes=mixes, **_plain(asked, asked))
        self._last = (asked, drag.put), (result, list(self.points))
        at_controls = self._history.scene.request() == asked
        self._drag = None
        if drag.shown and not recording:
            self._playback.crossfade.morph(0.0, "linear")  # it is on screen already
        self._history.step("drag points", lambda scene: scene.with_request(result))
        if not at_controls:
            self._playback.stop_at(None)  # the picture was one of the play's: it is the controls' now

    def _fail(self, why: str) -> None:
        self._drop("stopped by an error")
        self._messages.error(f"Dragging points stopped: {why}")

    def _drop(self, why: str) -> None:
        """End without a result."""
        self._worker.drop()
        self._drag = None
        self.status_text = why

    def _latent(self, drag: _Drag, name: str, ws: NDArray[np.float32]) -> Vector:
        count = len(self.points)
        note = f"{count} point{'s' if count > 1 else ''} dragged in {drag.asked.prompt!r}"[:500]
        return Vector(name=name, kind="latent", values=self._bare(drag, ws), note=note)

    def _bare(self, drag: _Drag, ws: NDArray[np.float32]) -> NDArray[np.float32]:
        """Styles without the part of the scene's directions, which the engine adds to mixes too."""
        assert drag.pushed is not None
        return ws if drag.asked.origin is not None else ws - drag.pushed


def _stop(drag: _Drag) -> int:
    """The end of the layers that take the dragged styles: those that may change; all for a picture within a fade."""
    return LAYER_LIMIT if drag.asked.origin is not None else drag.options.styles


def _plain(asked: RenderRequest, request: RenderRequest) -> dict[str, Any]:
    """Fields to reset for a picture within a fade: its latent holds the fade and the directions already."""
    return {} if asked.origin is None else {"origin": None, "arrived": 1.0, "pushes": ()}


def _mask(region: Region, width: int, height: int) -> NDArray[np.bool_]:
    """[H, W] mask: true at pixels whose centres lie in the region; at least one."""
    left, top, right, bottom = region
    mask = np.zeros((height, width), np.bool_)
    x0, y0 = (min(max(round(value), 0), side - 1) for value, side in ((left, width), (top, height)))
    x1, y1 = (min(max(round(value), 0), side - 1) for value, side in ((right, width), (bottom, height)))
    mask[y0 : y1 + 1, x0 : x1 + 1] = True
    return mask
