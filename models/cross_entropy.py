"""Model without rectification: y ~ Categorical(logits). Its ELBO is the negative cross entropy."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor

from vri_pyro.interfaces.base import Model
from vri_pyro.interfaces.classifier import ClassifierOutput


class CrossEntropy(Model):
    """Cross entropy of the given labels; pairs with :class:`vri_pyro.guides.NoLatents`."""

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()

    def forward(self, output: ClassifierOutput, y: Tensor | None = None) -> Tensor:
        """See :class:`~vri_pyro.interfaces.base.Model`."""
        with pyro.plate("data", output.logits.shape[0]):
            return pyro.sample("y", dist.Categorical(logits=output.logits), obs=y)
