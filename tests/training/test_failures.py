"""What a run does when something goes wrong: it says so, and what it had is still there."""

from __future__ import annotations

import os
import random
import resource as limits
import shutil
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import training.runs.states
from core.checkpoints import load
from core.runlog import read_log
from tests.training.fork_server import ForkServer
from tests.training.small import SMALL, opened, train
from training.datasets.errors import DataError
from training.datasets.folder import load_folder
from training.engine.distributed import Ranks
from training.engine.micro_batches import plan_micro_batches
from training.engine.prefetch import Prefetcher
from training.errors import RunError
from training.methods.stylegan_t.objective import Losses
from training.runs.lock import RunLock
from training.runs.run import resume
from training.runs.states import OLD_FILE, StateError, load_state, save_state, saved_state

SHORT = replace(
    SMALL,
    augment=("color", "translation", "cutout"),
    reconstruction=10.0,
    taps_every=2,
    kimg=0.04,
    save_kimg=0.012,
    critic_kimg=0.004,
)


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServer]:
    with ForkServer() as fork_server:
        yield fork_server


@pytest.fixture(scope="module")
def data(small_data: Path) -> Path:
    return small_data


@pytest.fixture(scope="module")
def clip(small_clip: Path) -> Path:
    return small_clip


def weights(run: Path) -> dict[str, Tensor]:
    """Everything that makes up the end of a run."""
    path = saved_state(run)
    assert path is not None
    state = load_state(path)
    parts = {name: state["modules"][name] for name in ("generator", "ema", "discriminator")}
    found = {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}
    return found | {"rng": state["rng"], "images": torch.tensor(state["images_seen"])}


def assert_same(a: Path, b: Path) -> None:
    left, right = weights(a), weights(b)
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def test_killed_at_twenty_moments_it_ends_the_same(
    fork_server: ForkServer, data: Path, clip: Path, tmp_path: Path
) -> None:
    """Each life is cut short at another moment: while it loads, steps, draws samples, writes its state."""
    config = replace(SHORT, kimg=0.2, save_kimg=0.004, sample_kimg=0.004)
    arguments = {"config": config.to_json(), "data": str(data), "clip": str(clip)}
    log = tmp_path / "log"
    assert fork_server.run("train", log=log, out=str(tmp_path / "whole"), **arguments) == [0], log.read_text()
    run = tmp_path / "killed"
    draw = random.Random(0)
    lives = reached = 0
    states = set()
    for _ in range(20):
        # Half of the moments count from when the life has saved, which is when there is most to break.
        number = reached + 1 if draw.random() < 0.5 else None
        (code,) = fork_server.run(
            "train",
            log=log,
            out=str(run),
            when=run / f"state-{number:06d}" if number else None,
            kill_after=draw.uniform(0, 0.25) if number else draw.uniform(0, 1.0),
            **arguments,
        )
        assert code in (0, -signal.SIGKILL), log.read_text()
        lives += code != 0
        path = saved_state(run)
        if path is not None:
            load_state(path)
            reached = int(path.name.partition("-")[2])
            states.add(path.name)
        if (run / "latest.safetensors").exists():
            load(run / "latest.safetensors")
    assert lives >= 10
    assert len(states) >= 5
    assert fork_server.run("train", log=log, out=str(run), **arguments) == [0], log.read_text()
    assert_same(tmp_path / "whole", run)
    assert list(run.glob("*.new")) == []


