"""Label correction network of MLC: computes a soft label from features and given label."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from vri_pyro.guides.inputs import Features, InputFactory, Inputs, LabelEmbedding
from vri_pyro.interfaces.base import Guide
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.interfaces.networks import hidden_layers


class LabelCorrection(Guide):
    """Point-mass guide q(c | z, y) of the soft label: softmax of a tanh network on features and label embedding.

    Pairs with :class:`vri_pyro.models.CorrectedCrossEntropy`. Without a KL and with detached features, the pair is MLC.

    Args:
        feature_dim: D.
        num_classes: K.
        hidden: widths of the tanh layers; the authors' code has two layers of 128.
        inputs: constructors of the network's inputs; features and label embedding if None.

    Reference: Zheng et al., Meta label correction for noisy label learning, AAAI 2021.
    """

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        hidden: Sequence[int] = (128, 128),
        inputs: Sequence[InputFactory] | None = None,
    ) -> None:
        super().__init__()
        self.inputs = Inputs(feature_dim, num_classes, (Features, LabelEmbedding) if inputs is None else inputs)
        body, width = hidden_layers(self.inputs.width, hidden)
        self.network = nn.Sequential(body, nn.Linear(width, num_classes), nn.Softmax(dim=-1))

    def forward(self, output: ClassifierOutput, y: Tensor) -> Tensor:
        """See :class:`~vri_pyro.interfaces.base.Guide`. Site: ``soft_label`` [batch, K]."""
        soft = self.network(self.inputs(output, y))
        with pyro.plate("data", y.shape[0]):
            return pyro.sample("soft_label", dist.Delta(soft, event_dim=1))
