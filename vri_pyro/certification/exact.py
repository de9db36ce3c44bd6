"""The exact interval of a rate from a plain random sample of a finite population."""

from __future__ import annotations

from collections.abc import Callable

from scipy import stats

from vri_pyro.certification.betting import Interval


def plain_interval(wrong: int, checked: int, population: int, confidence: float = 0.95) -> Interval:
    """Return the interval of a rate from a uniform sample without replacement, exact for every size and rate.

    It inverts the two tails of the hypergeometric distribution, as Clopper and Pearson do for the binomial one. The
    sample size must not depend on the answers.

    Args:
        wrong: number of wrong labels in the sample.
        checked: size of the sample.
        population: number of labels in the population, at least ``checked``.
        confidence: coverage probability, at least.

    Reference: Wright, Exact confidence bounds when sampling from small finite universes, 1991.
    """
    alpha = (1 - confidence) / 2
    least, most = wrong, population - checked + wrong

    def high_enough(count: int) -> bool:
        return bool(stats.hypergeom.sf(wrong - 1, population, count, checked) > alpha)

    def too_high(count: int) -> bool:
        return not stats.hypergeom.cdf(wrong, population, count, checked) > alpha

    low = _first(high_enough, least, most)
    high = _first(too_high, low, most + 1) - 1
    return Interval(low / population, high / population)


def _first(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Return the first integer from ``low`` on for which a monotone condition holds; ``high`` if there is none."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
