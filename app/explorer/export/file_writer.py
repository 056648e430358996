"""Writes pictures, pages and scenes off the UI thread, and says how that went. No GUI here."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.classes import class_title
from app.document.file import save_scene_file
from app.explorer.services import Services
from core.prompts import plain
from core.request import Frame, RenderRequest

if TYPE_CHECKING:
    from app.explorer.session import Session

log = logging.getLogger(__name__)


class FileWriter:
    """Belongs to a session; `tick` it once a frame, `close` it."""

    def __init__(self, session: Session, services: Services) -> None:
        self._session = session
        self._services = services
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="save")
        self._under_way: list[tuple[Path, Future[None]]] = []

    @property
    def busy(self) -> bool:
        return bool(self._under_way)

    def picture(self, path: Path | None = None) -> None:
        """Write the picture on screen as PNG; without a path, under a fresh name in the folder."""
        session = self._session
        if session.frame is None:
            session.tell_error("There is no picture to save yet.")
            return
        if session.drag.is_passing(session.frame.request):
            session.tell_error("The picture is being dragged. Stop that, or wait for its end, then save it.")
            return
        frame, info, scene = session.frame, session.info, session.history.scene
        target = self.fresh_path(self.stem(frame.request), ".png") if path is None else path
        if target is None:
            return
        at = session.play_time
        self._write(target, lambda: self._services.write_image(target, frame, info, scene, at))

    def sheet(self, sheet: Callable[[], NDArray[np.uint8]], subject: str) -> None:
        """Make a page of pictures and write it as PNG, with the scene it shows, under a fresh name in the folder."""
        session = self._session
        info, scene, at = session.info, session.history.scene, session.play_time
        target = self.fresh_path(file_stem(plain(subject), scene), ".png")
        if target is None:
            return

        def write() -> None:
            page = Frame(request=scene.request(at), pixels=sheet(), render_ms=0.0)
            self._services.write_image(target, page, info, scene, at)

        self._write(target, write)

    def scene(self, path: Path) -> None:
        """Write the scene to a file of its own."""
        scene, info = self._session.history.scene, self._session.info
        self._write(path, lambda: save_scene_file(path, scene, info))

    def stem(self, request: RenderRequest) -> str:
        """What to call a file with this picture: the subject, as far as the model takes one, and the seed."""
        info = self._session.info
        subject = {
            "text": plain(request.prompt),
            "class": f"class {class_title(request.label, info.class_names)}",
            "none": info.name,
        }[self._session.conditioning]
        return file_stem(subject, request)

    def fresh_path(self, stem: str, suffix: str) -> Path | None:
        """A file of the output folder that is not there yet; None, and told, where there can be none."""
        folder = Path(self._session.settings.output_dir)
        taken = {path for path, _ in self._under_way}
        number = 1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            while (path := folder / f"{stem}-{number:03d}{suffix}").exists() or path in taken:
                number += 1
        except OSError as error:
            self._session.tell_error(
                f"The output folder {folder} cannot be used ({error.strerror or error}). "
                "Choose another one in the Save panel."
            )
            return None
        return path

    def tick(self) -> None:
        """Say what was written, and what was not."""
        waiting: list[tuple[Path, Future[None]]] = []
        for path, future in self._under_way:
            if not future.done():
                waiting.append((path, future))
                continue
            error = future.exception()
            if error is None:
                self._session.tell(f"Saved {path}", path)
            else:
                log.error("saving %s failed", path, exc_info=error)
                self._session.tell_error(f"{path.name} was not saved: {error}")
        self._under_way = waiting

    def close(self) -> None:
        """Wait for what is being written."""
        self._thread.shutdown(wait=True)
        self.tick()

    def _write(self, path: Path, write: Callable[[], None]) -> None:
        self._under_way.append((path, self._thread.submit(write)))


def file_stem(subject: str, request: RenderRequest) -> str:
    """A file name that says what the picture is: some words of its subject, and the seed."""
    words = re.sub(r"[^\w]+", "-", subject.lower()).strip("-_")[:48].strip("-_") or "picture"
    return f"{words}-seed{_number(request.seed_x)}" + (f"_{_number(request.seed_y)}" if request.seed_y else "")


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
