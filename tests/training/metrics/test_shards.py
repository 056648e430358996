"""Drawing and measuring shared out among ranks: the same rows at any number of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist

from training.metrics.networks import FeatureExtractor
from training.metrics.reals import ArrayPictures, real_features
from training.metrics.shards import Drawn, evaluate_shard, gather, merge, share, to_drawn


def draw(numbers: range) -> Drawn:
    """Picture n has the value n mod 256 throughout; multiples of 10 cannot be read."""
    kept = [n for n in numbers if n % 10]
    pictures = np.stack([np.full((2, 2, 3), n % 256, np.uint8) for n in kept]) if kept else np.empty((0, 2, 2, 3))
    return Drawn(pictures.astype(np.uint8), len(numbers) - len(kept))


MEASURES = {"mean": lambda pictures, _: pictures.mean(axis=(1, 2, 3), dtype=np.float32)[:, None]}


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_any_number_of_ranks_measures_the_same(world: int) -> None:
    shards = [evaluate_shard(rank, world, draw=draw, measures=MEASURES, count=45, block=8) for rank in range(world)]
    # In whatever order they come in.
    whole = merge(shards[::-1])
    assert whole.rows("mean")[:, 0].tolist() == [n for n in range(45) if n % 10]
    assert whole.broken == 5
    assert whole.whole


def test_each_rank_draws_only_its_own() -> None:
    asked: list[int] = []

    def noted(numbers: range) -> Drawn:
        asked.extend(numbers)
        return draw(numbers)

    evaluate_shard(1, 3, draw=noted, measures=MEASURES, count=45, block=8)
    assert asked == [*range(8, 16), *range(32, 40)]
    with pytest.raises(ValueError, match="rank"):
        evaluate_shard(3, 3, draw=draw, measures=MEASURES, count=45)


def test_a_run_that_is_asked_to_stop_gives_up_between_blocks() -> None:
    answers = iter([False, False, True])
    shard = evaluate_shard(0, 1, draw=draw, measures=MEASURES, count=45, block=8, stopped=lambda: next(answers))
    assert not shard.whole
    assert len(shard.blocks) == 2
    assert not merge([shard, evaluate_shard(0, 1, draw=draw, measures=MEASURES, count=3)]).whole


def test_pictures_become_bytes_and_what_is_not_finite_is_counted() -> None:
    x = torch.tensor([-1.0, 1.0, 0.0, 7.0]).view(4, 1, 1, 1).expand(4, 3, 2, 2).clone()
    x[2, 1, 0, 0] = torch.nan
    x[3, 0, 1, 1] = torch.inf
    drawn = to_drawn(x)
    assert drawn.broken == 2
    assert drawn.pictures.shape == (4, 2, 2, 3)
    assert drawn.pictures[:, 1, 0, 0].tolist() == [0, 255, 128, 255]
    assert drawn.pictures[2, 0, 0, 1] == 0


def test_alone_there_is_nothing_to_gather() -> None:
    shard = evaluate_shard(0, 1, draw=draw, measures=MEASURES, count=5)
    assert gather(shard) is shard
    assert share() == (0, 1)


def one_rank(rank: int, world: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    assert share() == (rank, world)
    shard = gather(evaluate_shard(rank, world, draw=draw, measures=MEASURES, count=45, block=8))
    assert (shard is None) == (rank != 0)
    pictures = ArrayPictures(np.arange(40 * 12, dtype=np.uint8).reshape(40, 3, 2, 2), "f")
    extractor = FeatureExtractor(
        name="plain", digest="d", device=torch.device("cpu"), embed=lambda x: x.flatten(1)[:, :4]
    )
    # The second time rank 0 has it in its cache and the other, which has another one, must not wait for its share.
    for _ in range(2):
        real = real_features(pictures, extractor, most=100, cache=Path(folder) / f"cache{rank}")
        assert (real is None) == (rank != 0)
    if shard is not None and real is not None:
        np.savez(f"{folder}/rows.npz", mean=shard.rows("mean"), real=real.features)
    dist.destroy_process_group()


def test_two_processes_gather_on_the_first(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    ranks = [
        subprocess.Popen([sys.executable, __file__, str(rank), "2", str(tmp_path)], env=environment)
        for rank in range(2)
    ]
    assert [rank.wait(timeout=300) for rank in ranks] == [0, 0]
    rows = np.load(tmp_path / "rows.npz")
    assert rows["mean"][:, 0].tolist() == [n for n in range(45) if n % 10]
    assert rows["real"].shape == (40, 4)
    assert rows["real"][:, 0].tolist() == [n * 12 % 256 for n in range(40)]


if __name__ == "__main__":
    one_rank(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
