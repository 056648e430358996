"""Opens files: scenes, takes, and pictures or videos whose metadata tell how they were made. No GUI here.

Files are read, and checkpoints looked for by their hash, on a thread of their own; `tick` carries on with what came.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app import takes
from app.document.file import MadeWith, read_scene_file
from app.document.history import History
from app.document.scene import Scene
from app.errors import UserError
from app.explorer.messages import Messages
from app.explorer.playback.controller import PlaybackController
from app.explorer.rendering.model_loader import ModelLoader
from app.explorer.storage.preferences import Preferences
from app.explorer.ui_state import UiState
from app.finding import Hashes, find_checkpoint, has_hash
from app.media import first_bytes, kind_of, read_media
from app.parameters import Parameters, read_parameters

log = logging.getLogger(__name__)

Edit = Callable[[Scene], Scene]


@dataclass(frozen=True, kw_only=True)
class SavedState:
    """The scene that a file restores, and the model it was made with."""

    path: Path
    edit: Edit
    """From the scene that is there to the restored one; its checkpoint says where the model lay, if anywhere."""
    made_with: MadeWith | None = None
    """None where any model will do, or where only the checkpoint's path is known."""
    time: float | None = None
    """Where play stood; None where the controls themselves were shown."""


def read_saved_state(path: Path) -> SavedState | None:
    """None for what is none of ours, perhaps a checkpoint. Raises `UserError` for a file that gives nothing back."""
    name = path.name.lower()
    if name.endswith(takes.SUFFIX):
        header, scene = takes.read_header(path)
        checkpoint = header.checkpoint
        made_with = MadeWith(name=checkpoint.name, family=checkpoint.family, sha256=checkpoint.sha256)
        restored = replace(_scene(path, scene), checkpoint=checkpoint.path)
        return SavedState(path=path, edit=lambda _: restored, made_with=made_with)
    if name.endswith(".json"):
        file = read_scene_file(path)
        return SavedState(path=path, edit=lambda _: file.scene, made_with=file.made_with)
    try:
        kind = kind_of(first_bytes(path))
    except UserError:
        return None  # who opens checkpoints says it better
    return None if kind is None else _from_media(path)


def _from_media(path: Path) -> SavedState:
    picture = read_media(path)
    if picture.request is None:
        parameters = read_parameters(picture.parameters)
        if not parameters.prompt and parameters.place is None:
            raise UserError(f"{path}: it does not say how it was made")
        return SavedState(path=path, edit=lambda scene: with_parameters(scene, parameters))
    found = picture.checkpoint
    made_with = None
    if found is not None:
        made_with = MadeWith(name=found["name"], family=found["family"], sha256=found["sha256"])
    if picture.scene is not None:
        restored = _scene(path, picture.scene)
        return SavedState(path=path, edit=lambda _: restored, made_with=made_with, time=picture.time)
    request = picture.request
    return SavedState(path=path, edit=lambda scene: scene.with_request(request), made_with=made_with)


def _scene(path: Path, data: dict[str, Any]) -> Scene:
    try:
        return Scene.from_json(data)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def with_parameters(scene: Scene, parameters: Parameters) -> Scene:
    """`scene` with the prompt and the seed of another program's picture."""
    changes: dict[str, Any] = {"prompt": parameters.prompt, "blend": 0.0, "blend_y": 0.0}
    if parameters.place is not None:
        changes["seed_x"], changes["seed_y"] = parameters.place
    if parameters.psi is not None:
        changes["psi"] = min(max(parameters.psi, -1.0), 2.0)
    return replace(scene, **changes)


