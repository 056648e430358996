"""Metrics during a run, without holding it up for long, and the best checkpoint so far.

All ranks draw and measure their part of the pictures, which are the same every time; rank 0 gathers the features and
works the figures out in a thread of its own, while the run goes on. The run asks for finished figures between steps and
logs them. The weights that were measured are kept in memory until it is known whether they are the best.
"""

from __future__ import annotations

import json
import math
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.checkpoints import CheckpointError, Header, read_header, save
from training.datasets.errors import DataError
from training.datasets.opening import StreamedData
from training.metrics.clip_score import ClipJudge, Encoder, open_judge
from training.metrics.networks import open_extractor
from training.metrics.quality import BY_FEATURES, MetricSuite
from training.metrics.reals import ArrayPictures, RealFeatures, RealPictures, real_features
from training.metrics.sampler import draw_captions, latents
from training.metrics.settings import CURVE_METRICS, HIGHER_IS_BETTER, OWN_CLIP, EvaluationSettings
from training.metrics.shards import Drawn, Shard, evaluate_shard, gather, share, to_drawn
from training.metrics.streamed import StreamedPictures

BEST = "best.safetensors"
_SEED = 0


class Render(Protocol):
    """The averaged generator."""

    def __call__(self, prompts: list[str], z_NZ: Tensor, /, *, psi: float = 1.0) -> Tensor:
        """[N, 3, R, R] in about [-1, 1]."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """The checkpoint of the moment, which becomes best.safetensors when its figures are the best so far."""

    header: Header
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """An evaluation that is done: what the log says of it."""

    images: int
    """Shown to the discriminator when it was begun."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """The metrics by name; `seconds` the run was held up; `best`, whether this is the best so far; `warnings`."""


class RunMetrics:
    """The metrics of one run. `measure` must be called by all ranks at the same step; the rest matters on rank 0."""

    def __init__(
        self,
        settings: EvaluationSettings,
        *,
        folder: Path,
        reals: RealPictures,
        prompts: Sequence[str],
        own_clip: Encoder | None,
        z_dim: int,
        device: torch.device,
        cache: Path | None = None,
    ) -> None:
        """`folder` is the run's, `prompts` the generated pictures' captions, the same on all ranks.

        Raises a `ValueError` that names the missing file when a network cannot be had.
        """
        self._settings, self._folder, self._reals, self._cache = settings, folder, reals, cache
        self._prompts = list(prompts)
        self._z_dim = z_dim
        # Networks are given random weights before their own: the run's random numbers are not for that.
        with torch.random.fork_rng(devices=[]):
            self._meter = _open_suite(settings, own_clip, device)
        self._real: RealFeatures | None = None
        """On rank 0, once they are known ..."""
        self._knows_reals = False
        """... which is so on all ranks alike: what one asks of the others, all must ask."""
        self._done: queue.SimpleQueue[Finished] = queue.SimpleQueue()
        self._worker: threading.Thread | None = None

    @classmethod
    def of_arrays(
        cls,
        settings: EvaluationSettings,
        images_N3RR: NDArray[np.uint8],
        fingerprint: str,
        *,
        captions: Sequence[Sequence[str]],
        **rest: Any,
    ) -> RunMetrics:
        """For decoded pictures in memory."""
        prompts = draw_captions(captions, settings.metrics_pictures, _SEED)
        return cls(settings, reals=ArrayPictures(images_N3RR, fingerprint), prompts=prompts, **rest)

    @classmethod
    def of_streamed(
        cls,
        settings: EvaluationSettings,
        data: StreamedData,
        *,
        from_first: Callable[[str], str],
        cache: Path | None = None,
        **rest: Any,
    ) -> RunMetrics:
        """For data that are read while they are trained on: a fixed sample of them, see `training.metrics.streamed`.

        All ranks call it; `from_first` gives what rank 0 gives, which reads the captions for all. Raises `DataError`
        when nothing in the sample can be used.
        """
        reals = StreamedPictures(data, most=settings.metrics_reals, seed=_SEED)
        first = share()[0] == 0
        mine = json.dumps(reals.prompts(settings.metrics_pictures, cache=cache)) if first else ""
        return cls(settings, reals=reals, prompts=json.loads(from_first(mine)), cache=cache, **rest)

    def measure(
        self,
        render: Render,
        candidate: Callable[[], Candidate],
        *,
        images: int,
        stopped: Callable[[], bool] | None = None,
    ) -> None:
        """Draw and measure, then leave the figures to the thread; `finished` has them when they are there.

        `candidate` is asked once, on rank 0. When `stopped` says so, the evaluation is given up.
        """
        begun = time.perf_counter()
        settings, (rank, _) = self._settings, share()
        if self._meter.extractor is not None and not self._knows_reals:
            try:
                self._real = real_features(
                    self._reals,
                    self._meter.extractor,
                    most=settings.metrics_reals,
                    seed=_SEED,
                    cache=self._cache,
                    stopped=stopped,
                )
            except DataError as error:  # on all ranks; the next evaluation tries again
                if rank == 0:
                    self._done.put(Finished(images=images, figures=_failed(error, _since(begun))))
                return
            self._knows_reals = True
        shards = [self._shard(render, psi, stopped) for psi in settings.metrics_psis]
        if rank != 0:
            return
        whole = [shard for shard in shards if shard is not None and shard.whole]
        if len(whole) < len(shards) or (self._meter.extractor is not None and self._real is None):
            return  # the run is asked to stop
        self._join(None)
        kept = candidate()
        seconds = _since(begun)
        # A thread that does not hold the process up at its end; what it writes, it writes whole or not at all.
        self._worker = threading.Thread(
            target=self._work, args=(whole, kept, images, seconds), name="metrics", daemon=True
        )
        self._worker.start()

    def finished(self) -> list[Finished]:
        """Evaluations that have been done since this was last asked, oldest first. Does not wait."""
        results = []
        while not self._done.empty():
            results.append(self._done.get())
        return results

    def close(self, patience: float | None = None) -> list[Finished]:
        """Wait for the figures on their way, at most `patience` seconds, and return what `finished` does."""
        self._join(patience)
        return self.finished()

    def _join(self, patience: float | None) -> None:
        if self._worker is not None:
            self._worker.join(patience)

    def _shard(self, render: Render, psi: float, stopped: Callable[[], bool] | None) -> Shard | None:
        def draw(numbers: range) -> Drawn:
            prompts = [self._prompts[number] for number in numbers]
            return to_drawn(render(prompts, latents(_SEED, self._z_dim, numbers), psi=psi))

        rank, world = share()
        count = self._settings.metrics_pictures
        measures = self._meter.measures(self._prompts)
        return gather(evaluate_shard(rank, world, draw=draw, measures=measures, count=count, stopped=stopped))

    def _work(self, shards: list[Shard], candidate: Candidate, images: int, seconds: float) -> None:
        try:
            figures = self._figures(shards) | {"seconds": seconds}
            # A generator that gives pictures without values is no candidate, whatever its figures.
            figures["best"] = shards[0].broken == 0 and self._keep_if_best(figures, candidate)
        except (ValueError, OSError, MemoryError, np.linalg.LinAlgError) as error:
            # Figures are worth less than the run: it goes on, and its log says what happened.
            figures = _failed(error, seconds)
        self._done.put(Finished(images=images, figures=figures))

    def _figures(self, shards: list[Shard]) -> dict[str, Any]:
        figures = self._meter.figures(shards[0], self._real)
        names = tuple(name for name in CURVE_METRICS if name in self._settings.metrics)
        if len(shards) > 1 and names:
            suite = replace(self._meter, metrics=names)
            figures["curve"] = [
                {"psi": psi}
                | {name: value for name, value in suite.figures(shard, self._real).items() if name in names}
                for psi, shard in zip(self._settings.metrics_psis, shards, strict=True)
            ]
        return figures

    def _keep_if_best(self, figures: Mapping[str, Any], candidate: Candidate) -> bool:
        """Writes best.safetensors, its figures in the notes of its header, when none so good is there."""
        metric = self._settings.best_by
        if not math.isfinite(figures[metric]):
            return False
        about = {"metric": metric, "value": figures[metric], "measure": self._measure()}
        before = best_so_far(self._folder, about)
        if before is not None and not is_better(metric, about["value"], before):
            return False
        told = {name: value for name, value in figures.items() if name != "seconds"}
        notes = candidate.header.notes | {"best": about, "figures": told}
        save(self._folder / BEST, replace(candidate.header, notes=notes), candidate.tensors)
        return True

    def _measure(self) -> dict[str, Any]:
        """What figures must share to be compared."""
        settings, suite = self._settings, self._meter
        return {
            "features": suite.extractor.digest if suite.extractor is not None else "",
            "clip": suite.judge.name if suite.judge is not None else "",
            "pictures": settings.metrics_pictures,
            "reals": settings.metrics_reals,
            "psi": settings.metrics_psis[0],
            "data": self._reals.fingerprint,
        }


def best_so_far(folder: Path, about: Mapping[str, Any]) -> float | None:
    """The value of the best checkpoint in a run's folder; None without one that was measured as `about` says."""
    try:
        best = read_header(folder / BEST).notes["best"]
        same = all(best[name] == about[name] for name in ("metric", "measure"))
        return float(best["value"]) if same else None
    except (CheckpointError, OSError, KeyError, TypeError, ValueError):
        return None


def is_better(metric: str, value: float, before: float) -> bool:
    """Whether `value` is the better one of two of a metric."""
    return value > before if metric in HIGHER_IS_BETTER else value < before


def _failed(error: Exception, seconds: float) -> dict[str, Any]:
    return {"error": " ".join(str(error).split()) or type(error).__name__, "seconds": seconds}


def _since(begun: float) -> float:
    return round(time.perf_counter() - begun, 2)


def _open_suite(settings: EvaluationSettings, own_clip: Encoder | None, device: torch.device) -> MetricSuite:
    judge = None
    if "clip" in settings.metrics:
        if settings.metrics_clip == OWN_CLIP:
            assert own_clip is not None  # a run without one refuses this metric
            judge = ClipJudge(name=OWN_CLIP, encoder=own_clip, signed=True, device=device)
        else:
            judge = open_judge(settings.metrics_clip, device)
    by_features = any(name in BY_FEATURES for name in settings.metrics)
    extractor = open_extractor(settings.metrics_features, device) if by_features else None
    return MetricSuite(metrics=settings.metrics, extractor=extractor, judge=judge)
