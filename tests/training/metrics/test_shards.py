"""Drawing and measuring shared out among ranks: the same rows at any number of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist

from core.checkpoints import load, read_header
from tests.conftest import write_tiny_checkpoint
from tests.training.datasets.makers import write_shards
from training.datasets.config import DataConfig
from training.datasets.errors import DataError
from training.datasets.opening import StreamedData, open_data
from training.engine.distributed import Ranks
from training.metrics.during import BEST, Candidate, RunMetrics
from training.metrics.networks import FeatureExtractor
from training.metrics.reals import ArrayPictures, real_features
from training.metrics.settings import EvaluationSettings
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


def test_each_rank_draws_only_its_own_one_block_after_another() -> None:
    asked: list[int] = []

    def noted(numbers: range) -> Drawn:
        asked.extend(numbers)
        return draw(numbers)

    evaluate_shard(1, 3, draw=noted, measures=MEASURES, count=45, block=8)
    assert asked == [*range(16, 32)]
    with pytest.raises(ValueError, match="rank"):
        evaluate_shard(3, 3, draw=draw, measures=MEASURES, count=45)


def test_a_run_that_is_asked_to_stop_gives_up_between_blocks() -> None:
    answers = iter([False, False, True])
    shard = evaluate_shard(0, 1, draw=draw, measures=MEASURES, count=45, block=8, stopped=lambda: next(answers))
    assert not shard.whole
    assert len(shard.blocks) == 2
    assert not merge([shard, evaluate_shard(0, 1, draw=draw, measures=MEASURES, count=3)]).whole
    asked: list[range] = []
    shard = evaluate_shard(0, 1, draw=lambda numbers: asked.append(numbers), measures=MEASURES, count=45, block=8)
    assert (len(asked), shard.whole) == (1, False)


def test_pictures_that_cannot_be_had_are_told_to_all() -> None:
    """Not raised by the one rank that notices: the others would wait for it."""

    def gone(numbers: range) -> Drawn:
        raise DataError("it went away")

    parts = [evaluate_shard(rank, 2, draw=(draw, gone)[rank], measures=MEASURES, count=45) for rank in range(2)]
    whole = merge(parts)
    assert (whole.whole, whole.problem) == (False, "it went away")


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


class Colours:
    def encode_image(self, x_N3HW: torch.Tensor) -> torch.Tensor:
        return x_N3HW.mean(dim=(2, 3))

    def encode_text(self, prompts: list[str]) -> torch.Tensor:
        return torch.tensor([[1.0, len(prompt) % 3, len(prompt) % 2] for prompt in prompts])


def run_metrics(folder: Path, cache: Path, shards: Path | None = None) -> list[dict[str, object]]:
    """Two evaluations of a run whose generator draws a colour a latent, as each of its ranks does them."""
    settings = EvaluationSettings(metrics=("fid", "clip"), metrics_pictures=90, metrics_features="classifier")
    if shards is None:
        images = np.random.default_rng(0).integers(0, 256, (40, 3, 64, 64), dtype=np.uint8)
        captions = [[f"caption {n}"] for n in range(40)]
        of_data = partial(RunMetrics.of_arrays, settings, images, "fingerprint", captions=captions)
    else:
        data = open_data(DataConfig.of(shards), 64, cache=cache, progress=False)
        assert isinstance(data, StreamedData)
        rank, world = share()
        of_data = partial(RunMetrics.of_streamed, settings, data, from_first=Ranks(rank=rank, world=world).broadcast)
    metrics = of_data(folder=folder, own_clip=Colours(), z_dim=3, device=torch.device("cpu"), cache=cache)

    def render(prompts: list[str], z_NZ: torch.Tensor, /, *, psi: float = 1.0) -> torch.Tensor:
        return (z_NZ * psi).tanh()[:, :, None, None].expand(-1, 3, 64, 64)

    def candidate() -> Candidate:
        file = load(write_tiny_checkpoint(folder / "tiny.safetensors"))
        return Candidate(header=file.header, tensors=file.tensors)

    finished = []
    for images in (7, 8):
        metrics.measure(render, candidate, images=images)
        finished += metrics.close()
    return [{name: evaluation.figures[name] for name in ("fid", "clip", "best")} for evaluation in finished]


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
    for name, shards in (("run", None), ("streamed", Path(folder) / "shards")):
        figures = run_metrics(Path(folder) / name, Path(folder) / f"cache{rank}", shards)
        assert bool(figures) == (rank == 0)
        if figures:
            (Path(folder) / name / "figures.json").write_text(json.dumps(figures))
    dist.destroy_process_group()


def test_two_processes_gather_on_the_first(tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    for name in ("run", "streamed"):
        (tmp_path / name).mkdir()
        (alone / name).mkdir(parents=True)
    write_shards(tmp_path / "shards", [30, 50])
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    ranks = [
        subprocess.Popen([sys.executable, __file__, str(rank), "2", str(tmp_path)], env=environment)
        for rank in range(2)
    ]
    assert [rank.wait(timeout=300) for rank in ranks] == [0, 0]
    rows = np.load(tmp_path / "rows.npz")
    assert rows["mean"][:, 0].tolist() == [n for n in range(45) if n % 10]
    assert rows["real"].shape == (40, 4)
    # To the last bit what one process would have found.
    for name, shards in (("run", None), ("streamed", tmp_path / "shards")):
        figures = run_metrics(alone / name, tmp_path / "cache", shards)
        assert len(figures) == 2
        assert json.loads((tmp_path / name / "figures.json").read_text()) == figures
        assert read_header(tmp_path / name / BEST).notes["best"] == read_header(alone / name / BEST).notes["best"]
    assert rows["real"][:, 0].tolist() == [n * 12 % 256 for n in range(40)]


if __name__ == "__main__":
    one_rank(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
