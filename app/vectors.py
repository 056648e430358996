"""Where the directions and latents of a checkpoint are kept, and reading them. No GUI and no torch here.

They belong to a checkpoint by the hash of its file: in the settings folder, vectors/<first 16 digits>.npz. Besides,
whoever gives a checkpoint away may put NAME.directions.npz beside it, which is only read.

Each snapshot of a training run is another file. What is saved for one is therefore kept a second time for the run, in
vectors/run-<first 16 digits>.npz, and is nearly right for those that come after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.explorer.storage.settings import config_dir
from app.runs import run_id
from core.vectors import Vector, VectorError, load_vectors, merged, save_vectors

if TYPE_CHECKING:
    from core.engine import Engine

SHORT_DIGITS = 16


def kept_path(sha256: str, folder: Path | None = None) -> Path:
    """The file of the person's own vectors of a checkpoint; `folder` is that of the settings."""
    return (config_dir() if folder is None else folder) / "vectors" / f"{sha256[:SHORT_DIGITS]}.npz"


def run_path(run: str, folder: Path | None = None) -> Path:
    """The file of the person's own vectors of all snapshots of a run, by its id."""
    return (config_dir() if folder is None else folder) / "vectors" / f"run-{run[:SHORT_DIGITS]}.npz"


def beside_path(checkpoint: Path) -> Path:
    """The file of vectors that came with a checkpoint, if there is one."""
    return checkpoint.with_suffix(".directions.npz")


@dataclass(frozen=True, kw_only=True)
class SavedVectors:
    """The vectors of one checkpoint."""

    own: tuple[Vector, ...] = ()
    """Those the person saved."""
    earlier: tuple[Vector, ...] = ()
    """Those the person saved for another snapshot of the same run, in practice an earlier one."""
    given: tuple[Vector, ...] = ()
    """Those beside the checkpoint."""
    problems: tuple[str, ...] = ()
    """Why a file was not read, a line each."""


def saved_vectors(checkpoint: Path, sha256: str, folder: Path | None = None) -> SavedVectors:
    """What is saved for the checkpoint in this file. Raises nothing: what cannot be read is a problem to tell."""
    found: list[tuple[Vector, ...]] = []
    problems: list[str] = []
    run = run_id(checkpoint)
    places = [(kept_path(sha256, folder), sha256), (beside_path(checkpoint), sha256)]
    if run is not None:
        places.append((run_path(run, folder), run))
    for path, owner in places:
        vectors: tuple[Vector, ...] = ()
        try:
            vectors = read_for(path, owner) if path.is_file() else ()
        except VectorError as error:
            problems.append(str(error))
        found.append(vectors)
    own, given = found[0], found[1]
    there = {vector.digest for vector in (*own, *given)}
    return SavedVectors(
        own=own,
        earlier=tuple(vector for part in found[2:] for vector in part if vector.digest not in there),
        given=given,
        problems=tuple(problems),
    )


def keep_for_run(checkpoint: Path, vectors: Sequence[Vector], folder: Path | None = None) -> None:
    """Where a checkpoint is a run's snapshot: these are there for the next ones too. Raises `VectorError`."""
    run = run_id(checkpoint)
    if run is None or not vectors:
        return
    path = run_path(run, folder)
    before = read_for(path, run) if path.is_file() else ()
    after = merged(before, vectors)
    if len(after) > len(before):
        save_vectors(path, after, run)


def register_saved_vectors(engine: Engine, checkpoint: Path) -> None:
    """Register the vectors saved for an engine's checkpoint, which came from this file, as far as they fit it."""
    known = saved_vectors(checkpoint, engine.info.sha256)
    for vector in (*known.own, *known.earlier, *known.given):
        if vector.fits(engine.info.num_ws, engine.info.w_dim):
            engine.register({vector.id: vector.values})


def read_for(path: Path, sha256: str) -> tuple[Vector, ...]:
    """The vectors of a file that is to belong to a checkpoint, by its hash, or to a run, by its id.

    Raises `VectorError` when it belongs to another.
    """
    found = load_vectors(path)
    if found.checkpoint != sha256:
        raise VectorError(
            f"{path}: expected directions or latents of this checkpoint or run ({sha256[:SHORT_DIGITS]}), "
            f"they are of another ({found.checkpoint[:SHORT_DIGITS]})"
        )
    return found.vectors