def test_a_state_is_whole_wherever_its_saving_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dying at the n-th thing that the disk is asked to do, for every n, leaves the old state or the new one."""

    class Died(BaseException):
        pass

    left = 0

    def counted(function: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Died
            return function(*arguments, **named)

        return call

    old, new = ({"images_seen": n, "weights": {"w": torch.full((200, 100), float(n))}} for n in (1, 2))
    seen = set()
    for n in range(1, 40):
        run = tmp_path / f"{n}"
        run.mkdir()
        save_state(run, old, Ranks())
        left = n
        with monkeypatch.context() as patch:
            for owner, name in ((os, "fsync"), (os, "rename"), (os, "mkdir"), (shutil, "rmtree")):
                patch.setattr(owner, name, counted(getattr(owner, name)))
            patch.setattr(training.runs.states, "_write_tensors", counted(training.runs.states._write_tensors))
            try:
                save_state(run, new, Ranks())
            except (Died, StateError):  # the latter where torch catches the former
                pass
            else:
                break
        training.runs.states.tidy(run)
        path = saved_state(run)
        assert path is not None
        images = load_state(path)["images_seen"]
        assert torch.equal(load_state(path)["weights"]["w"], torch.full((200, 100), float(images)))
        assert [p for p in run.iterdir() if p != path] == []
        seen.add(images)
    else:
        pytest.fail("saving never ended")
    assert seen == {1, 2}


def test_a_full_disk_leaves_the_old_state_and_the_run_goes_on(data: Path, clip: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(replace(SHORT, kimg=0.016), data, clip, run)
    before, checkpoint = weights(run), (run / "latest.safetensors").read_bytes()
    # No file may grow beyond this: what is written ends in the middle with an error, as on a full disk.
    soft, hard = limits.getrlimit(limits.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits.setrlimit(limits.RLIMIT_FSIZE, (60_000, hard))
    try:
        with pytest.raises(StateError, match=r"could not be saved \(file too large\); state-000002 is as it was"):
            resume(run, settings=["kimg=0.04", "sample_kimg=0.004"])
    finally:
        limits.setrlimit(limits.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    after = weights(run)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (run / "latest.safetensors").read_bytes() == checkpoint
    assert list(run.glob("*.new")) == []
    assert list(run.glob(".*.tmp")) == []
    rows = read_log(run / "log.jsonl")
    assert [row["images"] for row in rows if row["kind"] == "train"] == list(range(4, 44, 4))  # it went on to the end
    assert sum("could not be saved" in row.get("error", "") for row in rows if row["kind"] == "save") == 2
    resume(run)
    train(replace(SHORT, kimg=0.04), data, clip, tmp_path / "whole")
    assert_same(run, tmp_path / "whole")


def poisoned(monkeypatch: pytest.MonkeyPatch, bad: range) -> None:
    """Pictures of these batches are not numbers."""
    taken = 0
    take = Prefetcher.take

    def poison(feed: Prefetcher, count: int) -> Any:
        nonlocal taken
        batches = take(feed, count)
        taken += 1
        if taken - 1 in bad:
            batches = [[replace(part, images=torch.full(part.images.shape, float("nan"))) for part in batches[0]]]
        return batches

    monkeypatch.setattr(Prefetcher, "take", poison)


def test_losses_that_are_not_finite_are_skipped(data: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned(monkeypatch, range(2, 4))
    trainer, method = opened(SHORT, data, clip)
    trainer.step(), trainer.step()
    learnt = [method.generator, method.discriminator, method.ema.module]
    before = [parameter.clone() for module in learnt[:2] for parameter in module.parameters()]
    moments = method.optimiser_d.state[next(method.discriminator.parameters())]["step"].clone()
    figures = [trainer.step() for _ in range(2)]
    after = [parameter for module in learnt[:2] for parameter in module.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert method.optimiser_d.state[next(method.discriminator.parameters())]["step"] == moments
    assert trainer.in_trouble()
    assert (figures[1]["skipped"].item(), figures[1]["skipped_in_a_row"].item()) == (4, 2)
    good = trainer.step()
    assert (good["skipped"].item(), good["skipped_in_a_row"].item()) == (4, 0)
    assert all(torch.isfinite(parameter).all() for module in learnt for parameter in module.parameters())


def test_after_too_many_skips_the_run_stops_and_keeps_its_good_state(
    data: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    config = replace(SHORT, kimg=0.08, skips=4)
    with monkeypatch.context() as patch:
        poisoned(patch, range(4, 100))
        with pytest.raises(RunError, match="not a finite number in the last 4 updates.*is kept"):
            train(config, data, clip, run)
    rows = read_log(run / "log.jsonl")
    assert [row["in_a_row"] for row in rows if row["kind"] == "skip"] == [1, 2, 3, 4]
    assert rows[-1]["kind"] == "stop"
    assert weights(run)["images"] == 12
    resume(run)
    train(config, data, clip, tmp_path / "whole")
    assert_same(run, tmp_path / "whole")


def test_out_of_memory_says_what_would_fit(
    data: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Losses.draw
    most = 3

    def limited(losses: Losses, rng: torch.Generator, real: Tensor, *rest: Any) -> Any:
        if len(real) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return draw(losses, rng, real, *rest)

    config = replace(SHORT, batch=12, kimg=0.048)
    with monkeypatch.context() as patch:
        patch.setattr(Losses, "draw", limited)
        with pytest.raises(RunError, match="out of memory with 12 pictures at once.*3 would fit.*micro_batch=3"):
            train(config, data, clip, tmp_path / "run")
        most = 0
        with pytest.raises(RunError, match="one alone does not fit either"):
            train(config, data, clip, tmp_path / "none")
    resume(tmp_path / "run", settings=["micro_batch=3"])
    assert weights(tmp_path / "run")["images"] == 48


def test_another_error_is_not_taken_for_memory(
    data: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Losses, "draw", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(SHORT, data, clip, tmp_path / "run")


class Vanishing(np.ndarray):
    """Pictures on a disk that is taken away after so many reads."""

    left = 0

    def __getitem__(self, index: Any) -> Any:
        Vanishing.left -= 1
        if Vanishing.left < 0:
            raise OSError("Stale file handle")
        return np.asarray(super().__getitem__(index))


def test_data_that_vanishes_saves_the_run(
    data: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_folder(data, 16, progress=False)
    Vanishing.left = 6
    with monkeypatch.context() as patch:
        vanishing = replace(whole, images=np.asarray(whole.images).view(Vanishing))
        patch.setattr("training.runs.loading.open_data", lambda *_, **__: vanishing)
        with pytest.raises(DataError, match=r"went away.*Stale file handle.*Saved; go on with.*--resume"):
            train(SHORT, data, clip, tmp_path / "run")
    assert weights(tmp_path / "run")["images"] == 24
    resume(tmp_path / "run")
    train(SHORT, data, clip, tmp_path / "whole")
    assert_same(tmp_path / "run", tmp_path / "whole")


class Stuck:
    """Batches from a server that does not answer."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def state_dict(self) -> dict[str, Any]:
        return {}

    def next(self) -> None:
        assert self._closed.wait(60.0)
        raise OSError("closed")

    def close(self) -> None:
        self._closed.set()


