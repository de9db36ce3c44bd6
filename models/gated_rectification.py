"""Rectification with a gate: a rectifying vector and a weight per example."""

from __future__ import annotations

from collections.abc import Callable

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from vri_pyro.interfaces.base import Guide, Prior
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.models.gate import Gate
from vri_pyro.models.prior_network import PriorNetwork
from vri_pyro.models.rectification import Rectification


class GatedRectification(Rectification):
    """Rectification model with a gate per example that can switch the example off.

    The generative process is::

        v ~ p(v | z),  g ~ Normal(μ, 1)
        y ~ Categorical(logits = π(v) ⊙ F(x))                log-likelihood multiplied by w(g)

    The rectifying vector changes how a label acts on the logits but cannot remove its effect: a rectifier close to zero
    still has a gradient for the logits. Only the gate can remove the effect. Pairs with :class:`vri_pyro.guides.Gated`.

    Args:
        feature_dim: D, width of the classifier's features z.
        num_classes: K.
        prior: constructor of the vector's prior, called with (feature_dim, num_classes).
        link: π; see :class:`Rectification`.
    """

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        prior: Callable[[int, int], Prior] = PriorNetwork,
        link: nn.Module | None = None,
    ) -> None:
        super().__init__(feature_dim, num_classes, prior, link)
        self.gate = Gate()

    def bind(self, guide: Guide) -> None:
        """See :class:`~vri_pyro.interfaces.base.Model`; the prior of the vector receives the guide of the vector."""
        super().bind(getattr(guide, "vector", guide))

    def forward(self, output: ClassifierOutput, y: Tensor | None = None) -> Tensor:
        """See :class:`~vri_pyro.interfaces.base.Model`. Sites: latents ``v`` [batch, K] and ``gate`` [batch], ``y``."""
        size = output.logits.shape[0]
        with pyro.plate("data", size):
            v = pyro.sample("v", self.prior(output.features))
            rectifier = pyro.deterministic("rectifier", self.link(v), event_dim=1)
            with self.gate.scaled(size):
                return pyro.sample("y", dist.Categorical(logits=rectifier * output.logits), obs=y)
