"""Statistics over a few seeds: means and their spread, paired differences, slopes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats


class Estimate(NamedTuple):
    """Estimate from a sample, with its uncertainty.

    Attributes:
        value: the estimate.
        error: standard error; NaN if the sample is too small.
        low, high: 95% confidence interval by Student's t; NaN if the sample is too small.
        count: size of the sample.
    """

    value: float
    error: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.value:.1f}" if np.isnan(self.error) else f"{self.value:.1f} ± {self.error:.1f}"

    @property
    def interval(self) -> str:
        """The 95% interval as text; a dash if the sample is too small."""
        return "–" if np.isnan(self.error) else f"{self.low:.1f} to {self.high:.1f}"  # noqa: RUF001


def mean_of(values: Sequence[float]) -> Estimate:
    """Estimate the mean of one or more independent values."""
    if len(values) < 2:
        return Estimate(float(values[0]), np.nan, np.nan, np.nan, 1)
    low, high = stats.ttest_1samp(values, 0).confidence_interval() if np.ptp(values) else (values[0], values[0])
    return Estimate(float(np.mean(values)), float(stats.sem(values)), float(low), float(high), len(values))


def paired_difference(one: Mapping[Any, float], other: Mapping[Any, float]) -> Estimate | None:
    """Estimate the mean of one - other over the common keys, such as seeds or (setting, seed).

    Returns:
        The estimate, or None if there are no common keys.
    """
    differences = [one[key] - other[key] for key in one if key in other]
    return mean_of(differences) if differences else None


def slope(x: Sequence[float], y: Sequence[float]) -> Estimate:
    """Estimate the slope of a least-squares line through three or more points with at least two distinct x."""
    line = stats.linregress(x, y)
    half = stats.t.ppf(0.975, len(x) - 2) * line.stderr
    return Estimate(line.slope, line.stderr, line.slope - half, line.slope + half, len(x))


def spread(values: Sequence[float] | Mapping[Any, float], digits: int = 1) -> str:
    """Format mean ± standard deviation; a dash if there are no values."""
    values = list(values.values()) if isinstance(values, Mapping) else list(values)
    if not values:
        return "–"  # noqa: RUF001
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def significant(values: Sequence[float]) -> str:
    """Format mean ± standard deviation with three significant digits; a dash if there are no values."""
    if not values:
        return "–"  # noqa: RUF001
    mean = f"{np.mean(values):.3g}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.1g}"
