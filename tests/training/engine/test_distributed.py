"""Several processes on gloo train as one does: the same numbers, at any number of ranks, also after one has died."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from core.runlog import read_log
from tests.training.fork_server import ForkServer
from tests.training.small import SMALL, train
from training.engine.distributed import Ranks
from training.engine.micro_batches import MicroBatchError, plan_micro_batches
from training.runs.run import resume
from training.runs.states import load_state, saved_state

PARTS = replace(
    SMALL,
    augment=("color", "translation", "cutout"),
    reconstruction=10.0,
    taps_every=2,
    blur_kimg=0.2,
    precision="float64",
    batch=12,
    micro_batch=3,
    critic_steps=2,
    critic_kimg=0.024,
    noise_kimg=0.03,
    blur_sigma=2.0,
    other_captions=20,
    augment_target=0.1,
    augment_kimg=0.1,
)
"""Everything that a step can do, in four parts of three pictures: pairs are uneven, and there are more earlier captions
than a batch has."""


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServer]:
    with ForkServer() as fork_server:
        yield fork_server


@pytest.fixture(scope="module")
def places(small_data: Path, small_clip: Path) -> dict[str, str]:
    return {"data": str(small_data), "clip": str(small_clip)}


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{name}/{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from leaves(item, f"{name}/{index}")
    else:
        yield name, value


def assert_alike(a: Any, b: Any, tolerance: float) -> None:
    """Every number of two states is within `tolerance` of the larger of 1 and its size."""
    left, right = dict(leaves(a)), dict(leaves(b))
    assert left.keys() == right.keys()
    for name, value in left.items():
        other = right[name]
        if isinstance(value, torch.Tensor):
            assert value.dtype == other.dtype, name
            assert torch.allclose(value.double(), other.double(), rtol=tolerance, atol=tolerance), name
        elif isinstance(value, float):  # a figure: some are worked out in float32
            assert value == pytest.approx(other, rel=1e-6, abs=1e-6), name
        else:
            assert value == other, name


def test_two_ranks_are_one_rank_that_accumulates(
    fork_server: ForkServer, places: dict[str, str], tmp_path: Path
) -> None:
    made = {}
    for world in (1, 2, 3):
        out = tmp_path / f"{world}.pt"
        codes = fork_server.run(
            "steps", world=world, log=tmp_path / "log", config=PARTS.to_json(), out=str(out), count=5, **places
        )
        assert codes == [0] * world, (tmp_path / "log").read_text()
        made[world] = torch.load(out, weights_only=True)
    assert made[1]["state"]["modules"]["generator"]["input.weight"].dtype == torch.float64
    assert [("loss_g" in row, "guidance" in row) for row in made[1]["rows"]] == [
        (False, False),
        (True, False),
        (True, True),
        (True, False),
        (True, True),
    ]
    for world in (2, 3):
        assert_alike(made[1], made[world], 1e-9)


def test_parts_are_not_a_batch_in_one(fork_server: ForkServer, places: dict[str, str], tmp_path: Path) -> None:
    """So that the test above compares what it means to: parts that see one another give other numbers."""
    weights = {}
    for micro in (3, 4):
        out = tmp_path / f"{micro}.pt"
        config = replace(PARTS, micro_batch=micro).to_json()
        assert fork_server.run("steps", config=config, out=str(out), count=3, **places) == [0]
        weights[micro] = torch.load(out, weights_only=True)["state"]["modules"]["generator"]["input.weight"]
    assert (weights[3] - weights[4]).abs().max() > 1e-4


def test_a_rank_dies_and_the_run_ends_the_same_at_another_number_of_ranks(
    fork_server: ForkServer, places: dict[str, str], tmp_path: Path
) -> None:
    config = replace(PARTS, kimg=0.3, save_kimg=0.02, sample_kimg=1.0)
    values = config.to_json()
    log = tmp_path / "log"
    assert fork_server.run("train", log=log, config=values, out=str(tmp_path / "whole"), **places) == [0], (
        log.read_text()
    )
    run = tmp_path / "killed"
    codes = fork_server.run(
        "train",
        world=2,
        signalled=1,
        kill_after=0.05,
        when=run / "state-000002",
        log=log,
        config=values,
        out=str(run),
        **places,
    )
    assert codes[1] == -9
    assert codes[0] != 0
    path = saved_state(run)
    assert path is not None
    assert 0 < load_state(path)["images_seen"] < 300
    assert fork_server.run("train", world=3, log=log, config=values, out=str(run), **places) == [0, 0, 0], (
        log.read_text()
    )
    whole, mended = (saved_state(folder) for folder in (tmp_path / "whole", run))
    assert whole is not None
    assert mended is not None
    assert_alike(load_state(whole), load_state(mended), 1e-9)
    assert len(list(mended.glob("*.safetensors"))) == 3  # each rank wrote its share
    assert [row["ranks"] for row in read_log(run / "log.jsonl", "start")] == [2, 3]


def test_torchrun_starts_the_same_command_again(
    places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, clip = Path(places["data"]), Path(places["clip"])
    config = replace(SMALL, kimg=0.02)
    train(config, data, clip, tmp_path / "run")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    resume(tmp_path / "run", settings=["kimg=0.04"])
    train(config, data, clip, tmp_path / "run")
    images = [row["images"] for row in read_log(tmp_path / "run" / "log.jsonl", "start")]
    assert images == [0, 20, 40]


def test_parts_are_dealt_out_evenly_and_misfits_say_what_would_do() -> None:
    dealt = [list(plan_micro_batches(20, 2, Ranks(rank=rank, world=3)).mine) for rank in range(3)]
    assert [number for part in dealt for number in part] == list(range(10))
    assert sorted(map(len, dealt)) == [3, 3, 4]
    assert plan_micro_batches(20, 0, Ranks(rank=1, world=2)).micro == 10
    with pytest.raises(MicroBatchError, match="divisor of the batch of 20, got 3"):
        plan_micro_batches(20, 3, Ranks())
    with pytest.raises(MicroBatchError, match="multiple of the 3 ranks, got 20"):
        plan_micro_batches(20, 0, Ranks(world=3))
    with pytest.raises(MicroBatchError, match="2 parts, too few for 3 ranks; set micro_batch=6"):
        plan_micro_batches(20, 10, Ranks(world=3))
