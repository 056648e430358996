"""The explorer without its window: the parts, and what happens between them once a frame. No GUI and no torch here.

    history.scene + playhead -> RenderRequest -> render thread -> Frame -> shown, recorded, saved

The panels edit `history`; `tick` carries the change onwards and takes what came back.
"""

from __future__ import annotations

import logging
from pathlib import Path

from app.explorer.drag.controller import DragController
from app.explorer.export.controller import ExportController
from app.explorer.export.source import ExportSource
from app.explorer.messages import Messages
from app.explorer.playback.controller import PlaybackController
from app.explorer.playback.snapshots import SnapshotController
from app.explorer.prompts.controller import PromptController
from app.explorer.rendering.controller import RenderController
from app.explorer.rendering.library import Library
from app.explorer.rendering.model_loader import EngineChoice, ModelLoader
from app.explorer.rendering.render_thread import Failed, Loaded, RenderThread
from app.explorer.rendering.run_follower import RunFollower
from app.explorer.services import Services
from app.explorer.startup import first_scene, plan_startup
from app.explorer.storage.autosave import Autosave
from app.explorer.storage.file_opener import FileOpener
from app.explorer.storage.preferences import Preferences
from app.explorer.storage.settings import SettingsStore
from app.explorer.train.controller import TrainingController
from app.explorer.ui_state import UiState
from app.explorer.vectors.controller import VectorController
from app.explorer.vectors.registry import VectorRegistry
from app.explorer.vectors.store import VectorStore
from app.live.control import LiveControl

log = logging.getLogger(__name__)


class Session:
    """The explorer without its window. Belongs to the UI thread; `close` it.

    `checkpoint` is a model's file, or the folder of a training run to follow.
    """

    def __init__(self, services: Services, store: SettingsStore, checkpoint: Path | None = None) -> None:
        clock = self._clock = services.clock
        messages = self.messages = Messages(clock)
        self.ui = UiState(clock)
        problem = store.prepare()
        if problem:
            messages.error(problem)
        preferences = self.preferences = Preferences(store, messages)
        startup = plan_startup(store, checkpoint, messages)
        self.is_new = not startup.restored
        """Whether there was no earlier session to go on with."""
        history = self.history = services.make_history(startup.scene, clock=clock)
        playback = self.playback = PlaybackController(history)
        thread = RenderThread(lambda path, report: services.open_engine(path, report, EngineChoice()))
        vectors = VectorStore(store.folder, VectorRegistry(thread.call, messages), messages)
        library = Library(store.thumbnails_path, services.draw_thumbnail)
        self.models = ModelLoader(history, preferences, messages, thread, vectors, library, services)
        self.run_follower = RunFollower(history, self.models, thread, messages, clock)
        self.training = TrainingController(preferences, messages, self.run_follower.follow, services.train, clock)
        self.live = LiveControl(
            preferences.settings.live,
            services.live,
            preferences.keep_live,
            messages.error,
            lambda text: messages.error(text, toast=False),  # what another program sends is no matter for a toast
            clock,
        )
        self.rendering = RenderController(thread, playback, self.live, vectors.registry, clock)
        self.snapshots = SnapshotController(history, playback, self.rendering)
        self.drag = DragController(
            history, playback, self.rendering, self.models, vectors, messages, services.open_drag, clock
        )
        source = ExportSource(history, playback, self.rendering, self.models, self.drag.is_temporary)
        self.export = ExportController(source, preferences, messages, services, store.folder)
        self.vectors = VectorController(
            vectors, self.rendering, source, thread.call, messages, services.find_directions
        )
        self.prompts = PromptController(history, thread, preferences)
        self.file_opener = FileOpener(history, playback, self.models, preferences, messages, self.ui, store.hashes_path)
        saved = startup.restored and startup.checkpoint is None
        self.autosave = Autosave(history, store, messages, clock, saved=saved)
        self._offer_unfinished(startup.restored)
        if startup.run is not None:
            self.run_follower.follow(startup.run, loading=startup.checkpoint is not None)

    def _offer_unfinished(self, restored: bool) -> None:
        """Ask about the exports that an earlier session left, and about its crash."""
        self.export.offer_unfinished()
        if self.autosave.recovery.ended_badly and restored:
            self.messages.ask(
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
        info = self.models.info
        recording = self.export.recording.recorder is not None
        self.rendering.note_drawn()
        self.models.follow()
        self.run_follower.tick()
        self.playback.tick(now)
        self.live.tick(self.history, info.classes if info is not None else 0)
        self.prompts.tick(now, remember=info is not None and self.models.conditioning == "text")
        self.drag.tick(recording=recording)
        request = self.rendering.next_request(now)
        self.rendering.submit(self.drag.overlay(request, recording=recording))
        self.autosave.tick(now)

    def collect(self) -> None:
        """Before the panels are drawn: take what came back from the threads."""
        for event in self.rendering.thread.take_events():
            self._handle(event)
        frame = self.rendering.begin_frame()
        if frame is not None:
            self.export.shown(frame)
        if self.models.info is not None:
            self.rendering.tick_thumbnails()
        self.export.tick()
        self.file_opener.tick()
        self.vectors.tick()
        self.training.tick()
        self.messages.tick()

    @property
    def lively(self) -> bool:
        """Whether something moves or is about to, so that the window should not doze."""
        return (
            self.playback.moving
            or self.rendering.busy
            or self.live.moving
            or self.export.busy
            or self.prompts.busy
            or bool(self.messages.toasts)
            or self.file_opener.busy
            or self.vectors.busy
            or self.drag.running
            or self.ui.awake
        )

    # Events of the render thread

    def _handle(self, event: Loaded | Failed) -> None:
        if isinstance(event, Loaded):
            self._forget_model(event)
            self.models.loaded(event)
            self.run_follower.loaded(event)
            return
        log.error("%s failed: %s\n%s", event.during, event.message, event.detail)
        if event.during == "load":
            self.vectors.store.registry.model_failed(more=self.rendering.thread.loading is not None)
            if self.run_follower.expects(event):
                self.models.snapshot_did_not_load()
            else:
                self.models.did_not_load(event)
        else:
            self.messages.repeated_error(event.message)  # a fade submits the same failing prompt again and again

    def _forget_model(self, event: Loaded) -> None:
        """Another model has come: drop what was made with the last one."""
        self.export.recording.take_writer.model_changed()
        self.playback.crossfade.cut()
        self.rendering.forget_model()
        self.vectors.model_loaded(event.info, event.path, more=self.rendering.thread.loading is not None)
        self.prompts.neighbours.follow(event.info.sha256, event.info.vocabulary)

    # Its end

    def start_afresh(self) -> None:
        """Go to the scene of the very first start; the present one is autosaved, and undo brings it back."""
        self.autosave.recovery.keep(self.history.scene, now=True)
        self.playback.transport.rewind()
        self.history.step("start afresh", lambda _: first_scene())

    def close(self) -> None:
        """Save the scene, close the recording, let the render thread end. Waits for what is being written."""
        self.export.recording.stop()
        self.autosave.close()
        self.live.close()
        self.models.library.close()
        self.file_opener.close()
        self.export.queue.close()
        self.vectors.close()
        self.drag.close()
        self.rendering.thread.close(timeout=0.0)  # it is no daemon: the interpreter waits for it, the window need not
        self.export.recording.close()
        self.export.files.close()
        self.autosave.recovery.close()
        self.training.close()  # last: it may take a while to save
