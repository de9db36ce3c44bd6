"""How good statements about labels are: rates with intervals, probabilities, rankings and transition matrices."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score


def timed[T](function: Callable[[], T]) -> tuple[T, float]:
    """Return the result of a function and the CPU seconds that it took."""
    started = time.process_time()
    return function(), time.process_time() - started


def interval(mean: float, low: float, high: float) -> dict[str, float]:
    """Return an estimate with its interval."""
    return {"mean": float(mean), "low": float(low), "high": float(high)}


def calibration(p: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    """Return the expected calibration error of probabilities of being wrong, [N], and their Brier score."""
    bins = np.minimum((p * 15).astype(int), 14)
    counts = np.bincount(bins, minlength=15)
    gap = np.abs(np.bincount(bins, p, 15) - np.bincount(bins, wrong, 15)).sum() / counts.sum()
    return {"ece": float(gap), "brier": float(((p - wrong) ** 2).mean())}


def ranking(score: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    """Judge a ranking, the greatest score first, [N]; empty unless there are wrong and right labels.

    ``missed`` is the share of the wrong labels that are not found by checking as many labels as are wrong. Among equal
    scores, the order is random, and the mean over all orders is returned.
    """
    budget = int(wrong.sum())
    if not 0 < budget < len(wrong):
        return {}
    last = np.sort(score)[-budget]
    first, tied = score > last, score == last
    found = wrong[first].sum() + (budget - first.sum()) * wrong[tied].mean()
    return {
        "auroc": float(roc_auc_score(wrong, score)),
        "ap": float(average_precision_score(wrong, score)),
        "missed": float(1 - found / budget),
    }


def stated(rate: float, ends: Sequence[float], scores: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    """Judge a noise rate, the ends of its interval, and the probabilities that rank the labels, [N]."""
    return interval(rate, *ends) | calibration(scores, wrong) | ranking(scores, wrong)


def entries(estimate: np.ndarray, low: np.ndarray, high: np.ndarray, counts: np.ndarray) -> dict[str, float]:
    """Judge an estimate of the transition matrix and the 95% intervals of its entries.

    The truth is the share of each given label among the untrusted examples of a class. T is the noise of these
    examples and of no others: trusted ones may be chosen class by class, and examples of no class have no row. If the
    noise depends on the example, this share is still what the labels of the class come to, and there is no other T.
    The share of n labels is a multiple of 1 / n, and often 0, which no interval of a positive probability contains. An
    interval therefore contains it if it is less than half a label, 0.5 / n, away. The width is that of the interval
    itself.

    Args:
        estimate: estimate of T, [K, K]; rows that are not estimated are NaN, and left out.
        low, high: ends of the intervals, [K, K] each.
        counts: labels of the untrusted examples by true class and given label, [K, K]; classes without examples are
            left out.

    Returns:
        the share of entries whose interval contains the truth, the mean width, and the mean absolute error; empty if no
        row is left.
    """
    sizes = counts.sum(1, keepdims=True)
    rows = (sizes[:, 0] > 0) & ~np.isnan(estimate).any(1)
    if not rows.any():
        return {}
    truth, half = counts[rows] / sizes[rows], 0.5 / sizes[rows]
    low, high = low[rows], high[rows]
    return {
        "entries_covered": float(((low - half <= truth) & (truth <= high + half)).mean()),
        "entries_width": float((high - low).mean()),
        "entries_error": float(np.abs(estimate[rows] - truth).mean()),
    }
