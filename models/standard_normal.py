"""Fixed normal prior with mean zero."""

from __future__ import annotations

import pyro.distributions as dist
from torch import Tensor

from vri_pyro.interfaces.base import Prior
from vri_pyro.utils.numbers import check_integer, check_number


class StandardNormal(Prior):
    """Fixed prior p(v) = Normal(0, scale²), the same for every class and example.

    Args:
        feature_dim: D; not used.
        num_classes: K.
        scale: standard deviation.
    """

    def __init__(self, feature_dim: int, num_classes: int, scale: float = 1.0) -> None:
        super().__init__()
        check_integer("num_classes", num_classes, 1)
        check_number("scale", scale, above=0)
        self.num_classes, self.scale = num_classes, scale

    def forward(self, features: Tensor) -> dist.Distribution:
        """See :class:`~vri_pyro.interfaces.base.Prior`."""
        zeros = features.new_zeros(*features.shape[:-1], self.num_classes)
        return dist.Normal(zeros, self.scale).to_event(1)
