"""What data sets that are generated here have in common: a folder that says what it holds, drawn by several processes.

OUT/dataset.json holds the settings, the count and whether all of it is written. An interrupted run goes on where it
stopped, a finished one is left as it is, and a larger count adds to it.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

PICTURES_PER_FOLDER = 1000
_CHUNK = 50
T = TypeVar("T")


class DatasetError(ValueError):
    """A data set cannot be written where or as asked."""


def picture_file(index: int) -> str:
    """Where picture `index` lies in its data set; sorted names are in the order of the indices."""
    return f"{index // PICTURES_PER_FOLDER:05d}/{index:06d}.png"


def check_numbers(count: int, workers: int, seed: int) -> None:
    """Raises DatasetError for numbers out of range."""
    if count < 1:
        raise DatasetError(f"count: expected at least 1 picture; got {count}")
    if workers < 1:
        raise DatasetError(f"workers: expected at least 1 process; got {workers}")
    if seed < 0:
        raise DatasetError(f"seed: expected a number from 0 up; got {seed}")


def is_finished(folder: Path, label: str, settings: Mapping[str, Any], count: int) -> bool:
    """Whether the folder holds all of it already. DatasetError where it holds something else.

    `settings` begin with the kind of the data set; `label` is its name in messages.
    """
    if folder.exists() and not folder.is_dir():
        raise DatasetError(
            f"{folder}: expected a folder to write the data set into; it is a file. Choose another name."
        )
    if not folder.exists() or not any(folder.iterdir()):
        return False
    advice = "Choose an empty folder, or remove this one."
    try:
        found = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict) or found.get("kind") != settings["kind"]:
        raise DatasetError(f"{folder}: expected an empty folder or a {label} data set; it holds other files. {advice}")
    for key, value in settings.items():
        if found.get(key) != value:
            raise DatasetError(
                f"{folder}: holds a {label} data set with {key} {found.get(key)!r}; expected {value!r}. {advice}"
            )
    have = found.get("count")
    if not isinstance(have, int) or have > count:
        raise DatasetError(f"{folder}: holds a {label} data set of {have} pictures; expected at most {count}. {advice}")
    return bool(found.get("complete")) and have == count


def draw_all(draw: Callable[[range], T], count: int, workers: int, label: str) -> list[T]:
    """What `draw` returns for every chunk of picture numbers, in order; a bar shows the progress."""
    chunks = [range(first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]
    results: list[T] = []
    with _mapped(draw, chunks, workers) as made, tqdm(total=count, unit="picture", desc=label) as bar:
        for chunk, result in zip(chunks, made, strict=True):
            results.append(result)
            bar.update(len(chunk))
    return results


def write_description(folder: Path, description: Mapping[str, Any], *, complete: bool) -> None:
    """Writes dataset.json."""
    write_text(folder / "dataset.json", json.dumps({**description, "complete": complete}, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


@contextmanager
def _mapped(draw: Callable[[range], T], chunks: list[range], workers: int) -> Iterator[Iterator[T]]:
    """The results in order, from this process or from a pool of them."""
    if workers == 1 or len(chunks) == 1:
        yield map(draw, chunks)
        return
    # One thread each: the arrays are small, and threads of several processes would get in each other's way.
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        pool = get_context("spawn").Pool(min(workers, len(chunks)), initializer=_ignore_interrupt)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    with pool:
        yield pool.imap(draw, chunks)


def _ignore_interrupt() -> None:
    # Ctrl-C is for the parent, which ends the pool.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
