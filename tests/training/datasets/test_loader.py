"""Order, mixing, resuming and what cannot be used, from folders and shards, in this process and in workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.datasets.makers import (
    DeadlyTree,
    number_of,
    png,
    samples,
    serving,
    write_folder,
    write_shards,
    write_tar,
)
from training.datasets import remote
from training.datasets.config import DataConfig, SourceSpec
from training.datasets.errors import DataError
from training.datasets.loader import Batches, Loader, Pool
from training.datasets.mixing import ListShape, Mixing, ShardShape
from training.datasets.opening import StreamedData, open_batches, open_data
from training.datasets.sources import ListedSource

BATCH = 8


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLISSANDO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0, 0.0))


OPEN: list[Batches] = []


@pytest.fixture(autouse=True)
def closed_afterwards() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


def config(*places: str | Path, workers: int = 0, memory_gb: float = 0.0, **changes: object) -> DataConfig:
    sources = tuple(SourceSpec.parse(str(place)) for place in places)
    return DataConfig(sources=sources, workers=workers, memory_gb=memory_gb, **changes)  # type: ignore[arg-type]


def batches(data: DataConfig, *, own: slice | None = None, seed: int = 1, batch: int = BATCH) -> Batches:
    OPEN.append(open_batches(open_data(data, 8, progress=False), batch=batch, seed=seed, own=own))
    return OPEN[-1]


def draw(stream: Batches, count: int) -> list[int]:
    """The numbers of the pictures in the next batches; each must come with its own caption."""
    numbers = []
    for _ in range(count):
        batch = stream.next()
        for image, captions in zip(batch.images, batch.captions, strict=True):
            numbers.append(number_of(image))
            assert captions == [f"number {numbers[-1]}"]
    return numbers


@pytest.fixture
def three(tmp_path: Path) -> DataConfig:
    """A folder, shards, and a folder whose pictures come twice as often."""
    write_folder(tmp_path / "a", range(30))
    write_shards(tmp_path / "s", [7, 5, 9, 6, 8])
    write_folder(tmp_path / "b", range(100, 110))
    return config(tmp_path / "a", tmp_path / "s", f"{tmp_path / 'b'}=2", lanes=4)


def test_ranks_together_see_what_one_alone_does(three: DataConfig) -> None:
    alone = np.reshape(draw(batches(three), 12), (12, BATCH))
    for world in (2, 4):
        parts = []
        for rank in range(world):
            stream = batches(three, own=slice(rank * BATCH // world, (rank + 1) * BATCH // world))
            parts.append(np.reshape(draw(stream, 12), (12, BATCH // world)))
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), alone)


def test_a_run_goes_on_at_another_world_size(three: DataConfig) -> None:
    whole = draw(batches(three), 20)
    two = [batches(three, own=slice(rank * 4, rank * 4 + 4)) for rank in range(2)]
    seen = np.concatenate([np.reshape(draw(stream, 7), (7, 4)) for stream in two], axis=1)
    states = [stream.state_dict() for stream in two]
    assert states[0] == states[1]
    four = [batches(three, own=slice(rank * 2, rank * 2 + 2)) for rank in range(4)]
    for stream in four:
        stream.load_state_dict(states[0])
    rest = np.concatenate([np.reshape(draw(stream, 13), (13, 2)) for stream in four], axis=1)
    assert [*seen.ravel().tolist(), *rest.ravel().tolist()] == whole


def test_a_state_may_be_loaded_while_batches_are_on_their_way(three: DataConfig) -> None:
    stream = batches(three)
    first = draw(stream, 3)
    state = stream.state_dict()
    second = draw(stream, 4)
    stream.load_state_dict(state)
    assert draw(stream, 4) == second
    assert first != second[: len(first)]


@pytest.mark.parametrize("kind", ["folder", "shards"])
def test_every_picture_comes_once_a_round(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        place = write_folder(tmp_path / "d", range(24))
    else:
        place = write_shards(tmp_path / "d", [4] * 6)
    stream = batches(config(place, lanes=2))
    rounds = [draw(stream, 3) for _ in range(3)]
    assert all(sorted(numbers) == list(range(24)) for numbers in rounds)
    assert rounds[0] != rounds[1] != rounds[2]
    assert draw(batches(config(place, lanes=2), seed=2), 3) != rounds[0]


def test_shards_are_mixed_and_shuffled_inside(tmp_path: Path) -> None:
    write_shards(tmp_path, [16] * 8)
    first = draw(batches(config(tmp_path, lanes=4)), 1)
    assert len({number // 16 for number in first}) == 4
    inside = [number % 16 for number in first]
    assert inside != sorted(inside)


def test_weights_say_how_often_a_picture_comes(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", range(20))
    write_folder(tmp_path / "b", range(100, 110))
    for memory_gb in (0.0, 1.0):
        seen = Counter(draw(batches(config(tmp_path / "a", f"{tmp_path / 'b'}=3", memory_gb=memory_gb)), 300))
        often = np.mean([seen[number] for number in range(100, 110)])
        seldom = np.mean([seen[number] for number in range(20)])
        assert 2.6 < often / seldom < 3.4


def test_decoded_sets_are_mixed_in_the_same_order_as_read_ones(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", range(20))
    write_folder(tmp_path / "b", range(100, 110))
    read, decoded = (
        draw(batches(config(tmp_path / "a", f"{tmp_path / 'b'}=3", memory_gb=memory_gb)), 20)
        for memory_gb in (0.0, 1.0)
    )
    assert read == decoded


def test_workers_give_the_same(three: DataConfig) -> None:
    stream = batches(DataConfig(sources=three.sources, lanes=4, memory_gb=0, workers=2))
    assert draw(stream, 8) == draw(batches(three), 8)


def test_a_worker_that_is_killed_is_started_again(three: DataConfig) -> None:
    stream = batches(DataConfig(sources=three.sources, lanes=4, memory_gb=0, workers=1))
    assert isinstance(stream, Loader)
    numbers = draw(stream, 2)
    os.kill(stream._executor._workers[0]._process.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    assert numbers + draw(stream, 8) == draw(batches(three), 10)
    assert stream.skipped() == ""


def test_a_picture_that_ends_its_reader_is_found_and_skipped(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "d", range(12))
    data = open_data(config(place, workers=1), 8, progress=False)
    assert isinstance(data, StreamedData)
    source = data.pools[0].source
    assert isinstance(source, ListedSource)
    deadly = replace(source, tree=DeadlyTree(root=place, deadly="00004.png"))
    OPEN.append(open_batches(replace(data, pools=(Pool(source=deadly, weight=1.0),)), batch=6, seed=1))
    assert sorted(draw(OPEN[0], 2)) == [0, 1, 2, 3, 5, 5, 6, 7, 8, 9, 10, 11]
    assert "00004.png (decoding it ended the process)" in OPEN[0].skipped()


def test_closing_frees_a_thread_that_waits_for_pictures(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "s", [8] * 4)
    (root / "index.json").write_text('{"format": "glissando-shards", "shards": {"00000.tar": 8, "00001.tar": 8}}')
    with serving(root) as server, ThreadPoolExecutor(1) as pool:
        stream = batches(config(f"{server.url}/{{00000..00001}}.tar", workers=1))
        with server.pausing():
            waiting = pool.submit(stream.next)
            while not any(asked.endswith(".tar") for asked in server.asked):
                time.sleep(0.01)
            stream.close()
        with pytest.raises(DataError, match="closed"):
            waiting.result()


def test_no_worker_outlives_the_trainer(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "d", range(12))
    script = (
        "import sys, time; from training.datasets.config import *; from training.datasets.opening import *\n"
        "config = DataConfig(sources=(SourceSpec(place=sys.argv[1]),), memory_gb=0, workers=2)\n"
        "stream = open_batches(open_data(config, 8, progress=False), batch=4, seed=1)\n"
        "stream.next(); print(*(w._process.pid for w in stream._executor._workers), flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(place)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        workers = [int(pid) for pid in process.stdout.readline().split()]
    assert len(workers) == 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while any(map(alive, workers)):
        assert time.monotonic() < deadline, "a worker goes on"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


# --- what cannot be used --------------------------------------------------------------------------------------------


def test_broken_pictures_are_skipped_counted_and_do_not_change_the_rest(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "d", range(24))
    good = draw(batches(config(place)), 6)
    (place / "00005.png").write_bytes(b"\x89PNG\r\n no")
    (place / "00006.png").write_bytes(png(6)[:40])
    (place / "00009.txt").write_text(" \n")
    stream = batches(config(place))
    instead = {5: 7, 6: 7, 9: 10}
    assert draw(stream, 6) == [instead.get(number, number) for number in good]
    assert isinstance(stream, Loader)
    assert stream.broken == 3
    assert "3 broken pictures" in stream.skipped()
    resumed = batches(config(place))
    middle = batches(config(place))
    draw(middle, 3)
    resumed.load_state_dict(middle.state_dict())
    assert draw(resumed, 3) == draw(middle, 3)


def test_broken_samples_and_shards_are_skipped(tmp_path: Path) -> None:
    write_shards(tmp_path, [6, 6, 6, 6])
    files = samples(range(6, 12))
    files[0] = (files[0][0], b"no picture")
    write_tar(tmp_path / "00001.tar", files)
    whole = (tmp_path / "00002.tar").read_bytes()
    (tmp_path / "00002.tar").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "00003.tar").write_bytes(b"no tar at all" * 100)
    stream = batches(config(tmp_path, lanes=2))
    seen = set(draw(stream, 12))
    assert 6 not in seen
    assert {0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13} <= seen
    assert not seen & set(range(18, 24))
    assert isinstance(stream, Loader)
    assert stream.broken == 1


def test_data_that_are_all_broken_are_refused(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "d", range(12))
    for picture in place.glob("*.png"):
        picture.write_bytes(b"no")
    with pytest.raises(DataError, match="12 pictures in a row cannot be used"):
        batches(config(place)).ready(1)
    with pytest.raises(DataError, match="12 broken"):
        batches(config(place, memory_gb=1.0))
    write_tar(
        tmp_path / "s" / "0.tar", [(f"{n}.png", b"no") for n in range(4)] + [(f"{n}.txt", b"x") for n in range(4)]
    )
    with pytest.raises(DataError, match="1 shards in a row cannot be used"):
        batches(config(tmp_path / "s")).ready(1)


@pytest.mark.parametrize("kind", ["folder", "shards"])
def test_data_that_go_away_end_in_one_error_and_the_state_before_it(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "d"
    if kind == "folder":
        write_folder(place, range(64))
    else:
        write_shards(place, [8] * 8)
    whole = draw(batches(config(place, lanes=2)), 24)
    stream = batches(config(place, lanes=2))
    seen = draw(stream, 2)
    place.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="went away"):
        while True:
            seen += draw(stream, 1)
    (tmp_path / "elsewhere").rename(place)
    resumed = batches(config(place, lanes=2))
    resumed.load_state_dict(stream.state_dict())
    assert seen + draw(resumed, 24 - len(seen) // BATCH) == whole


def test_other_data_are_not_gone_on_with(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "d", range(12))
    state = batches(config(place)).state_dict()
    write_folder(place, [50])
    with pytest.raises(DataError, match="have changed"):
        batches(config(place)).load_state_dict(state)
    with pytest.raises(DataError, match="have changed"):
        batches(config(place), seed=5).load_state_dict(state)


# --- from a server --------------------------------------------------------------------------------------------------


def test_remote_shards_are_read_through_hiccups_in_the_order_of_local_ones(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "s", [6] * 5)
    local = draw(batches(config(root, lanes=2)), 15)
    with serving(root) as server:
        stream = batches(config(f"{server.url}/{{00000..00004}}.tar", lanes=2))
        server.hiccups = 3
        assert draw(stream, 15) == local
        assert server.ranges
        assert all(asked != "bytes=0-" for asked in server.ranges)


def test_remote_shards_that_are_missing_are_passed_over_and_an_unreachable_server_is_told(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "s", [8] * 4)
    (root / "00002.tar").unlink()
    with serving(root) as server:
        stream = batches(config(f"{server.url}/{{00000..00003}}.tar", lanes=2))
        seen = draw(stream, 8)
        assert set(seen) == set(range(16)) | set(range(24, 32))
        assert isinstance(stream, Loader)
        assert stream.broken_shards == 1
        server.down = True
        with pytest.raises(DataError, match=r"went away.*503"):
            draw(stream, 20)
        with pytest.raises(DataError, match="check the address"):
            batches(config(f"{server.url}/{{00000..00003}}.tar"))
        server.down = False
        with pytest.raises(DataError, match="404"):
            batches(config(f"{server.url}/none.tar"))
        with pytest.raises(DataError, match="(?i)redirect"):
            batches(config(f"{server.url}/elsewhere.tar"))


def test_remote_shards_of_uneven_sizes_are_taken_to_be_as_large_as_the_first(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "s", [6, 3, 9])
    with serving(root) as server:
        stream = batches(config(f"{server.url}/{{00000..00002}}.tar", lanes=1), batch=6)
        first = [draw(stream, 1) for _ in range(30)]
        by_shard = [{number // 3 for number in batch} for batch in first]
        assert all(shards <= {0, 1} or shards == {2} or shards <= {3, 4, 5} for shards in by_shard)
        assert len({number for batch in first for number in batch}) == 18
        (root / "index.json").write_text(
            '{"format": "glissando-shards", "shards": {"00000.tar": 6, "00001.tar": 3, "00002.tar": 9}}'
        )
        stream = batches(config(f"{server.url}/{{00000..00002}}.tar", lanes=1), batch=6)
        assert sorted(draw(stream, 3)) == list(range(18))


# --- the order alone ------------------------------------------------------------------------------------------------


def test_the_order_is_quick_and_small_for_very_many_pictures() -> None:
    shapes = (ListShape(rows=100_000), ShardShape(counts=(10_000,) * 5_000))
    mixing = Mixing(shapes, (1.0, 9.0), batch=256, seed=0, lanes=64, key="k")
    for _ in range(20):
        draws = mixing.next()
    assert len(draws) == 256
    state = mixing.state_dict()
    assert sum(len(lanes) for lanes in state["taken"]) == 65
    other = Mixing(shapes, (1.0, 9.0), batch=256, seed=0, lanes=64, key="k")
    other.load_state_dict(state)
    assert other.next() == mixing.next()
