"""Takes: what is recorded reads back, whatever cut it off, and nothing but a take is read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import UserError
from app.takes import Take, TakeCheckpoint, TakeHeader, TakeRecorder, even_times, read_header, read_take
from core import values
from core.arithmetic import Arithmetic
from core.request import Mix, RenderRequest

HEADER = TakeHeader(
    checkpoint=TakeCheckpoint(name="tiny", family="stylegan_t", sha256="ab" * 32, path="/x.safetensors"),
    arithmetic=Arithmetic(device="cpu", precision="float32", plain=False, threads=2),
    smooth=True,
)
HEADER_LINE = json.dumps({**values.to_json(HEADER), "scene": {}}, separators=(",", ":"))
SCENE = {"scene": 2, "prompt": "a"}
A = RenderRequest(prompt="a 日落 \ud83d 🏔", psi=0.7)
B = replace(A, seed_x=1.25, mixes=(Mix(first=1, stop=2, seed_x=4.0),))
C = replace(B, prompt="c", origin=B, arrived=0.5)


def record(path: Path, *entries: tuple[float, RenderRequest], end: float | None = None) -> Path:
    recorder = TakeRecorder(path, HEADER, SCENE)
    for seconds, request in entries:
        recorder.offer(seconds, request)
    if end is None:
        recorder._thread.shutdown(wait=True)  # as a killed program leaves it
        recorder._file.close()
    else:
        recorder.stop(end)
        recorder.close()
    assert recorder.problem is None
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return record(tmp_path / "x.take.jsonl", (0.0, A), (0.5, B), (0.5, C), (1.25, A), end=2.0)


def test_a_take_reads_back(path):
    assert read_take(path) == Take(
        header=HEADER, scene=SCENE, times=(0.0, 0.5, 0.5, 1.25), requests=(A, B, C, A), duration=2.0
    )
    assert read_header(path) == (HEADER, SCENE)


def test_only_what_changed_is_written(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert set(lines[2]["request"]) == {"seed_x", "mixes"}
    assert set(lines[3]["request"]) == {"prompt", "origin", "arrived"}
    assert lines[-1] == {"t": 2.0}
    assert lines[0]["take"] == 2
    assert lines[0]["arithmetic"] == {"device": "cpu", "precision": "float32", "plain": False, "threads": 2}


def test_what_is_on_screen_at_a_time(path):
    take = read_take(path)
    for seconds, request in ((-1, A), (0, A), (0.49, A), (0.5, C), (1.2, C), (1.25, A), (9, A)):
        assert take.at(seconds) == request


def test_a_line_is_there_as_soon_as_it_happened(tmp_path):
    recorder = TakeRecorder(tmp_path / "x.take.jsonl", HEADER, SCENE)
    recorder.offer(0.0, A)
    recorder.offer(0.1, B)
    recorder._thread.submit(lambda: None).result()
    take = read_take(tmp_path / "x.take.jsonl")  # while it is being recorded, or after a kill
    assert take.requests == (A, B)
    assert take.torn
    recorder.stop(0.2)
    recorder.close()
    assert not read_take(tmp_path / "x.take.jsonl").torn


def test_a_take_of_version_1_was_played_by_the_fast_sums(path):
    first, *rest = path.read_text().splitlines()
    header = json.loads(first)
    del header["arithmetic"]
    header |= {"take": 1, "precision": "float32", "device": "cpu"}
    path.write_text("\n".join([json.dumps(header), *rest, ""]))
    take = read_take(path)
    assert take.header.arithmetic == Arithmetic(device="cpu", precision="float32", plain=False)
    assert take.requests == (A, B, C, A)


def test_a_take_cut_anywhere_after_its_first_picture_reads(path):
    data = path.read_bytes()
    second = data.index(b"\n", data.index(b"\n") + 1) + 1
    for end in range(second, len(data), 7):
        path.write_bytes(data[:end])
        take = read_take(path)
        assert take.requests == (A, B, C, A)[: len(take.requests)]
        assert take.torn == (end < len(data))
    path.write_bytes(data[: second - 5])
    with pytest.raises(UserError, match="the take holds no picture"):
        read_take(path)


@pytest.mark.parametrize(
    ("number", "line", "message"),
    [
        (1, "{}", 'line 1: expected a version under "take"'),
        (1, '{"take": 3}', "take: version 3; this Glissando reads up to 2: update it"),
        (1, '{"take": 1}', "scene: expected a JSON object"),
        (1, '{"take": 1, "scene": {}, "checkpoint": 3}', "line 1: checkpoint: expected a JSON object"),
        (1, "no JSON", "line 1: no JSON"),
        (1, '{"take": 2, "scene": {}}', "line 1: checkpoint: missing"),
        (1, HEADER_LINE.replace('"threads":2', '"threads":-1'), "arithmetic: threads: expected 0 to 1024, got -1"),
        (2, "[]", "line 2: expected a JSON object, got list"),
        (2, '{"t": 0, "request": {"colour": 1}}', "line 2: request: unknown field 'colour'"),
        (2, '{"t": 0, "request": {"psi": NaN}}', "line 2: request: psi: expected float"),
        (2, '{"t": 0, "request": {"psi": 1e9}}', "line 2: request: psi: expected a number from -10 to 10"),
        (2, '{"t": 0, "request": 3}', "line 2: "),
        (3, '{"t": -1}', "line 3: t: expected seconds from 0"),
        (3, '{"t": Infinity}', "line 3: t: expected float"),
        (3, '{"t": 0, "code": "import os"}', "line 3: unknown field 'code'"),
        (4, '{"t": 0.1}', "line 4: t: expected times that do not fall, got 0.1 after 0.5"),
        (4, "[" * 100_000, "line 4: "),
    ],
)
def test_anything_else_is_one_error_that_names_the_line(path, number, line, message):
    lines = path.read_text().splitlines()
    lines[number - 1] = line
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError) as caught:
        read_take(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there_or_no_take(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_take(tmp_path / "x.take.jsonl")
    (tmp_path / "x.take.jsonl").write_bytes(b"")
    with pytest.raises(UserError, match="expected a take: line 1: no JSON"):
        read_take(tmp_path / "x.take.jsonl")
    with pytest.raises(UserError, match="cannot write the take"):
        TakeRecorder(tmp_path / "absent" / "x.take.jsonl", HEADER, SCENE)


def test_a_full_disk_ends_the_take_and_is_told(tmp_path):
    resource = pytest.importorskip("resource", reason="a limit on file sizes is a POSIX thing")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        recorder = TakeRecorder(tmp_path / "x.take.jsonl", HEADER, SCENE)
        for index in range(200):
            recorder.offer(index / 10, replace(A, psi=index / 100))
        recorder.stop(30.0)
        recorder.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert recorder.problem is not None
    assert "the take ends early: file too large" in recorder.problem
    take = read_take(tmp_path / "x.take.jsonl")
    assert take.torn
    assert take.requests == tuple(replace(A, psi=index / 100) for index in range(len(take.requests)))
    assert len(take.requests) > 10


@pytest.mark.parametrize(("duration", "step", "count"), [(1.0, 1 / 60, 60), (1.001, 1 / 60, 61), (0.0, 1 / 60, 1)])
def test_how_many_frames_fill_a_duration(duration, step, count):
    assert even_times(duration, step) == count
