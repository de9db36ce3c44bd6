"""Prediction-powered intervals of a rate, for comparison: narrow, but valid for many checks only."""

from __future__ import annotations

import numpy as np
from scipy import special

from vri_pyro.certification.betting import Interval


def prediction_powered_interval(
    outcome: np.ndarray,
    score: np.ndarray,
    scores: np.ndarray,
    confidence: float = 0.95,
    probability: np.ndarray | None = None,
) -> Interval:
    """Return the prediction-powered interval of a rate; asymptotic, so it may cover too rarely with few wrong labels.

    The mean of the scores over the population is corrected by the mean of (outcome - λ score) over the checked labels,
    with the λ that minimises the estimated variance. The population is finite, so the correction's variance has the
    factor 1 - n/N for plain samples, and the mean of the scores has none.

    Args:
        outcome: 1 for a wrong label and 0 for a right one, [n].
        score: the scores of the checked labels, [n].
        scores: the scores of the population, [N].
        confidence: nominal coverage probability.
        probability: the probability of each draw, [n]; None for a plain sample.

    References: Angelopoulos, Duchi and Zrnic, PPI++, arXiv 2311.01453; for unequal probabilities Zrnic and Candès,
    Active statistical inference, arXiv 2403.03208.
    """
    count, population = len(outcome), len(scores)
    size = np.ones(count) if probability is None else 1 / (population * probability)
    w, s = size * outcome, size * score
    away = s - s.mean() if probability is None else s - scores.mean()
    spread = (away**2).sum()
    lam = float(np.clip(((w - w.mean()) * away).sum() / spread, -1, 1)) if spread > 0 else 0.0
    correction = w - lam * s
    centre = float(lam * scores.mean() + correction.mean())
    finite = 1 - count / population if probability is None else 1.0
    error = float(np.sqrt(correction.var(ddof=1) / count * finite)) if count > 1 else 1.0
    half = float(special.ndtri((1 + confidence) / 2)) * error
    return Interval(max(0.0, centre - half), min(1.0, centre + half))
