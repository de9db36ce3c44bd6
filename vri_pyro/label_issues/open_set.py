"""Open-set examples: the probability that an example belongs to none of the classes."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import beta
from torch import Tensor

# The null density is multiplied by this factor, because its tail may be heavier than the trusted examples suggest:
# training on noisy labels slightly moves the features of an example, even of one that belongs to a class.
_ROBUST = 1.25
_SURE = 0.95


def conformal_p_values(distances: Tensor, trusted: Tensor) -> Tensor:
    """Compute conformal p-values of distances: (1 + #{trusted distance ≥ d}) / (1 + M).

    Args:
        distances: distances of the examples, [N].
        trusted: distances of examples that are known to belong to the classes, [M].

    Returns:
        p-values in (0, 1], [N]. They are uniform for examples from the distribution of the trusted ones.

    Reference: Vovk et al., Algorithmic learning in a random world, 2005.
    """
    ordered = trusted.sort().values
    farther = len(ordered) - torch.searchsorted(ordered, distances.contiguous())
    return (1 + farther).to(distances) / (1 + len(ordered))


def upper_p_values(p_values: np.ndarray, trusted: int) -> np.ndarray:
    """Compute upper bounds of p-values that hold for 95% of all samples of trusted examples.

    Among examples of the classes, the share that is at least as far away as one that m of M trusted examples exceed is
    below (1 + m) / (1 + M) in one sample of trusted examples, above it in another. Over samples it has the distribution
    Beta(1 + m, M − m), whose 95% quantile is the bound. With few trusted examples, many that are farther away than all
    of them are no surprise.

    Args:
        p_values: output of :func:`conformal_p_values`, [N].
        trusted: number M of trusted examples.

    Returns:
        bounds in (0, 1], [N].

    Reference: Bates et al., Testing for outliers with conformal p-values, Annals of Statistics 2023; the distribution
        is that of Vovk, Conditional validity of inductive conformal predictors, 2012.
    """
    farther = np.rint(p_values * (1 + trusted)) - 1
    return np.where(farther < trusted, beta.ppf(_SURE, 1 + farther, np.maximum(trusted - farther, 1)), 1.0)


def probability_of_no_class(p_values: Tensor, trusted: int) -> Tensor:
    """Estimate the probability that an example belongs to no class, as one minus the local false discovery rate.

    The examples are a mixture of two groups: examples of the classes, and examples of no class, with p-values near 0.
    The mixture's density f is that of :func:`upper_p_values`, so that few trusted examples do not make a false alarm,
    and is estimated under the constraint that it decreases (Grenander's estimator). The result is 1 − c / f(p), clipped
    to [0, 1]. It is cautious: the share of the first group is taken as 1, and the factor c = 1.25 allows for small
    differences between trusted and noisy examples, which would otherwise look like open-set noise.

    The trusted examples have to be like the others. If they are, for example, all from one source, others that belong
    to a class lie farther away and look like examples of none.

    Args:
        p_values: output of :func:`conformal_p_values`, [N].
        trusted: number M of trusted examples that they were computed from.

    Returns:
        probabilities, [N].

    Reference: local false discovery rate: Efron, Large-scale inference, 2010, ch. 5.
    """
    from sklearn.isotonic import IsotonicRegression  # slow to import

    bounds = upper_p_values(p_values.double().cpu().numpy(), trusted)
    values, inverse, counts = np.unique(bounds, return_inverse=True, return_counts=True)
    widths = np.diff(np.concatenate([[0.0], values]))
    density = IsotonicRegression(increasing=False).fit_transform(
        np.arange(len(values)), counts / counts.sum() / widths, sample_weight=widths
    )
    return torch.from_numpy(np.clip(1 - _ROBUST / density, 0.0, 1.0)[inverse]).to(p_values)
