"""What happens between the controls and the picture, once a frame of the window: no GUI and no torch here.

    history.scene + transport.time -> RenderRequest -> render thread -> Frame -> shown, recorded, saved

The panels edit `history`; `tick` carries the change onwards and takes what came back.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.classes import class_title
from app.explorer.crossfade import Crossfade
from app.explorer.desk import Desk
from app.explorer.exports import ExportQueue, RunJob, run_in_a_process
from app.explorer.finder import COMMAND, Finder, Search
from app.explorer.history import History
from app.explorer.keeping import Keeper
from app.explorer.lead import Lead
from app.explorer.library import Draw, Library, draw_in_a_process
from app.explorer.meter import Meter
from app.explorer.pictures import Pictures
from app.explorer.prompt_desk import PromptDesk
from app.explorer.recorder import OpenWriter, Recorder
from app.explorer.render_thread import Failed, Loaded, Renderer, RenderThread, Report
from app.explorer.restoring import Restorer
from app.explorer.scene import Scene
from app.explorer.scenefile import save_scene_file
from app.explorer.settings import FRAME_LIMITS, Settings, Store, Theme
from app.explorer.shelf import Shelf
from app.explorer.strip import StripExport
from app.explorer.taking import Taking
from app.explorer.timeline_edit import TimelineEditor
from app.explorer.transport import Transport
from app.live.control import LiveControl, LiveServices
from app.live.settings import LiveSettings
from app.provenance import document, document_text
from core.prompts import plain
from core.request import SEEDS_PER_ROW, Frame, RenderRequest

log = logging.getLogger(__name__)

AUTOSAVE_PAUSE_S = 0.5
AWAKE_S = 0.3
TOAST_S = 6.0
ERROR_TOAST_S = 20.0
QUESTION_TOAST_S = 90.0
LOG_LINES = 200
THUMBNAIL_SIDE = 192
THUMBNAILS = 256

Level = Literal["info", "error"]
DialogWish = Literal[
    "open",
    "save_picture",
    "output_folder",
    "library_folder",
    "open_scene",
    "save_scene",
    "open_autosave",
    "find_checkpoint",
    "import_vectors",
    "export_vectors",
]
Choice = tuple[str, Callable[[], None]]
"""A button of a message: its label, and what it does."""


@dataclass(frozen=True)
class Message:
    """A line for the person at the window: a toast for a while, then a line of the log panel."""

    level: Level
    text: str
    at: float
    """On the session's clock, seconds."""
    clock: str
    """Time of day."""
    path: Path | None = None
    """A file it speaks of, whose folder can be opened."""
    choices: tuple[Choice, ...] = ()
    """What can be done about it; choosing takes the toast away."""


@dataclass(frozen=True)
class EngineChoice:
    """What to run a model on, and in which precision; "auto" is the best there is."""

    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True)
class Services:
    """What the session asks of the rest of the program; tests give their own."""

    open_engine: Callable[[Path, Report, EngineChoice], Renderer]
    open_writer: OpenWriter
    write_image: Callable[[Path, Frame, Any, Scene, float | None], None]
    """(path, frame, model info, scene, where its play is shown): write a PNG with its metadata."""
    write_page: Callable[[Path, NDArray[np.uint8]], None]
    """(path, pixels): write a PNG without metadata."""
    bundled_checkpoint: Callable[[], Path]
    read_examples: Callable[[Path], tuple[str, ...]] = lambda path: ()
    """Prompts that a checkpoint suggests."""
    list_devices: Callable[[], tuple[str, ...]] = lambda: ("auto", "cpu")
    """What a model can run on; called when one has loaded."""
    draw_thumbnail: Draw = draw_in_a_process
    run_export: RunJob = run_in_a_process
    live: LiveServices = field(default_factory=LiveServices)
    find_directions: tuple[str, ...] = COMMAND
    """The command that `Finder` runs."""
    make_history: Callable[..., History] = History
    """(scene, clock=): what keeps the scene."""
    clock: Callable[[], float] = time.monotonic


