"""Intervals for a rate by betting: valid for any scores and any population, at a fixed number of draws or always.

To bound a rate from above by m, a gambler bets against "the rate is m or more". Each draw multiplies the capital by
1 + b (m - X), where X is the term of the draw (:mod:`~vri_pyro.certification.terms`) and the stake b depends on
earlier draws only. Under the hypothesis, the capital is a non-negative supermartingale that begins at 1. So the
probability that it ever reaches 1 / α is at most α (Ville's inequality). The bound is the smallest m above which every
hypothesis is rejected. Stakes decide how narrow the interval is, never whether it is valid.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from vri_pyro.certification.terms import Terms

_AIM = 1.2  # target of the capital in units of 1 / α; aimed at 1 itself, the last steps would often end just below
_MOST = 0.995  # largest share of the capital at stake
_MIXED = 10  # stakes that the anytime-valid gambler mixes, each half of the one before
_LEAST_VARIANCE = 0.02  # of that without control variate
_NEAR_HALF = 0.1  # |1 - 2 m| below which the Poisson approximation gives way to the normal one
_GRID = 64


class Interval(NamedTuple):
    """A confidence interval of a rate."""

    low: float
    high: float


def capital_for_fixed_number(terms: Terms, m: np.ndarray, alpha: float, number: int | None = None) -> np.ndarray:
    """Return the largest capital of a gambler who bets against a rate of m or more, for a planned number of draws.

    The gambler replicates the payoff 1 / α of the most powerful test at the last draw. The capital is taken as the
    probability, under the hypothesis, that the remaining draws end in rejection, and the stake is the relative change
    of this probability by one wrong label. The probability is that of a Poisson distribution with the variance of the
    terms. For plain draws, the interval is about as narrow as the exact one; for many draws, it is as narrow as that of
    the normal approximation. It is valid for every number of draws, also if draws are missing at the end.

    Args:
        terms: the terms of n draws, [n] or [n, ...].
        m: hypothetical rates, [...].
        alpha: error probability of the one-sided bound.
        number: planned number of draws; None for n.

    Returns:
        the largest capital so far, [...]; the hypothesis is rejected if it is at least 1 / alpha.

    References: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B 2024.
    Voráček and Orabona, STaR-Bets, 2025, which also recalculates the target after every bet.
    """
    capital = np.ones(np.shape(m))
    best = capital.copy()
    for step, ahead in enumerate(_variances_ahead(terms.scale, number)):
        scale = terms.scale[step]
        plain = np.maximum(terms.slope[step] * m - m**2, 1e-9)
        variance = ahead * np.maximum(terms.level[step] + plain, _LEAST_VARIANCE * plain)
        stake = _stake(np.clip(alpha * capital / _AIM, 1e-12, 1 - 1e-9), m, variance) / np.maximum(scale, 1e-12)
        stake = np.minimum(stake, _MOST / np.maximum(terms.most[step] - m, 1e-12))
        capital = np.where(best * alpha >= 1, capital, capital * np.maximum(1 + stake * (m - terms.high[step]), 0))
        best = np.maximum(best, capital)
    return best


def capital_at_any_time(terms: Terms, m: np.ndarray) -> np.ndarray:
    """Return the largest capital of a gambler who bets against a rate of m or more, without a plan when to stop.

    The capital is split evenly among ten gamblers. Their stakes are constant shares of the largest possible one, each
    half of the share before, so that one of them suits any number of draws up to about a million.

    Args:
        terms: the terms of n draws, [n] or [n, ...].
        m: hypothetical rates, [...].

    Returns:
        the largest capital so far, [...]; the hypothesis is rejected if it is at least 1 / alpha.

    Reference: Waudby-Smith and Ramdas (2024), mixtures of grids of bets.
    """
    capital = np.full((_MIXED, *np.shape(m)), 1 / _MIXED)
    best = np.ones(np.shape(m))
    shares = (_MOST * 0.5 ** np.arange(_MIXED)).reshape(-1, *[1] * np.ndim(m))
    for step in range(len(terms.high)):
        gain = (m - terms.high[step]) / np.maximum(terms.most[step] - m, 1e-12)
        capital *= np.maximum(1 + shares * gain, 0)
        best = np.maximum(best, capital.sum(0))
    return best


def betting_interval(
    terms: Terms, known: tuple[float, float], confidence: float, anytime: bool = False, number: int | None = None
) -> Interval:
    """Return a confidence interval of the rate, valid in finite samples whatever the scores are.

    Args:
        terms: the terms of n draws, [n].
        known: smallest and largest rate that are consistent with the known outcomes.
        confidence: coverage probability; each side errs with at most half of the rest.
        anytime: whether the interval is valid at all times together, so that one may look after every answer and stop
            at will; otherwise, at a number of draws that does not depend on the answers.
        number: planned number of draws; None for n. Ignored if ``anytime`` is true.
    """
    alpha = (1 - confidence) / 2
    high = upper_bound(terms, known, alpha, anytime, number)
    low = 1 - upper_bound(terms.mirrored(), (1 - known[1], 1 - known[0]), alpha, anytime, number)
    return Interval(min(low, high), high)


def upper_bound(
    terms: Terms, known: tuple[float, float], alpha: float, anytime: bool = False, number: int | None = None
) -> float:
    """Return the one-sided upper bound of the rate; the arguments are those of :func:`betting_interval`.

    Args:
        terms, known, anytime, number: see there.
        alpha: probability that the rate is above the bound, at most.
    """
    low, high = known
    if len(terms.high) == 0:
        return high
    for _ in range(3):  # zoom in on the largest rate that is not rejected
        tried = np.linspace(low, high, _GRID)
        capital = (
            capital_at_any_time(terms, tried) if anytime else capital_for_fixed_number(terms, tried, alpha, number)
        )
        accepted = np.flatnonzero(capital * alpha < 1)
        last = int(accepted[-1]) if len(accepted) else 0
        if last == _GRID - 1:
            return high
        low, high = float(tried[last]), float(tried[last + 1])
    return high


def _variances_ahead(scale: np.ndarray, number: int | None) -> np.ndarray:
    """Return the variance of the remaining draws in units of the next one's, [n, ...]; later ones count more."""
    squares = 1 / np.maximum(scale, 1e-12) ** 2
    ahead = np.cumsum(squares[::-1], axis=0)[::-1]
    missing = 0 if number is None else max(0, number - len(scale))
    if missing:
        ahead = ahead + missing * squares[-1]
    return ahead / squares


