"""A test of the claim that a set of checked labels is a random sample."""

from __future__ import annotations

import numpy as np
from scipy import stats

from vri_pyro.utils.errors import UserError

LEAST_P_VALUE = 0.001


def p_value_of_random_sample(scores: np.ndarray, sample: np.ndarray) -> float:
    """Test whether the scores of a sample look like those of a random sample; two-sided Mann-Whitney test.

    Args:
        scores: scores of the population, [N].
        sample: positions of the sample, int64 [n].

    Returns:
        the p-value; 1 if the sample is the whole population or empty. It is exact for small samples without ties and
        asymptotic otherwise.
    """
    inside = np.zeros(len(scores), dtype=bool)
    inside[sample] = True
    if inside.all() or not inside.any():
        return 1.0
    return float(stats.mannwhitneyu(scores[inside], scores[~inside], alternative="two-sided").pvalue)


def check_random_sample(scores: np.ndarray, sample: np.ndarray) -> float:
    """Raise if a sample that is declared random is visibly a selection by score; return the p-value.

    Raises:
        UserError: the p-value is below 0.001, which happens to one random sample in a thousand.
    """
    p_value = p_value_of_random_sample(scores, sample)
    if p_value < LEAST_P_VALUE:
        inside = np.zeros(len(scores), dtype=bool)
        inside[sample] = True
        where = "top" if scores[inside].mean() > scores[~inside].mean() else "bottom"
        raise UserError(
            f"the sample is not random: its labels are from the {where} of the ranking (p = {p_value:.1g}); draw one "
            "with vri-pyro check --purpose measure"
        )
    return p_value
