"""The search for directions in a process of its own: the real command."""

from __future__ import annotations

from pathlib import Path

from app.explorer.vectors.direction_search import DirectionSearch, SearchOptions
from core.checkpoints import load
from core.vectors import load_vectors
from tests.app.explorer.fakes import wait_until

# A process that imports torch, on a machine that may be busy.
PATIENCE_S = 300.0


def finish(finder: DirectionSearch) -> None:
    wait_until(lambda: not finder.running, timeout=PATIENCE_S)


def test_the_real_command(tiny_checkpoint: Path, tmp_path: Path) -> None:
    finder, out = DirectionSearch(), tmp_path / "folder" / "found.npz"
    finder.start(tiny_checkpoint, out, SearchOptions(method="sefa", first=1, stop=3, count=2, prompt="-sea, at night"))
    assert finder.running
    finder.start(tiny_checkpoint, tmp_path / "second.npz", SearchOptions(method="sefa"))  # one at a time
    finish(finder)
    result = finder.take_result()
    assert result is not None
    assert (result.problem, result.checkpoint) == (None, tiny_checkpoint)
    assert finder.take_result() is None
    assert finder.stage is not None
    found = load_vectors(out)
    assert found.checkpoint == load(tiny_checkpoint).sha256
    assert [(v.name, v.first, v.stop) for v in found.vectors] == [("sefa 1-2 1", 1, 3), ("sefa 1-2 2", 1, 3)]
    assert "'-sea, at night'" in found.vectors[0].note
    assert not (tmp_path / "second.npz").exists()

    search = SearchOptions(method="text", text="-snowy=1", minus="", template="{} hills, @")
    finder.start(tiny_checkpoint, out, search)
    finish(finder)
    assert [v.name for v in load_vectors(out).vectors][2] == "-snowy=1 - any"

    finder.start(tiny_checkpoint, out, SearchOptions(method="sefa", first=60, stop=62))
    finish(finder)
    result = finder.take_result()
    assert result is not None
    assert result.problem is not None
    assert result.problem.startswith("layers: tiny has the layers 0 to")


def test_cancel_and_what_does_not_start(tiny_checkpoint: Path, tmp_path: Path) -> None:
    finder = DirectionSearch()
    finder.start(tiny_checkpoint, tmp_path / "x.npz", SearchOptions(method="ganspace"))
    finder.cancel()
    finish(finder)
    assert finder.take_result() is None
    assert not (tmp_path / "x.npz").exists()
    finder.close()

    missing = DirectionSearch([str(tmp_path / "no-program")])
    missing.start(tiny_checkpoint, tmp_path / "x.npz", SearchOptions(method="sefa"))
    assert not missing.running
    result = missing.take_result()
    assert result is not None
    assert "it did not start" in (result.problem or "")
