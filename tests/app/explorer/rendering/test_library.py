"""Models are found, and each is drawn once."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from app.explorer.rendering.library import Library, LibraryEntry, draw_in_a_process
from tests.app.explorer.fakes import draw_thumbnail, wait_until


class Counted:
    """Draws, and remembers what."""

    def __init__(self) -> None:
        self.drawn: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, model: Path, picture: Path) -> str | None:
        assert self.gate.wait(10.0)
        self.drawn.append(model.name)
        return draw_thumbnail(model, picture)


@pytest.fixture
def draw() -> Counted:
    return Counted()


@pytest.fixture
def library(tmp_path: Path, draw: Counted) -> Iterator[Library]:
    library = Library(tmp_path / "cache", draw)
    yield library
    draw.gate.set()
    library.close()


def models(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(name)
    return folder


def seen(library: Library) -> dict[str, LibraryEntry]:
    wait_until(lambda: not library.busy)
    return {entry.path.name: entry for entry in library.entries}


def test_files_and_folders(tmp_path: Path, library: Library, draw: Counted) -> None:
    folder = models(tmp_path / "models", "b.pkl", "a.safetensors", "bad.pt", "notes.txt")
    (folder / "deep.pkl").mkdir()
    first = models(tmp_path / "own", "z.safetensors") / "z.safetensors"
    library.look([first, tmp_path / "gone.pkl", folder / "b.pkl"], [folder, tmp_path / "nowhere"])
    entries = seen(library)
    assert list(entries) == ["z.safetensors", "b.pkl", "a.safetensors", "bad.pt"]
    assert entries["bad.pt"].picture is None
    assert "something bad" in (entries["bad.pt"].problem or "")
    for name in ("z.safetensors", "b.pkl", "a.safetensors"):
        picture = entries[name].picture
        assert picture is not None
        with Image.open(picture) as image:
            assert image.size == (8, 6)
    assert draw.drawn == list(entries)


def test_a_picture_is_drawn_once_and_again_when_the_file_has_changed(
    tmp_path: Path, library: Library, draw: Counted
) -> None:
    folder = models(tmp_path / "models", "a.pkl", "bad.pkl")
    for _ in range(2):
        library.look([], [folder])
        seen(library)
    again = Library(tmp_path / "cache", draw)  # another start of the program
    again.look([], [folder])
    assert seen(again)["bad.pkl"].problem
    again.close()
    assert draw.drawn == ["a.pkl", "bad.pkl"]
    library.look([], [folder], retry=True)
    seen(library)
    assert draw.drawn == ["a.pkl", "bad.pkl", "bad.pkl"]
    os.utime(folder / "a.pkl", (1, 1))
    library.look([], [folder])
    assert seen(library)["a.pkl"].picture
    assert draw.drawn[3:] == ["a.pkl"]


def test_names_are_there_before_their_pictures(tmp_path: Path, library: Library, draw: Counted) -> None:
    draw.gate.clear()
    library.look([], [models(tmp_path / "models", "a.pkl", "b.pkl")])
    wait_until(lambda: len(library.entries) == 2)
    assert all(entry.picture is None for entry in library.entries)
    assert library.busy
    # Looking elsewhere does not wait until everything here has been drawn.
    library.look([], [models(tmp_path / "other", "c.pkl")])
    draw.gate.set()
    assert list(seen(library)) == ["c.pkl"]
    assert draw.drawn == ["a.pkl", "c.pkl"]


def test_a_cache_that_cannot_be_written(tmp_path: Path, draw: Counted) -> None:
    (tmp_path / "cache").write_text("a file")
    library = Library(tmp_path / "cache", draw)
    library.look([], [models(tmp_path / "models", "a.pkl")])
    assert seen(library)["a.pkl"].problem
    library.close()


def test_a_real_model_in_a_process_of_its_own(tmp_path: Path, tiny_checkpoint: Path) -> None:
    assert draw_in_a_process(tiny_checkpoint, tmp_path / "x.png") is None
    with Image.open(tmp_path / "x.png") as image:
        assert image.size == (32, 32)
        assert len(set(image.convert("L").tobytes())) > 10
    problem = draw_in_a_process(tmp_path / "none.safetensors", tmp_path / "y.png")
    assert problem is not None
    assert "no such file" in problem
    assert not (tmp_path / "y.png").exists()
