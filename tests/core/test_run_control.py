"""The control file: what is sent arrives once, in order, and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.run_control import CONTROL_FILE, Command, ControlError, Reader, Refused, send


def test_what_is_sent_arrives_once_and_in_order(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    assert reader.poll() == []
    send(tmp_path, "snapshot")
    sent = send(tmp_path, "set", name="learning_rate_g", value=0.0005)
    assert reader.poll() == [
        Command(command="snapshot"),
        Command(command="set", name="learning_rate_g", value=0.0005),
    ]
    assert str(sent) == "learning_rate_g = 0.0005"
    assert reader.poll() == []
    send(tmp_path, "stop")
    assert reader.poll() == [Command(command="stop")]
    rows = [json.loads(line) for line in (tmp_path / CONTROL_FILE).read_text().splitlines()]
    assert all(row["time"] > 1e9 for row in rows)


def test_old_commands_are_passed_over_when_a_run_is_resumed(tmp_path: Path) -> None:
    send(tmp_path, "stop")
    reader = Reader(tmp_path)
    assert reader.poll() == []
    send(tmp_path, "evaluate")
    assert reader.poll() == [Command(command="evaluate")]


def test_a_line_in_the_making_waits_for_its_end(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    path = tmp_path / CONTROL_FILE
    path.write_bytes(b'{"command": "snap')
    assert reader.poll() == []
    assert reader.poll() == []
    with open(path, "ab") as file:
        file.write(b'shot"}\n{"comm')
    assert reader.poll() == [Command(command="snapshot")]
    # Whoever sends next does not write into the torn line.
    send(tmp_path, "evaluate")
    torn, asked = reader.poll()
    assert isinstance(torn, Refused)
    assert asked == Command(command="evaluate")


def test_a_file_that_was_replaced_or_cut_short_is_followed(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    path = tmp_path / CONTROL_FILE
    for _ in range(3):
        send(tmp_path, "snapshot")
    assert len(reader.poll()) == 3
    path.rename(tmp_path / "old")
    assert reader.poll() == []
    send(tmp_path, "evaluate")
    assert reader.poll() == [Command(command="evaluate")]
    send(tmp_path, "evaluate")
    assert len(reader.poll()) == 1
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    assert reader.poll() == []
    send(tmp_path, "stop")
    assert reader.poll() == [Command(command="stop")]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"not json", "expected a JSON object"),
        (b"[1]", "expected a JSON object"),
        (b"\xff\xfe", "expected a JSON object"),
        (b'{"name": "learning_rate_g"}', "expected a command"),
        (b'{"command": "explode"}', "expected one of snapshot, evaluate, stop, set, got 'explode'"),
        (b'{"command": "stop", "name": "now"}', "expected nothing else"),
        (b'{"command": "set", "name": "batch", "value": 3}', "expected one of learning_rate_g"),
        (b'{"command": "set", "name": "learning_rate_g", "value": "0.1"}', "expected a number above 0, up to 1"),
        (b'{"command": "set", "name": "learning_rate_g", "value": true}', "expected a number above 0, up to 1"),
        (b'{"command": "set", "name": "learning_rate_g", "value": NaN}', "expected a number above 0, up to 1"),
        (b'{"command": "set", "name": "learning_rate_g", "value": 0}', "expected a number above 0, up to 1"),
        (b'{"command": "set", "name": "learning_rate_d", "value": 1.5}', "expected a number above 0, up to 1"),
    ],
)
def test_what_is_no_command_is_told_and_hides_nothing(tmp_path: Path, line: bytes, why: str) -> None:
    reader = Reader(tmp_path)
    (tmp_path / CONTROL_FILE).write_bytes(line + b"\n")
    send(tmp_path, "snapshot")
    refused, asked = reader.poll()
    assert isinstance(refused, Refused)
    assert why in refused.why
    assert asked == Command(command="snapshot")


def test_the_sender_is_told_at_once(tmp_path: Path) -> None:
    for bad in ({"command": "explode"}, {"command": "set", "name": "learning_rate_g", "value": 2.0}):
        with pytest.raises(ControlError):
            send(tmp_path, **bad)  # type: ignore[arg-type]
    assert not (tmp_path / CONTROL_FILE).exists()
    with pytest.raises(FileNotFoundError):
        send(tmp_path / "absent", "stop")