def test_nobody_waits_for_pictures_that_do_not_come(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.engine.prefetch.open_batches", lambda *_, **__: Stuck())
    feed = Prefetcher(load_folder(data, 16, progress=False), plan_micro_batches(4, 2, Ranks()), 3, torch.device("cpu"))
    asked = iter((False, True))
    feed.ready(1, lambda: next(asked))
    feed.close()


def test_pictures_are_read_ahead_in_the_order_of_the_stream(data: Path) -> None:
    dataset = load_folder(data, 16, progress=False)
    feed = Prefetcher(dataset, plan_micro_batches(4, 2, Ranks()), 3, torch.device("cpu"))
    first = feed.take(2)
    state = feed.state_dict()
    rest = [part.images for part in feed.take(1)[0]]
    again = Prefetcher(dataset, plan_micro_batches(4, 4, Ranks()), 3, torch.device("cpu"))
    again.load_state_dict(state)
    assert torch.equal(torch.cat(rest), again.take(1)[0][0].images)
    assert [part.images.shape[0] for part in first[0]] == [2, 2]
    Vanishing.left = 0
    gone = replace(dataset, images=np.asarray(dataset.images).view(Vanishing))
    with pytest.raises(DataError, match="Stale file handle"):
        Prefetcher(gone, plan_micro_batches(4, 4, Ranks()), 3, torch.device("cpu")).ready(1)


def test_a_folder_in_use_names_the_process(data: Path, clip: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with RunLock(run), pytest.raises(RunError, match=f"process {os.getpid()} on .* is training in this folder"):
        train(SHORT, data, clip, run)
    train(replace(SHORT, kimg=0.004), data, clip, run)
    with RunLock(run), pytest.raises(RunError, match="is training in this folder"):
        resume(run)


def test_a_scheduler_that_ends_the_job_gets_a_saved_run(
    fork_server: ForkServer, data: Path, clip: Path, tmp_path: Path
) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    arguments = {"data": str(data), "clip": str(clip), "out": str(run)}
    config = replace(SHORT, kimg=1000.0, save_kimg=0.04).to_json()
    for lives, images in ((1, 40), (2, 80)):
        codes = fork_server.run(
            "train",
            world=lives,
            when=run / f"state-{lives * 2 - 1:06d}",
            kill_after=0.0,
            signal_number=signal.SIGTERM,
            signalled=lives - 1,  # of two ranks the second alone is told
            log=log,
            config=config | {"micro_batch": 2},
            **arguments,
        )
        assert codes == [0] * lives, log.read_text()
        assert weights(run)["images"] >= images
    rows = read_log(run / "log.jsonl", "stop")
    assert [row["finished"] for row in rows] == [False, False]
    assert read_log(run / "log.jsonl", "start")[1]["images"] == rows[0]["images"]


def as_version_4(state: dict[str, Any]) -> dict[str, Any]:
    """The state as the first runs of StyleGAN-T kept it in one file, without scales of losses."""
    modules, optimisers = state["modules"], state["optimisers"]
    return {
        "version": 4,
        "images_seen": state["images_seen"],
        **{name: modules[name] for name in ("generator", "ema", "discriminator")},
        **{f"optimiser_{name}": optimisers[name] for name in ("g", "d")},
        "reconstruction": {"encoder": modules["encoder"], "optimiser": optimisers["encoder"]},
        "text": None,
        **state["method"],
        "stream": state["stream"],
        "rng": state["rng"],
    }


def test_a_state_of_an_older_run_goes_on(data: Path, clip: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(replace(SHORT, kimg=0.02), data, clip, run)
    path = saved_state(run)
    assert path is not None
    torch.save(as_version_4(load_state(path)), run / OLD_FILE)
    shutil.rmtree(path)
    resume(run, settings=["kimg=0.04"])
    assert not (run / OLD_FILE).exists()
    train(SHORT, data, clip, tmp_path / "whole")
    assert_same(run, tmp_path / "whole")


def test_a_state_has_what_it_was_given(tmp_path: Path) -> None:
    state = {
        "numbers": {0: {"step": torch.tensor(3.0), "big": torch.randn(300, 100)}, 7: {}},
        "layout": torch.randn(8, 4, 3, 3).contiguous(memory_format=torch.channels_last),
        "large": torch.randn(64, 64, 3, 3).contiguous(memory_format=torch.channels_last),
        "types": [torch.arange(3), torch.tensor([True]), torch.zeros(0, 16), torch.ones(2, dtype=torch.bfloat16)],
        "plain": {"lr": 0.1, "name": "x", "none": None, "flag": True},
    }
    back = load_state(save_state(tmp_path, state, Ranks()))
    assert back["plain"] == state["plain"]
    assert list(back["numbers"]) == [0, 7]
    pairs = [(back["layout"], state["layout"]), (back["large"], state["large"])]
    pairs += zip(back["types"], state["types"], strict=True)
    pairs += [(back["numbers"][0][name], state["numbers"][0][name]) for name in ("step", "big")]
    for a, b in pairs:
        assert torch.equal(a, b)
        assert (a.dtype, a.stride()) == (b.dtype, b.stride())
