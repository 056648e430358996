"""What the Exports panel does: finds the takes, and puts an export of one, or of the scene's play, into the queue."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from app.codecs import CODECS
from app.errors import reason
from app.explorer.exports import Job
from app.explorer.scenefile import save_scene_file
from app.rendering import ExportSettings
from app.sources import stem_of
from app.takes import SUFFIX

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
    folder = Path(session.settings.output_dir)
    queue = session.exports
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if take is not None:
            title = stem_of(take)
        else:
            title = session.saving.stem(session.history.scene)
        job = Job(title=title, source="", out=str(_free(folder, title, settings, queue.jobs)), settings=settings)
        source = take
        if source is None:
            source = queue.scenes / f"{job.id}.json"
            save_scene_file(source, session.history.scene, session.info)
        queue.add(job.from_source(source))
    except OSError as error:
        session.tell_error(f"The output folder {folder} cannot be used: {reason(error)}; choose another one.")
    except ValueError as error:
        session.tell_error(str(error))


def tell_of_export(session: Session, ended: Job | None) -> None:
    """Say how an export ended, if one did."""
    if ended is None or ended.state == "cancelled":
        return
    if ended.state == "done":
        session.tell(f"Exported {ended.out}", Path(ended.out))
    else:
        session.tell_error(f"The export of {ended.title} failed: {ended.message}")


def _free(folder: Path, stem: str, settings: ExportSettings, jobs: tuple[Job, ...]) -> Path:
    taken = {job.out for job in jobs}
    for number in count(1):
        name = f"{stem}-render" if number == 1 else f"{stem}-render-{number}"
        path = folder / (name + CODECS[settings.codec].suffix)
        if str(path) not in taken and not path.exists():
            return path
    raise AssertionError("count ends")