class Session:
    """The explorer without its window. Belongs to the UI thread; `close` it."""

    def __init__(self, services: Services, store: Store, checkpoint: Path | None = None) -> None:
        self._services = services
        self._store = store
        self._clock = services.clock
        self.messages: deque[Message] = deque(maxlen=LOG_LINES)
        self.toasts: list[Message] = []
        self.dialog_wish: DialogWish | None = None
        """Which file dialog to show next; the window takes it."""
        self.quit_wish = False
        self.desk = Desk()
        problem = store.prepare()
        if problem:
            self.tell_error(problem)
        self.settings, problem = store.load_settings()
        if problem:
            self.tell_error(problem)
        restored, problem = store.load_scene()
        if problem:
            self.tell_error(problem)
        self.is_new = restored is None
        """Whether there was no earlier session to go on with."""
        scene = first_scene() if restored is None else restored
        if checkpoint is not None:
            scene = replace(scene, checkpoint=str(checkpoint.resolve()))
        self.history = services.make_history(scene, clock=self._clock)
        self.transport = Transport()
        self.crossfade = Crossfade()
        self.lead = Lead()
        self.timeline = TimelineEditor(self.history, self.transport, self.lead)
        self.recorder: Recorder | None = None
        self.strip: StripExport | None = None
        """The video of a sweep that is being written, or was last."""
        self.info: Any = None
        """The loaded model's `ModelInfo`; None until there is one."""
        self.examples: tuple[str, ...] = ()
        """Prompts to try, as the checkpoint suggests them."""
        self.frame: Frame | None = None
        """The picture on screen."""
        self.frame_count = 0
        self._awake_until = 0.0
        self.failed_load: str | None = None
        """Why the last checkpoint asked for did not load; None once one does."""
        self.meter = Meter()
        self._began = self._clock()
        self._metered = 0
        self._submitted: RenderRequest | None = None
        self._saved_revision = self.history.revision if restored is not None and checkpoint is None else -1
        self._seen_revision = self.history.revision
        self._changed_at = self._clock()
        self._save_problem: str | None = None
        self._saver = ThreadPoolExecutor(max_workers=1, thread_name_prefix="save")
        self._saving: list[tuple[Path, Future[None]]] = []
        self._random = random.Random()
        self._asked: str | None = None
        self._named = scene.checkpoint
        self._loop_seconds = scene.loop_seconds
        self.shown_zoom = 1
        """The whole zoom the viewport used last."""
        self._choice = self._loaded_choice = self._wanted_choice()
        self.devices: tuple[str, ...] = ("auto", "cpu")
        """What a model can run on."""
        self.render = RenderThread(self._opener(self._choice))
        self.shelf = Shelf(store.folder, self.render.call, self)
        fitting = self.shelf.fitting_call
        self.thumbnails = Pictures(self.render, side=THUMBNAIL_SIDE, limit=THUMBNAILS, fitting=fitting)
        self.others = Pictures(self.render, side=None, limit=4, fitting=fitting)
        """Whole pictures beside the one on screen."""
        self.prompts = PromptDesk(self.history, self.render, lambda: self.settings, self.keep_settings)
        self.shown_path: Path | None = None
        """The file that the loaded model came from."""
        self.library = Library(store.thumbnails_path, services.draw_thumbnail)
        self.taking = Taking(self)
        self.restorer = Restorer(self, store.hashes_path)
        self.exports = ExportQueue(store.folder, services.run_export)
        self.keeper = Keeper(store.folder, services.clock)
        self.live = LiveControl(
            self.settings.live, services.live, self._keep_live, self.tell_error, self._tell_quietly, self._clock
        )
        self.finder = Finder(services.find_directions)
        self._tell_what_was_left(restored is not None)

    def _tell_what_was_left(self, restored: bool) -> None:
        """What an earlier session left undone."""
        if self.exports.problem:
            self.tell_error(self.exports.problem)
        if self.exports.paused:
            count = self.exports.waiting
            left = f"{count} exports are" if count > 1 else "An export is"
            self.ask(f"{left} left from last time.", [("Go on", self.exports.go_on), ("Forget", self.exports.forget)])
        if self.keeper.ended_badly and restored:
            self.ask(
                "Glissando did not end well last time; this is its last scene.", [("Start afresh", self.start_afresh)]
            )

    # Once a frame

    def tick(self) -> None:
        """One round: `dispatch`, then `collect`. The window calls these around drawing. Neither ever blocks."""
        self.dispatch()
        self.collect()

    def dispatch(self) -> None:
        """After the panels were drawn: carry their changes onwards."""
        now = self._clock()
        if self.frame is not None and self._metered != self.frame_count:
            self._metered = self.frame_count
            self.meter.shown(self.frame.request, now)
        self._follow_checkpoint()
        self.transport.tick(now)
        self._keep_place()
        self.live.tick(self.history, self.info.classes if self.info is not None else 0)
        self.prompts.tick(now, remember=self.info is not None and self.conditioning == "text")
        scene = self.history.scene
        wanted = self.lead.follow(scene, self.transport)
        if self.lead.took_over:
            self.crossfade.cut()
        request = self.crossfade.follow(self.live.overlay(wanted), scene.crossfade, now, moved=self.lead.moved)
        request = self.shelf.fitting(request)
        if request != self._submitted:
            self._submitted = request
            # The input behind it was there when this frame of the window began.
            self.meter.changed(request, self._began)
            self.render.submit(request)
        self._autosave(now)

    def collect(self) -> None:
        """Before the panels are drawn: take what came back from the threads."""
        now = self._began = self._clock()
        for event in self.render.take_events():
            self._handle(event)
        frame = self.render.take_frame()
        if frame is not None:
            self.frame = frame
            self.frame_count += 1
            self.meter.arrived(frame.render_ms, now)
            if self.recorder is not None:
                self.taking.shown(self.recorder.offer(frame.pixels), frame.request)
        if self.info is not None:
            self.thumbnails.tick()
            self.others.tick()
        self.meter.tick(now)
        self._look_after_recorder()
        self._look_after_saves()
        self.restorer.tick()
        self._look_after_exports()
        self._look_after_vectors()
        self.toasts = [toast for toast in self.toasts if now - toast.at < toast_seconds(toast)]

    def _keep_place(self) -> None:
        """Another speed goes on from the same place on the path."""
        seconds = self.history.scene.loop_seconds
        if seconds != self._loop_seconds:
            if not self.history.scene.has_timeline:
                time = self.transport.time % self._loop_seconds if self.history.scene.closed else self.transport.time
                self.transport.time = time / self._loop_seconds * seconds
            self._loop_seconds = seconds

    def stand_at(self, time: float | None) -> None:
        """Pause the play of this scene at `time`, or show its controls where that is None."""
        self.transport.playing = False
        self.transport.time = time or 0.0
        self._loop_seconds = self.history.scene.loop_seconds
        self.lead.follow(self.history.scene, self.transport)
        if time is None:
            self.lead.show_controls()
        else:
            self.lead.show_timeline()

    def keep_awake(self) -> None:
        """For a panel that has something under way: the window is not to doze for the moment."""
        self._awake_until = self._clock() + AWAKE_S

    @property
    def lively(self) -> bool:
        """Whether something moves or is about to, so that the window should not doze."""
        return (
            self.transport.playing
            or self.crossfade.running
            or self.thumbnails.busy
            or self.others.busy
            or self.live.moving
            or self.recorder is not None
            or self.render.busy
            or self.render.asking
            or self.prompts.busy
            or bool(self.toasts)
            or bool(self._saving)
            or self.restorer.busy
            or self.exports.busy
            or self.shelf.busy
            or self.finder.running
            or self._clock() < self._awake_until
        )

    @property
    def settled(self) -> bool:
        """Whether the picture on screen is the one the scene asks for."""
        return self.frame is not None and self.frame.request == self.live.overlay(self.wanted) and not self.render.busy

    @property
    def wanted(self) -> RenderRequest:
        """What the scene asks for at this time, when every fade has ended."""
        return self.shelf.fitting(self.lead.request(self.history.scene, self.transport.time))

    @property
    def frames_per_second(self) -> float:
        """New pictures in the last second."""
        return self.meter.frames_per_second

    @property
    def loading_text(self) -> str:
        """What to say while a model is loading: "Loading faces.pkl: hashing 40 %"."""
        path, stage = self.render.loading, self.render.stage
        text = f"Loading {path.name}" if path is not None else "Loading model"
        if stage is None:
            return f"{text}…"
        name, done, total = stage
        return f"{text}: {name}" + (f" {100 * done // total} %" if 0 < done < total else "…")

    @property
    def conditioning(self) -> Literal["none", "class", "text"]:
        """What the model takes beside the seed; text until one has loaded."""
        return self.info.conditioning if self.info is not None else "text"

    @property
    def vocabulary(self) -> frozenset[str]:
        return self.info.vocabulary if self.info is not None else frozenset()

    # Messages

    def tell(self, text: str, path: Path | None = None) -> None:
        self._add(Message("info", text, self._clock(), time.strftime("%H:%M:%S"), path))
        log.info("%s", text)

    def tell_error(self, text: str, *, toast: bool = True) -> None:
        """Show what went wrong; the same error again moves its toast up instead of making another."""
        self.toasts = [other for other in self.toasts if other.text != text]
        self._add(Message("error", text, self._clock(), time.strftime("%H:%M:%S")), toast=toast)
        log.error("%s", text)

    def ask(self, text: str, choices: list[Choice]) -> None:
        """A message with buttons."""
        self._add(Message("info", text, self._clock(), time.strftime("%H:%M:%S"), choices=tuple(choices)))
        log.info("%s", text)

    def _add(self, message: Message, *, toast: bool = True) -> None:
        self.messages.append(message)
        if toast:
            self.toasts = [*self.toasts, message][-4:]

    # Checkpoints

    def open_checkpoint(self, path: Path) -> None:
        """Load another checkpoint; the scene names it once it has loaded."""
        self._load(str(path.expanduser().resolve()))

    def open_bundled(self) -> None:
        self._load("")

    def _follow_checkpoint(self) -> None:
        """Load what the scene names when that changed: at the start, and by undo and redo."""
        wanted = self.history.scene.checkpoint
        if self._asked is None or wanted != self._named:
            self._load(wanted)
        self._named = wanted

    def _load(self, name: str) -> None:
        self._asked = name
        try:
            path = Path(name) if name else self._services.bundled_checkpoint()
        except (ValueError, OSError) as error:
            self.failed_load = str(error)
            self.tell_error(str(error))
            return
        self._choice = self._wanted_choice()
        self.shelf.opening()
        self.render.load(path, self._opener(self._choice))

    def _handle(self, event: Loaded | Failed) -> None:
        if isinstance(event, Failed):
            log.error("%s failed: %s\n%s", event.during, event.message, event.detail)
            if event.during == "load":
                self.failed_load = event.message
                self.shelf.stayed(more=self.render.loading is not None)
            # Without a picture the viewport itself says why there is none.
            self.tell_error(event.message, toast=event.during == "render" or self.frame is not None)
            if event.during == "load":
                self._give_up_choice()
            return
        self._loaded_choice = self._choice
        self.devices = self._services.list_devices()
        self.taking.other_model()
        self.info, self.shown_path = event.info, event.path
        self.crossfade.cut()
        self.thumbnails.forget()
        self.others.forget()
        self.shelf.opened(event.info, event.path, more=self.render.loading is not None)
        self.prompts.neighbours.follow(event.info.sha256, event.info.vocabulary)
        self.examples = self._services.read_examples(event.path)
        self.failed_load = None
        self.meter.begin_again()
        name = self.name_of(event.path)
        if name:
            self.settings = self.settings.with_recent(event.path)
            self._save_settings()
        if name == self._asked and name != self.history.scene.checkpoint:
            last = max(event.info.classes - 1, 0)

            def opened(scene: Scene) -> Scene:
                # All that both models have stays; a class that the new one lacks cannot.
                names = ("label", "label_b", "label_c", "label_d")
                labels = {name: min(getattr(scene, name), last) for name in names}
                mixes = tuple(
                    mix if mix.label is None else replace(mix, label=min(mix.label, last)) for mix in scene.mixes
                )
                return replace(scene, checkpoint=name, mixes=mixes, **labels)

            self.history.step(
                "open checkpoint", opened if event.info.classes else lambda scene: replace(scene, checkpoint=name)
            )
            self._named = name

    def run_on(self, *, device: str | None = None, precision: str | None = None) -> None:
        """Load the model again on another device or in another precision; the old one stays until that is done."""
        self.settings = replace(
            self.settings, device=device or self.settings.device, precision=precision or self.settings.precision
        )
        self._save_settings()
        if self._wanted_choice() != self._choice:
            self._load(self._named if self._asked is None else self._asked)

    def _wanted_choice(self) -> EngineChoice:
        return EngineChoice(self.settings.device, self.settings.precision)

    def _opener(self, choice: EngineChoice) -> Callable[[Path, Report], Renderer]:
        open_engine = self._services.open_engine
        return lambda path, report: open_engine(path, report, choice)

    def _give_up_choice(self) -> None:
        """What did not load may have been asked for on a device that is not there: go back to what worked."""
        if self.info is None and self._choice != EngineChoice():
            self.tell(f"Trying again on any device (not {self._choice.device}, {self._choice.precision})")
            self._loaded_choice = EngineChoice()
        elif self._choice == self._loaded_choice:
            return
        good = self._choice = self._loaded_choice
        self.settings = replace(self.settings, device=good.device, precision=good.precision)
        self._save_settings()
        if self.info is None:
            self._load(self._named if self._asked is None else self._asked)

    def name_of(self, path: Path) -> str:
        """How a scene names this checkpoint: "" for the bundled one, wherever it is installed."""
        try:
            return "" if path == self._services.bundled_checkpoint() else str(path)
        except (ValueError, OSError):
            return str(path)

    # Library

    def known_checkpoints(self) -> list[Path]:
        """The bundled model, and those opened before."""
        files = [Path(name) for name in self.settings.recents]
        try:
            files.insert(0, self._services.bundled_checkpoint())
        except (ValueError, OSError):
            log.warning("no bundled checkpoint")
        return files

    def look_for_models(self, *, retry: bool = False) -> None:
        """Fill the library: the bundled model, those opened before, and those in the person's folders. `retry` draws
        those again that could not be drawn.
        """
        files = self.known_checkpoints()
        self.library.look(files, [Path(name) for name in self.settings.library_dirs], retry=retry)

    def add_library_folder(self, folder: Path) -> None:
        name = str(folder)
        if name not in self.settings.library_dirs:
            self.settings = replace(self.settings, library_dirs=(*self.settings.library_dirs, name))
            self._save_settings()
        self.look_for_models()

    # Seeds

    def surprise(self) -> None:
        """Go to a random whole seed."""
        seed = self._random.randrange(100_000)
        self.history.step(
            "random seed",
            lambda scene: replace(scene, seed_x=float(seed % SEEDS_PER_ROW), seed_y=float(seed // SEEDS_PER_ROW)),
        )

    # Pictures and videos

    def save_picture(self, path: Path | None = None) -> None:
        """Write the picture on screen as PNG, off the UI thread; without a path, under a fresh name in the folder."""
        if self.frame is None:
            self.tell_error("There is no picture to save yet.")
            return
        frame, info = self.frame, self.info
        try:
            target = self._fresh_path(self.file_stem(frame.request), ".png") if path is None else path
        except OSError as error:
            self._tell_unwritable(error)
            return
        scene = self.history.scene
        future = self._saver.submit(self._services.write_image, target, frame, info, scene, self._play_time)
        self._saving.append((target, future))

    @property
    def _play_time(self) -> float | None:
        """Where the scene's play is shown; None where its controls are."""
        scene = self.history.scene
        plays = not scene.has_timeline or self.lead.follows_timeline(scene)
        return self.transport.time if plays else None

    def _provenance(self, request: RenderRequest) -> str:
        """What a video says of itself that begins with this picture."""
        scene = self.history.scene.to_json()
        return document_text(document(request, self.info, scene=scene, time=self._play_time))

    def save_sheet(self, sheet: Callable[[], NDArray[np.uint8]], subject: str) -> None:
        """Make a page of pictures and write it as PNG, off the UI thread, under a fresh name in the folder."""

        def write(path: Path) -> None:
            self._services.write_page(path, sheet())

        self._save_fresh(subject, ".png", write)

    def save_strip(self, requests: Sequence[RenderRequest], subject: str) -> None:
        """Glide through pictures in a video, off the UI thread, under a fresh name in the folder."""
        if self.strip is not None and not self.strip.ended.is_set():
            return
        self.strip = StripExport(self.render, self._services.open_writer, requests, self._provenance(requests[0]))
        if not self._save_fresh(subject, ".mp4", self.strip.write):
            self.strip = None

    def _save_fresh(self, subject: str, suffix: str, write: Callable[[Path], None]) -> bool:
        try:
            target = self._fresh_path(file_stem(plain(subject), self.history.scene), suffix)
        except OSError as error:
            self._tell_unwritable(error)
            return False
        self._saving.append((target, self._saver.submit(write, target)))
        return True

    def toggle_recording(self) -> None:
        if self.recorder is not None:
            self.recorder.stop()
            self.taking.stop(self.recorder.seconds)
            return
        if self.frame is None:
            self.tell_error("There is no picture to record yet.")
            return
        try:
            path = self._fresh_path(self.file_stem(self.frame.request), ".mp4")
        except OSError as error:
            self._tell_unwritable(error)
            return
        self.recorder = Recorder(
            path,
            self._services.open_writer,
            smooth=self.history.scene.smooth,
            comment=self._provenance(self.frame.request),
            clock=self._clock,
        )
        self.taking.begin(path, self.recorder.offer(self.frame.pixels), self.frame.request)

    def set_output_dir(self, folder: Path) -> None:
        self.settings = replace(self.settings, output_dir=str(folder))
        self._save_settings()

    def set_text_scale(self, scale: float) -> None:
        self.settings = replace(self.settings, text_scale=min(max(scale, 0.6), 2.5))
        self._save_settings()

    def set_theme(self, theme: Theme) -> None:
        self.settings = replace(self.settings, theme=theme)
        self._save_settings()

    def set_frame_limit(self, limit: int) -> None:
        low, high = FRAME_LIMITS
        self.settings = replace(self.settings, frame_limit=min(max(limit, low), high))
        self._save_settings()

    def set_vsync(self, vsync: bool) -> None:
        self.settings = replace(self.settings, vsync=vsync)
        self._save_settings()

    def keep_settings(self, settings: Settings) -> None:
        """These are the settings from now on."""
        self.settings = settings
        self._save_settings()

    def set_walk(self, *, step: float | None = None, snap: bool | None = None) -> None:
        """How a drag across the picture walks: seeds for each pixel, and whether at whole seeds only."""
        settings = self.settings
        self.settings = replace(
            settings,
            walk_step=settings.walk_step if step is None else step,
            snap_seeds=settings.snap_seeds if snap is None else snap,
        )
        self._save_settings()

    def _save_settings(self) -> None:
        problem = self._store.save_settings(self.settings)
        if problem:
            self.tell_error(problem)

    def _keep_live(self, live: LiveSettings) -> None:
        self.settings = replace(self.settings, live=live)
        self._save_settings()

    def _tell_quietly(self, text: str) -> None:
        """For the log panel only: what another program sends wrongly is no matter for a toast."""
        self.tell_error(text, toast=False)

    def _tell_unwritable(self, error: OSError) -> None:
        self.tell_error(
            f"The output folder {self.settings.output_dir} cannot be used ({error.strerror or error}). "
            "Choose another one in the Save panel."
        )

    def file_stem(self, request: RenderRequest) -> str:
        """What to call a file with this picture: the subject, as far as the model takes one, and the seed."""
        subject = {
            "text": plain(request.prompt),
            "class": f"class {class_title(request.label, self.info.class_names)}",
            "none": self.info.name,
        }[self.conditioning]
        return file_stem(subject, request)

    def _fresh_path(self, stem: str, suffix: str) -> Path:
        folder = Path(self.settings.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        taken = {path for path, _ in self._saving}
        number = 1
        while (path := folder / f"{stem}-{number:03d}{suffix}").exists() or path in taken:
            number += 1
        return path

    def _look_after_recorder(self) -> None:
        recorder = self.recorder
        result = None if recorder is None else recorder.result
        if result is None:
            return
        self.recorder = None
        self.taking.end(recorder.seconds)
        if result.error is not None:
            self.tell_error(f"Recording stopped: {result.error}")
            return
        left_out = f" ({result.skipped} pictures left out: the encoder fell behind)" if result.skipped else ""
        self.tell(f"Recorded {result.seconds:.1f} s to {result.path}{left_out}", result.path)

    def _look_after_saves(self) -> None:
        waiting: list[tuple[Path, Future[None]]] = []
        for path, future in self._saving:
            if not future.done():
                waiting.append((path, future))
                continue
            error = future.exception()
            if error is None:
                self.tell(f"Saved {path}", path)
            else:
                log.error("saving %s failed", path, exc_info=error)
                self.tell_error(f"{path.name} was not saved: {error}")
        self._saving = waiting

    def _look_after_exports(self) -> None:
        ended = self.exports.tick()
        if ended is None or ended.state == "cancelled":
            return
        if ended.state == "done":
            self.tell(f"Exported {ended.out}", Path(ended.out))
        else:
            self.tell_error(f"The export of {ended.title} failed: {ended.message}")

    # Directions and latents

    def save_latent(self, name: str = "") -> None:
        """Keep where the picture is under a name; without one, under its subject and seed."""
        if self.frame is None or not self.shelf.is_open:
            self.tell_error("There is no picture to keep the latent of yet.")
            return
        request = self.wanted
        self.shelf.save_latent(request, name.strip() or self.file_stem(request))

    def find_directions(self, search: Search) -> None:
        """Look for directions of the open model in the background."""
        if self.shelf.is_open and not self.finder.running:
            self.finder.start(self.shelf.checkpoint, self.shelf.path, search)

    def _look_after_vectors(self) -> None:
        self.shelf.tick()
        result = self.finder.take_result()
        if result is None:
            return
        if result.problem is not None:
            self.tell_error(f"No directions were found: {result.problem}")
            return
        before = len(self.shelf.directions)
        if result.checkpoint == self.shelf.checkpoint:
            self.shelf.refresh()
            self.tell(f"Found directions: there are {len(self.shelf.directions)} now, {before} before")

    # Keeping

    def save_scene(self, path: Path) -> None:
        """Write the scene to a file of its own, off the UI thread."""
        future = self._saver.submit(save_scene_file, path, self.history.scene, self.info)
        self._saving.append((path, future))

    def start_afresh(self) -> None:
        """The scene that a newcomer sees; the one that is there is kept, and undo brings it back."""
        self.keeper.keep(self.history.scene, now=True)
        self.transport.rewind()
        self.history.step("start afresh", lambda _: first_scene())

    def _autosave(self, now: float) -> None:
        if self.history.revision != self._seen_revision:
            self._seen_revision = self.history.revision
            self._changed_at = now
        if self._seen_revision != self._saved_revision and now - self._changed_at >= AUTOSAVE_PAUSE_S:
            self._save_scene()

    def _save_scene(self) -> None:
        self._saved_revision = self.history.revision
        problem = self._store.save_scene(self.history.scene)
        if problem and problem != self._save_problem:
            self.tell_error(problem)  # once, not at every change
        self._save_problem = problem
        self.keeper.keep(self.history.scene)

    def close(self) -> None:
        """Save the scene, close the recording, let the render thread end. Waits for the frame being rendered."""
        if self.recorder is not None:
            self.recorder.stop()
            self.taking.stop(self.recorder.seconds)
        if self._saved_revision != self.history.revision:
            self._save_scene()
        self.live.close()
        self.library.close()
        self.restorer.close()
        self.exports.close()
        self.finder.close()
        if self.strip is not None:
            self.strip.cancel()
        self.render.close(timeout=0.0)  # it is no daemon: the interpreter waits for it, the window need not
        if self.recorder is not None:
            self.recorder.join()
            self._look_after_recorder()
        self._saver.shutdown(wait=True)
        self._look_after_saves()
        self.keeper.close()


def first_scene() -> Scene:
    """What a newcomer sees first."""
    return Scene(prompt="snowy mountains at sunset, watercolor", psi=0.7)


def toast_seconds(toast: Message) -> float:
    """How long a toast stays."""
    if toast.choices:
        return QUESTION_TOAST_S
    return ERROR_TOAST_S if toast.level == "error" else TOAST_S


def file_stem(subject: str, request: RenderRequest) -> str:
    """A file name that says what the picture is: some words of its subject, and the seed."""
    words = re.sub(r"[^\w]+", "-", subject.lower()).strip("-_")[:48].strip("-_") or "picture"
    return f"{words}-seed{_number(request.seed_x)}" + (f"_{_number(request.seed_y)}" if request.seed_y else "")


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
