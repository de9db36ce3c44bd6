"""A posterior whose classes' entries vary together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn

from vri_pyro.guides.amortised import AmortisedVector
from vri_pyro.guides.inputs import InputFactory
from vri_pyro.interfaces.networks import DiagonalNormalNetwork
from vri_pyro.utils.errors import UserError


class LowRankNormal(AmortisedVector):
    """q(v | x, y) = Normal(μ, W Wᵀ + diag(σ²)), with W [K, rank] computed too; its KL to most priors is by Monte Carlo.

    Args:
        feature_dim: D.
        num_classes: K.
        rank: columns of W, at least 1.
        hidden: widths of the tanh layers.
        inputs: what it sees of an example; features and label embedding when None.

    Reference: Ong et al., Gaussian variational approximation with a factor covariance structure, JCGS 2018.
    """

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        rank: int = 2,
        hidden: Sequence[int] = (1024, 512),
        inputs: Sequence[InputFactory] | None = None,
    ) -> None:
        super().__init__(feature_dim, num_classes, inputs)
        if rank < 1:
            raise UserError(f"rank is {rank}; give at least 1, or take DiagonalNormal")
        self.network = DiagonalNormalNetwork(self.inputs.width, num_classes, hidden)
        self.factor = nn.Linear(self.network.location.in_features, num_classes * rank)
        self.shape = (num_classes, rank)

    def distribution(self, seen: Tensor) -> Any:
        """See :class:`AmortisedVector`."""
        h = self.network.body(seen)
        diagonal = self.network.head(h).base_dist
        return dist.LowRankMultivariateNormal(diagonal.loc, self.factor(h).unflatten(-1, self.shape), diagonal.variance)
