"""Label correction: the classifier learns a soft label in place of the given label."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.interfaces.base import Model
from vri_pyro.interfaces.classifier import ClassifierOutput


class CorrectedCrossEntropy(Model):
    """Cross entropy against a latent soft label c.

    The prior is c ~ Dirichlet(1, …, 1). The log-likelihood of an example is Σ_k c_k log p_k(x), with p = softmax(F(x)).

    The given label is observed, y ~ Categorical(logits = F(x)). The factor ``correction``,
    Σ_k (c_k − [k = y]) log p_k(x), then replaces its log-likelihood by that of the soft label. With
    :class:`vri_pyro.guides.LabelCorrection` and no KL, this is MLC.

    Args:
        feature_dim: D; not used.
        num_classes: K.

    Reference: Zheng et al., Meta label correction for noisy label learning, AAAI 2021.
    """

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def forward(self, output: ClassifierOutput, y: Tensor | None = None) -> Tensor:
        """See :class:`~vri_pyro.interfaces.base.Model`.

        Sites: latent ``soft_label`` [batch, K], ``y``, factor ``correction``.
        """
        logits = output.logits
        with pyro.plate("data", logits.shape[0]):
            soft = pyro.sample("soft_label", dist.Dirichlet(logits.new_ones(self.num_classes)))
            label = pyro.sample("y", dist.Categorical(logits=logits), obs=y)
            if y is not None:
                difference = soft - F.one_hot(y, self.num_classes)
                pyro.factor("correction", (difference * logits.log_softmax(-1)).sum(-1))
        return label
