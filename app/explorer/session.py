"""What happens between the controls and the picture, once a frame of the window: no GUI and no torch here.

    history.scene + transport.time -> RenderRequest -> render thread -> Frame -> shown, recorded, saved

The panels edit `history`; `tick` carries the change onwards and takes what came back.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from app.document.scene import Scene
from app.explorer.drag.controller import DragController
from app.explorer.export.file_writer import FileWriter
from app.explorer.export.queue import ExportQueue
from app.explorer.export.recording import RecordingController
from app.explorer.export.requests import report_export
from app.explorer.export.video_recorder import VideoRecorder
from app.explorer.messages import Choice, Message, Messages
from app.explorer.playback.crossfade import Crossfade
from app.explorer.playback.timeline_editor import TimelineEditor
from app.explorer.playback.timeline_follower import TimelineFollower
from app.explorer.playback.transport import Transport
from app.explorer.prompts.controller import PromptController
from app.explorer.rendering.latency import LatencyMeter
from app.explorer.rendering.library import Library
from app.explorer.rendering.model_loader import ModelLoader
from app.explorer.rendering.render_thread import Failed, Loaded, RenderThread
from app.explorer.rendering.run_follower import RunFollower, is_whole
from app.explorer.rendering.thumbnails import ThumbnailCache
from app.explorer.services import Services
from app.explorer.storage.autosave import Autosave
from app.explorer.storage.crash_recovery import CrashRecovery
from app.explorer.storage.file_opener import FileOpener
from app.explorer.storage.preferences import Preferences
from app.explorer.storage.settings import Settings, SettingsStore
from app.explorer.train.controller import TrainingController
from app.explorer.ui_state import UiState
from app.explorer.vectors.controller import VectorController
from app.live.control import LiveControl
from app.runs import LATEST
from core.request import SEEDS_PER_ROW, Frame, RenderRequest

log = logging.getLogger(__name__)

AWAKE_S = 0.3
THUMBNAIL_SIDE = 192
THUMBNAILS = 256

DialogRequest = Literal[
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
    "train_data",
    "train_clip",
    "train_start",
    "train_out",
]


class Session:
    """The explorer without its window. Belongs to the UI thread; `close` it.

    `checkpoint` is a model's file, or the folder of a training run to follow.
    """

    def __init__(self, services: Services, store: SettingsStore, checkpoint: Path | None = None) -> None:
        self._clock = services.clock
        self._messages = Messages(services.clock)
        self.dialog_request: DialogRequest | None = None
        """Which file dialog to show next; the window takes it."""
        self.quit_requested = False
        self.ui = UiState()
        problem = store.prepare()
        if problem:
            self.tell_error(problem)
        self.preferences = Preferences(store, self._messages)
        restored, problem = store.load_scene()
        if problem:
            self.tell_error(problem)
        self.is_new = restored is None
        """Whether there was no earlier session to go on with."""
        scene = first_scene() if restored is None else restored
        run = checkpoint.resolve() if checkpoint is not None and checkpoint.is_dir() else None
        if run is not None:
            checkpoint = run / LATEST if is_whole(run / LATEST) else None
        if checkpoint is not None:
            scene = replace(scene, checkpoint=str(checkpoint if run is not None else checkpoint.resolve()))
        self.history = services.make_history(scene, clock=self._clock)
        self.transport = Transport()
        self.crossfade = Crossfade()
        self.timeline_follower = TimelineFollower()
        self.timeline = TimelineEditor(self.history, self.transport, self.timeline_follower)
        self.frame: Frame | None = None
        """The picture on screen."""
        self.frame_count = 0
        self._awake_until = 0.0
        self.latency = LatencyMeter()
        self._began = self._clock()
        self._metered = 0
        self._submitted: RenderRequest | None = None
        self._random = random.Random()
        self._loop_seconds = scene.loop_seconds
        self.shown_zoom = 1
        """The whole zoom the viewport used last."""
        self.models = ModelLoader(self, services)
        self.render = RenderThread(self.models.opener())
        self.run_follower = RunFollower(self, services.clock)
        self.training = TrainingController(self, services.train, services.clock)
        self.vectors = VectorController(self, store.folder, services)
        fitting = self.vectors.store.fitting_call
        self.thumbnails = ThumbnailCache(self.render, side=THUMBNAIL_SIDE, limit=THUMBNAILS, fitting=fitting)
        self.comparison_pictures = ThumbnailCache(self.render, side=None, limit=4, fitting=fitting)
        """Whole pictures beside the one on screen."""
        self.drag = DragController(self, services.open_drag, services.clock)
        self.prompts = PromptController(self.history, self.render, lambda: self.settings, self.preferences.keep)
        self.library = Library(store.thumbnails_path, services.draw_thumbnail)
        self.file_writer = FileWriter(self, services)
        self.recording = RecordingController(self, services)
        self.file_opener = FileOpener(self, store.hashes_path)
        self.exports = ExportQueue(store.folder, services.run_export)
        self.crash_recovery = CrashRecovery(store.folder, services.clock)
        kept = restored is not None and checkpoint is None
        self._autosave = Autosave(self.history, store, self.crash_recovery, self._messages, self._clock(), kept=kept)
        self.live = LiveControl(
            self.settings.live,
            services.live,
            self.preferences.keep_live,
            self.tell_error,
            self._tell_quietly,
            self._clock,
        )
        self._tell_what_was_left(restored is not None)
        if run is not None:
            self.run_follower.follow(run, loading=checkpoint is not None)

    def _tell_what_was_left(self, restored: bool) -> None:
        """What an earlier session left undone."""
        if self.exports.problem:
            self.tell_error(self.exports.problem)
        if self.exports.paused:
            count = self.exports.waiting
            left = f"{count} exports are" if count > 1 else "An export is"
            self.ask(f"{left} left from last time.", [("Go on", self.exports.go_on), ("Forget", self.exports.forget)])
        if self.crash_recovery.ended_badly and restored:
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
            self.latency.shown(self.frame.request, now)
        self.models.follow()
        self.run_follower.tick()
        self.transport.tick(now)
        self._keep_place()
        self.live.tick(self.history, self.info.classes if self.info is not None else 0)
        self.prompts.tick(now, remember=self.info is not None and self.conditioning == "text")
        self.drag.tick()
        scene = self.history.scene
        wanted = self.timeline_follower.follow(scene, self.transport)
        if self.timeline_follower.took_over:
            self.crossfade.cut()
        request = self.crossfade.follow(
            self.live.overlay(wanted), scene.crossfade, now, moved=self.timeline_follower.moved
        )
        request = self.drag.overlay(self.vectors.store.fitting(request))
        if request != self._submitted:
            self._submitted = request
            # The input behind it was there when this frame of the window began.
            self.latency.changed(request, self._began)
            self.render.submit(request)
        self._autosave.tick(now)

    def collect(self) -> None:
        """Before the panels are drawn: take what came back from the threads."""
        now = self._began = self._clock()
        for event in self.render.take_events():
            self._handle(event)
        frame = self.render.take_frame()
        if frame is not None:
            self.frame = frame
            self.frame_count += 1
            self.latency.arrived(frame.render_ms, now)
            self.recording.shown(frame)
        if self.info is not None:
            self.thumbnails.tick()
            self.comparison_pictures.tick()
        self.latency.tick(now)
        self.recording.tick()
        self.file_writer.tick()
        self.file_opener.tick()
        report_export(self, self.exports.tick())
        self.vectors.tick()
        self.training.tick()
        self._messages.tick()

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
        self.timeline_follower.follow(self.history.scene, self.transport)
        if time is None:
            self.timeline_follower.show_controls()
        else:
            self.timeline_follower.show_timeline()

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
            or self.comparison_pictures.busy
            or self.live.moving
            or self.recorder is not None
            or self.render.busy
            or self.render.asking
            or self.prompts.busy
            or bool(self.toasts)
            or self.file_writer.busy
            or self.file_opener.busy
            or self.exports.busy
            or self.vectors.store.busy
            or self.vectors.search.running
            or self.drag.running
            or self._clock() < self._awake_until
        )

    @property
    def settled(self) -> bool:
        """Whether the picture on screen is the one the scene asks for."""
        return self.frame is not None and self.frame.request == self.live.overlay(self.wanted) and not self.render.busy

    @property
    def wanted(self) -> RenderRequest:
        """What the scene asks for at this time, when every fade has ended."""
        return self.vectors.store.fitting(self.timeline_follower.request(self.history.scene, self.transport.time))

    @property
    def play_time(self) -> float | None:
        """Where the scene's play is shown; None where its controls are."""
        scene = self.history.scene
        plays = not scene.has_timeline or self.timeline_follower.follows_timeline(scene)
        return self.transport.time if plays else None

    @property
    def frames_per_second(self) -> float:
        """New pictures in the last second."""
        return self.latency.frames_per_second

    @property
    def settings(self) -> Settings:
        """What the person set; `preferences` changes it."""
        return self.preferences.settings

    @property
    def info(self) -> Any:
        """The loaded model's `ModelInfo`; None until there is one."""
        return self.models.info

    @property
    def conditioning(self) -> Literal["none", "class", "text"]:
        """What the model takes beside the seed; text until one has loaded."""
        return self.models.conditioning

    @property
    def recorder(self) -> VideoRecorder | None:
        """The recording that is under way."""
        return self.recording.recorder

    # Messages

    @property
    def messages(self) -> Sequence[Message]:
        """All that was told, newest last."""
        return self._messages.lines

    @property
    def toasts(self) -> tuple[Message, ...]:
        """What was told just now."""
        return self._messages.toasts

    def tell(self, text: str, path: Path | None = None) -> None:
        self._messages.tell(text, path)

    def tell_error(self, text: str, *, toast: bool = True) -> None:
        """Show what went wrong; the same error again moves its toast up instead of making another."""
        self._messages.tell_error(text, toast=toast)

    def ask(self, text: str, choices: list[Choice]) -> None:
        """A message with buttons."""
        self._messages.ask(text, choices)

    def dismiss(self, toast: Message) -> None:
        """Take a toast away."""
        self._messages.dismiss(toast)

    def _tell_quietly(self, text: str) -> None:
        """For the log panel only: what another program sends wrongly is no matter for a toast."""
        self.tell_error(text, toast=False)

    # What came back from the render thread

    def _handle(self, event: Loaded | Failed) -> None:
        if isinstance(event, Loaded):
            self._other_model(event)
            self.models.loaded(event)
            self.run_follower.loaded(event)
            return
        log.error("%s failed: %s\n%s", event.during, event.message, event.detail)
        if event.during == "load":
            self.vectors.store.stayed(more=self.render.loading is not None)
            if self.run_follower.expects(event):
                self.models.snapshot_did_not_load()
            else:
                self.models.did_not_load(event)
        else:
            self._messages.keep_telling(event.message)  # a fade submits the same failing prompt again and again

    def _other_model(self, event: Loaded) -> None:
        """What was drawn with another model is of no use from here on."""
        self.recording.take_writer.other_model()
        self.crossfade.cut()
        self.thumbnails.forget()
        self.comparison_pictures.forget()
        self.vectors.store.opened(event.info, event.path, more=self.render.loading is not None)
        self.prompts.neighbours.follow(event.info.sha256, event.info.vocabulary)
        self.latency.begin_again()

    # Seeds

    def surprise(self) -> None:
        """Go to a random whole seed."""
        seed = self._random.randrange(100_000)
        self.history.step(
            "random seed",
            lambda scene: replace(scene, seed_x=float(seed % SEEDS_PER_ROW), seed_y=float(seed // SEEDS_PER_ROW)),
        )

    # Keeping

    def start_afresh(self) -> None:
        """The scene that a newcomer sees; the one that is there is kept, and undo brings it back."""
        self.crash_recovery.keep(self.history.scene, now=True)
        self.transport.rewind()
        self.history.step("start afresh", lambda _: first_scene())

    def close(self) -> None:
        """Save the scene, close the recording, let the render thread end. Waits for the frame being rendered."""
        self.recording.stop()
        self._autosave.close()
        self.live.close()
        self.library.close()
        self.file_opener.close()
        self.exports.close()
        self.vectors.close()
        self.drag.close()
        self.render.close(timeout=0.0)  # it is no daemon: the interpreter waits for it, the window need not
        self.recording.close()
        self.file_writer.close()
        self.crash_recovery.close()
        self.training.close()  # last: it may take a while to save


def first_scene() -> Scene:
    """What a newcomer sees first."""
    return Scene(prompt="snowy mountains at sunset, watercolor", psi=0.7)
