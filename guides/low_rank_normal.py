"""Normal posterior with a low-rank covariance between classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn

from vri_pyro.guides.amortised import AmortisedVector
from vri_pyro.guides.inputs import InputFactory
from vri_pyro.interfaces.networks import DiagonalNormalNetwork
from vri_pyro.utils.numbers import check_integer


class LowRankNormal(AmortisedVector):
    """Low-rank normal posterior q(v | x, y) = Normal(μ, W Wᵀ + diag(σ²)) with W [K, rank].

    The network computes μ, σ² and W from the inputs. For most priors, the KL is a Monte Carlo estimate.

    Args:
        feature_dim: D.
        num_classes: K.
        rank: number of columns of W, at least 1.
        hidden: widths of the tanh layers.
        inputs: constructors of the network's inputs; features and label embedding if None.

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
        check_integer("rank", rank, 1, remedy="; use DiagonalNormal for a diagonal covariance")
        self.network = DiagonalNormalNetwork(self.inputs.width, num_classes, hidden)
        self.factor = nn.Linear(self.network.location.in_features, num_classes * rank)
        self.shape = (num_classes, rank)

    def distribution(self, seen: Tensor) -> Any:
        """See :class:`AmortisedVector`."""
        h = self.network.body(seen)
        diagonal = self.network.head(h).base_dist
        return dist.LowRankMultivariateNormal(diagonal.loc, self.factor(h).unflatten(-1, self.shape), diagonal.variance)
