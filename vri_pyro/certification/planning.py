"""How many labels to check, and how many checks an interval is worth."""

from __future__ import annotations

import math

import numpy as np
from scipy import special, stats

from vri_pyro.certification.betting import capital_at_any_time, capital_for_fixed_number
from vri_pyro.certification.terms import Terms
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_integer, check_number

_REPEATS = 200


def equivalent_checks(low: float, high: float, population: int, confidence: float = 0.95) -> int:
    """Return the number of labels, checked by hand, whose interval of the rate is as narrow as a given interval.

    The comparison is with Wilson's interval of a plain random sample without replacement, at the rate in the middle of
    the given interval; it is asymptotic.

    Args:
        low, high: the interval.
        population: number of labels in the population.
        confidence: confidence of the interval.

    Returns:
        the number of checks, from 0 to the population.
    """
    check_number("low", low, at_least=0, at_most=1)
    check_number("high", high, at_least=low, at_most=1)
    z, rate = float(special.ndtri((1 + confidence) / 2)), (low + high) / 2

    def wider(checks: int) -> bool:
        """Whether Wilson's interval is wider; as if sampled with replacement by more checks, because N is finite."""
        if checks >= population:
            return False
        effective = checks * (population - 1) / (population - checks)
        width = 2 * z * math.sqrt(rate * (1 - rate) / effective + z**2 / (4 * effective**2)) / (1 + z**2 / effective)
        return width > high - low

    least, most = 0, population
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if wider(middle) else (least, middle - 1)
    return least


def fewest_checks(at_most: float, population: int, confidence: float = 0.95, anytime: bool = False) -> int:
    """Return the number of plain checks that show "at most" if all of them find right labels.

    Fewer are enough only with the help of the scores.

    Args:
        at_most: the rate to be shown, such as 0.02.
        population: number of labels in the population.
        confidence: confidence of the one-sided bound.
        anytime: whether one may look after every answer.
    """
    return checks_needed(at_most, 0.0, population, confidence, anytime)


def checks_needed(
    at_most: float,
    expected: float,
    population: int,
    confidence: float = 0.95,
    anytime: bool = False,
    power: float = 0.9,
    seed: int = 0,
) -> int:
    """Return how many plain checks show that at most a share of the labels is wrong, by simulating the certificate.

    Scores that predict wrong labels well can only reduce the number.

    Args:
        at_most: the rate to be shown, such as 0.02.
        expected: the expected rate, below ``at_most``.
        population: number of labels in the population.
        confidence: confidence of the one-sided bound.
        anytime: whether one may look after every answer; otherwise the number is fixed before the first.
        power: probability that this many checks suffice if the rate is the expected one.
        seed: seed of the simulation.

    Raises:
        UserError: a number is out of range, or the expected rate is not below ``at_most``.
    """
    check_number("at_most", at_most, above=0, below=1)
    check_number("expected", expected, at_least=0, below=1)
    check_number("confidence", confidence, above=0.5, below=1)
    check_number("power", power, above=0, below=1)
    check_integer("population", population, 1)
    wrong = round(expected * population)
    if wrong / population >= at_most:
        raise UserError(
            f"the expected rate of wrong labels is {expected:.2%}, so that no number of checks shows at most "
            f"{at_most:.2%}; mend labels first, or choose a larger at_most"
        )

    def enough(number: int) -> bool:
        return _power(at_most, wrong, population, number, 1 - confidence, anytime, seed) >= power

    least, high = (
        0,
        min(
            population,
            math.ceil((1.6 if anytime else 1) * _plain_checks(at_most, wrong, population, 1 - confidence, power)),
        ),
    )
    while not enough(high):
        least, high = high, min(population, math.ceil(1.2 * high))
    low = max(least, int(high / 1.2))
    while low > least and enough(low):
        low, high = max(least, int(low / 1.2)), low
    while high - low > max(1, high // 100 if wrong else 1):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _plain_checks(at_most: float, wrong: int, population: int, alpha: float, power: float) -> int:
    """Return the number of checks that the exact hypergeometric test needs, to begin the search."""
    null = min(population, math.floor(at_most * population) + 1)

    def enough(number: int) -> bool:
        critical = stats.hypergeom.ppf(alpha, population, null, number)
        critical -= stats.hypergeom.cdf(critical, population, null, number) > alpha
        return bool(stats.hypergeom.cdf(critical, population, wrong, number) >= power)

    high = 1
    while high < population and not enough(high):
        high = min(population, 2 * high)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _power(at_most: float, wrong: int, population: int, number: int, alpha: float, anytime: bool, seed: int) -> float:
    """Return the share of simulated samples that show that at most ``at_most`` of the labels are wrong."""
    if number >= population:
        return 1.0
    repeats = _REPEATS if wrong else 1
    terms = plain_terms(wrong, population, number, repeats, seed)
    m = np.full(repeats, at_most)
    capital = capital_at_any_time(terms, m) if anytime else capital_for_fixed_number(terms, m, alpha)
    return float((capital * alpha >= 1).mean())


def plain_terms(wrong: int, population: int, number: int, repeats: int, seed: int) -> Terms:
    """Simulate the terms of plain samples without replacement, [number, repeats]."""
    random = np.random.default_rng(seed)
    left = np.full(repeats, wrong)
    drawn = np.empty((number, repeats))
    for step in range(number):
        drawn[step] = random.random(repeats) * (population - step) < left
        left = left - drawn[step].astype(int)
    known = (np.cumsum(drawn, axis=0) - drawn) / population
    scale = np.broadcast_to(1 - np.arange(number)[:, None] / population, drawn.shape)
    value = known + scale * drawn
    zero = np.zeros_like(drawn)
    return Terms(value, value, known, known + scale, scale, zero, zero + 1)
