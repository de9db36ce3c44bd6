"""The prior network H_ω of the paper: p(v | x), a diagonal normal computed from the features."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
from torch import Tensor

from vri_pyro.interfaces.base import Prior
from vri_pyro.interfaces.networks import DiagonalNormalNetwork


class PriorNetwork(Prior):
    """p_ω(v | z) = Normal(μ(z), σ²(z)), with log σ² kept in an interval by default.

    A learned prior alone does not forbid collapse: its σ can shrink together with the guide's at no cost in KL. With
    σ bounded below, a guide that collapses pays for it.

    Args:
        feature_dim: D, width of the classifier's features.
        num_classes: K.
        hidden: widths of the tanh layers.
        log_variance_bounds: (low, high) of log σ²; None leaves it free, as the paper's equations do.
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
