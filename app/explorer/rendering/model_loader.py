"""Which model is loaded: follows the checkpoint that the scene names, and says what the model is. No GUI here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from app.document.scene import Scene
from app.explorer.rendering.render_thread import Failed, Loaded, OpenEngine, Renderer, StageCallback
from app.explorer.services import EngineChoice, Services
from core.vectors import Vector

if TYPE_CHECKING:
    from app.explorer.session import Session

log = logging.getLogger(__name__)


class ModelLoader:
    """Belongs to a session."""

    def __init__(self, session: Session, services: Services) -> None:
        self._session = session
        self._services = services
        self._asked: str | None = None
        self._named = session.history.scene.checkpoint
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
    def vocabulary(self) -> frozenset[str]:
        return self.info.vocabulary if self.info is not None else frozenset()

    @property
    def loading_text(self) -> str:
        """What to say while a model is loading: "Loading faces.pkl: hashing 40 %"."""
        render = self._session.render
        path, stage = render.loading, render.stage
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
        self._session.render.load(path, _telling(self.opener(), self._session.vectors.store.carry()))

    def open_bundled(self) -> None:
        self._load("")

    def follow(self) -> None:
        """Load what the scene names when that changed: at the start, and by undo and redo."""
        wanted = self._session.history.scene.checkpoint
        if self._asked is None or wanted != self._named:
            self._load(wanted)
        self._named = wanted

    def run_on(self, *, device: str | None = None, precision: str | None = None) -> None:
        """Load the model again on another device or in another precision; the old one stays until that is done."""
        settings = self._session.settings
        self._session.preferences.set_engine(device or settings.device, precision or settings.precision)
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
            self._session.tell_error(str(error))
            return
        self._choice = self._wanted_choice()
        self._session.vectors.store.opening()
        self._session.render.load(path, self.opener())

    def _load_again(self) -> None:
        self._load(self._named if self._asked is None else self._asked)

    def _wanted_choice(self) -> EngineChoice:
        settings = self._session.settings
        return EngineChoice(settings.device, settings.precision)

    # Answers

    def did_not_load(self, event: Failed) -> None:
        """What was asked for did not load: what was there stays."""
        self.failed = event.message
        # Without a picture the viewport itself says why there is none.
        self._session.tell_error(event.message, toast=self._session.frame is not None)
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
        session = self._session
        name = self.name_of(event.path)
        if name:
            session.preferences.keep(session.settings.with_recent(event.path))
        if name == self._asked and name != session.history.scene.checkpoint:
            session.history.step("open checkpoint", lambda scene: with_model(scene, name, event.info.classes))
            self._named = name

    def _give_up_choice(self) -> None:
        """What did not load may have been asked for on a device that is not there: go back to what worked."""
        if self.info is None and self._choice != EngineChoice():
            self._session.tell(f"Trying again on any device (not {self._choice.device}, {self._choice.precision})")
            self._loaded_choice = EngineChoice()
        elif self._choice == self._loaded_choice:
            return
        good = self._choice = self._loaded_choice
        self._session.preferences.set_engine(good.device, good.precision)
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
        files = [Path(name) for name in self._session.settings.recents]
        try:
            files.insert(0, self._services.bundled_checkpoint())
        except (ValueError, OSError):
            log.warning("no bundled checkpoint")
        return files

    def fill_library(self, *, retry: bool = False) -> None:
        """Look for models: the bundled one, those opened before, and those in the person's folders. `retry` draws
        those again that could not be drawn.
        """
        folders = [Path(name) for name in self._session.settings.library_dirs]
        self._session.library.look(self.known(), folders, retry=retry)

    def add_folder(self, folder: Path) -> None:
        """Show the models of a folder in the library."""
        name, settings = str(folder), self._session.settings
        if name not in settings.library_dirs:
            self._session.preferences.keep(replace(settings, library_dirs=(*settings.library_dirs, name)))
        self.fill_library()


def _telling(opener: OpenEngine, vectors: tuple[Vector, ...]) -> OpenEngine:
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