class FileOpener:
    """Opens one file at a time. Belongs to the UI thread; `tick` it once a frame, `close` it."""

    def __init__(
        self,
        history: History,
        playback: PlaybackController,
        models: ModelLoader,
        preferences: Preferences,
        messages: Messages,
        ui: UiState,
        hashes: Path,
    ) -> None:
        """`hashes` is the file that keeps the hashes of checkpoints."""
        self._history = history
        self._playback = playback
        self._models = models
        self._preferences = preferences
        self._messages = messages
        self._ui = ui
        self._hashes = Hashes(hashes)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="restore")
        self._under_way: tuple[Future[Any], Callable[[Any], None]] | None = None
        self._missing: SavedState | None = None

    @property
    def busy(self) -> bool:
        return self._under_way is not None

    def open(self, path: Path) -> None:
        """Restore what a file holds, as one step to undo, or open it as a checkpoint."""
        path = path.expanduser().resolve()

        def arrived(kept: SavedState | None) -> None:
            if kept is None:
                self._models.open(path)
            else:
                self._restore(kept)

        self._start(lambda: read_saved_state(path), arrived)

    def give_checkpoint(self, path: Path) -> None:
        """The person says where the missing checkpoint is."""
        kept = self._missing
        if kept is None or kept.made_with is None:
            return
        wanted = kept.made_with

        def checked(same: bool) -> None:
            if same:
                self._apply(kept, self._models.name_of(path))
            else:
                self._messages.error(
                    f"{path} is another model: {kept.path.name} was made with {wanted.name}, SHA-256 "
                    f"{wanted.sha256[:10]}…"
                )

        self._start(lambda: has_hash(path, wanted.sha256, self._hashes), checked)

    def tick(self) -> None:
        """Carry on with what the thread has found."""
        if self._under_way is None or not self._under_way[0].done():
            return
        (future, then), self._under_way = self._under_way, None
        error = future.exception()
        if error is None:
            then(future.result())
        elif isinstance(error, ValueError | OSError):
            self._messages.error(str(error))
        else:
            log.error("restoring failed", exc_info=error)
            self._messages.error(f"The file was not restored: {type(error).__name__}: {error}")

    def close(self) -> None:
        """Begin nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _start(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        if self._under_way is not None:
            self._messages.error("Another file is still being read; try again in a moment.")
            return
        self._under_way = self._thread.submit(work), then

    def _restore(self, kept: SavedState) -> None:
        wanted, scene = kept.made_with, self._history.scene
        if wanted is None:
            self._apply(kept, kept.edit(scene).checkpoint)
            return
        if self._models.info is not None and self._models.info.sha256 == wanted.sha256:
            self._apply(kept, scene.checkpoint)
            return
        files = self._models.known()
        if said := kept.edit(scene).checkpoint:
            files.insert(0, Path(said))
        folders = [Path(name) for name in self._preferences.settings.library_dirs]

        def looked(found: Path | None) -> None:
            if found is None:
                self._ask(kept, wanted)
            else:
                self._apply(kept, self._models.name_of(found))

        self._start(lambda: find_checkpoint(wanted.sha256, files, folders, self._hashes), looked)

    def _ask(self, kept: SavedState, wanted: MadeWith) -> None:
        self._missing = kept
        choices: list[tuple[str, Callable[[], None]]] = [("Find it…", self._ask_where)]
        info = self._models.info
        if info is not None:
            choices.append((f"Use {info.name}", lambda: self._apply(kept, self._history.scene.checkpoint)))
        self._messages.ask(
            f"{kept.path.name} was made with {wanted.name} ({wanted.family}, SHA-256 {wanted.sha256[:10]}…), which is "
            "not among the recent files and the library's folders.",
            choices,
        )

    def _ask_where(self) -> None:
        self._ui.dialog_request = "find_checkpoint"

    def _apply(self, kept: SavedState, checkpoint: str) -> None:
        self._missing = None
        self._history.step(f"restore {kept.path.name}", lambda scene: replace(kept.edit(scene), checkpoint=checkpoint))
        self._playback.stop_at(kept.time)
        self._messages.info(f"Restored {kept.path.name}; undo brings the former scene back.")
