"""The Inception Score (Salimans et al. 2016, arXiv 1606.03498): exp of the mean KL divergence between the classes of a
picture and those of all, which is high where each picture is clearly something and all together are many things.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SPLITS = 10


def inception_score(logits_NK: NDArray[np.floating], *, splits: int = SPLITS) -> tuple[float, float]:
    """(mean, standard deviation) over equal parts of the pictures, in their order; as many parts as there are pictures
    for, at most `splits`."""
    logits_NK = np.asarray(logits_NK, np.float64)
    log_p_NK = logits_NK - logits_NK.max(axis=1, keepdims=True)
    log_p_NK -= np.log(np.exp(log_p_NK).sum(axis=1, keepdims=True))
    splits = min(splits, len(log_p_NK))
    scores = []
    for part in range(splits):
        log_p = log_p_NK[part * len(log_p_NK) // splits : (part + 1) * len(log_p_NK) // splits]
        p = np.exp(log_p)
        mean = p.mean(axis=0)
        log_mean = np.log(np.where(mean > 0, mean, 1.0))
        scores.append(float(np.exp((p * (log_p - log_mean)).sum(axis=1).mean())))
    return float(np.mean(scores)), float(np.std(scores))
