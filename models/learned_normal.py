"""Learned normal prior that all examples share."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from vri_pyro.interfaces.base import Prior
from vri_pyro.interfaces.networks import bounded, check_bounds


class LearnedNormal(Prior):
    """Learned prior p(v) = Normal(μ, σ²) with one mean and one variance per class.

    log σ² is bounded by default.

    Args:
        feature_dim: D; not used.
        num_classes: K.
        log_variance_bounds: bounds (low, high) of log σ²; None for no bounds.
    """

    def __init__(
        self, feature_dim: int, num_classes: int, log_variance_bounds: tuple[float, float] | None = (-2.0, 2.0)
    ) -> None:
        super().__init__()
        check_bounds(log_variance_bounds)
        self.location = nn.Parameter(torch.zeros(num_classes))
        self.log_variance = nn.Parameter(torch.zeros(num_classes))
        self.log_variance_bounds = log_variance_bounds

    def forward(self, features: Tensor) -> dist.Distribution:
        """See :class:`~vri_pyro.interfaces.base.Prior`."""
        shape = (*features.shape[:-1], -1)
        scale = (0.5 * bounded(self.log_variance, self.log_variance_bounds)).exp()
        return dist.Normal(self.location.expand(shape), scale.expand(shape)).to_event(1)
