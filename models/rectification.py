"""Rectification model: a latent vector per example multiplies the classifier's logits (paper, §3, eq. 3)."""

from __future__ import annotations

from collections.abc import Callable

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from vri_pyro.interfaces.base import Guide, Model, Prior
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.interfaces.networks import check_factory
from vri_pyro.models.prior_network import PriorNetwork
from vri_pyro.utils.errors import UserTypeError, described


class Rectification(Model):
    """Rectification model: v ~ p(v | z), y ~ Categorical(logits = π(v) ⊙ F(x)).

    Args:
        feature_dim: D, width of the classifier's features z.
        num_classes: K.
        prior: constructor of the prior, called with (feature_dim, num_classes).
        link: π, elementwise function that maps v to the rectifier: ``torch.nn.Sigmoid`` (default, rectifier in (0, 1)),
            ``Tanh``, ``Softplus``, ``Identity``, or any module that preserves the shape (paper, table 10).
    """

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        prior: Callable[[int, int], Prior] = PriorNetwork,
        link: nn.Module | None = None,
    ) -> None:
        super().__init__()
        check_factory("prior", prior, "a class of priors, such as PriorNetwork")
        self.prior = prior(feature_dim, num_classes)
        if link is not None and not isinstance(link, nn.Module):
            raise UserTypeError(f"link is {described(link)}; expected a PyTorch module, such as torch.nn.Sigmoid()")
        self.link = nn.Sigmoid() if link is None else link

    def bind(self, guide: Guide) -> None:
        """See :class:`~vri_pyro.interfaces.base.Model`."""
        self.prior.bind(guide)

    def forward(self, output: ClassifierOutput, y: Tensor | None = None) -> Tensor:
        """See :class:`~vri_pyro.interfaces.base.Model`. Sites: latent ``v`` [batch, K], ``rectifier``, ``y``."""
        with pyro.plate("data", output.logits.shape[0]):
            v = pyro.sample("v", self.prior(output.features))
            rectifier = pyro.deterministic("rectifier", self.link(v), event_dim=1)
            return pyro.sample("y", dist.Categorical(logits=rectifier * output.logits), obs=y)
