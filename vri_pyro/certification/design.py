"""Which labels to check next: sampling probabilities that are never 0, and orders by use."""

from __future__ import annotations

import numpy as np

from vri_pyro.utils.numbers import check_number

PURPOSES = ("measure", "mend", "teach")


def sampling_weights(scores: np.ndarray, uniform: float = 1.0) -> np.ndarray:
    """Return sampling weights: a mixture of uniform ones and ones in proportion to each label's standard deviation.

    Args:
        scores: probability that each label is wrong, [N].
        uniform: share of the uniform weights, above 0 and at most 1. The default, 1, is the narrowest for rare wrong
            labels and about as narrow as any other for frequent ones (``experiments/certify_validity.py``).

    Returns:
        the weights, which add up to 1 and are at least ``uniform / N``, [N].
    """
    check_number("uniform", uniform, above=0, at_most=1)
    even = np.full(len(scores), 1 / len(scores))
    deviation = np.sqrt(np.clip(scores * (1 - scores), 0, None))
    if uniform == 1 or not deviation.sum() > 0:
        return even
    return uniform * even + (1 - uniform) * deviation / deviation.sum()


def draw(weights: np.ndarray, allowed: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Draw items one after the other without replacement, with probabilities in proportion to their weights.

    Args:
        weights: weights, above 0, [N].
        allowed: whether each item may be drawn, bool [N].
        count: number of draws, at most the number of allowed items.
        random: random numbers.

    Returns:
        positions in the order of the draws, int64 [count].

    Reference: Efraimidis and Spirakis (2006): exponential waiting times with rates equal to the weights.
    """
    waiting = random.exponential(size=len(weights)) / weights
    waiting[~allowed] = np.inf
    return np.argsort(waiting, kind="stable")[:count]


def probabilities_of_draws(weights: np.ndarray, allowed: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return the probability of each draw given the draws before it, [n]; the arguments are those of :func:`draw`."""
    weight = weights[drawn]
    return weight / (weights[allowed].sum() - (np.cumsum(weight) - weight))


def order_to_mend(scores: np.ndarray) -> np.ndarray:
    """Return the positions in the order that finds most wrong labels: most probably wrong first, int64 [N]."""
    return np.argsort(-scores, kind="stable")


def order_to_teach(scores: np.ndarray, uncertainty: np.ndarray) -> np.ndarray:
    """Return the positions in the order in which verified labels promise to help a classifier most, int64 [N].

    Labels come first that are probably wrong (the classifier disagrees) and whose true class is uncertain: an answer
    changes the label and cannot be replaced by the suggestion. The criterion is the product of both, a heuristic.

    Args:
        scores: probability that each label is wrong, [N].
        uncertainty: normalised entropy of each label's class, from 0 to 1, [N].
    """
    return np.argsort(-scores * uncertainty, kind="stable")
