"""Weighted cross entropy with a latent weight per example."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor

from vri_pyro.interfaces.base import Model
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.models.gate import Gate, Normaliser


class WeightedCrossEntropy(Model):
    """Weighted cross entropy with a latent weight w(g) per example, g ~ Normal(μ, 1).

    The label is y ~ Categorical(logits = F(x)), and its log-likelihood is multiplied by w(g). With
    :class:`vri_pyro.guides.ScalarWeight` on the loss of the example and no KL, this is MW-Net.

    The sum of the weighted losses is divided by the sum of the weights of the batch ("batch_sum") or by the number of
    examples ("batch_size"). The paper's equations have "batch_size", as has the script that its authors released in
    2020 as the stable version (ResNet-32). Their first script, released with the paper (WRN-28-10), has "batch_sum".
    The two differ in the hypergradient: with "batch_sum", multiplying all weights by a number has no effect.

    Args:
        feature_dim: D; not used.
        num_classes: K; not used.
        normalise: what divides the sum of the weighted losses: "batch_sum" or "batch_size".

    Raises:
        UserError: ``normalise`` is neither.

    Reference: Shu et al., Meta-Weight-Net, NeurIPS 2019.
    """

    def __init__(self, feature_dim: int, num_classes: int, normalise: Normaliser = "batch_sum") -> None:
        super().__init__()
        self.gate = Gate(normalise=normalise)

    def forward(self, output: ClassifierOutput, y: Tensor | None = None) -> Tensor:
        """See :class:`~vri_pyro.interfaces.base.Model`. Sites: latent ``gate`` [batch], ``y``."""
        size = output.logits.shape[0]
        with pyro.plate("data", size), self.gate.scaled(size):
            return pyro.sample("y", dist.Categorical(logits=output.logits), obs=y)
