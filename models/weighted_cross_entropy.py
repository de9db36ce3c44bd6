"""Weighted cross entropy with a latent weight per example."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor

from vri_pyro.interfaces.base import Model
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.models.gate import Gate


class WeightedCrossEntropy(Model):
    """Weighted cross entropy: g ~ Normal(μ, 1), y ~ Categorical(logits = F(x)) with log-likelihood times w(g).

    With :class:`vri_pyro.guides.ScalarWeight` on the loss of the example and no KL, this is MW-Net.

    Args:
        feature_dim: D; not used.
        num_classes: K; not used.

    Reference: Shu et al., Meta-Weight-Net, NeurIPS 2019.
    """

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.gate = Gate()

    def forward(self, output: ClassifierOutput, y: Tensor | None = None) -> Tensor:
        """See :class:`~vri_pyro.interfaces.base.Model`. Sites: latent ``gate`` [batch], ``y``."""
        size = output.logits.shape[0]
        with pyro.plate("data", size), self.gate.scaled(size):
            return pyro.sample("y", dist.Categorical(logits=output.logits), obs=y)
