"""The paper's prior network H_ω: p(v | x), a diagonal normal computed from the features."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
from torch import Tensor

from vri_pyro.interfaces.base import Prior
from vri_pyro.interfaces.networks import DiagonalNormalNetwork


class PriorNetwork(Prior):
    """Prior network p_ω(v | z) = Normal(μ(z), σ²(z)); log σ² is bounded by default.

    A learned prior alone does not prevent posterior collapse: its σ can shrink together with the guide's at no cost in
    KL. If the prior's σ has a lower bound, the KL penalises a guide that collapses.

    Args:
        feature_dim: D, width of the classifier's features.
        num_classes: K.
        hidden: widths of the tanh layers.
        log_variance_bounds: bounds (low, high) of log σ²; None for no bounds, as in the paper's equations.
    """

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        hidden: Sequence[int] = (1024, 512),
        log_variance_bounds: tuple[float, float] | None = (-2.0, 2.0),
    ) -> None:
        super().__init__()
        self.network = DiagonalNormalNetwork(feature_dim, num_classes, hidden, log_variance_bounds)

    def forward(self, features: Tensor) -> dist.Distribution:
        """See :class:`~vri_pyro.interfaces.base.Prior`."""
        return self.network(features)
