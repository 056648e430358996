"""What a run measures of itself while it goes on: a part of its configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass

METRICS = ("fid", "kid", "precision", "recall", "clip", "ppl", "is", "sfid", "rfid", "eqt", "eqt_frac", "eqr")
HIGHER_IS_BETTER = ("precision", "recall", "clip", "is", "eqt", "eqt_frac", "eqr")
RUN_METRICS = ("fid", "kid", "precision", "recall", "clip")
CURVE_METRICS = ("fid", "clip")
OWN_CLIP = "own"
FIRST_METRIC = "first"


def check_metrics(names: tuple[str, ...], known: tuple[str, ...] = METRICS) -> None:
    """Raises `ValueError` unless these are known metrics, each once."""
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(f"metrics: expected some of {', '.join(known)}, each once, got {','.join(names)!r}")


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """[evaluation]: metrics measured during the run, and the best checkpoint by one of them."""

    metrics_kimg: float = 0.0
    """After this many thousand images, and so on; 0 is never."""
    metrics: tuple[str, ...] = ("fid", "kid")
    """Some of fid, kid, precision, recall and clip."""
    metrics_features: str = "inception"
    """The feature network that pictures are compared in, see `training.metrics.networks`. Not the discriminator's: the
    generator has learnt to please that one."""
    metrics_clip: str = OWN_CLIP
    """The judge of the CLIP score, see `training.metrics.clip_score`; "own" is the run's CLIP, which led the generator
    and so scores too well."""
    metrics_pictures: int = 5000
    """How many are generated each time, the same captions and seeds; ranks share them."""
    metrics_reals: int = 50_000
    """At most so many real pictures, drawn at random when there are more."""
    metrics_psis: tuple[float, ...] = (1.0,)
    """Metrics are measured at the first; with more, FID and CLIP score (where they are among the metrics) at each."""
    best_metric: str = FIRST_METRIC
    """best.safetensors is kept by this one; "first" is the first of the metrics."""

    @property
    def best_by(self) -> str:
        """The metric that best.safetensors is kept by."""
        return self.metrics[0] if self.best_metric == FIRST_METRIC else self.best_metric

    def check_evaluation(self) -> None:
        """Raises `ValueError` with what was expected and what came."""
        check_metrics(self.metrics, RUN_METRICS)
        if not (math.isfinite(self.metrics_kimg) and self.metrics_kimg >= 0):
            raise ValueError(f"metrics_kimg: expected a number from 0, got {self.metrics_kimg!r}")
        for name in ("metrics_pictures", "metrics_reals"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 16:
                raise ValueError(f"{name}: expected a whole number from 16, got {getattr(self, name)!r}")
        psis = self.metrics_psis
        if not psis or len(set(psis)) < len(psis) or not all(math.isfinite(psi) and abs(psi) <= 10 for psi in psis):
            raise ValueError(f"metrics_psis: expected different numbers from -10 to 10, got {psis!r}")
        if self.best_by not in self.metrics:
            raise ValueError(
                f"best_metric: expected {FIRST_METRIC} or one of metrics ({', '.join(self.metrics)}), "
                f"got {self.best_metric!r}"
            )
