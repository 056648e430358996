"""What the Exports panel does: finds the takes, and puts an export of one, or of the scene's play, into the queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from app.codecs import CODECS
from app.document.file import save_scene_file
from app.document.scene import Scene
from app.errors import reason
from app.explorer.export.file_writer import file_stem
from app.explorer.export.queue import ExportJob
from app.explorer.rendering.strip import strip_settings, with_strip
from app.rendering import ExportSettings
from app.sources import stem_of
from app.takes import SUFFIX
from core.prompts import plain
from core.request import RenderRequest

if TYPE_CHECKING:
    from app.explorer.session import Session

MOST_TAKES = 200


def takes_in(folder: Path) -> list[Path]:
    """The takes in the output folder, newest first."""
    found: list[tuple[float, Path]] = []
    try:
        for path in folder.glob(f"*{SUFFIX}"):
            found.append((path.stat().st_mtime, path))
    except OSError:
        return []
    return [path for _, path in sorted(found, reverse=True)[:MOST_TAKES]]


def add_export(session: Session, take: Path | None, settings: ExportSettings) -> None:
    """Queue a take, or, without one, one round of the scene's play as it is now."""
    if take is not None:
        _add(session, stem_of(take), take, settings)
    else:
        scene = session.history.scene
        _add(session, session.file_writer.stem(scene), scene, settings)


def add_strip(session: Session, requests: Sequence[RenderRequest], subject: str) -> ExportJob | None:
    """Queue a video that glides through pictures and back to the first; None where that cannot be."""
    scene = replace(with_strip(session.history.scene, requests), tracks=())
    return _add(session, file_stem(plain(subject), scene), scene, strip_settings(session.info.size))


def _add(session: Session, title: str, source: Path | Scene, settings: ExportSettings) -> ExportJob | None:
    folder = Path(session.settings.output_dir)
    queue = session.exports
    try:
        folder.mkdir(parents=True, exist_ok=True)
        job = ExportJob(title=title, source="", out=str(_free(folder, title, settings, queue.jobs)), settings=settings)
        if isinstance(source, Scene):
            path = queue.scenes / f"{job.id}.json"
            save_scene_file(path, source, session.info)
        else:
            path = source
        job = job.from_source(path)
        queue.add(job)
        return job
    except OSError as error:
        session.tell_error(f"The output folder {folder} cannot be used: {reason(error)}; choose another one.")
    except ValueError as error:
        session.tell_error(str(error))
    return None


def report_export(session: Session, ended: ExportJob | None) -> None:
    """Say how an export ended, if one did."""
    if ended is None or ended.state == "cancelled":
        return
    if ended.state == "done":
        session.tell(f"Exported {ended.out}", Path(ended.out))
    else:
        session.tell_error(f"The export of {ended.title} failed: {ended.message}")


def _free(folder: Path, stem: str, settings: ExportSettings, jobs: tuple[ExportJob, ...]) -> Path:
    taken = {job.out for job in jobs}
    for number in count(1):
        name = f"{stem}-render" if number == 1 else f"{stem}-render-{number}"
        path = folder / (name + CODECS[settings.codec].suffix)
        if str(path) not in taken and not path.exists():
            return path
    raise AssertionError("count ends")
