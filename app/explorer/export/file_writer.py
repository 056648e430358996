"""Writes pictures, pages and scenes off the UI thread, and reports how that went. No GUI here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.document.file import save_scene_file
from app.document.playback import request_at
from app.document.scene import Scene
from app.errors import UserError
from app.explorer.export.file_names import file_stem
from app.explorer.export.source import ExportSource
from app.explorer.messages import Messages
from app.explorer.storage.preferences import Preferences
from core.prompts import plain
from core.request import Frame

log = logging.getLogger(__name__)

WriteImage = Callable[[Path, Frame, Any, Scene, float | None], None]
"""(path, frame, model info, scene, playhead in seconds): write a PNG with its metadata."""


class FileWriter:
    """Writes one file after another. Belongs to the UI thread; `tick` it once a frame, `close` it."""

    def __init__(
        self, source: ExportSource, preferences: Preferences, messages: Messages, write_image: WriteImage
    ) -> None:
        self._source = source
        self._preferences = preferences
        self._messages = messages
        self._write_image = write_image
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="save")
        self._under_way: list[tuple[Path, Future[None]]] = []

    @property
    def busy(self) -> bool:
        return bool(self._under_way)

    def picture(self, path: Path | None = None) -> None:
        """Write the picture on screen as PNG; without a path, under a fresh name in the output folder."""
        source = self._source
        try:
            frame = source.frame("save", "save it")
        except UserError as error:
            self._messages.error(str(error))
            return
        info, scene, time = source.info, source.scene, source.time
        target = self.fresh_path(source.stem(frame.request), ".png") if path is None else path
        if target is None:
            return
        self._write(target, lambda: self._write_image(target, frame, info, scene, time))

    def sheet(self, sheet: Callable[[], NDArray[np.uint8]], subject: str) -> None:
        """Make a page of pictures, [H, W, 3], and write it as PNG with the scene, under a fresh name in the folder."""
        info, scene, time = self._source.info, self._source.scene, self._source.time
        target = self.fresh_path(file_stem(plain(subject), scene), ".png")
        if target is None:
            return

        request = scene.request() if time is None else request_at(scene, time)

        def write() -> None:
            page = Frame(request=request, pixels=sheet(), render_ms=0.0)
            self._write_image(target, page, info, scene, time)

        self._write(target, write)

    def scene(self, path: Path) -> None:
        """Write the scene to a file of its own."""
        scene, info = self._source.scene, self._source.info
        self._write(path, lambda: save_scene_file(path, scene, info))

    def fresh_path(self, stem: str, suffix: str, *, beside: str | None = None) -> Path | None:
        """A file of the output folder that does not exist yet, nor does the one with the suffix `beside`; None, with a
        message, where the folder is unusable.
        """
        folder = Path(self._preferences.settings.output_dir)
        taken = {path for path, _ in self._under_way}
        number = 1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            while True:
                name = f"{stem}-{number:03d}"
                path = folder / f"{name}{suffix}"
                others = () if beside is None else (folder / f"{name}{beside}",)
                if path not in taken and not any(file.exists() for file in (path, *others)):
                    break
                number += 1
        except OSError as error:
            self._messages.error(
                f"The output folder {folder} cannot be used ({error.strerror or error}). "
                "Choose another one in the Save panel."
            )
            return None
        return path

    def tick(self) -> None:
        """Report what was written, and what was not."""
        waiting: list[tuple[Path, Future[None]]] = []
        for path, future in self._under_way:
            if not future.done():
                waiting.append((path, future))
                continue
            error = future.exception()
            if error is None:
                self._messages.info(f"Saved {path}", path)
            else:
                log.error("saving %s failed", path, exc_info=error)
                self._messages.error(f"{path.name} was not saved: {error}")
        self._under_way = waiting

    def close(self) -> None:
        """Wait for what is being written."""
        self._thread.shutdown(wait=True)
        self.tick()

    def _write(self, path: Path, write: Callable[[], None]) -> None:
        self._under_way.append((path, self._thread.submit(write)))
