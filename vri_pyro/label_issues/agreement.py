"""Noise rate and probabilities of classes that agree with each other."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri

_MOST = 40.0  # greatest shift of log odds
_LEAST = 1e-12
_DOUBT = 0.4  # standard deviation of δ
_SAMPLE, _SHIFTS = 20_000, np.linspace(-12, 12, 241)


def agreeing_with_rate(p: np.ndarray, none: np.ndarray, rate: float) -> np.ndarray:
    """Shift the log odds of all labels by one number, so that the mean probability of a wrong label is ``rate``.

    Args:
        p: probabilities of the candidate classes for an example that is of some class, the given label first, [N, m].
        none: probability that an example is of no class, [N].
        rate: share of wrong labels; those of examples of no class are wrong, too.

    Returns:
        the probabilities, [N, m]. The order of the labels by their probability of being wrong stays, and so do the
        proportions of all other classes. If examples of no class leave no room for the rate, it is approached.
    """
    odds = logit(p[:, 0].astype(np.float64).clip(_LEAST, 1 - _LEAST))

    def excess(shift: float) -> float:
        return float((1 - (1 - none) * expit(odds + shift)).mean() - rate)

    shift = np.sign(excess(0.0)) * _MOST
    if excess(-_MOST) > 0 > excess(_MOST):
        shift = brentq(excess, -_MOST, _MOST)
    right = expit(odds + shift)
    others = np.maximum(p[:, 1:], _LEAST)
    return np.concatenate([right[:, None], others * ((1 - right) / others.sum(1))[:, None]], axis=1)


def doubted_rates(
    p: np.ndarray, none: np.ndarray, rates: np.ndarray, generator: np.random.Generator, doubt: float = _DOUBT
) -> np.ndarray:
    """Shift the log odds of all labels by δ ~ Normal(0, doubt) in each draw of the noise rate.

    δ is an error of the model that the data cannot reveal. Labels without doubt are not affected.

    Args:
        p: probability that the given label is right, for an example that is of some class, [N].
        none: probability that an example is of no class, [N].
        rates: draws of the noise rate, [draws].
        generator: source of randomness.
        doubt: standard deviation of δ.

    Returns:
        the noise rates, [draws].
    """
    some = generator.permutation(len(p))[:_SAMPLE]
    rising, found = _SHIFTS[::-1], _rising_rates(p[some], none[some])
    shifts = np.interp(rates, found, rising)
    by = doubt * ndtri((generator.permutation(len(rates)) + 0.5) / len(rates))
    before, after = (np.interp(-at, -rising, found) for at in (shifts, shifts + by))
    return np.asarray((rates + after - before).clip(0, 1))


def rates_of_part(p: np.ndarray, none: np.ndarray, rates: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return the noise rates of a part of the labels where those of all labels are given, [draws].

    In each draw, the log odds of all labels are shifted by the number that gives the rate of all labels.

    Args:
        p, none: see :func:`doubted_rates`.
        rates: draws of the noise rate of all labels, [draws].
        part: whether a label belongs to the part, bool [N].
    """
    return np.interp(rates, _rising_rates(p, none), _rising_rates(p[part], none[part]))


def _rising_rates(p: np.ndarray, none: np.ndarray) -> np.ndarray:
    """Return the noise rates if the log odds are shifted by less and less."""
    odds = logit(p.astype(np.float64).clip(_LEAST, 1 - _LEAST))
    return np.array([1 - ((1 - none) * expit(odds + shift)).mean() for shift in _SHIFTS[::-1]])
