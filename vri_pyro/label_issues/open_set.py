"""Examples that fit no class: how far they are from everything trusted, and how probably they are none of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# By how much the null density may be denser in the tail than trusted examples say: training on noisy labels moves an
# example's features a little even where it is of a class.
_ROBUST = 3.0
_CENTRE = 0.5  # above it, p-values are taken to be of examples of the classes


def conformal_p_values(distances: Tensor, trusted: Tensor) -> Tensor:
    """(1 + #{trusted distance ≥ d}) / (1 + M), in (0, 1], [N]; uniform for examples like the trusted ones.

    Args:
        distances: [N].
        trusted: distances of examples that are of the classes, [M].

    Reference: Vovk et al., Algorithmic learning in a random world, 2005.
    """
    ordered = trusted.sort().values
    farther = len(ordered) - torch.searchsorted(ordered, distances.contiguous())
    return (1 + farther).to(distances) / (1 + len(ordered))


def probability_of_no_class(p_values: Tensor) -> Tensor:
    """The probability that an example is of no class, [N]: a local false discovery rate, turned round.

    The p-values come from two groups: of the classes, uniform, with share π₀; of none, near 0. Their density f is
    fitted decreasing (Grenander's estimate), π₀ by the p-values above one half, and the result is 1 − c·π₀ / f(p). The
    factor c = 3 asks for a clear case: with c = 1 every little difference between trusted and noisy examples would
    pass for open-set noise.

    Args:
        p_values: of :func:`conformal_p_values`, [N].

    Reference: Efron, Large-scale inference, 2010, ch. 5; Storey (2002) for π₀.
    """
    from sklearn.isotonic import IsotonicRegression  # takes seconds, which no other command should wait for

    values, inverse, counts = np.unique(p_values.double().cpu().numpy(), return_inverse=True, return_counts=True)
    widths = np.diff(np.concatenate([[0.0], values]))
    density = IsotonicRegression(increasing=False).fit_transform(
        np.arange(len(values)), counts / counts.sum() / widths, sample_weight=widths
    )
    null = min(1.0, float(counts[values > _CENTRE].sum() / counts.sum()) / (1 - _CENTRE))
    none = np.clip(1 - _ROBUST * null / density, 0.0, 1.0)
    return torch.from_numpy(none[inverse]).to(p_values)
