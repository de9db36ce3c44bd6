"""What a few seeds say: means and their spread, paired differences, slopes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats


class Estimate(NamedTuple):
    """A number estimated from a sample.

    Attributes:
        value: the estimate.
        error: its standard error; not a number from a sample too small to tell.
        low, high: its 95% interval, by Student's t.
        count: the size of the sample.
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
        """The 95% interval in words; a dash where the sample is too small to tell."""
        return "–" if np.isnan(self.error) else f"{self.low:.1f} to {self.high:.1f}"  # noqa: RUF001


def mean_of(values: Sequence[float]) -> Estimate:
    """The mean of independent values, at least one."""
    if len(values) < 2:
        return Estimate(float(values[0]), np.nan, np.nan, np.nan, 1)
    low, high = stats.ttest_1samp(values, 0).confidence_interval() if np.ptp(values) else (values[0], values[0])
    return Estimate(float(np.mean(values)), float(stats.sem(values)), float(low), float(high), len(values))


def paired_difference(one: Mapping[Any, float], other: Mapping[Any, float]) -> Estimate | None:
    """The mean of one - other over what both have, such as seeds or (setting, seed); None where they share nothing."""
    differences = [one[key] - other[key] for key in one if key in other]
    return mean_of(differences) if differences else None


def slope(x: Sequence[float], y: Sequence[float]) -> Estimate:
    """The slope of a straight line through points, by least squares; at least three, not all at one x."""
    line = stats.linregress(x, y)
    half = stats.t.ppf(0.975, len(x) - 2) * line.stderr
    return Estimate(line.slope, line.stderr, line.slope - half, line.slope + half, len(x))


def spread(values: Sequence[float] | Mapping[Any, float], digits: int = 1) -> str:
    """Mean ± standard deviation; a dash where nothing was run."""
    values = list(values.values()) if isinstance(values, Mapping) else list(values)
    if not values:
        return "–"  # noqa: RUF001
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def significant(values: Sequence[float]) -> str:
    """Mean ± standard deviation of numbers that differ by orders of magnitude; a dash where nothing was run."""
    if not values:
        return "–"  # noqa: RUF001
    mean = f"{np.mean(values):.3g}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.1g}"
