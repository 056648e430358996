"""Saved pictures, recordings and the export queue of one session. No GUI here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Protocol

from app.codecs import CODECS
from app.document.file import save_scene_file
from app.document.scene import Scene
from app.errors import reason
from app.explorer.export.file_names import file_stem
from app.explorer.export.file_writer import FileWriter, WriteImage
from app.explorer.export.queue import ExportJob, ExportQueue, RunJob
from app.explorer.export.recording import RecordingController
from app.explorer.export.source import ExportSource
from app.explorer.export.video_recorder import OpenWriter
from app.explorer.messages import Messages
from app.explorer.rendering.strip import strip_settings, with_strip
from app.explorer.storage.preferences import Preferences
from app.rendering import ExportSettings
from app.sources import stem_of
from app.takes import SUFFIX
from core.prompts import plain
from core.request import Frame, RenderRequest

MOST_TAKES = 200


class ExportServices(Protocol):
    """What exports need of the rest of the program."""

    @property
    def write_image(self) -> WriteImage: ...
    @property
    def open_writer(self) -> OpenWriter: ...
    @property
    def run_export(self) -> RunJob: ...
    @property
    def clock(self) -> Callable[[], float]: ...


class ExportController:
    """Belongs to the UI thread; `tick` it once a frame. `folder` is that of the settings."""

    def __init__(
        self,
        source: ExportSource,
        preferences: Preferences,
        messages: Messages,
        services: ExportServices,
        folder: Path,
    ) -> None:
        self._source = source
        self._preferences = preferences
        self._messages = messages
        self.files = FileWriter(source, preferences, messages, services.write_image)
        self.recording = RecordingController(source, self.files, messages, services.open_writer, services.clock)
        self.queue = ExportQueue(folder, services.run_export)

    @property
    def busy(self) -> bool:
        """Whether something is recorded, written or exported."""
        return self.recording.recorder is not None or self.files.busy or self.queue.busy

    def offer_unfinished(self) -> None:
        """Ask whether to go on with the exports that an earlier session left."""
        queue = self.queue
        if queue.problem:
            self._messages.error(queue.problem)
        if queue.paused:
            waiting = queue.waiting
            left = f"{waiting} exports are" if waiting > 1 else "An export is"
            self._messages.ask(f"{left} left from last time.", [("Go on", queue.go_on), ("Forget", queue.forget)])

    def shown(self, frame: Frame) -> None:
        """`frame` is on screen from now on."""
        self.recording.shown(frame)

    def tick(self) -> None:
        """Report what was recorded, written and exported; begin the next export."""
        self.recording.tick()
        self.files.tick()
        self._report(self.queue.tick())

    def add_take(self, take: Path, settings: ExportSettings) -> None:
        """Queue a take."""
        self._add(stem_of(take), take, settings)

    def add_scene(self, settings: ExportSettings) -> None:
        """Queue one loop of the scene as it is now."""
        scene = self._source.scene
        self._add(self._source.stem(scene), scene, settings)

    def add_strip(self, requests: Sequence[RenderRequest], subject: str) -> ExportJob | None:
        """Queue a video that glides through pictures and back to the first; None where that cannot be."""
        scene = replace(with_strip(self._source.scene, requests), tracks=())
        return self._add(file_stem(plain(subject), scene), scene, strip_settings(self._source.info.size))

    def _add(self, title: str, source: Path | Scene, settings: ExportSettings) -> ExportJob | None:
        folder = Path(self._preferences.settings.output_dir)
        queue = self.queue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            out = _free(folder, title, settings, queue.jobs)
            job = ExportJob(title=title, source="", out=str(out), settings=settings)
            if isinstance(source, Scene):
                path = queue.scenes / f"{job.id}.json"
                save_scene_file(path, source, self._source.info)
            else:
                path = source
            job = job.from_source(path)
            queue.add(job)
            return job
        except OSError as error:
            self._messages.error(f"The output folder {folder} cannot be used: {reason(error)}; choose another one.")
        except ValueError as error:
            self._messages.error(str(error))
        return None

    def _report(self, ended: ExportJob | None) -> None:
        if ended is None or ended.state == "cancelled":
            return
        if ended.state == "done":
            self._messages.info(f"Exported {ended.out}", Path(ended.out))
        else:
            self._messages.error(f"The export of {ended.title} failed: {ended.message}")


def takes_in(folder: Path) -> list[Path]:
    """The takes in a folder, newest first."""
    found: list[tuple[float, Path]] = []
    try:
        for path in folder.glob(f"*{SUFFIX}"):
            found.append((path.stat().st_mtime, path))
    except OSError:
        return []
    return [path for _, path in sorted(found, reverse=True)[:MOST_TAKES]]


def _free(folder: Path, stem: str, settings: ExportSettings, jobs: tuple[ExportJob, ...]) -> Path:
    """A path in `folder` that neither exists nor belongs to a job."""
    taken = {job.out for job in jobs}
    for number in count(1):
        name = f"{stem}-render" if number == 1 else f"{stem}-render-{number}"
        path = folder / (name + CODECS[settings.codec].suffix)
        if str(path) not in taken and not path.exists():
            return path
    raise AssertionError("count ends")
