"""Loads the checkpoint that the scene names, and knows the loaded model. No GUI here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from app.document.history import History
from app.document.scene import Scene
from app.explorer.messages import Messages
from app.explorer.rendering.library import Library
from app.explorer.rendering.render_thread import Failed, Loaded, OpenEngine, Renderer, RenderThread, StageCallback
from app.explorer.storage.preferences import Preferences
from app.explorer.storage.settings import Precision
from app.explorer.vectors.store import VectorStore
from core.vectors import Vector

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineChoice:
    """What to run a model on, and in which precision; "auto" is the best there is."""

    device: str = "auto"
    precision: Precision = "auto"


class ModelServices(Protocol):
    """What loading models needs of the rest of the program."""

    @property
    def open_engine(self) -> Callable[[Path, StageCallback, EngineChoice], Renderer]: ...
    @property
    def bundled_checkpoint(self) -> Callable[[], Path]: ...
    @property
    def read_examples(self) -> Callable[[Path], tuple[str, ...]]: ...
    @property
    def list_devices(self) -> Callable[[], tuple[str, ...]]: ...


class ModelLoader:
    """Loads models on the render thread. Belongs to the UI thread."""

    def __init__(
        self,
        history: History,
        preferences: Preferences,
        messages: Messages,
        thread: RenderThread,
        vectors: VectorStore,
        library: Library,
        services: ModelServices,
    ) -> None:
        self._history = history
        self._preferences = preferences
        self._messages = messages
        self._thread = thread
        self._vectors = vectors
        self._services = services
        self.library = library
        self._asked: str | None = None
        self._named = history.scene.checkpoint
        self._choice = self._loaded_choice = self._wanted_choice()
        self.info: Any = None
        """The loaded model's `ModelInfo`; None until there is one."""
        self.path: Path | None = None
        """The file that the loaded model came from."""
        self.examples: tuple[str, ...] = ()
        """Prompts to try, as the checkpoint suggests them."""
        self.failed: str | None = None
        """Why the last checkpoint asked for did not load; None once one does."""
        self.devices: tuple[str, ...] = ("auto", "cpu")
        """What a model can run on."""

    @property
    def conditioning(self) -> Literal["none", "class", "text"]:
        """What the model takes beside the seed; text until one has loaded."""
        return self.info.conditioning if self.info is not None else "text"

    @property
    def knows_english(self) -> bool:
        """Whether its text encoder knows more English than the training captions."""
        return self.info is not None and self.info.knows_english

    @property
    def vocabulary(self) -> frozenset[str]:
        return self.info.vocabulary if self.info is not None else frozenset()

    @property
    def loading_text(self) -> str:
        """What to say while a model is loading: "Loading faces.pkl: hashing 40 %"."""
        path, stage = self._thread.loading, self._thread.stage
        text = f"Loading {path.name}" if path is not None else "Loading model"
        if stage is None:
            return f"{text}…"
        name, done, total = stage
        return f"{text}: {name}" + (f" {100 * done // total} %" if 0 < done < total else "…")

    # Asking

    def open(self, path: Path) -> None:
        """Load another checkpoint; the scene names it once it has loaded."""
        self._load(str(path.expanduser().resolve()))

    def open_snapshot(self, path: Path) -> None:
        """Load what a training run has written. Where it takes the place of the snapshot before, nothing in the scene
        changes, and the directions and latents in use stay so.
        """
        if path != self.path:
            self._load(str(path))
            return
        self._asked, self._choice = str(path), self._wanted_choice()
        self._thread.load(path, _registering(self.opener(), self._vectors.carry()))

    def open_bundled(self) -> None:
        self._load("")

    def follow(self) -> None:
        """Load what the scene names when that changed: at the start, and by undo and redo."""
        wanted = self._history.scene.checkpoint
        if self._asked is None or wanted != self._named:
            self._load(wanted)
        self._named = wanted

    def run_on(self, *, device: str | None = None, precision: Precision | None = None) -> None:
        """Load the model again on another device or in another precision; the old one stays until that is done."""
        settings = self._preferences.settings
        self._preferences.set_engine(device or settings.device, precision or settings.precision)
        if self._wanted_choice() != self._choice:
            self._load_again()

    def opener(self) -> Callable[[Path, StageCallback], Renderer]:
        """What loads a model on what was chosen last."""
        open_engine, choice = self._services.open_engine, self._choice
        return lambda path, report: open_engine(path, report, choice)

    def _load(self, name: str) -> None:
        self._asked = name
        try:
            path = Path(name) if name else self._services.bundled_checkpoint()
        except (ValueError, OSError) as error:
            self.failed = str(error)
            self._messages.error(str(error))
            return
        self._choice = self._wanted_choice()
        self._vectors.opening()
        self._thread.load(path, self.opener())

    def _load_again(self) -> None:
        self._load(self._named if self._asked is None else self._asked)

    def _wanted_choice(self) -> EngineChoice:
        settings = self._preferences.settings
        return EngineChoice(settings.device, settings.precision)

    # Answers

    def did_not_load(self, event: Failed) -> None:
        """What was asked for did not load: what was there stays."""
        self.failed = event.message
        # Without a picture the viewport itself says why there is none.
        self._messages.error(event.message, toast=self.info is not None)
        self._give_up_choice()

    def snapshot_did_not_load(self) -> None:
        """What was there stays, and is what is asked for."""
        self._asked = self._named

    def loaded(self, event: Loaded) -> None:
        """A model has come; the scene names it from now on."""
        self._loaded_choice = self._choice
        self.devices = self._services.list_devices()
        self.info, self.path = event.info, event.path
        self.examples = self._services.read_examples(event.path)
        self.failed = None
        name = self.name_of(event.path)
        if name:
            self._preferences.keep(self._preferences.settings.with_recent(event.path))
        if name == self._asked and name != self._history.scene.checkpoint:
            self._history.step("open checkpoint", lambda scene: with_model(scene, name, event.info.classes))
            self._named = name

    def _give_up_choice(self) -> None:
        """What did not load may have been asked for on a device that is not there: go back to what worked."""
        if self.info is None and self._choice != EngineChoice():
            self._messages.info(f"Trying again on any device (not {self._choice.device}, {self._choice.precision})")
            self._loaded_choice = EngineChoice()
        elif self._choice == self._loaded_choice:
            return
        good = self._choice = self._loaded_choice
        self._preferences.set_engine(good.device, good.precision)
        if self.info is None:
            self._load_again()

    # Files

    def name_of(self, path: Path) -> str:
        """How a scene names this checkpoint: "" for the bundled one, wherever it is installed."""
        try:
            return "" if path == self._services.bundled_checkpoint() else str(path)
        except (ValueError, OSError):
            return str(path)

    def known(self) -> list[Path]:
        """The bundled model, and those opened before."""
        files = [Path(name) for name in self._preferences.settings.recents]
        try:
            files.insert(0, self._services.bundled_checkpoint())
        except (ValueError, OSError):
            log.warning("no bundled checkpoint")
        return files

    def fill_library(self, *, retry: bool = False) -> None:
        """Look for models: the bundled one, those opened before, and those in the person's folders. `retry` draws
        those again that could not be drawn.
        """
        folders = [Path(name) for name in self._preferences.settings.library_dirs]
        self.library.look(self.known(), folders, retry=retry)

    def add_folder(self, folder: Path) -> None:
        """Show the models of a folder in the library."""
        name, settings = str(folder), self._preferences.settings
        if name not in settings.library_dirs:
            self._preferences.keep(replace(settings, library_dirs=(*settings.library_dirs, name)))
        self.fill_library()


def _registering(opener: OpenEngine, vectors: tuple[Vector, ...]) -> OpenEngine:
    """What opens an engine that knows these before it draws."""

    def open_engine(path: Path, report: StageCallback) -> Renderer:
        engine: Any = opener(path, report)
        engine.register({v.id: v.values for v in vectors if v.fits(engine.info.num_ws, engine.info.w_dim)})
        return cast("Renderer", engine)

    return open_engine


def with_model(scene: Scene, checkpoint: str, classes: int) -> Scene:
    """The scene with another model, which has so many classes. All that both models have stays."""
    if not classes:
        return replace(scene, checkpoint=checkpoint)
    # A class that the new one lacks cannot stay.
    labels = {name: min(getattr(scene, name), classes - 1) for name in ("label", "label_b", "label_c", "label_d")}
    mixes = tuple(mix if mix.label is None else replace(mix, label=min(mix.label, classes - 1)) for mix in scene.mixes)
    return replace(scene, checkpoint=checkpoint, mixes=mixes, **labels)
