"""The run log: what was written comes back, whole lines only, whatever happened to the writer."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.runlog import LogTail, RunLog, RunLogError, read_log


def test_rows_come_back_in_order_and_by_kind(tmp_path: Path) -> None:
    path = tmp_path / "run" / "log.jsonl"
    with RunLog(path) as log:
        log.write("start", recipe="postcards")
        log.write("step", step=1, loss=0.5)
        log.write("step", step=2, loss=0.25, note="schön")
    rows = read_log(path)
    assert [row["kind"] for row in rows] == ["start", "step", "step"]
    assert [row["loss"] for row in read_log(path, "step")] == [0.5, 0.25]
    assert rows[2]["note"] == "schön"
    assert all(row["time"] > 1e9 for row in rows)


def test_each_line_is_on_disk_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = RunLog(path)
    log.write("step", step=1)
    assert read_log(path, "step")[0]["step"] == 1
    log.close()


def test_a_torn_last_line_is_ignored_and_then_mended(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with RunLog(path) as log:
        log.write("step", step=1)
    with open(path, "ab") as file:
        file.write(b'{"kind": "step", "st')
    assert [row["step"] for row in read_log(path)] == [1]
    with RunLog(path) as log:
        log.write("step", step=2)
    assert [row["step"] for row in read_log(path)] == [1, 2]


def test_a_file_that_is_one_torn_line_becomes_empty(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"x" * 200_000)
    assert read_log(path) == []
    RunLog(path).close()
    assert path.read_bytes() == b""


def test_numbers_json_cannot_say_become_strings(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with RunLog(path) as log:
        log.write("step", loss=float("nan"), gradients=[float("inf"), 1.0], more={"low": float("-inf")})
    row = read_log(path)[0]
    assert (row["loss"], row["gradients"], row["more"]) == ("nan", ["inf", 1.0], {"low": "-inf"})


@pytest.mark.parametrize("line", [b"not json\n", b"[1, 2]\n", b"\xff\xfe\n"])
def test_a_foreign_file_is_one_clear_error(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"kind": "start"}\n' + line)
    with pytest.raises(RunLogError, match=r"line 2: expected a JSON object"):
        read_log(path)


def test_a_tail_gives_each_whole_line_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    tail = LogTail(path)
    assert tail.read() == []
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n{"a"')
    assert tail.read() == [{"a": 1}, {"a": 2}]
    assert tail.read() == []
    with open(path, "ab") as file:
        file.write(b': 3}\nnonsense\n[4]\n{"a": 5}\n')
    assert tail.read() == [{"a": 3}, {"a": 5}]
    path.write_bytes(b'{"a": 6}\n')  # cut back: what is there is old
    assert tail.read() == []
    with open(path, "ab") as file:
        file.write(b'{"a": 7}\n')
    assert tail.read() == [{"a": 7}]
    # From the end of what is there, and a little before it: the first line may be without its beginning.
    assert LogTail(path).read() == []
    assert LogTail(path, back=12).read() == [{"a": 7}]
    assert LogTail(path, back=1000).read() == [{"a": 6}, {"a": 7}]
