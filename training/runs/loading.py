"""A run with its data and networks open, ready to step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from training.config import GanConfig
from training.datasets.config import DataConfig
from training.datasets.opening import Data, open_data
from training.engine.distributed import Ranks
from training.engine.precision import compute_dtype
from training.engine.protocol import Compute
from training.engine.trainer import Trainer
from training.methods.protocol import Files, Method
from training.methods.registry import method_spec


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenRun:
    """What a run steps, and what it shows and measures by."""

    method: Method[Any, Any]
    trainer: Trainer[Any, Any]
    data: Data

    @property
    def config(self) -> GanConfig:
        """The settings in force."""
        return self.method.config


def open_run(config: GanConfig, files: Files, data: Data, ranks: Ranks) -> OpenRun:
    """Build a configuration's networks and begin its data's order.

    Raises a `ValueError` that says what is missing or does not fit.
    """
    compute = Compute(device=ranks.device, dtype=compute_dtype(config.precision, ranks.device))
    method = method_spec(config.method).build(config, compute, files)
    return OpenRun(method=method, trainer=make_trainer(method, data, ranks), data=data)


def make_trainer(method: Method[Any, Any], data: Data, ranks: Ranks) -> Trainer[Any, Any]:
    """A method on its data, cut into micro-batches as its settings say."""
    config = method.config
    return Trainer(
        method,
        data,
        batch=config.batch,
        micro_batch=config.micro_batch,
        seed=config.seed,
        ranks=ranks,
    )


def open_data_of(config: GanConfig, data: DataConfig, ranks: Ranks) -> Data:
    """A run's pictures, decoded or found by the first rank of each machine. Raises `DataError`."""
    with ranks.one_at_a_time():
        condition = method_spec(config.method).condition
        return open_data(data, config.resolution, condition=condition, progress=ranks.first)
