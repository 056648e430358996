"""The parts of the program that tests replace: engine, writers, child processes, clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.document.history import History
from app.document.scene import Scene
from app.explorer.drag.worker import OpenDrag, PlainDrags
from app.explorer.export.queue import RunJob, run_in_a_process
from app.explorer.export.video_recorder import OpenWriter
from app.explorer.rendering.library import Draw, draw_in_a_process
from app.explorer.rendering.model_loader import EngineChoice
from app.explorer.rendering.render_thread import Renderer, StageCallback
from app.explorer.train.process import COMMAND as TRAIN
from app.explorer.vectors.direction_search import COMMAND
from app.live.devices import LiveServices
from core.request import Frame


@dataclass(frozen=True)
class Services:
    """Those without a default are the window's own: see `app.explorer.window.real_services`."""

    open_engine: Callable[[Path, StageCallback, EngineChoice], Renderer]
    open_writer: OpenWriter
    write_image: Callable[[Path, Frame, Any, Scene, float | None], None]
    """(path, frame, model info, scene, where its play is shown): write a PNG with its metadata."""
    bundled_checkpoint: Callable[[], Path]
    read_examples: Callable[[Path], tuple[str, ...]] = lambda path: ()
    """Prompts that a checkpoint suggests."""
    list_devices: Callable[[], tuple[str, ...]] = lambda: ("auto", "cpu")
    """What a model can run on; called when one has loaded."""
    draw_thumbnail: Draw = draw_in_a_process
    run_export: RunJob = run_in_a_process
    live: LiveServices = field(default_factory=LiveServices)
    find_directions: tuple[str, ...] = COMMAND
    """The command that `DirectionSearch` runs."""
    open_drag: Callable[[], OpenDrag] = PlainDrags
    """Makes what makes the drags of points."""
    train: tuple[str, ...] = TRAIN
    """The command that `TrainingProcess` runs."""
    make_history: Callable[..., History] = History
    """(scene, clock=): what keeps the scene."""
    clock: Callable[[], float] = time.monotonic
