"""The label is corrected before the classifier learns it: a distribution over classes takes its place."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.interfaces.base import Model
from vri_pyro.interfaces.classifier import ClassifierOutput


class CorrectedCrossEntropy(Model):
    """c ~ Dirichlet(1, …, 1);  a label of an example counts log-likelihood Σ_k c_k log p_k(x), with p = softmax(F(x)).

    The given label is observed as it is, y ~ Categorical(logits = F(x)), and the factor ``correction``,
    Σ_k (c_k − [k = y]) log p_k(x), takes it back in favour of the corrected one. With
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