def _stake(target: np.ndarray, m: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the stake if the remaining draws end in rejection with probability ``target`` under the hypothesis."""
    z, skew = special.ndtri(target), 1 - 2 * m
    jump = np.maximum(np.abs(skew), _NEAR_HALF)
    mean = variance / jump**2
    stake = np.exp(-(z**2) / 2) / (np.sqrt(2 * np.pi) * target * np.sqrt(variance))  # of the normal approximation
    for few, chosen in ((True, skew >= _NEAR_HALF), (False, skew <= -_NEAR_HALF)):
        if chosen.any():
            hazard = _hazard_of_few(z[chosen], mean[chosen]) if few else _hazard_of_many(-z[chosen], mean[chosen])
            stake[chosen] = hazard / jump[chosen]
    return stake


def _hazard_of_few(z: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return P(X = k) / P(X <= k) of a Poisson distribution at its quantile of the normal deviate z."""
    k = np.maximum(_quantile(z, mean), 0.0)
    return 1 - np.where(k > 0, special.gammaincc(np.maximum(k, 1e-9), mean), 0) / special.gammaincc(k + 1, mean)


def _hazard_of_many(z: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return P(X = k - 1) / P(X >= k) of a Poisson distribution at its quantile k - 1 of the normal deviate z."""
    k = np.maximum(_quantile(z, mean) + 1, 1.0)
    tail = np.maximum(special.gammainc(k, mean), 1e-300)
    return np.where(k > 1, special.gammainc(np.maximum(k - 1, 1e-9), mean), 1.0) / tail - 1


def _quantile(z: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return the quantile of a Poisson distribution by its Cornish-Fisher expansion."""
    return mean + z * np.sqrt(mean) + (z**2 - 4) / 6
