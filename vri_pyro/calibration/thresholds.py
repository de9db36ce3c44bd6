"""The threshold of the scores up to which a class belongs to a prediction set."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression

_ROUNDING = 1e-9


class Threshold(NamedTuple):
    """Threshold of a score.

    Attributes:
        value: classes with scores up to this value belong to the set; infinite if there are too few labels.
        labels: number of trusted labels that would tell as much about the coverage. For trusted labels, their number.
    """

    value: float
    labels: float


class OrderedScores:
    """Scores of held-out examples in ascending order, from which thresholds for several weights are computed.

    Args:
        scores: [n, m], m scores per example.
    """

    def __init__(self, scores: np.ndarray) -> None:
        self._scores = scores
        self._order = scores.ravel().argsort(kind="stable")
        ascending = scores.ravel()[self._order]
        self._last = np.flatnonzero(np.append(ascending[1:] > ascending[:-1], len(ascending) > 0))  # of equal scores
        self._values = ascending[self._last]

    def threshold(self, weights: np.ndarray, coverage: float) -> Threshold:
        """Return the smallest threshold at which the estimated coverage is high enough.

        The estimated coverage at a threshold is the weight of the scores up to it, divided by the weight of all. It has
        to be at least c (1 + 1/n), where c is the coverage asked for and n = (Σw)² / Σw² is the effective number of
        labels.

        * For n trusted labels, with weight 1 each, the threshold is the ⌈(n + 1) c⌉-th smallest score. This is split
          conformal prediction, whose coverage is at least c for every n.
        * With weights of either sign, the estimate can fall where the threshold rises, which the coverage cannot; it is
          replaced by the nearest function that does not fall. The coverage is at least c asymptotically. The labels are
          too few if the estimate is less certain than that of the fewest trusted labels, :func:`labels_needed`.

        Args:
            weights: weights of the scores, [n, m].
            coverage: c, between 0 and 1.
        """
        total = weights.sum()
        if not total > 0:
            return Threshold(math.inf, 0.0)
        covered = weights.ravel()[self._order].cumsum()[self._last] / total
        if (np.diff(covered) < 0).any():
            covered = isotonic_regression(covered).x
        effective = float(total**2 / (weights**2).sum())
        labels = self._worth(weights, covered, _reaches(covered, coverage), effective)
        position = _reaches(covered, coverage * (1 + 1 / effective))
        if position == len(covered) or math.ceil(labels + _ROUNDING) < labels_needed(coverage):
            return Threshold(math.inf, labels)
        return Threshold(float(self._values[position]), labels)

    def _worth(self, weights: np.ndarray, covered: np.ndarray, position: int, most: float) -> float:
        """Return for how many trusted labels the estimated coverage p would have its variance, p (1 − p) / n."""
        if position == 0:
            return float(most)
        p = covered[position - 1]  # just below the threshold, where it is neither 0 nor 1
        below = weights * (self._scores <= self._values[position - 1])
        variance = ((below.sum(1) - p * weights.sum(1)) ** 2).sum() / weights.sum() ** 2
        return float(min(most, max(0.0, p * (1 - p) / variance)))


def _reaches(covered: np.ndarray, level: float) -> int:
    """Return the first position with a coverage of at least ``level``, or the number of positions."""
    return int(np.searchsorted(covered, level - _ROUNDING))


def labels_needed(coverage: float) -> int:
    """Return the smallest number of trusted labels from which sets with this coverage can be calibrated.

    With fewer, (n + 1) c exceeds n, and only the set of all classes has a guarantee.
    """
    return max(1, math.ceil(coverage / (1 - coverage) - _ROUNDING))
