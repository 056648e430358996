"""FID against CLIP score as psi goes: what truncation gives in likeness to the captions, and takes in variety.

The pictures of each psi have the same captions and latents, so the curve is smooth where the generator is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from training.datasets.config import DataConfig
from training.metrics.quality import MetricSuite, QualityConfig, Subject, measure_generated, measure_reals, provenance
from training.metrics.settings import CURVE_METRICS
from training.metrics.shards import Progress

DEFAULT_PSIS = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0)


def evaluate_curve(
    checkpoint: Path,
    data: Path | DataConfig,
    config: QualityConfig,
    *,
    psis: Sequence[float] = DEFAULT_PSIS,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The figures that `--json` writes: `curve`, a list of {"psi", "fid", "clip"} in the order of `psis`."""
    if len(psis) < 2 or len(set(psis)) < len(psis):
        raise ValueError(f"psi: expected at least two different numbers, got {', '.join(f'{psi:g}' for psi in psis)}")
    config = replace(config, metrics=CURVE_METRICS)
    configs = [replace(config, psi=psi) for psi in psis]  # each is checked here
    subject = Subject.open(checkpoint, data, config)
    suite = MetricSuite.open(config.metrics, features=config.features, clip=config.clip, device=subject.sampler.device)
    real = measure_reals(subject.reals, suite, config, progress)
    points: list[dict[str, float]] = []
    warnings: list[str] = []
    for one in configs:
        shard = measure_generated(subject, suite, one, psi=one.psi, progress=progress, stage=f"psi {one.psi:g}")
        figures = suite.figures(shard, real)
        warnings += [warning for warning in figures.pop("warnings") if warning not in warnings]
        points.append({"psi": one.psi} | figures)
    about = provenance(subject, suite, config, real)
    del about["psi"]
    return {"curve": points, "warnings": warnings} | about


def format_curve(result: dict[str, Any]) -> str:
    """The result of `evaluate_curve` for a terminal."""
    rows = [f"{'psi':>6}{'FID':>12}{'CLIP':>10}"]
    rows += [f"{point['psi']:6g}{point['fid']:12.4f}{point['clip']:10.4f}" for point in result["curve"]]
    rows += [f"Warning: {warning}." for warning in result["warnings"]]
    return "\n".join(rows)
