"""Base class of the guides of the rectifying vector: q(v | x, y) is computed from configurable inputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import pyro
from torch import Tensor

from vri_pyro.guides.inputs import Features, InputFactory, Inputs, LabelEmbedding
from vri_pyro.interfaces.base import Guide
from vri_pyro.interfaces.classifier import ClassifierOutput


class AmortisedVector(Guide):
    """Base class of guides q(v | x, y) for the latent ``v`` [batch, K] of :class:`vri_pyro.models.Rectification`.

    Args:
        feature_dim: D, width of the classifier's features z.
        num_classes: K.
        inputs: constructors of the network's inputs; features and label embedding if None, as in the paper.
    """

    def __init__(self, feature_dim: int, num_classes: int, inputs: Sequence[InputFactory] | None = None) -> None:
        super().__init__()
        self.inputs = Inputs(feature_dim, num_classes, (Features, LabelEmbedding) if inputs is None else inputs)

    @abstractmethod
    def distribution(self, seen: Tensor) -> Any:
        """Map the inputs ``seen`` [batch, width] to a distribution with batch shape [batch] and event shape [K]."""

    def posterior(self, output: ClassifierOutput, y: Tensor | None) -> Any:
        """Return q(v | x, y); the label is masked if ``y`` is None."""
        return self.distribution(self.inputs(output, y))

    def forward(self, output: ClassifierOutput, y: Tensor) -> Tensor:
        """See :class:`~vri_pyro.interfaces.base.Guide`. Site: ``v`` [batch, K]."""
        q = self.posterior(output, y)
        with pyro.plate("data", y.shape[0]):
            return pyro.sample("v", q)
