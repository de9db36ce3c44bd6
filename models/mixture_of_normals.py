"""Mixture-of-normals prior."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from vri_pyro.interfaces.base import Prior
from vri_pyro.interfaces.networks import bounded, check_bounds
from vri_pyro.utils.numbers import check_integer


class MixtureOfNormals(Prior):
    """Learned mixture prior p(v) = Σ_m w_m Normal(μ_m, σ_m²), the same for all examples.

    Its KL is a Monte Carlo estimate.

    Args:
        feature_dim: D; not used.
        num_classes: K.
        components: number of components, at least 2.
        log_variance_bounds: bounds (low, high) of log σ²; None for no bounds.
    """

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        components: int = 5,
        log_variance_bounds: tuple[float, float] | None = (-2.0, 2.0),
    ) -> None:
        super().__init__()
        check_integer("components", components, 2, remedy="; use LearnedNormal for one component")
        check_bounds(log_variance_bounds)
        # Random, because components with equal initial values would stay equal.
        self.locations = nn.Parameter(torch.randn(components, num_classes))
        self.log_variances = nn.Parameter(torch.zeros(components, num_classes))
        self.log_weights = nn.Parameter(torch.zeros(components))
        self.log_variance_bounds = log_variance_bounds

    def forward(self, features: Tensor) -> dist.Distribution:
        """See :class:`~vri_pyro.interfaces.base.Prior`."""
        scales = (0.5 * bounded(self.log_variances, self.log_variance_bounds)).exp()
        batch = features.shape[:-1]
        return dist.MixtureOfDiagNormals(
            self.locations.expand(*batch, -1, -1), scales.expand(*batch, -1, -1), self.log_weights.expand(*batch, -1)
        )
