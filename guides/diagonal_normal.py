"""The meta-network V_φ of the paper: q(v | x, y), a diagonal normal computed from features and label."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import torch
from torch import Tensor, nn

from vri_pyro.classifier import ClassifierOutput
from vri_pyro.networks import DiagonalNormalNetwork
from vri_pyro.pairs import Guide


class DiagonalNormal(Guide):
    """q_φ(v | z, y) = Normal(μ(z, e(y)), σ²(z, e(y))), reparameterised as v = μ + σε (paper §3).

    Args:
        feature_dim: D, width of the classifier's features z.
        num_classes: K.
        hidden: widths of the tanh layers; 1024 and 512 in the paper.
        embedding_dim: width of the label embedding e(y).
    """

    def __init__(
        self, feature_dim: int, num_classes: int, hidden: Sequence[int] = (1024, 512), embedding_dim: int = 64
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_classes, embedding_dim)
        self.network = DiagonalNormalNetwork(feature_dim + embedding_dim, num_classes, hidden)

    def forward(self, output: ClassifierOutput, y: Tensor) -> Tensor:
        """See :class:`~vri_pyro.pairs.Guide`. Site: ``v`` [batch, K]."""
        seen = torch.cat([output.features, self.embedding(y)], dim=-1)
        with pyro.plate("data", y.shape[0]):
            return pyro.sample("v", self.network(seen))
