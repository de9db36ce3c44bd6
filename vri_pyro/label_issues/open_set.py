"""Open-set examples: the probability that an example belongs to none of the classes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# The null density is multiplied by this factor, because its tail may be heavier than the trusted examples suggest:
# training on noisy labels slightly moves the features of an example, even of one that belongs to a class.
_ROBUST = 3.0
_CENTRE = 0.5  # p-values above it are assumed to come from examples of the classes


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


def probability_of_no_class(p_values: Tensor) -> Tensor:
    """Estimate the probability that an example belongs to no class, as one minus the local false discovery rate.

    The p-values are a mixture of two groups: examples of the classes, with uniform p-values and share π₀, and examples
    of no class, with p-values near 0. The mixture's density f is estimated under the constraint that it decreases
    (Grenander's estimator), and π₀ from the p-values above one half. The result is 1 − c·π₀ / f(p), clipped to [0, 1].
    The factor c = 3 requires strong evidence: with c = 1, any small difference between trusted and noisy examples would
    look like open-set noise.

    Args:
        p_values: output of :func:`conformal_p_values`, [N].

    Returns:
        probabilities, [N].

    Reference: Efron, Large-scale inference, 2010, ch. 5; Storey (2002) for π₀.
    """
    from sklearn.isotonic import IsotonicRegression  # slow to import

    values, inverse, counts = np.unique(p_values.double().cpu().numpy(), return_inverse=True, return_counts=True)
    widths = np.diff(np.concatenate([[0.0], values]))
    density = IsotonicRegression(increasing=False).fit_transform(
        np.arange(len(values)), counts / counts.sum() / widths, sample_weight=widths
    )
    null = min(1.0, float(counts[values > _CENTRE].sum() / counts.sum()) / (1 - _CENTRE))
    none = np.clip(1 - _ROBUST * null / density, 0.0, 1.0)
    return torch.from_numpy(none[inverse]).to(p_values)
