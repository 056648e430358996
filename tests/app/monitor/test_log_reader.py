"""Following a log: a sketch first, then all of it, then what is appended; whatever happens to the file."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from app.monitor import summary_cache as cached
from app.monitor.bench import write_log
from app.monitor.log_reader import LogReader, LogView
from core.runlog import RunLog
from tests.app.monitor.runs import evaluate_row, start_row, text, train_row

PATIENCE_S = 60.0

Start = Callable[..., LogReader]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLISSANDO_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def start() -> Iterator[Start]:
    followers: list[LogReader] = []

    def started(folder: Path, **options: object) -> LogReader:
        reader = LogReader(folder, poll_s=0.02, **options)  # type: ignore[arg-type]
        followers.append(reader)
        reader.start()
        return reader

    yield started
    for reader in followers:
        reader.close()
        assert not reader.is_alive()


def until(reader: LogReader, condition: Callable[[LogView], bool]) -> LogView:
    end = time.monotonic() + PATIENCE_S
    while not condition(reader.view):
        assert reader.is_alive()
        assert time.monotonic() < end, reader.view
        time.sleep(0.005)
    return reader.view


def all_read(view: LogView) -> bool:
    return view.version > 0 and view.read == view.size


def test_a_run_is_read_and_followed(tmp_path: Path, start: Start) -> None:
    rng = random.Random(0)
    reader = start(tmp_path)
    assert reader.view.error == ""  # a run that has written nothing yet is no mistake
    log = tmp_path / "log.jsonl"
    log.write_bytes(text([start_row(), *(train_row(i, rng) for i in range(1, 11))]))
    view = until(reader, lambda view: len(view.curves) == 10)
    assert [line.kind for line in view.tail] == ["start"] + ["train"] * 10
    with open(log, "ab") as file:
        file.write(text([train_row(11, rng), evaluate_row(11, rng)]))
        file.write(b"garbage\n" + text([train_row(12, rng)])[:-20])
    view = until(reader, lambda view: view.damaged == 1)
    assert view.curves.x[-1] == 11
    assert [event.kind for event in view.events] == ["start", "evaluate"]
    assert view.metrics.x.tolist() == [11]
    assert "accuracy.sky" in view.metrics.names
    # The writer was killed and starts again: the torn line goes, and the count of damaged ones stays.
    with RunLog(log) as again:
        again.write("train", images=12, loss_d=0.5)
    view = until(reader, lambda view: len(view.curves) == 12)
    assert (view.damaged, view.rows, view.error) == (1, 12, "")


def test_a_log_that_goes_or_is_replaced(tmp_path: Path, start: Start) -> None:
    rng = random.Random(0)
    log = tmp_path / "log.jsonl"
    log.write_bytes(text([train_row(i, rng) for i in range(50)]))
    reader = start(tmp_path)
    until(reader, lambda view: len(view.curves) == 50)
    log.unlink()
    view = until(reader, lambda view: view.error != "")
    assert view.error == f"{log}: the log has gone"
    assert len(view.curves) == 50
    log.write_bytes(text([train_row(i, rng) for i in range(7)]))
    view = until(reader, lambda view: len(view.curves) == 7)
    assert until(reader, lambda view: view.error == "").rows == 7
    log.write_bytes(text([train_row(i, rng) for i in range(3)]))
    until(reader, lambda view: len(view.curves) == 3)


def test_a_line_longer_than_any_piece(tmp_path: Path, start: Start) -> None:
    rng = random.Random(0)
    long = {"kind": "start", "images": 0, "config": {"prompts": ["x" * 400_000]}}
    (tmp_path / "log.jsonl").write_bytes(text([train_row(1, rng), long, train_row(2, rng)]) + b"y" * 400_000)
    view = until(start(tmp_path), lambda view: len(view.curves) == 2)
    assert [event.kind for event in view.events] == ["start"]


def test_a_large_log_is_sketched_and_then_read_exactly(tmp_path: Path, start: Start) -> None:
    write_log(tmp_path / "log.jsonl", 120_000)
    views: list[LogView] = []
    reader = start(tmp_path, large=1 << 20)
    exact = until(reader, lambda view: (views.append(view), all_read(view))[1])
    sketch = next(view for view in views if len(view.curves))
    assert sketch.read == 0
    # Lines from all over the file, in order, from the first to the last.
    assert len(sketch.curves) > 2000
    assert (np.diff(sketch.curves.x) > 0).all()
    assert np.diff(sketch.curves.x).max() < 120_000 * 320 / 500
    assert sketch.curves.x[0] < 3200
    assert sketch.curves.x[-1] == 120_000 * 320
    # Evaluations are found before all is read, and once.
    found = next(view for view in views if len(view.metrics))
    assert found.read < found.size / 2
    assert found.metrics.x.tolist() == exact.metrics.x.tolist() == [32_000_000]
    assert [event.kind for event in exact.events] == ["start", "evaluate"]
    assert (exact.rows, exact.damaged) == (120_000, 0)
    assert exact.curves.rows.sum() == 120_000

    # Exactly what a plain reading gives.
    with open(tmp_path / "log.jsonl", encoding="utf-8") as file:
        rows = [row for row in map(json.loads, file) if row["kind"] == "train"]
    values = np.array([row["gradient_d"] for row in rows], np.float32)
    column = exact.curves.column("gradient_d")
    starts = np.concatenate([[0], np.cumsum(exact.curves.rows)[:-1]])
    np.testing.assert_array_equal(exact.curves.high[:, column], np.maximum.reduceat(values, starts))
    np.testing.assert_array_equal(exact.curves.low[:, column], np.minimum.reduceat(values, starts))

    # What is looked at closely is read again, row by row.
    reader.look(20_000_000.0, 20_032_000.0)
    view = until(reader, lambda view: view.detail is not None)
    inside = [row for row in rows if 20_000_000 <= row["images"] <= 20_032_000]
    part = view.detail
    assert part is not None
    chosen = (part.x >= 20_000_000) & (part.x <= 20_032_000)
    assert part.x[chosen].tolist() == [row["images"] for row in inside]
    np.testing.assert_allclose(part.mean[chosen, part.column("loss_g")], [row["loss_g"] for row in inside], rtol=1e-6)
    reader.look(0.0, 38_000_000.0)
    until(reader, lambda view: view.detail is None)


def test_the_next_start_goes_on_from_the_cache(tmp_path: Path, start: Start) -> None:
    log = tmp_path / "log.jsonl"
    write_log(log, 20_000)
    first = start(tmp_path, large=1 << 20)
    before = until(first, all_read)
    first.close()
    with open(log, "ab") as file:
        file.write(text([train_row(20_001 * 320, random.Random(0)), evaluate_row(20_001 * 320, random.Random(0))]))
    second = LogReader(tmp_path, large=1 << 20)
    second._round()
    after = second.view
    assert second._kept == before.read  # nothing before was read again
    assert after.rows == 20_001
    np.testing.assert_array_equal(after.curves.x[: len(before.curves) - 1], before.curves.x[:-1])
    assert after.curves.rows.sum() == 20_001
    assert [event.kind for event in after.events] == ["start", "evaluate"]
    assert len(after.metrics) == 1


def test_a_cache_that_does_not_fit_is_passed_over(tmp_path: Path, start: Start) -> None:
    log = tmp_path / "log.jsonl"
    write_log(log, 20_000)
    first = start(tmp_path, large=1 << 20)
    until(first, all_read)
    first.close()
    kept = cached.place(log)
    whole = kept.read_bytes()

    def rows_after() -> int:
        reader = LogReader(tmp_path, large=1 << 20)
        reader._round()
        assert reader._kept == 0
        return reader.view.rows

    for damaged in (b"", whole[:100], whole[: len(whole) // 2], b"PK" + bytes(1000)):
        kept.write_bytes(damaged)
        assert rows_after() == 20_000
    kept.write_bytes(whole)
    write_log(log, 15_000)  # another run in the same place
    assert rows_after() == 15_000


def test_a_cache_that_cannot_be_written_is_none(tmp_path: Path, cache: Path, start: Start) -> None:
    cache.write_text("a file where a folder should be")
    write_log(tmp_path / "log.jsonl", 20_000)
    reader = start(tmp_path, large=1 << 20)
    assert until(reader, all_read).rows == 20_000
